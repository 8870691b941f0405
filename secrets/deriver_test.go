package secrets_test

import (
	"bytes"
	"testing"

	"github.com/watchfire-mdr/watchfire/secrets"
)

func TestWhatIsDerivedFollowsFromTheKeyAndTheNames(t *testing.T) {
	first, err := secrets.GenerateDeriver("")
	if err != nil {
		t.Fatal(err)
	}
	longer, err := secrets.ExtendDeriver(first, "")
	if err != nil {
		t.Fatal(err)
	}
	other, err := secrets.GenerateDeriver("")
	if err != nil {
		t.Fatal(err)
	}
	deriver := func(encoded string) *secrets.Deriver {
		d, err := secrets.OpenDeriver(encoded, "")
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	one, both := deriver(first), deriver(longer)
	derive := func(d *secrets.Deriver, key string, names ...string) []byte {
		b, err := d.Derive(key, names...)
		if err != nil || len(b) != 32 {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		return b
	}
	want := derive(one, one.Newest(), "code", "token")
	if !bytes.Equal(want, derive(both, one.Newest(), "code", "token")) {
		t.Error("a longer keyset derives something else from the old key")
	}
	if both.Newest() == one.Newest() {
		t.Error("the new key does not take over")
	}
	for name, got := range map[string][]byte{
		"another name": derive(one, one.Newest(), "code", "token2"), "another purpose": derive(one, one.Newest(), "call", "token"),
		"the new key": derive(both, both.Newest(), "code", "token"), "another keyset": derive(deriver(other), deriver(other).Newest(), "code", "token"),
	} {
		if bytes.Equal(got, want) {
			t.Errorf("%s derives the same", name)
		}
	}
	for _, key := range []string{both.Newest(), "", "x"} {
		if b, err := one.Derive(key, "code", "token"); err == nil || b != nil {
			t.Errorf("derived from the key %q, which is not there", key)
		}
	}
	box, err := secrets.GenerateBox("")
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"", "changeme", box} {
		if _, err := secrets.OpenDeriver(wrong, ""); err == nil {
			t.Error("another keyset is accepted")
		}
	}
}
