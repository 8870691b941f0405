package stack

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/watchfire-mdr/watchfire/secrets"
)

const (
	twilioFrom   = "+15005550006"
	sendGridFrom = "soc@watchfire.example"
	smtpUser     = "watchfire"
)

// keys are a stack's credentials. Its first start makes them, and keys.json keeps them for the next.
type keys struct {
	DatabasePassword, TwilioSID, TwilioToken, SendGridKey, SMTPPassword, FalconID, FalconSecret string
	APIPassword, WorkerPassword                                                                 string            // of their logins
	CheckpointKeyset                                                                            string            // signs event logs
	CodesKeyset                                                                                 string            // derives codes
	BoxKeyset                                                                                   string            // opens clients' credentials
	Keyset                                                                                      string            // the same of a version of before
	PayloadKeyset                                                                               string            // seals what Temporal keeps
	Webhook                                                                                     []byte            // PKCS #8
	Tokens                                                                                      map[string]string // by e-mail of the seeded user

	webhook      *ecdsa.PrivateKey
	publicKeyset string // of BoxKeyset
	path         string
}

// readKeys reads the keys of an earlier start, or makes and writes new ones.
func readKeys(path string) (k keys, err error) {
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		k, err = newKeys()
	case err == nil:
		err = json.Unmarshal(b, &k)
	}
	if err != nil {
		return k, fmt.Errorf("keys of the stack: %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(k.Webhook)
	if err != nil {
		return k, fmt.Errorf("keys of the stack: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return k, errors.New("keys of the stack: the webhook key is not ECDSA: remove keys.json and the data beside it")
	}
	k.webhook, k.path = key, path
	k.APIPassword, k.WorkerPassword = cmp.Or(k.APIPassword, randomHex()), cmp.Or(k.WorkerPassword, randomHex())
	if k.Keyset == "" {
		if k.Keyset, err = secrets.Generate(""); err != nil {
			return k, fmt.Errorf("keys of the stack: %w", err)
		}
	}
	if k.PayloadKeyset == "" {
		if k.PayloadKeyset, err = secrets.Generate(""); err != nil {
			return k, fmt.Errorf("keys of the stack: %w", err)
		}
	}
	if k.BoxKeyset == "" {
		if k.BoxKeyset, err = secrets.GenerateBox(""); err != nil {
			return k, fmt.Errorf("keys of the stack: %w", err)
		}
	}
	if k.CheckpointKeyset == "" {
		if k.CheckpointKeyset, err = secrets.GenerateSigner(""); err != nil {
			return k, fmt.Errorf("keys of the stack: %w", err)
		}
	}
	if k.CodesKeyset == "" {
		if k.CodesKeyset, err = secrets.GenerateDeriver(""); err != nil {
			return k, fmt.Errorf("keys of the stack: %w", err)
		}
	}
	if k.publicKeyset, err = secrets.PublicKeyset(k.BoxKeyset, ""); err != nil {
		return k, fmt.Errorf("keys of the stack: %w", err)
	}
	return k, k.save()
}

// newKeys makes every credential but the keysets and the users' tokens.
func newKeys() (keys, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return keys{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return keys{
		DatabasePassword: randomHex(), TwilioSID: "AC" + randomHex(), TwilioToken: randomHex(), SendGridKey: "SG." + randomHex(), SMTPPassword: randomHex(),
		FalconID: randomHex(), FalconSecret: randomHex(), Webhook: der, Tokens: map[string]string{},
	}, err
}

// randomHex returns 32 random hexadecimal digits.
func randomHex() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// save writes the keys to their file, which only its owner may read.
func (k keys) save() error {
	b, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(k.path, b, 0o600)
}

// webhookPublicKey returns the public key of SendGrid's webhook, as its settings take it.
func (k keys) webhookPublicKey() string {
	der, err := x509.MarshalPKIXPublicKey(&k.webhook.PublicKey)
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(der)
}
