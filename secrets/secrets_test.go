package secrets_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/core/registry"
	"github.com/tink-crypto/tink-go/v2/hybrid"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	hpkepb "github.com/tink-crypto/tink-go/v2/proto/hpke_go_proto"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/signature"
	"github.com/tink-crypto/tink-go/v2/tink"
	"google.golang.org/protobuf/proto"

	"github.com/watchfire-mdr/watchfire/secrets"
)

var secret = []byte("s3cr3t-of-a-client")

func newBox(t *testing.T) (*secrets.Box, string) {
	t.Helper()
	encoded, err := secrets.GenerateBox("")
	if err != nil {
		t.Fatal(err)
	}
	return open(t, encoded), encoded
}

func open(t *testing.T, encoded string) *secrets.Box {
	t.Helper()
	box, err := secrets.OpenBox(encoded, "", "")
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func seal(t *testing.T, box *secrets.Box, row string) secrets.Sealed {
	t.Helper()
	s, err := box.Seal(row, secret)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantSecret fails unless the box unseals the secret.
func wantSecret(t *testing.T, box *secrets.Box, row string, s secrets.Sealed) {
	t.Helper()
	if got, err := box.Unseal(row, s); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("unsealed %d bytes, %v", len(got), err)
	}
}

func TestASealedSecretCannotBeMovedOrChanged(t *testing.T) {
	box, _ := newBox(t)
	stranger, _ := newBox(t)
	acme, other := uuid.New(), uuid.New()
	row := secrets.EDRRow(acme, "mde")
	s, again := seal(t, box, row), seal(t, box, row)
	wantSecret(t, box, row, s)
	if bytes.Equal(s.Data, again.Data) || bytes.Equal(s.Key, again.Key) || bytes.Contains(s.Data, secret) {
		t.Error("sealing twice gives the same bytes, or the sealed data holds the secret")
	}
	flipped := append([]byte(nil), s.Data...)
	flipped[len(flipped)/2] ^= 1
	for name, c := range map[string]struct {
		box *secrets.Box
		row string
		s   secrets.Sealed
	}{
		"another client":    {box, secrets.EDRRow(other, "mde"), s},
		"another vendor":    {box, secrets.EDRRow(acme, "trend"), s},
		"another keyset":    {stranger, row, s},
		"another data key":  {box, row, secrets.Sealed{Data: s.Data, Key: again.Key}},
		"columns exchanged": {box, row, secrets.Sealed{Data: s.Key, Key: s.Data}},
		"changed":           {box, row, secrets.Sealed{Data: flipped, Key: s.Key}},
		"cut":               {box, row, secrets.Sealed{Data: s.Data[:5], Key: s.Key}},
		"empty":             {box, row, secrets.Sealed{}},
	} {
		if got, err := c.box.Unseal(c.row, c.s); !errors.Is(err, secrets.ErrSealed) || got != nil {
			t.Errorf("%s: unsealed %q, error %v, want ErrSealed", name, got, err)
		}
	}
}

func TestANewKeyTakesOver(t *testing.T) {
	box, encoded := newBox(t)
	row := secrets.EDRRow(uuid.New(), "mde")
	old := seal(t, box, row)
	longer, err := secrets.ExtendBox(encoded, "")
	if err != nil {
		t.Fatal(err)
	}
	both := open(t, longer)
	wantSecret(t, both, row, old)
	key, err := both.Reseal(row, old.Key)
	if err != nil {
		t.Fatal(err)
	}
	moved := secrets.Sealed{Data: old.Data, Key: key}
	wantSecret(t, both, row, moved)
	if _, err := box.Unseal(row, moved); !errors.Is(err, secrets.ErrSealed) {
		t.Errorf("the old key alone unseals a resealed secret: %v", err)
	}
	if _, err := both.Reseal(secrets.EDRRow(uuid.New(), "mde"), old.Key); !errors.Is(err, secrets.ErrSealed) {
		t.Errorf("a data key was resealed for another row: %v", err)
	}
}

// public returns the public keyset of a keyset.
func public(t *testing.T, encoded string) string {
	t.Helper()
	p, err := secrets.PublicKeyset(encoded, "")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAPublicKeysetSealsAndCannotOpen(t *testing.T) {
	box, encoded := newBox(t)
	sealer, err := secrets.OpenSealer(public(t, encoded))
	if err != nil {
		t.Fatal(err)
	}
	row := secrets.EDRRow(uuid.New(), "mde")
	s, err := sealer.Seal(row, secret)
	if err != nil {
		t.Fatal(err)
	}
	wantSecret(t, box, row, s)
	if _, err := secrets.OpenBox(public(t, encoded), "", ""); err == nil {
		t.Error("a box was opened with a public keyset")
	}
	old, err := secrets.Generate("")
	if err != nil {
		t.Fatal(err)
	}
	for name, no := range map[string]string{"a private keyset": encoded, "a keyset of before": old, "nothing": "", "cut": public(t, encoded)[:40]} {
		if _, err := secrets.OpenSealer(no); err == nil {
			t.Errorf("the API takes %s", name)
		}
	}
}

// TestWhatWasSealedBeforeOpens seals as the version did that had one secret keyset for everything, with Tink alone.
func TestWhatWasSealedBeforeOpens(t *testing.T) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := aead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&out)); err != nil {
		t.Fatal(err)
	}
	old := base64.StdEncoding.EncodeToString(out.Bytes())
	row, dataKey := secrets.EDRRow(uuid.New(), "mde"), bytes.Repeat([]byte("0123456789abcdef"), 2)
	cipher, err := subtle.NewAESGCM(dataKey)
	if err != nil {
		t.Fatal(err)
	}
	var s secrets.Sealed
	if s.Data, err = cipher.Encrypt(secret, []byte(row+"/sealed")); err != nil {
		t.Fatal(err)
	}
	if s.Key, err = keys.Encrypt(dataKey, []byte(row+"/data_key")); err != nil {
		t.Fatal(err)
	}

	alone, encoded := newBox(t)
	both, err := secrets.OpenBox(encoded, old, "")
	if err != nil {
		t.Fatal(err)
	}
	wantSecret(t, both, row, s)
	if _, err := alone.Unseal(row, s); !errors.Is(err, secrets.ErrSealed) {
		t.Errorf("opened without the old keyset: %v", err)
	}
	if s.Key, err = both.Reseal(row, s.Key); err != nil {
		t.Fatal(err)
	}
	wantSecret(t, alone, row, s)
	for name, fails := range map[string]func() error{
		"the old keyset in place of the new": func() error { _, err := secrets.OpenBox(old, "", ""); return err },
		"the new keyset in place of the old": func() error { _, err := secrets.OpenBox(encoded, encoded, ""); return err },
	} {
		if fails() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestUnsafeKeysetsAreRejected(t *testing.T) {
	made := func(template *tinkpb.KeyTemplate, change func(*tinkpb.Keyset)) string {
		handle, err := keyset.NewHandle(template)
		if err != nil {
			t.Fatal(err)
		}
		ks := insecurecleartextkeyset.KeysetMaterial(handle)
		change(ks)
		var out bytes.Buffer
		if err := keyset.NewJSONWriter(&out).Write(ks); err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(out.Bytes())
	}
	same := func(*tinkpb.Keyset) {}
	key := func(b string) func(*tinkpb.Keyset) {
		return func(ks *tinkpb.Keyset) { ks.Key[0].KeyData.Value = []byte("\x1a\x20" + b) } // field 3, 32 bytes
	}
	_, good := newBox(t)
	broken := map[string]string{
		"not base64":   "%%%",
		"not JSON":     base64.StdEncoding.EncodeToString([]byte("changeme")),
		"no keys":      base64.StdEncoding.EncodeToString([]byte(`{"primaryKeyId":1,"key":[]}`)),
		"cut":          good[:len(good)/2],
		"base64 twice": base64.StdEncoding.EncodeToString([]byte(good)),
		"signing keys": made(signature.ECDSAP256KeyTemplate(), same),
	}
	boxKey := hybrid.DHKEM_X25519_HKDF_SHA256_HKDF_SHA256_AES_256_GCM_Key_Template()
	boxes := map[string]string{
		"empty":          "",
		"zeros":          made(boxKey, private(t, strings.Repeat("\x00", 32))),
		"an example's":   made(boxKey, private(t, strings.Repeat("changeme", 4))),
		"no prefix":      made(hybrid.DHKEM_X25519_HKDF_SHA256_HKDF_SHA256_AES_256_GCM_Raw_Key_Template(), same),
		"another cipher": made(hybrid.DHKEM_X25519_HKDF_SHA256_HKDF_SHA256_CHACHA20_POLY1305_Key_Template(), same),
		"another curve":  made(hybrid.DHKEM_P256_HKDF_SHA256_HKDF_SHA256_AES_256_GCM_Key_Template(), same),
		"disabled":       made(boxKey, func(ks *tinkpb.Keyset) { ks.Key[0].Status = tinkpb.KeyStatusType_DISABLED }),
	}
	olds := map[string]string{
		"zeros":          made(aead.AES256GCMKeyTemplate(), key(strings.Repeat("\x00", 32))),
		"an example's":   made(aead.AES256GCMKeyTemplate(), key(strings.Repeat("changeme", 4))),
		"short":          made(aead.AES128GCMKeyTemplate(), same),
		"no prefix":      made(aead.AES256GCMNoPrefixKeyTemplate(), same),
		"another cipher": made(aead.AES256GCMSIVKeyTemplate(), same),
		"disabled":       made(aead.AES256GCMKeyTemplate(), func(ks *tinkpb.Keyset) { ks.Key[0].Status = tinkpb.KeyStatusType_DISABLED }),
	}
	maps.Copy(boxes, broken)
	maps.Copy(olds, broken)
	refused := func(name, encoded string, box *secrets.Box, err error) {
		if err == nil || box != nil {
			t.Errorf("a keyset was accepted: %s", name)
		} else if len(encoded) > 8 && strings.Contains(err.Error(), encoded[:8]) {
			t.Errorf("%s: the error quotes the keyset", name)
		}
	}
	for name, encoded := range boxes {
		box, err := secrets.OpenBox(encoded, "", "")
		refused(name, encoded, box, err)
	}
	for name, encoded := range olds {
		box, err := secrets.OpenBox(good, encoded, "")
		refused("of before, "+name, encoded, box, err)
	}
}

// private puts other bytes in place of a private key's.
func private(t *testing.T, bytes string) func(*tinkpb.Keyset) {
	return func(ks *tinkpb.Keyset) {
		var key hpkepb.HpkePrivateKey
		if err := proto.Unmarshal(ks.Key[0].KeyData.Value, &key); err != nil {
			t.Fatal(err)
		}
		key.PrivateKey = []byte(bytes)
		changed, err := proto.Marshal(&key)
		if err != nil {
			t.Fatal(err)
		}
		ks.Key[0].KeyData.Value = changed
	}
}

// fakeKMS is a KMS with one key, named by one URI.
type fakeKMS struct{ key tink.AEAD }

func (fakeKMS) Supported(uri string) bool { return strings.HasPrefix(uri, "test-kms://") }

func (k fakeKMS) GetAEAD(uri string) (tink.AEAD, error) {
	if uri != "test-kms://one" {
		return nil, errors.New("no such key")
	}
	return k.key, nil
}

func TestAKeysetCanBeEncryptedWithAKMS(t *testing.T) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	key, err := aead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	registry.RegisterKMSClient(fakeKMS{key})
	defer registry.ClearKMSClients()
	encoded, err := secrets.GenerateBox("test-kms://one")
	if err != nil {
		t.Fatal(err)
	}
	box, err := secrets.OpenBox(encoded, "", "test-kms://one")
	if err != nil {
		t.Fatal(err)
	}
	row := secrets.EDRRow(uuid.New(), "mde")
	s := seal(t, box, row)
	longer, err := secrets.ExtendBox(encoded, "test-kms://one")
	if err != nil {
		t.Fatal(err)
	}
	box, err = secrets.OpenBox(longer, "", "test-kms://one")
	if err != nil {
		t.Fatal(err)
	}
	wantSecret(t, box, row, s)
	for _, uri := range []string{"", "test-kms://two", "other-kms://one"} {
		if _, err := secrets.OpenBox(encoded, "", uri); err == nil {
			t.Errorf("opened with %q", uri)
		}
	}
	_, readable := newBox(t)
	if _, err := secrets.OpenBox(readable, "", "test-kms://one"); err == nil {
		t.Error("a keyset in clear was opened as an encrypted one")
	}
}

func TestAPrintedBoxShowsNoKey(t *testing.T) {
	box, _ := newBox(t)
	for _, f := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(f, box); got != "secrets.Box" {
			t.Errorf("%s: %s", f, got)
		}
	}
}
