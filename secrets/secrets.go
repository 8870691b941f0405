// Package secrets seals values that must not be readable in the database.
//
// Every secret has a data key of its own, and both are kept together: the secret sealed with the data key (AES-256-GCM),
// the data key sealed with the provider's public keys (HPKE), which cannot open it; both by Tink. Both are bound to the
// row they belong to, so that neither can be moved to another row. Callers decide which values they seal and where they
// keep them.
package secrets

import (
	"bytes"
	"encoding/base64"
	"errors"

	"github.com/google/uuid"
	"github.com/tink-crypto/tink-go/v2/core/registry"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

const dataKeySize = 32 // bytes: AES-256

// ErrSealed reports that a secret cannot be unsealed: it was sealed with other keys or for another row, or it was
// changed. The error does not say which.
var ErrSealed = errors.New("secrets: the secret cannot be unsealed with this keyset in this row")

// Sealed is a sealed secret, which can be kept anywhere.
type Sealed struct {
	Data []byte // the secret, sealed with the data key
	Key  []byte // the data key, sealed with the keyset
}

// EDRRow returns the name of the row that keeps the credentials of a client's EDR, for Seal, Unseal and Reseal.
func EDRRow(client uuid.UUID, vendor string) string {
	return "edr_credentials/" + client.String() + "/" + vendor
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

// secretContext binds a sealed secret to its table, client, vendor and column.
func secretContext(row string) []byte { return []byte(row + "/sealed") }

// dataKeyContext binds a sealed data key to its table, client, vendor and column.
func dataKeyContext(row string) []byte { return []byte(row + "/data_key") }
