// Package config reads the settings of a process from environment variables, once, and checks them.
// A setting that would make the system unsafe stops the start, with the reason.
package config

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/watchfire-mdr/watchfire/address"
)

// Config is every setting of the product. Vendor base URLs are empty in production, where the vendors' own are used.
type Config struct {
	Profile     string // "production" or "dev"
	DatabaseURL string
	OwnerURL    string // of the database owner, for migrations only
	DatabaseMax int    // connections of this process

	TemporalAddress   string
	TemporalNamespace string
	// TemporalTLS is "on", "off-on-private-network", or "" for on towards another machine only.
	TemporalTLS                                                                           string
	TemporalCAFile, TemporalCertFile, TemporalKeyFile, TemporalServerName, TemporalAPIKey string

	HTTPAddress string
	OpsAddress  string // of health and metrics, for the operator alone
	PublicURL   *url.URL
	Provider    string // by whose name every mail, text and call introduces itself
	LogLevel    string

	TwilioAccountSID, TwilioAuthToken, TwilioSecondAuthToken, TwilioFrom string
	TwilioURL                                                            *url.URL
	SendGridAPIKey, SendGridFrom, SendGridWebhookKey                     string
	SendGridURL                                                          *url.URL
	Mailers                                                              []string // "sendgrid", "smtp", in the order they are tried
	SMTPAddress, SMTPUser, SMTPPassword, SMTPFrom, SMTPTLS               string
	CrowdStrikeClientID, CrowdStrikeClientSecret                         string
	CrowdStrikeURL                                                       *url.URL

	// SecretsPublicKeyset seals the credentials of clients' EDRs, SecretsKeyset opens them, SecretsOldKeyset those that a
	// version of before has sealed. SecretsKMSURI names the key that the last two are themselves encrypted with.
	SecretsPublicKeyset, SecretsKeyset, SecretsOldKeyset, SecretsKMSURI, VaultToken string
	// CodesKeyset derives what proves a reply, a channel or a call.
	CodesKeyset string
	// CheckpointKeyset signs the event logs.
	CheckpointKeyset string
	// PayloadKeyset seals what Temporal keeps of workflows; Payloads says whether plain payloads are read, too.
	PayloadKeyset, Payloads string
	// CodecOrigin is the address of a Temporal UI whose pages may ask the API to open payloads; nil for none.
	CodecOrigin *url.URL
	// EDRExtraHosts are the domains at which EDRs are accepted besides their vendors' own.
	EDRExtraHosts []string

	// PhoneCountries are the countries whose phone numbers a contact may have, in capital letters; none are all.
	PhoneCountries []string

	// OperatorMail, OperatorText and OperatorWebhook are where the operator is told of alarms; "" and nil for nowhere.
	OperatorMail, OperatorText string
	OperatorWebhook            *url.URL

	// VendorTimeout bounds one request to a vendor. Settle is how long the outcome of an unanswered request may stay
	// unknown; it is longer than VendorTimeout.
	VendorTimeout time.Duration
	Settle        time.Duration
	// EDRPollEvery is the first pause between two looks at an endpoint that the EDR has not confirmed yet.
	EDRPollEvery time.Duration
	// EDRWorstDelay is the longest time after Settle in which an EDR may still act on a request whose answer was lost.
	EDRWorstDelay time.Duration
}

// Part is the job of a process. It decides which settings the process needs.
type Part string

// The jobs of a process.
const (
	API     Part = "api"
	Worker  Part = "worker"
	Migrate Part = "migrate"
	Keys    Part = "keys"    // makes and changes the keyset of the secrets; each subcommand checks the settings it needs
	Command Part = "command" // speaks to Temporal on an operator's behalf
)

// setting is one environment variable. help completes "set it to …". set reads a value into the configuration; its
// error completes "NAME …" and quotes no value.
type setting struct {
	name, fallback, help string
	secret               bool   // never shown
	needed               []Part // jobs that do not start without it
	set                  func(c *Config, v string) error
}

// text takes any value.
func text(p func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error { *p(c) = v; return nil }
}

// oneOf takes one of some words.
func oneOf(p func(*Config) *string, words ...string) func(*Config, string) error {
	return func(c *Config, v string) error {
		if !slices.Contains(words, v) {
			return fmt.Errorf("is none of %s: set it to one of them", strings.Join(words, ", "))
		}
		*p(c) = v
		return nil
	}
}

// webAddress reads an http or https URL with a host.
func webAddress(p func(*Config) **url.URL) func(*Config, string) error {
	return func(c *Config, v string) error {
		if v == "" {
			return nil
		}
		u, err := url.Parse(v)
		if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
			return errors.New("is not an http or https address: set it to one such as https://api.example.com")
		}
		*p(c) = u
		return nil
	}
}

// origin reads an address that is a scheme and a host, with a port or without, and nothing else: vendors sign an
// address that is made of it and of the path of a request.
func origin(p func(*Config) **url.URL) func(*Config, string) error {
	return func(c *Config, v string) error {
		if err := webAddress(p)(c, v); err != nil {
			return err
		}
		u := *p(c)
		if u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(v, "#") {
			return errors.New("is more than a scheme and a host: set it to an address such as https://soc.example.com, without user, path, query or fragment")
		}
		*p(c) = &url.URL{Scheme: u.Scheme, Host: u.Host}
		return nil
	}
}

var phoneNumber = regexp.MustCompile(`^\+[1-9][0-9]{1,14}$`)

// phone reads a telephone number in E.164 form.
func phone(p func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error {
		if !phoneNumber.MatchString(v) {
			return errors.New("is not a phone number in E.164 form: set it to a plus, the country code and the number, without spaces")
		}
		*p(c) = v
		return nil
	}
}

// spoken are characters that a text message holds without growing (3GPP TS 23.038) and that a voice reads.
var spoken = regexp.MustCompile(`^[A-Za-z0-9ÄÖÜäöüßÉéèùìòàÇØøÅåÆæÑñ .,'&+()/-]{1,20}$`)

// providerName reads a name that fits a text message beside what it says.
func providerName(c *Config, v string) error {
	if v = strings.TrimSpace(v); !spoken.MatchString(v) {
		return errors.New("is not a name that texts and calls can say: set it to at most 20 letters, digits, spaces and simple signs")
	}
	c.Provider = v
	return nil
}

// mailAddress reads a mail address without a name.
func mailAddress(p func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error {
		a, err := address.Mail(v)
		if err != nil {
			return fmt.Errorf("%w: set it to one such as operator@example.com", err)
		}
		*p(c) = a
		return nil
	}
}

// number reads a whole number between two bounds, both allowed.
func number(p func(*Config) *int, from, to int) func(*Config, string) error {
	return func(c *Config, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < from || n > to {
			return fmt.Errorf("is not a number from %d to %d: set it to one", from, to)
		}
		*p(c) = n
		return nil
	}
}

// duration reads a time span longer than zero.
func duration(p func(*Config) *time.Duration) func(*Config, string) error {
	return func(c *Config, v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 {
			return errors.New("is not a duration: set it to one such as 10s")
		}
		*p(c) = d
		return nil
	}
}

var domain = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]$`)

// domains reads host names with commas between them. One label alone would allow a whole top-level domain, and no name
// protects an IP address: both are rejected.
func domains(p func(*Config) *[]string) func(*Config, string) error {
	return func(c *Config, v string) error {
		for d := range strings.SplitSeq(v, ",") {
			d = strings.ToLower(strings.TrimSpace(d))
			if !domain.MatchString(d) {
				return errors.New("is not a list of domains: set it to names such as kibana.example.com, with commas between them")
			}
			*p(c) = append(*p(c), d)
		}
		return nil
	}
}

var country = regexp.MustCompile(`^[A-Z]{2}$`)

// countries reads countries in two letters, as in ISO 3166, with commas between them.
func countries(p func(*Config) *[]string) func(*Config, string) error {
	return func(c *Config, v string) error {
		for name := range strings.SplitSeq(v, ",") {
			name = strings.ToUpper(strings.TrimSpace(name))
			if !country.MatchString(name) {
				return errors.New("is not a list of countries: set it to their two letters, such as DE,AT,CH")
			}
			*p(c) = append(*p(c), name)
		}
		return nil
	}
}

// settings lists every setting of the product.
func settings() []setting {
	both := []Part{API, Worker}
	return []setting{
		{"WATCHFIRE_PROFILE", "production", "production, or dev, which allows simulators on this machine", false, nil, text(func(c *Config) *string { return &c.Profile })},
		{"DATABASE_URL", "", "the URL of the PostgreSQL database, with the login of this process", true, both, text(func(c *Config) *string { return &c.DatabaseURL })},
		{"DATABASE_OWNER_URL", "", "the URL of the PostgreSQL database, with its owner's login; for migrations only", true, []Part{Migrate}, text(func(c *Config) *string { return &c.OwnerURL })},
		{"DATABASE_MAX_CONNS", "20", "how many database connections this process opens at most", false, nil, number(func(c *Config) *int { return &c.DatabaseMax }, 1, 1000)},
		{"TEMPORAL_ADDRESS", "127.0.0.1:7233", "host and port of Temporal's frontend", false, nil, text(func(c *Config) *string { return &c.TemporalAddress })},
		{"TEMPORAL_NAMESPACE", "default", "the namespace in Temporal", false, nil, text(func(c *Config) *string { return &c.TemporalNamespace })},
		{"TEMPORAL_TLS", "", "on, or off-on-private-network where nobody else can reach the network between; empty: on, unless Temporal is on this machine", false, nil, oneOf(func(c *Config) *string { return &c.TemporalTLS }, "on", "off-on-private-network")},
		{"TEMPORAL_TLS_CA_FILE", "", "a PEM file with the authority that signs the certificate of Temporal's frontend, if this machine does not trust it", false, nil, text(func(c *Config) *string { return &c.TemporalCAFile })},
		{"TEMPORAL_TLS_CERT_FILE", "", "a PEM file with this client's certificate, if Temporal wants one", false, nil, text(func(c *Config) *string { return &c.TemporalCertFile })},
		{"TEMPORAL_TLS_KEY_FILE", "", "a PEM file with the key of that certificate", false, nil, text(func(c *Config) *string { return &c.TemporalKeyFile })},
		{"TEMPORAL_TLS_SERVER_NAME", "", "the name in the certificate of Temporal's frontend, if it is not the host of TEMPORAL_ADDRESS", false, nil, text(func(c *Config) *string { return &c.TemporalServerName })},
		{"TEMPORAL_API_KEY", "", "an API key of Temporal, if it wants one; needs TLS", true, nil, text(func(c *Config) *string { return &c.TemporalAPIKey })},
		{"HTTP_ADDRESS", ":8080", "host and port at which the API listens", false, nil, text(func(c *Config) *string { return &c.HTTPAddress })},
		{"OPS_ADDRESS", "127.0.0.1:8081", "host and port at which this process answers /healthz, /readyz and /metrics; each process on a machine needs its own", false, nil, text(func(c *Config) *string { return &c.OpsAddress })},
		{"PUBLIC_BASE_URL", "", "the address at which clients and vendors reach the API: scheme and host", false, both, origin(func(c *Config) **url.URL { return &c.PublicURL })},
		{"PROVIDER_NAME", "", "the name by which mails, texts and calls introduce themselves, such as Nordlicht SOC", false, both, providerName},
		{"LOG_LEVEL", "info", "debug, info, warn or error", false, nil, text(func(c *Config) *string { return &c.LogLevel })},
		{"TWILIO_ACCOUNT_SID", "", "the SID of the Twilio account", false, both, text(func(c *Config) *string { return &c.TwilioAccountSID })},
		{"TWILIO_AUTH_TOKEN", "", "the auth token of the Twilio account; it also proves that a callback is Twilio's", true, both, text(func(c *Config) *string { return &c.TwilioAuthToken })},
		{"TWILIO_SECOND_AUTH_TOKEN", "", "the other auth token, while Twilio's token is rotated", true, nil, text(func(c *Config) *string { return &c.TwilioSecondAuthToken })},
		{"TWILIO_FROM", "", "the number that calls come from, in E.164 form such as +12025550100", false, both, phone(func(c *Config) *string { return &c.TwilioFrom })},
		{"TWILIO_BASE_URL", "", "the address of a simulator instead of Twilio; dev only", false, nil, webAddress(func(c *Config) **url.URL { return &c.TwilioURL })},
		{"MAILERS", "sendgrid", "sendgrid, smtp, or both in the order they are tried: the second stands in while the first is down", false, nil, func(c *Config, v string) error {
			for m := range strings.SplitSeq(v, ",") {
				if m = strings.TrimSpace(m); !slices.Contains([]string{"sendgrid", "smtp"}, m) || slices.Contains(c.Mailers, m) {
					return errors.New("is not a list of mailers: set it to sendgrid, smtp, or both with a comma between them")
				}
				c.Mailers = append(c.Mailers, m)
			}
			return nil
		}},
		{"SENDGRID_API_KEY", "", "a SendGrid API key with the scope mail.send", true, nil, text(func(c *Config) *string { return &c.SendGridAPIKey })},
		{"SENDGRID_FROM", "", "a sender address that SendGrid has verified", false, nil, text(func(c *Config) *string { return &c.SendGridFrom })},
		{"SENDGRID_WEBHOOK_PUBLIC_KEY", "", "the public key of SendGrid's signed event webhook", false, nil, text(func(c *Config) *string { return &c.SendGridWebhookKey })},
		{"SENDGRID_BASE_URL", "", "the address of a simulator, or https://api.eu.sendgrid.com for SendGrid in the EU", false, nil, webAddress(func(c *Config) **url.URL { return &c.SendGridURL })},
		{"SMTP_ADDRESS", "", "host and port of a mail server", false, nil, text(func(c *Config) *string { return &c.SMTPAddress })},
		{"SMTP_USER", "", "the login at the mail server, if it wants one", false, nil, text(func(c *Config) *string { return &c.SMTPUser })},
		{"SMTP_PASSWORD", "", "the password of that login", true, nil, text(func(c *Config) *string { return &c.SMTPPassword })},
		{"SMTP_FROM", "", "the sender address for the mail server", false, nil, text(func(c *Config) *string { return &c.SMTPFrom })},
		{"SMTP_TLS", "starttls", "starttls, implicit, or none, which is for a mail server on this machine only", false, nil, text(func(c *Config) *string { return &c.SMTPTLS })},
		{"CROWDSTRIKE_CLIENT_ID", "", "the id of a Falcon API client with devices:read and devices:write", false, nil, text(func(c *Config) *string { return &c.CrowdStrikeClientID })},
		{"CROWDSTRIKE_CLIENT_SECRET", "", "the secret of that API client", true, nil, text(func(c *Config) *string { return &c.CrowdStrikeClientSecret })},
		{"CROWDSTRIKE_BASE_URL", "", "the address of the Falcon cloud, such as https://api.eu-1.crowdstrike.com", false, nil, webAddress(func(c *Config) **url.URL { return &c.CrowdStrikeURL })},
		{"SECRETS_KEYSET", "", "the keyset that opens the credentials of clients' EDRs; watchfire secrets keygen prints one; for workers only", true, nil, text(func(c *Config) *string { return &c.SecretsKeyset })},
		{"SECRETS_PUBLIC_KEYSET", "", "the keyset that seals those credentials; watchfire secrets public prints it; for the API", false, nil, text(func(c *Config) *string { return &c.SecretsPublicKeyset })},
		{"SECRETS_OLD_KEYSET", "", "the keyset that sealed and opened them before there was a public one, until watchfire secrets rotate has run; for workers only", true, nil, text(func(c *Config) *string { return &c.SecretsOldKeyset })},
		{"CODES_KEYSET", "", "the keyset from which codes in messages and calls follow; watchfire secrets -for codes keygen prints one", true, both, text(func(c *Config) *string { return &c.CodesKeyset })},
		{"CHECKPOINT_KEYSET", "", "the keyset that signs event logs; watchfire secrets -for checkpoints keygen prints one; for workers only", true, []Part{Worker}, text(func(c *Config) *string { return &c.CheckpointKeyset })},
		{"PAYLOAD_KEYSET", "", "the keyset that seals what Temporal keeps; watchfire secrets -for payloads keygen prints one", true, []Part{API, Worker, Command}, text(func(c *Config) *string { return &c.PayloadKeyset })},
		{"PAYLOADS", "sealed", "sealed; accept-plain or write-plain while a version that did not seal is being replaced", false, nil, oneOf(func(c *Config) *string { return &c.Payloads }, "sealed", "accept-plain", "write-plain")},
		{"TEMPORAL_UI_ORIGIN", "", "the address of a Temporal UI, scheme and host, whose pages may have payloads opened by the API for a signed-in operator", false, nil, origin(func(c *Config) **url.URL { return &c.CodecOrigin })},
		{"VAULT_TOKEN", "", "a token of Vault, when SECRETS_KMS_URI names a key in Vault", true, nil, text(func(c *Config) *string { return &c.VaultToken })},
		{"SECRETS_KMS_URI", "", "the key of a KMS that encrypts the keyset, if one does: hcvault://host:port/transit/keys/name", false, nil, text(func(c *Config) *string { return &c.SecretsKMSURI })},
		{"EDR_EXTRA_HOSTS", "", "domains, with commas between them, at which EDRs are accepted besides their vendors' own; Elastic has none of its own", false, nil, domains(func(c *Config) *[]string { return &c.EDRExtraHosts })},
		{"PHONE_COUNTRIES", "", "the countries, in two letters with commas between them, whose phone numbers a contact may have; not set: all", false, nil, countries(func(c *Config) *[]string { return &c.PhoneCountries })},
		{"WATCHFIRE_OPERATOR_MAIL", "", "the mail address that is told of operator alarms; the API then needs the mailers' settings, too", false, nil, mailAddress(func(c *Config) *string { return &c.OperatorMail })},
		{"WATCHFIRE_OPERATOR_TEXT", "", "the phone number, in E.164 form, that is told of operator alarms by text message", false, nil, phone(func(c *Config) *string { return &c.OperatorText })},
		{"WATCHFIRE_OPERATOR_WEBHOOK", "", "the address to which operator alarms are posted as JSON", true, nil, webAddress(func(c *Config) **url.URL { return &c.OperatorWebhook })},
		{"VENDOR_TIMEOUT", "10s", "how long one request to a vendor may take, at most 12s", false, nil, duration(func(c *Config) *time.Duration { return &c.VendorTimeout })},
		{"VENDOR_SETTLE", "30s", "how long the outcome of an unanswered request may stay unknown; longer than VENDOR_TIMEOUT", false, nil, duration(func(c *Config) *time.Duration { return &c.Settle })},
		{"EDR_POLL_EVERY", "2s", "the first pause between two looks at an endpoint that the EDR has not confirmed yet", false, nil, duration(func(c *Config) *time.Duration { return &c.EDRPollEvery })},
		{"EDR_WORST_DELAY", "2m", "how long after VENDOR_SETTLE an EDR may still act on a request whose answer was lost", false, nil, duration(func(c *Config) *time.Duration { return &c.EDRWorstDelay })},
	}
}

// Read reads the settings through lookup (os.LookupEnv in the product) and checks those that the part needs. The error
// names every setting that is missing, wrong or unsafe and says what to set it to; it quotes no value.
func Read(part Part, lookup func(string) (string, bool)) (Config, error) {
	var c Config
	var problems []error
	for _, s := range settings() {
		v, ok := lookup(s.name)
		if !ok || v == "" {
			v = s.fallback
		}
		if v == "" {
			for _, p := range s.needed {
				if p == part {
					problems = append(problems, fmt.Errorf("%s is not set: set it to %s", s.name, s.help))
				}
			}
			continue
		}
		if err := s.set(&c, v); err != nil {
			problems = append(problems, fmt.Errorf("%s %w", s.name, err))
		}
	}
	problems = append(problems, c.check(part))
	return c, errors.Join(problems...)
}

// longestVendorTimeout lets one run of an activity, for which workflows allow 25 s, ask two mailers.
const longestVendorTimeout = 12 * time.Second

// check rejects combinations that are unsafe.
func (c Config) check(part Part) error {
	if part == Migrate || part == Keys {
		return nil
	}
	var problems []error
	if c.Profile != "dev" && c.Profile != "production" {
		problems = append(problems, errors.New("WATCHFIRE_PROFILE is neither production nor dev: set it to one of them"))
	}
	problems = append(problems, c.checkTemporal())
	if part == Command {
		return errors.Join(problems...)
	}
	if part == API && (c.SecretsKeyset != "" || c.SecretsOldKeyset != "") {
		problems = append(problems, errors.New("SECRETS_KEYSET and SECRETS_OLD_KEYSET open credentials, which only workers do: "+
			"unset them for the API, and set SECRETS_PUBLIC_KEYSET"))
	}
	if part == API && c.CheckpointKeyset != "" {
		problems = append(problems, errors.New("CHECKPOINT_KEYSET signs event logs, which only workers do: unset it for the API"))
	}
	if c.Profile == "production" {
		if c.PublicURL != nil && c.PublicURL.Scheme != "https" {
			problems = append(problems, errors.New("PUBLIC_BASE_URL is not https: in production, set it to an https address"))
		}
		for _, vendor := range []struct {
			name string
			url  *url.URL
		}{{"TWILIO_BASE_URL", c.TwilioURL}, {"SENDGRID_BASE_URL", c.SendGridURL}, {"CROWDSTRIKE_BASE_URL", c.CrowdStrikeURL}, {"WATCHFIRE_OPERATOR_WEBHOOK", c.OperatorWebhook}} {
			if vendor.url != nil && vendor.url.Scheme != "https" {
				problems = append(problems, fmt.Errorf("%s is not https: in production, set it to an https address or leave it unset", vendor.name))
			}
		}
		if c.TwilioURL != nil {
			problems = append(problems, errors.New("TWILIO_BASE_URL is set: in production, leave it unset; a simulator stands in for Twilio in the dev profile only"))
		}
	}
	problems = append(problems, c.checkMail(part))
	if c.VendorTimeout > longestVendorTimeout {
		problems = append(problems, fmt.Errorf("VENDOR_TIMEOUT is longer than %s: set it to that at most", longestVendorTimeout))
	}
	if c.Settle <= c.VendorTimeout {
		problems = append(problems, errors.New("VENDOR_SETTLE is not longer than VENDOR_TIMEOUT: set it to a longer time"))
	}
	return errors.Join(problems...)
}

// UsesTemporalTLS reports whether the connection to Temporal is a TLS one: always, unless Temporal is on this machine or
// TEMPORAL_TLS says otherwise.
func (c Config) UsesTemporalTLS() bool {
	return c.TemporalTLS == "on" || c.TemporalTLS == "" && !c.isTemporalHere()
}

// isTemporalHere reports whether Temporal's address is one of this machine's own.
func (c Config) isTemporalHere() bool {
	host, _, err := net.SplitHostPort(c.TemporalAddress)
	return err == nil && isHere(host)
}

// checkTemporal rejects what would send a key or a certificate over a plain connection.
func (c Config) checkTemporal() error {
	var problems []error
	if _, _, err := net.SplitHostPort(c.TemporalAddress); err != nil {
		problems = append(problems, errors.New("TEMPORAL_ADDRESS is not a host and a port: set it to one such as temporal.example.com:7233"))
	}
	if (c.TemporalCertFile == "") != (c.TemporalKeyFile == "") {
		problems = append(problems, errors.New("TEMPORAL_TLS_CERT_FILE and TEMPORAL_TLS_KEY_FILE belong together: set both or neither"))
	}
	for _, needs := range []struct{ name, value string }{
		{"TEMPORAL_TLS_CA_FILE", c.TemporalCAFile}, {"TEMPORAL_TLS_CERT_FILE", c.TemporalCertFile},
		{"TEMPORAL_TLS_SERVER_NAME", c.TemporalServerName}, {"TEMPORAL_API_KEY", c.TemporalAPIKey},
	} {
		if needs.value != "" && !c.UsesTemporalTLS() {
			problems = append(problems, fmt.Errorf("%s is set, but the connection to this TEMPORAL_ADDRESS is a plain one: set TEMPORAL_TLS to on", needs.name))
		}
	}
	return errors.Join(problems...)
}

// checkMail rejects a mailer that is not set up.
func (c Config) checkMail(part Part) error {
	wanted := map[string]string{}
	sends := part == Worker || part == API && c.OperatorMail != ""
	if slices.Contains(c.Mailers, "sendgrid") && sends {
		wanted["SENDGRID_API_KEY"], wanted["SENDGRID_FROM"] = c.SendGridAPIKey, c.SendGridFrom
	}
	if slices.Contains(c.Mailers, "sendgrid") && part == API {
		wanted["SENDGRID_WEBHOOK_PUBLIC_KEY"] = c.SendGridWebhookKey
	}
	if slices.Contains(c.Mailers, "smtp") && sends {
		wanted["SMTP_ADDRESS"], wanted["SMTP_FROM"] = c.SMTPAddress, c.SMTPFrom
	}
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if wanted[name] == "" {
			problems = append(problems, fmt.Errorf("%s is not set, but MAILERS names its mailer: set it, or take the mailer out of MAILERS", name))
		}
	}
	return errors.Join(problems...)
}

// Warnings lists, in a fixed order, settings that work and are probably not meant. It quotes no value.
func Warnings(lookup func(string) (string, bool)) []string {
	var all []string
	for _, name := range []string{"DATABASE_URL", "DATABASE_OWNER_URL"} {
		if v, _ := lookup(name); mayGoUnencrypted(v) {
			all = append(all, name+" allows connections without TLS to a database on another machine: "+
				"add sslmode=verify-full, unless the network between them is yours alone")
		}
	}
	if mode, _ := lookup("PAYLOADS"); mode == "accept-plain" || mode == "write-plain" {
		all = append(all, "PAYLOADS is "+mode+": whoever reaches Temporal can forge payloads; finish the upgrade and unset it")
	}
	return all
}

// mayGoUnencrypted reports whether a connection to a database on another machine may go without TLS.
func mayGoUnencrypted(database string) bool {
	c, err := pgconn.ParseConfig(database)
	if database == "" || err != nil {
		return false // the store reports an unreadable URL when it connects
	}
	ways := append([]*pgconn.FallbackConfig{{Host: c.Host, TLSConfig: c.TLSConfig}}, c.Fallbacks...)
	return slices.ContainsFunc(ways, func(way *pgconn.FallbackConfig) bool {
		here := isHere(way.Host) || strings.HasPrefix(way.Host, "/") || strings.HasPrefix(way.Host, "@")
		return way.TLSConfig == nil && !here
	})
}

// isHere reports whether a host is this machine itself.
func isHere(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// List writes every setting to w with its value or default and its meaning, one a line, then the warnings. It never
// writes a secret.
func List(w io.Writer, lookup func(string) (string, bool)) {
	for _, s := range settings() {
		v, ok := lookup(s.name)
		switch {
		case !ok || v == "":
			v = "(not set)"
			if s.fallback != "" {
				v = s.fallback + " (default)"
			}
		case s.secret || strings.Contains(s.name, "SECRET"):
			v = "(set, not shown)"
		}
		_, _ = fmt.Fprintf(w, "%-28s %-32s %s\n", s.name, v, s.help)
	}
	for _, warning := range Warnings(lookup) {
		_, _ = fmt.Fprintf(w, "\nwarning: %s\n", warning)
	}
}

// FromEnvironment reads the settings of this process from its environment, as Read does.
func FromEnvironment(part Part) (Config, error) { return Read(part, os.LookupEnv) }
