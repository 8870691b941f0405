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
	"github.com/watchfire-mdr/watchfire/simulators"
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
	if err := k.complete(); err != nil {
		return k, fmt.Errorf("keys of the stack: %w", err)
	}
	k.path = path
	return k, k.save()
}

// complete makes the credentials that are missing, and what follows from the others.
func (k *keys) complete() (err error) {
	if k.webhook, err = readWebhookKey(k.Webhook); err != nil {
		return err
	}
	k.APIPassword, k.WorkerPassword = cmp.Or(k.APIPassword, randomHex()), cmp.Or(k.WorkerPassword, randomHex())
	for _, missing := range []struct {
		keyset   *string
		generate func(kmsURI string) (string, error)
	}{
		{&k.Keyset, secrets.Generate}, {&k.PayloadKeyset, secrets.Generate}, {&k.BoxKeyset, secrets.GenerateBox},
		{&k.CheckpointKeyset, secrets.GenerateSigner}, {&k.CodesKeyset, secrets.GenerateDeriver},
	} {
		if *missing.keyset != "" {
			continue
		}
		if *missing.keyset, err = missing.generate(""); err != nil {
			return err
		}
	}
	k.publicKeyset, err = secrets.PublicKeyset(k.BoxKeyset, "")
	return err
}

// readWebhookKey reads the key that signs the events of SendGrid's webhook, PKCS #8.
func readWebhookKey(der []byte) (*ecdsa.PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the webhook key is not ECDSA: make the keys anew")
	}
	return key, nil
}

// simulators returns the options of simulators that know these accounts and call an application back.
func (k keys) simulators(p Ports, app string) simulators.Options {
	return simulators.Options{
		TwilioAddr: loopback(p.Twilio), SendGridAddr: loopback(p.SendGrid), CrowdStrikeAddr: loopback(p.CrowdStrike),
		TwilioAccountSID: k.TwilioSID, TwilioAuthToken: k.TwilioToken, TwilioFrom: twilioFrom,
		SendGridAPIKey: k.SendGridKey, SendGridFrom: sendGridFrom,
		SendGridWebhookURL: app + "/hooks/sendgrid/events", SendGridWebhookKey: k.webhook,
		TwilioInboundTextURL: app + "/hooks/twilio/text", SMTPAddr: loopback(p.SMTP), SMTPSteeringAddr: loopback(p.SMTPSteering),
		SMTPUser: smtpUser, SMTPPassword: k.SMTPPassword, EDRPort: p.EDR,
		CrowdStrikeClientID: k.FalconID, CrowdStrikeClientSecret: k.FalconSecret,
	}
}

// settings returns the product's settings that follow from the keys and from where the simulators are, as NAME=value.
func (k keys) settings(at *simulators.Running) []string {
	return []string{
		"PROVIDER_NAME=Nordlicht SOC",
		"TWILIO_ACCOUNT_SID=" + k.TwilioSID, "TWILIO_AUTH_TOKEN=" + k.TwilioToken, "TWILIO_FROM=" + twilioFrom, "TWILIO_BASE_URL=" + at.TwilioURL,
		"SENDGRID_API_KEY=" + k.SendGridKey, "SENDGRID_FROM=" + sendGridFrom, "SENDGRID_BASE_URL=" + at.SendGridURL,
		"SENDGRID_WEBHOOK_PUBLIC_KEY=" + k.webhookPublicKey(), "MAILERS=sendgrid,smtp", "SMTP_ADDRESS=" + at.SMTPAddr,
		"SMTP_USER=" + smtpUser, "SMTP_PASSWORD=" + k.SMTPPassword, "SMTP_FROM=" + sendGridFrom, "SMTP_TLS=none",
		"CROWDSTRIKE_CLIENT_ID=" + k.FalconID, "CROWDSTRIKE_CLIENT_SECRET=" + k.FalconSecret, "CROWDSTRIKE_BASE_URL=" + at.CrowdStrikeURL,
		"SECRETS_KEYSET=" + k.BoxKeyset, "SECRETS_PUBLIC_KEYSET=" + k.publicKeyset, "CODES_KEYSET=" + k.CodesKeyset,
		"CHECKPOINT_KEYSET=" + k.CheckpointKeyset, "PAYLOAD_KEYSET=" + k.PayloadKeyset,
	}
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
