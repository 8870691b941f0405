package secrets

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/hybrid"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	hpkepb "github.com/tink-crypto/tink-go/v2/proto/hpke_go_proto"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"
	"google.golang.org/protobuf/proto"
)

const (
	hpkePrivate = "type.googleapis.com/google.crypto.tink.HpkePrivateKey"
	hpkePublic  = "type.googleapis.com/google.crypto.tink.HpkePublicKey"
)

// Sealer seals secrets and cannot unseal them. Its methods may be used from several goroutines.
type Sealer struct{ keys tink.HybridEncrypt }

// Box unseals secrets, and seals them anew. Its methods may be used from several goroutines. Printed, it shows no key.
type Box struct {
	Sealer
	keys tink.HybridDecrypt
	old  tink.AEAD // nil: none
}

// GenerateBox returns a keyset of one new key, encoded as OpenBox takes it. When kmsURI is not "", that key encrypts the
// keyset.
func GenerateBox(kmsURI string) (string, error) {
	handle, err := keyset.NewHandle(boxKey())
	if err != nil {
		return "", errors.New("secrets: no key could be generated")
	}
	return encodeKeyset(handle, kmsURI)
}

func boxKey() *tinkpb.KeyTemplate {
	return hybrid.DHKEM_X25519_HKDF_SHA256_HKDF_SHA256_AES_256_GCM_Key_Template()
}

// ExtendBox adds a new key to a keyset of GenerateBox and makes it the primary one, which seals from now on; the other
// keys still unseal. It returns the longer keyset, encoded and encrypted like the given one.
func ExtendBox(encoded, kmsURI string) (string, error) {
	handle, err := decodeBox(encoded, kmsURI)
	if err != nil {
		return "", err
	}
	return extendKeyset(handle, boxKey(), kmsURI)
}

// PublicKeyset returns the public keys of a keyset of GenerateBox, encoded as OpenSealer takes them. They are no secret.
func PublicKeyset(encoded, kmsURI string) (string, error) {
	handle, err := decodeBox(encoded, kmsURI)
	if err != nil {
		return "", err
	}
	return encodePublic(handle)
}

// OpenSealer makes a sealer with a public keyset, as PublicKeyset returns it. It rejects one that can unseal.
func OpenSealer(encoded string) (*Sealer, error) {
	handle, err := decodePublic(encoded, hpkePublic)
	if err != nil {
		return nil, err
	}
	return newSealer(handle)
}

func newSealer(public *keyset.Handle) (*Sealer, error) {
	keys, err := hybrid.NewHybridEncrypt(public)
	if err != nil {
		return nil, errors.New("secrets: the keyset has no key that can seal: use one that watchfire secrets keygen has made")
	}
	return &Sealer{keys: keys}, nil
}

// OpenBox opens a box with a keyset: base64 of Tink's JSON form. When kmsURI is not "" the keyset is encrypted with that
// key, for which a Tink client must have been registered (UseVault does). OpenBox rejects keysets whose keys are of another
// kind or not drawn at random. old is the keyset of a version that sealed with secret keys alone, encoded likewise, or "";
// it unseals only. Its errors quote nothing of the keysets.
func OpenBox(encoded, old, kmsURI string) (*Box, error) {
	handle, err := decodeBox(encoded, kmsURI)
	if err != nil {
		return nil, err
	}
	var b Box
	if b.keys, err = hybrid.NewHybridDecrypt(handle); err != nil {
		return nil, errors.New("secrets: the keyset has no key that can unseal: use one that watchfire secrets keygen has made")
	}
	public, err := handle.Public()
	if err != nil {
		return nil, errors.New("secrets: the keyset has no public keys: use one that watchfire secrets keygen has made")
	}
	sealer, err := newSealer(public)
	if err != nil || old == "" {
		return b.with(sealer), err
	}
	if handle, err = decodeKeyset(old, kmsURI); err == nil {
		err = checkKeys(insecurecleartextkeyset.KeysetMaterial(handle))
	}
	if err != nil {
		return nil, fmt.Errorf("the keyset of before: %w", err)
	}
	if b.old, err = aead.New(handle); err != nil {
		return nil, errors.New("secrets: the keyset of before cannot unseal")
	}
	return b.with(sealer), nil
}

func (b *Box) with(s *Sealer) *Box {
	if s == nil {
		return nil
	}
	b.Sealer = *s
	return b
}

// decodeBox reads a keyset of GenerateBox and checks its keys.
func decodeBox(encoded, kmsURI string) (*keyset.Handle, error) {
	handle, err := decodeKeyset(encoded, kmsURI)
	if err != nil {
		return nil, err
	}
	for _, k := range insecurecleartextkeyset.KeysetMaterial(handle).GetKey() {
		if k.GetKeyData().GetTypeUrl() == aesGCM {
			return nil, errors.New("secrets: this keyset is of a version of before: name it SECRETS_OLD_KEYSET, and make a new one with watchfire secrets keygen")
		}
		var key hpkepb.HpkePrivateKey
		if k.GetKeyData().GetTypeUrl() != hpkePrivate || k.GetOutputPrefixType() != tinkpb.OutputPrefixType_TINK ||
			proto.Unmarshal(k.GetKeyData().GetValue(), &key) != nil || !proto.Equal(key.GetPublicKey().GetParams(), boxParams()) {
			return nil, errors.New("secrets: the keyset has a key of another kind: watchfire secrets keygen makes one that fits")
		}
		if err := checkRandom(key.GetPrivateKey()); err != nil {
			return nil, err
		}
	}
	return handle, nil
}

func boxParams() *hpkepb.HpkeParams {
	return &hpkepb.HpkeParams{Kem: hpkepb.HpkeKem_DHKEM_X25519_HKDF_SHA256, Kdf: hpkepb.HpkeKdf_HKDF_SHA256, Aead: hpkepb.HpkeAead_AES_256_GCM}
}

// Seal seals a secret, under a new data key, for the row that will keep it.
func (s *Sealer) Seal(row string, secret []byte) (Sealed, error) {
	key := make([]byte, dataKeySize)
	_, _ = rand.Read(key) // never fails
	cipher, err := subtle.NewAESGCM(key)
	if err != nil {
		return Sealed{}, fmt.Errorf("secrets: %w", err)
	}
	var sealed Sealed
	if sealed.Data, err = cipher.Encrypt(secret, secretContext(row)); err != nil {
		return Sealed{}, errors.New("secrets: the secret cannot be sealed")
	}
	if sealed.Key, err = s.keys.Encrypt(key, dataKeyContext(row)); err != nil {
		return Sealed{}, errors.New("secrets: the data key cannot be sealed")
	}
	return sealed, nil
}

// Unseal returns the secret that Seal sealed for the row, or ErrSealed.
func (b *Box) Unseal(row string, s Sealed) ([]byte, error) {
	key, err := b.dataKey(row, s.Key)
	if err != nil {
		return nil, err
	}
	cipher, err := subtle.NewAESGCM(key)
	if err != nil {
		return nil, ErrSealed
	}
	secret, err := cipher.Decrypt(s.Data, secretContext(row))
	if err != nil {
		return nil, ErrSealed
	}
	return secret, nil
}

// Reseal opens the data key of a row and seals it again with the keyset's primary key; the sealed secret stays as it
// is. It returns the sealed data key, or ErrSealed when the keysets do not open key in this row.
func (b *Box) Reseal(row string, key []byte) ([]byte, error) {
	plain, err := b.dataKey(row, key)
	if err != nil {
		return nil, err
	}
	return b.Sealer.keys.Encrypt(plain, dataKeyContext(row))
}

func (b *Box) dataKey(row string, sealed []byte) ([]byte, error) {
	key, err := b.keys.Decrypt(sealed, dataKeyContext(row))
	if err != nil && b.old != nil {
		key, err = b.old.Decrypt(sealed, dataKeyContext(row))
	}
	if err != nil {
		return nil, ErrSealed
	}
	return key, nil
}

// String returns the name of the type, so that no key is printed.
func (b *Box) String() string { return "secrets.Box" }

// GoString returns the name of the type, so that no key is printed.
func (b *Box) GoString() string { return "secrets.Box" }
