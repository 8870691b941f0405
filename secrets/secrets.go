// Package secrets seals values that must not be readable in the database.
//
// Every secret has a data key of its own, and both are kept together: the secret sealed with the data key, the data key
// sealed with the provider's keyset (both AES-256-GCM, by Tink). Both are bound to the row they belong to, so that
// neither can be moved to another row. Callers decide which values they seal and where they keep them.
package secrets

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/core/registry"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

const dataKeySize = 32 // bytes: AES-256

// ErrSealed reports that a secret cannot be unsealed: it was sealed with other keys or for another row, or it was
// changed. The error does not say which.
var ErrSealed = errors.New("secrets: the secret cannot be unsealed with this keyset in this row")

// Box seals and unseals secrets. Its methods may be used from several goroutines. Printed, it shows no key.
type Box struct{ keys tink.AEAD }

// Sealed is a sealed secret, which can be kept anywhere.
type Sealed struct {
	Data []byte // the secret, sealed with the data key
	Key  []byte // the data key, sealed with the keyset
}

// EDRRow returns the name of the row that keeps the credentials of a client's EDR, for Seal, Unseal and Reseal.
func EDRRow(client uuid.UUID, vendor string) string {
	return "edr_credentials/" + client.String() + "/" + vendor
}

// Open opens a box with a keyset: base64 of Tink's JSON form. When kmsURI is not "" the keyset is encrypted with that
// key, for which a Tink client must have been registered (UseVault does). Open rejects keysets whose keys are short, of
// another kind or not drawn at random. Its errors quote nothing of the keyset.
func Open(encoded, kmsURI string) (*Box, error) {
	handle, err := decodeKeyset(encoded, kmsURI)
	if err != nil {
		return nil, err
	}
	if err := checkKeys(insecurecleartextkeyset.KeysetMaterial(handle)); err != nil {
		return nil, err
	}
	keys, err := aead.New(handle)
	if err != nil {
		return nil, errors.New("secrets: the keyset has no key that can seal: use one that watchfire secrets keygen has made")
	}
	return &Box{keys: keys}, nil
}

// decodeKeyset reads a keyset and, when kmsURI is not "", decrypts it with that key.
func decodeKeyset(encoded, kmsURI string) (*keyset.Handle, error) {
	if encoded == "" {
		return nil, errors.New("secrets: the keyset is empty: watchfire secrets keygen makes one")
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, errors.New("secrets: the keyset is not base64: use it as watchfire secrets keygen has printed it")
	}
	reader := keyset.NewJSONReader(bytes.NewReader(raw))
	if kmsURI == "" {
		handle, err := insecurecleartextkeyset.Read(reader)
		if err != nil {
			return nil, errors.New("secrets: the keyset is not a Tink keyset in JSON and in clear: if a KMS key encrypts it, name that key")
		}
		return handle, nil
	}
	wrapping, err := kmsKey(kmsURI)
	if err != nil {
		return nil, err
	}
	handle, err := keyset.Read(reader, wrapping)
	if err != nil {
		return nil, errors.New("secrets: the keyset cannot be decrypted with the key of the KMS: check that the KMS answers and that this key encrypted the keyset")
	}
	return handle, nil
}

// kmsKey returns the key that a URI names.
func kmsKey(uri string) (tink.AEAD, error) {
	client, err := registry.GetKMSClient(uri)
	if err != nil {
		return nil, errors.New("secrets: no KMS of the URI's kind is supported: use a URI that begins with hcvault://")
	}
	key, err := client.GetAEAD(uri)
	if err != nil {
		return nil, errors.New("secrets: the KMS URI names no usable key: check its path")
	}
	return key, nil
}

// Seal seals a secret, under a new data key, for the row that will keep it.
func (b *Box) Seal(row string, secret []byte) (Sealed, error) {
	key := make([]byte, dataKeySize)
	_, _ = rand.Read(key) // never fails
	cipher, err := subtle.NewAESGCM(key)
	if err != nil {
		return Sealed{}, fmt.Errorf("secrets: %w", err)
	}
	var s Sealed
	if s.Data, err = cipher.Encrypt(secret, secretContext(row)); err != nil {
		return Sealed{}, errors.New("secrets: the secret cannot be sealed")
	}
	if s.Key, err = b.keys.Encrypt(key, dataKeyContext(row)); err != nil {
		return Sealed{}, errors.New("secrets: the data key cannot be sealed")
	}
	return s, nil
}

// Unseal returns the secret that Seal sealed for the row, or ErrSealed.
func (b *Box) Unseal(row string, s Sealed) ([]byte, error) {
	key, err := b.keys.Decrypt(s.Key, dataKeyContext(row))
	if err != nil {
		return nil, ErrSealed
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
// is. It returns the sealed data key, or ErrSealed when the keyset does not open key in this row.
func (b *Box) Reseal(row string, key []byte) ([]byte, error) {
	plain, err := b.keys.Decrypt(key, dataKeyContext(row))
	if err != nil {
		return nil, ErrSealed
	}
	return b.keys.Encrypt(plain, dataKeyContext(row))
}

// secretContext binds a sealed secret to its table, client, vendor and column.
func secretContext(row string) []byte { return []byte(row + "/sealed") }

// dataKeyContext binds a sealed data key to its table, client, vendor and column.
func dataKeyContext(row string) []byte { return []byte(row + "/data_key") }

// String returns the name of the type, so that no key is printed.
func (b *Box) String() string { return "secrets.Box" }

// GoString returns the name of the type, so that no key is printed.
func (b *Box) GoString() string { return "secrets.Box" }
