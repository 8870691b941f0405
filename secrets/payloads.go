package secrets

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"sync"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	gcmpb "github.com/tink-crypto/tink-go/v2/proto/aes_gcm_go_proto"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"google.golang.org/protobuf/proto"
)

// mostDerived bounds how many derived keys are kept in memory; they are derived again when there are more owners.
const mostDerived = 10_000

// PayloadKeys seal and unseal what the workflow engine keeps. Every owner has a key of its own (AES-256-GCM), derived
// from a key of the keyset. Its methods may be used from several goroutines. Printed, it shows no key.
type PayloadKeys struct {
	primary uint32
	keys    map[uint32][]byte

	mu      sync.RWMutex
	derived map[derivation]cipher.AEAD
}

// derivation names a derived key.
type derivation struct {
	key   uint32
	owner string
}

// OpenPayloadKeys opens a keyset as Open does.
func OpenPayloadKeys(encoded, kmsURI string) (*PayloadKeys, error) {
	handle, err := decodeKeyset(encoded, kmsURI)
	if err != nil {
		return nil, err
	}
	ks := insecurecleartextkeyset.KeysetMaterial(handle)
	if err := checkKeys(ks); err != nil {
		return nil, err
	}
	k := &PayloadKeys{primary: ks.GetPrimaryKeyId(), keys: map[uint32][]byte{}, derived: map[derivation]cipher.AEAD{}}
	for _, entry := range ks.GetKey() {
		var key gcmpb.AesGcmKey
		if entry.GetStatus() != tinkpb.KeyStatusType_ENABLED || proto.Unmarshal(entry.GetKeyData().GetValue(), &key) != nil {
			continue
		}
		k.keys[entry.GetKeyId()] = key.GetKeyValue()
	}
	if k.keys[k.primary] == nil {
		return nil, errors.New("secrets: the keyset has no key that can seal: use one that watchfire secrets keygen has made")
	}
	return k, nil
}

// Seal seals a value for an owner, bound to a context that Unseal must be given again. It returns the id of the key.
func (k *PayloadKeys) Seal(owner string, value, context []byte) (key uint32, sealed []byte, err error) {
	c, err := k.cipher(k.primary, owner)
	if err != nil {
		return 0, nil, err
	}
	return k.primary, c.Seal(nil, nil, value, context), nil //nolint:gosec // the cipher itself draws the nonce
}

// Unseal returns the value that was sealed for an owner with a key, or ErrSealed.
func (k *PayloadKeys) Unseal(key uint32, owner string, sealed, context []byte) ([]byte, error) {
	c, err := k.cipher(key, owner)
	if err != nil {
		return nil, ErrSealed
	}
	value, err := c.Open(nil, nil, sealed, context)
	if err != nil {
		return nil, ErrSealed
	}
	return value, nil
}

// cipher returns the cipher of an owner's key.
func (k *PayloadKeys) cipher(key uint32, owner string) (cipher.AEAD, error) {
	name := derivation{key, owner}
	k.mu.RLock()
	c := k.derived[name]
	k.mu.RUnlock()
	if c != nil {
		return c, nil
	}
	secret, known := k.keys[key]
	if !known {
		return nil, ErrSealed
	}
	derived, err := hkdf.Key(sha256.New, secret, nil, "watchfire/payloads/"+owner, dataKeySize)
	if err != nil {
		return nil, errors.New("secrets: no key can be derived")
	}
	block, err := aes.NewCipher(derived)
	if err == nil {
		c, err = cipher.NewGCMWithRandomNonce(block)
	}
	if err != nil {
		return nil, errors.New("secrets: no cipher can be made")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.derived) >= mostDerived {
		clear(k.derived)
	}
	k.derived[name] = c
	return c, nil
}

// AddPayloadKey adds a key to a keyset that opens and does not seal yet: a process that does not have it could not read
// what is sealed with it. UsePayloadKey makes it seal, once every process has it.
func AddPayloadKey(encoded, kmsURI string) (string, error) {
	return changePayloadKeys(encoded, kmsURI, func(m *keyset.Manager, _ *tinkpb.Keyset) error {
		_, err := m.Add(aead.AES256GCMKeyTemplate())
		return err
	})
}

// UsePayloadKey makes the key that was added last the one that seals.
func UsePayloadKey(encoded, kmsURI string) (string, error) {
	return changePayloadKeys(encoded, kmsURI, func(m *keyset.Manager, ks *tinkpb.Keyset) error {
		return m.SetPrimary(ks.GetKey()[len(ks.GetKey())-1].GetKeyId())
	})
}

func changePayloadKeys(encoded, kmsURI string, change func(*keyset.Manager, *tinkpb.Keyset) error) (string, error) {
	if _, err := OpenPayloadKeys(encoded, kmsURI); err != nil {
		return "", err
	}
	handle, err := decodeKeyset(encoded, kmsURI)
	if err != nil {
		return "", err
	}
	manager := keyset.NewManagerFromHandle(handle)
	if err := change(manager, insecurecleartextkeyset.KeysetMaterial(handle)); err != nil {
		return "", errors.New("secrets: the keyset cannot be changed")
	}
	if handle, err = manager.Handle(); err != nil {
		return "", errors.New("secrets: the keyset cannot be changed")
	}
	return encodeKeyset(handle, kmsURI)
}

// String returns the name of the type, so that no key is printed.
func (k *PayloadKeys) String() string { return "secrets.PayloadKeys" }

// GoString returns the name of the type, so that no key is printed.
func (k *PayloadKeys) GoString() string { return "secrets.PayloadKeys" }
