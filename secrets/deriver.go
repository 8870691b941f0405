package secrets

import (
	"errors"
	"strconv"
	"strings"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	hkdfpb "github.com/tink-crypto/tink-go/v2/proto/hkdf_prf_go_proto"
	"google.golang.org/protobuf/proto"
)

const (
	hkdfPRF     = "type.googleapis.com/google.crypto.tink.HkdfPrfKey"
	derivedSize = 32 // bytes
)

// Deriver derives values that only the holders of a keyset know, from names that are no secret (HKDF-SHA256, by Tink).
// Its methods may be used from several goroutines.
type Deriver struct{ keys *prf.Set }

// GenerateDeriver returns a keyset of one new key, encoded as OpenDeriver takes it. When kmsURI is not "", that key
// encrypts the keyset.
func GenerateDeriver(kmsURI string) (string, error) {
	handle, err := keyset.NewHandle(prf.HKDFSHA256PRFKeyTemplate())
	if err != nil {
		return "", errors.New("secrets: no key could be generated")
	}
	return encodeKeyset(handle, kmsURI)
}

// ExtendDeriver adds a new key to a keyset of GenerateDeriver, from which values are derived from now on. It returns the
// longer keyset, encoded and encrypted like the given one.
func ExtendDeriver(encoded, kmsURI string) (string, error) {
	if _, err := OpenDeriver(encoded, kmsURI); err != nil {
		return "", err
	}
	handle, err := decodeKeyset(encoded, kmsURI)
	if err != nil {
		return "", err
	}
	return extendKeyset(handle, prf.HKDFSHA256PRFKeyTemplate(), kmsURI)
}

// OpenDeriver makes a deriver with a keyset: base64 of Tink's JSON form, encrypted with the key that kmsURI names unless
// that is "". It rejects keysets whose keys are short, of another kind or not drawn at random. Its errors quote nothing of
// the keyset.
func OpenDeriver(encoded, kmsURI string) (*Deriver, error) {
	handle, err := decodeKeyset(encoded, kmsURI)
	if err != nil {
		return nil, err
	}
	for _, k := range insecurecleartextkeyset.KeysetMaterial(handle).GetKey() {
		var key hkdfpb.HkdfPrfKey
		if k.GetKeyData().GetTypeUrl() != hkdfPRF || proto.Unmarshal(k.GetKeyData().GetValue(), &key) != nil || len(key.GetKeyValue()) != derivedSize {
			return nil, errors.New("secrets: the keyset has a key of another kind: watchfire secrets -for codes keygen makes one that fits")
		}
		if err := checkRandom(key.GetKeyValue()); err != nil {
			return nil, err
		}
	}
	keys, err := prf.NewPRFSet(handle)
	if err != nil {
		return nil, errors.New("secrets: the keyset has no key that derives: use one that watchfire secrets -for codes keygen has made")
	}
	return &Deriver{keys: keys}, nil
}

// Newest names the key from which values are derived from now on.
func (d *Deriver) Newest() string { return strconv.FormatUint(uint64(d.keys.PrimaryID), 10) }

// Derive returns the 32 bytes that follow from a key and some names, of which none holds a line break. It is an error
// when the keyset does not have the key.
func (d *Deriver) Derive(key string, names ...string) ([]byte, error) {
	id, err := strconv.ParseUint(key, 10, 32)
	if err != nil {
		return nil, errors.New("secrets: this is no id of a key")
	}
	k, known := d.keys.PRFs[uint32(id)]
	if !known {
		return nil, errors.New("secrets: the keyset does not have the key")
	}
	return k.ComputePRF([]byte(strings.Join(names, "\n")), derivedSize)
}

// String returns the name of the type, so that no key is printed.
func (d *Deriver) String() string { return "secrets.Deriver" }

// GoString returns the name of the type, so that no key is printed.
func (d *Deriver) GoString() string { return "secrets.Deriver" }
