// Package secrets seals what must not be readable in the database.
//
// Every secret has a data key of its own, and is kept with it: the secret sealed with the data key, the data key sealed
// with the provider's keyset (AES-256-GCM both, by Tink). Both are bound to the row they belong to, so that neither can
// be moved to another one. What is sealed, and where it is kept, is others' business.
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

// ErrSealed is why something cannot be unsealed: other keys, another row, or it was changed. It does not say which.
var ErrSealed = errors.New("secrets: it cannot be unsealed with this keyset, in this row")

// Box seals and unseals. Its methods may be used from several goroutines. It prints as nothing.
type Box struct{ keys tink.AEAD }

// Sealed is a secret that can be kept anywhere.
type Sealed struct {
	Data []byte // the secret, sealed with the data key
	Key  []byte // the data key, sealed with the keyset
}

// EDRRow names the row the credentials of a client's EDR are kept in, for Seal and Unseal.
func EDRRow(client uuid.UUID, vendor string) string {
	return "edr_credentials/" + client.String() + "/" + vendor
}

// Open opens a box with a keyset: base64 of Tink's JSON form. When kmsURI is not "" the keyset is encrypted with that
// key, for which a Tink client must have been registered. Errors tell what is wrong and nothing of the keyset.
func Open(encoded, kmsURI string) (*Box, error) {
	handle, err := read(encoded, kmsURI)
	if err != nil {
		return nil, err
	}
	if err := checkKeys(insecurecleartextkeyset.KeysetMaterial(handle)); err != nil {
		return nil, err
	}
	keys, err := aead.New(handle)
	if err != nil {
		return nil, errors.New("secrets: the keyset does not work")
	}
	return &Box{keys: keys}, nil
}

func read(encoded, kmsURI string) (*keyset.Handle, error) {
	if encoded == "" {
		return nil, errors.New("secrets: the keyset is empty")
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, errors.New("secrets: the keyset is not base64")
	}
	reader := keyset.NewJSONReader(bytes.NewReader(raw))
	if kmsURI == "" {
		handle, err := insecurecleartextkeyset.Read(reader)
		if err != nil {
			return nil, errors.New("secrets: the keyset is not one of Tink's, in its JSON form and in clear")
		}
		return handle, nil
	}
	wrapping, err := kms(kmsURI)
	if err != nil {
		return nil, err
	}
	handle, err := keyset.Read(reader, wrapping)
	if err != nil {
		return nil, errors.New("secrets: the keyset cannot be decrypted with the key of the KMS")
	}
	return handle, nil
}

// kms returns the key a URI names.
func kms(uri string) (tink.AEAD, error) {
	client, err := registry.GetKMSClient(uri)
	if err != nil {
		return nil, errors.New("secrets: no client for the KMS URI is part of this program")
	}
	key, err := client.GetAEAD(uri)
	if err != nil {
		return nil, errors.New("secrets: the KMS gives no key for the URI")
	}
	return key, nil
}

// Seal seals a secret for the row it will be kept in.
func (b *Box) Seal(row string, secret []byte) (Sealed, error) {
	key := make([]byte, dataKeySize)
	_, _ = rand.Read(key) // never fails
	cipher, err := subtle.NewAESGCM(key)
	if err != nil {
		return Sealed{}, fmt.Errorf("secrets: %w", err)
	}
	var s Sealed
	if s.Data, err = cipher.Encrypt(secret, dataOf(row)); err != nil {
		return Sealed{}, errors.New("secrets: it cannot be sealed")
	}
	if s.Key, err = b.keys.Encrypt(key, keyOf(row)); err != nil {
		return Sealed{}, errors.New("secrets: the data key cannot be sealed")
	}
	return s, nil
}

// Unseal returns the secret that was sealed for the row, or ErrSealed.
func (b *Box) Unseal(row string, s Sealed) ([]byte, error) {
	key, err := b.keys.Decrypt(s.Key, keyOf(row))
	if err != nil {
		return nil, ErrSealed
	}
	cipher, err := subtle.NewAESGCM(key)
	if err != nil {
		return nil, ErrSealed
	}
	secret, err := cipher.Decrypt(s.Data, dataOf(row))
	if err != nil {
		return nil, ErrSealed
	}
	return secret, nil
}

// Reseal seals a data key anew, with the keyset's primary key. The secret stays as it is. ErrSealed as with Unseal.
func (b *Box) Reseal(row string, key []byte) ([]byte, error) {
	plain, err := b.keys.Decrypt(key, keyOf(row))
	if err != nil {
		return nil, ErrSealed
	}
	return b.keys.Encrypt(plain, keyOf(row))
}

// What is sealed is bound to table, client, vendor and column.
func dataOf(row string) []byte { return []byte(row + "/sealed") }
func keyOf(row string) []byte  { return []byte(row + "/data_key") }

// String shows nothing.
func (b *Box) String() string { return "secrets.Box" }

// GoString shows nothing.
func (b *Box) GoString() string { return "secrets.Box" }
