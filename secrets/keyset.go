package secrets

import (
	"bytes"
	"encoding/base64"
	"errors"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	gcmpb "github.com/tink-crypto/tink-go/v2/proto/aes_gcm_go_proto"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"google.golang.org/protobuf/proto"
)

const (
	aesGCM = "type.googleapis.com/google.crypto.tink.AesGcmKey"
	// fewestBytes is the least number of different bytes in a key of 32 random bytes: fewer occur less than once in
	// 10^15 keys.
	fewestBytes = 16
)

// Generate returns a keyset of one new AES-256-GCM key. When kmsURI is not "", that key encrypts the keyset.
func Generate(kmsURI string) (string, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return "", errors.New("secrets: no key could be generated")
	}
	return encodeKeyset(handle, kmsURI)
}

// extendKeyset adds a new key to a keyset and makes it the primary one. It returns the longer keyset, encoded.
func extendKeyset(handle *keyset.Handle, template *tinkpb.KeyTemplate, kmsURI string) (string, error) {
	manager := keyset.NewManagerFromHandle(handle)
	id, err := manager.Add(template)
	if err == nil {
		err = manager.SetPrimary(id)
	}
	if err == nil {
		handle, err = manager.Handle()
	}
	if err != nil {
		return "", errors.New("secrets: no key could be added")
	}
	return encodeKeyset(handle, kmsURI)
}

// encodeKeyset writes a keyset as base64 of Tink's JSON form, encrypted with the key kmsURI names unless that is "".
func encodeKeyset(handle *keyset.Handle, kmsURI string) (string, error) {
	var out bytes.Buffer
	writer := keyset.NewJSONWriter(&out)
	if kmsURI == "" {
		if err := insecurecleartextkeyset.Write(handle, writer); err != nil {
			return "", errors.New("secrets: the keyset cannot be written")
		}
		return base64.StdEncoding.EncodeToString(out.Bytes()), nil
	}
	wrapping, err := kmsKey(kmsURI)
	if err != nil {
		return "", err
	}
	if err := handle.Write(writer, wrapping); err != nil {
		return "", errors.New("secrets: the keyset cannot be encrypted with the key of the KMS: check that the KMS answers and allows it")
	}
	return base64.StdEncoding.EncodeToString(out.Bytes()), nil
}

// checkKeys rejects keysets whose keys are of another kind, short, or made up rather than drawn at random, as in a
// keyset copied from an example.
func checkKeys(ks *tinkpb.Keyset) error {
	for _, k := range ks.GetKey() {
		if k.GetKeyData().GetTypeUrl() != aesGCM || k.GetOutputPrefixType() != tinkpb.OutputPrefixType_TINK {
			return errors.New("secrets: the keyset has a key that is not of the kind AES256_GCM: watchfire secrets keygen makes one that is")
		}
		var key gcmpb.AesGcmKey
		if proto.Unmarshal(k.GetKeyData().GetValue(), &key) != nil || len(key.GetKeyValue()) != dataKeySize {
			return errors.New("secrets: the keyset has a key that is not of 256 bits: watchfire secrets keygen makes one that is")
		}
		if err := checkRandom(key.GetKeyValue()); err != nil {
			return err
		}
	}
	return nil
}

// checkRandom rejects a key of 32 bytes that was made up rather than drawn at random.
func checkRandom(key []byte) error {
	different := map[byte]bool{}
	for _, b := range key {
		different[b] = true
	}
	if len(different) < fewestBytes {
		return errors.New("secrets: the keyset has a key that was not drawn at random: watchfire secrets keygen makes one that is")
	}
	return nil
}
