package secrets

import (
	"bytes"
	"encoding/base64"
	"errors"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	ed25519pb "github.com/tink-crypto/tink-go/v2/proto/ed25519_go_proto"
	"github.com/tink-crypto/tink-go/v2/signature"
	"github.com/tink-crypto/tink-go/v2/tink"
	"google.golang.org/protobuf/proto"
)

const (
	ed25519Private = "type.googleapis.com/google.crypto.tink.Ed25519PrivateKey"
	ed25519Public  = "type.googleapis.com/google.crypto.tink.Ed25519PublicKey"
)

// Signer signs (Ed25519, by Tink). Its methods may be used from several goroutines. Printed, it shows no key.
type Signer struct{ keys tink.Signer }

// Verifier tells whether a Signer has signed. Its methods may be used from several goroutines.
type Verifier struct{ keys tink.Verifier }

// GenerateSigner returns a keyset of one new key, encoded as OpenSigner takes it. When kmsURI is not "", that key
// encrypts the keyset.
func GenerateSigner(kmsURI string) (string, error) {
	handle, err := keyset.NewHandle(signature.ED25519KeyTemplate())
	if err != nil {
		return "", errors.New("secrets: no key could be generated")
	}
	return encodeKeyset(handle, kmsURI)
}

// ExtendSigner adds a new key to a keyset of GenerateSigner, which signs from now on. It returns the longer keyset, encoded
// and encrypted like the given one.
func ExtendSigner(encoded, kmsURI string) (string, error) {
	handle, err := decodeSigner(encoded, kmsURI)
	if err != nil {
		return "", err
	}
	return extendKeyset(handle, signature.ED25519KeyTemplate(), kmsURI)
}

// VerifierKeyset returns the public keys of a keyset of GenerateSigner, encoded as OpenVerifier takes them. They are no
// secret.
func VerifierKeyset(encoded, kmsURI string) (string, error) {
	handle, err := decodeSigner(encoded, kmsURI)
	if err != nil {
		return "", err
	}
	return encodePublic(handle)
}

// OpenSigner makes a signer with a keyset: base64 of Tink's JSON form, encrypted with the key that kmsURI names unless
// that is "". It rejects keysets whose keys are of another kind or not drawn at random. Its errors quote nothing of the
// keyset.
func OpenSigner(encoded, kmsURI string) (*Signer, error) {
	handle, err := decodeSigner(encoded, kmsURI)
	if err != nil {
		return nil, err
	}
	keys, err := signature.NewSigner(handle)
	if err != nil {
		return nil, errors.New("secrets: the keyset has no key that signs: use one that watchfire secrets -for checkpoints keygen has made")
	}
	return &Signer{keys: keys}, nil
}

// OpenVerifier makes a verifier with a public keyset, as VerifierKeyset returns it.
func OpenVerifier(encoded string) (*Verifier, error) {
	handle, err := decodePublic(encoded, ed25519Public)
	if err != nil {
		return nil, err
	}
	keys, err := signature.NewVerifier(handle)
	if err != nil {
		return nil, errors.New("secrets: the public keyset has no key that verifies")
	}
	return &Verifier{keys: keys}, nil
}

// Sign returns the signature of a message.
func (s *Signer) Sign(message []byte) ([]byte, error) { return s.keys.Sign(message) }

// Verify returns an error unless a key of the keyset has signed the message.
func (v *Verifier) Verify(message, signed []byte) error {
	if v.keys.Verify(signed, message) != nil {
		return errors.New("secrets: no key of ours has signed this")
	}
	return nil
}

// String returns the name of the type, so that no key is printed.
func (s *Signer) String() string { return "secrets.Signer" }

// GoString returns the name of the type, so that no key is printed.
func (s *Signer) GoString() string { return "secrets.Signer" }

// decodeSigner reads a keyset of GenerateSigner and checks its keys.
func decodeSigner(encoded, kmsURI string) (*keyset.Handle, error) {
	handle, err := decodeKeyset(encoded, kmsURI)
	if err != nil {
		return nil, err
	}
	for _, k := range insecurecleartextkeyset.KeysetMaterial(handle).GetKey() {
		var key ed25519pb.Ed25519PrivateKey
		if k.GetKeyData().GetTypeUrl() != ed25519Private || proto.Unmarshal(k.GetKeyData().GetValue(), &key) != nil {
			return nil, errors.New("secrets: the keyset has a key of another kind: watchfire secrets -for checkpoints keygen makes one that fits")
		}
		if err := checkRandom(key.GetKeyValue()); err != nil {
			return nil, err
		}
	}
	return handle, nil
}

// encodePublic writes the public keys of a keyset as base64 of Tink's JSON form.
func encodePublic(private *keyset.Handle) (string, error) {
	handle, err := private.Public()
	if err != nil {
		return "", errors.New("secrets: the keyset has no public keys")
	}
	var out bytes.Buffer
	if err := handle.WriteWithNoSecrets(keyset.NewJSONWriter(&out)); err != nil {
		return "", errors.New("secrets: the public keyset cannot be written")
	}
	return base64.StdEncoding.EncodeToString(out.Bytes()), nil
}

// decodePublic reads public keys of a kind, and rejects a keyset that holds more than those.
func decodePublic(encoded, kind string) (*keyset.Handle, error) {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, errors.New("secrets: the public keyset is not base64: use it as watchfire secrets public has printed it")
	}
	handle, err := keyset.ReadWithNoSecrets(keyset.NewJSONReader(bytes.NewReader(raw)))
	if err != nil {
		return nil, errors.New("secrets: this is no public keyset: use the one that watchfire secrets public prints")
	}
	for _, k := range insecurecleartextkeyset.KeysetMaterial(handle).GetKey() {
		if k.GetKeyData().GetTypeUrl() != kind {
			return nil, errors.New("secrets: the public keyset has a key of another kind: use the one that watchfire secrets public prints")
		}
	}
	return handle, nil
}
