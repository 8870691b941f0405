package secrets_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/secrets"
)

func openPayloadKeys(t *testing.T, encoded string) *secrets.PayloadKeys {
	t.Helper()
	k, err := secrets.OpenPayloadKeys(encoded, "")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestAPayloadOpensForItsOwnerInItsContextOnly(t *testing.T) {
	encoded, err := secrets.Generate("")
	if err != nil {
		t.Fatal(err)
	}
	other, err := secrets.Generate("")
	if err != nil {
		t.Fatal(err)
	}
	k, stranger := openPayloadKeys(t, encoded), openPayloadKeys(t, other)
	key, sealed, err := k.Seal("client/1042", secret, []byte("here"))
	if err != nil || bytes.Contains(sealed, secret) {
		t.Fatalf("sealed %q, %v", sealed, err)
	}
	for range 2 { // derived, and from memory
		if got, err := k.Unseal(key, "client/1042", sealed, []byte("here")); err != nil || !bytes.Equal(got, secret) {
			t.Errorf("unsealed %q, %v", got, err)
		}
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)-1] ^= 1
	for name, try := range map[string]func() ([]byte, error){
		"another owner":   func() ([]byte, error) { return k.Unseal(key, "client/1043", sealed, []byte("here")) },
		"another context": func() ([]byte, error) { return k.Unseal(key, "client/1042", sealed, []byte("there")) },
		"another key":     func() ([]byte, error) { return k.Unseal(key+1, "client/1042", sealed, []byte("here")) },
		"another keyset":  func() ([]byte, error) { return stranger.Unseal(key, "client/1042", sealed, []byte("here")) },
		"a changed byte":  func() ([]byte, error) { return k.Unseal(key, "client/1042", changed, []byte("here")) },
		"nothing":         func() ([]byte, error) { return k.Unseal(key, "client/1042", nil, []byte("here")) },
	} {
		if _, err := try(); !errors.Is(err, secrets.ErrSealed) {
			t.Errorf("%s: %v, want ErrSealed", name, err)
		}
	}
	if printed := fmt.Sprintf("%v %+v %#v", k, k, k); printed != strings.Repeat(" secrets.PayloadKeys", 3)[1:] {
		t.Errorf("printed it is %s", printed)
	}
}

// A key that was added opens before it seals, so that no process gets what it cannot open.
func TestPayloadKeysChangeInTwoSteps(t *testing.T) {
	first, err := secrets.Generate("")
	if err != nil {
		t.Fatal(err)
	}
	longer, err := secrets.AddPayloadKey(first, "")
	if err != nil {
		t.Fatal(err)
	}
	newer, err := secrets.UsePayloadKey(longer, "")
	if err != nil {
		t.Fatal(err)
	}
	before, between, after := openPayloadKeys(t, first), openPayloadKeys(t, longer), openPayloadKeys(t, newer)
	for name, c := range map[string]struct {
		seals, opens *secrets.PayloadKeys
		want         bool
	}{
		"a process with the longer keyset is understood by one without": {between, before, true},
		"the newest key is understood with the longer keyset":           {after, between, true},
		"the newest key is not understood without":                      {after, before, false},
		"the first key still opens":                                     {before, after, true},
	} {
		key, sealed, err := c.seals.Seal("provider", secret, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.opens.Unseal(key, "provider", sealed, nil); (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPayloadKeysMustBeDrawnAtRandom(t *testing.T) {
	for name, encoded := range map[string]string{"nothing": "", "no base64": "%", "no keyset": "e30K"} {
		if _, err := secrets.OpenPayloadKeys(encoded, ""); err == nil {
			t.Errorf("%s opens", name)
		}
	}
}
