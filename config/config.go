// Package config reads the process's settings from environment variables, once, and checks them.
// A setting that would make the system unsafe stops the start with a reason.
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
)

// Config is every setting of the product. Vendor base URLs are empty in production, where the vendors' own are used.
type Config struct {
	Profile     string // "production" or "dev"
	DatabaseURL string
	OwnerURL    string // of the database owner, for migrations only
	DatabaseMax int    // connections of this process

	TemporalAddress   string
	TemporalNamespace string

	HTTPAddress       string
	WorkerHTTPAddress string
	PublicURL         *url.URL
	LogLevel          string

	TwilioAccountSID, TwilioAuthToken, TwilioSecondAuthToken, TwilioFrom string
	TwilioURL                                                            *url.URL
	SendGridAPIKey, SendGridFrom, SendGridFromName, SendGridWebhookKey   string
	SendGridURL                                                          *url.URL
	Mailers                                                              []string // "sendgrid", "smtp", in the order they are tried
	SMTPAddress, SMTPUser, SMTPPassword, SMTPFrom, SMTPFromName, SMTPTLS string
	CrowdStrikeClientID, CrowdStrikeClientSecret                         string
	CrowdStrikeURL                                                       *url.URL

	// SecretsKeyset seals the credentials of clients' EDRs; SecretsKMSURI names the key it is itself encrypted with.
	SecretsKeyset, SecretsKMSURI, VaultToken string
	// EDRExtraHosts are domains EDRs may be at beside their vendors' own.
	EDRExtraHosts []string

	// VendorTimeout bounds one request to a vendor; Settle is how long its outcome may stay unknown after that.
	VendorTimeout time.Duration
	Settle        time.Duration
	// EDRPollEvery is the first pause between looks at an endpoint that is not confirmed yet.
	EDRPollEvery time.Duration
}

// Part is what a process does; it decides which settings it needs.
type Part string

// The parts a process can be.
const (
	API     Part = "api"
	Worker  Part = "worker"
	Migrate Part = "migrate"
	Keys    Part = "keys" // of the secrets; needs nothing but what is asked of it
)

// setting is one environment variable.
type setting struct {
	name, fallback, help string
	secret               bool
	needed               []Part
	set                  func(c *Config, v string) error
}

func text(p func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error { *p(c) = v; return nil }
}

func address(p func(*Config) **url.URL) func(*Config, string) error {
	return func(c *Config, v string) error {
		if v == "" {
			return nil
		}
		u, err := url.Parse(v)
		if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
			return errors.New("is not an http or https address")
		}
		*p(c) = u
		return nil
	}
}

// origin reads an address that is a scheme and a host, with a port or without, and nothing else: what vendors sign is an
// address that is made of it and of a request's own path.
func origin(p func(*Config) **url.URL) func(*Config, string) error {
	return func(c *Config, v string) error {
		if err := address(p)(c, v); err != nil {
			return err
		}
		u := *p(c)
		if u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(v, "#") {
			return errors.New("must be a scheme and a host alone, such as https://soc.example.com: no user, path, query or fragment")
		}
		*p(c) = &url.URL{Scheme: u.Scheme, Host: u.Host}
		return nil
	}
}

var phoneNumber = regexp.MustCompile(`^\+[1-9][0-9]{1,14}$`)

func phone(p func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error {
		if !phoneNumber.MatchString(v) {
			return errors.New("is not a phone number in E.164 form: a plus, the country code, then the number without spaces")
		}
		*p(c) = v
		return nil
	}
}

func number(p func(*Config) *int, from, to int) func(*Config, string) error {
	return func(c *Config, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < from || n > to {
			return fmt.Errorf("is not a number from %d to %d", from, to)
		}
		*p(c) = n
		return nil
	}
}

func span(p func(*Config) *time.Duration) func(*Config, string) error {
	return func(c *Config, v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 {
			return errors.New("is not a duration such as 10s")
		}
		*p(c) = d
		return nil
	}
}

var domain = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]$`)

// domains reads host names. One label alone would allow a whole top-level domain, and an address no name protects.
func domains(p func(*Config) *[]string) func(*Config, string) error {
	return func(c *Config, v string) error {
		for d := range strings.SplitSeq(v, ",") {
			d = strings.ToLower(strings.TrimSpace(d))
			if !domain.MatchString(d) {
				return errors.New("is not a list of domains such as kibana.example.com")
			}
			*p(c) = append(*p(c), d)
		}
		return nil
	}
}

// settings is the one table of what can be set.
func settings() []setting {
	both := []Part{API, Worker}
	return []setting{
		{"WATCHFIRE_PROFILE", "production", "production, or dev, which allows simulators on this machine", false, nil, text(func(c *Config) *string { return &c.Profile })},
		{"DATABASE_URL", "", "PostgreSQL, with the application's login", true, both, text(func(c *Config) *string { return &c.DatabaseURL })},
		{"DATABASE_OWNER_URL", "", "PostgreSQL, with the owner's login; for migrations only", true, []Part{Migrate}, text(func(c *Config) *string { return &c.OwnerURL })},
		{"DATABASE_MAX_CONNS", "20", "database connections of this process", false, nil, number(func(c *Config) *int { return &c.DatabaseMax }, 1, 1000)},
		{"TEMPORAL_ADDRESS", "127.0.0.1:7233", "Temporal's frontend", false, nil, text(func(c *Config) *string { return &c.TemporalAddress })},
		{"TEMPORAL_NAMESPACE", "default", "Temporal's namespace", false, nil, text(func(c *Config) *string { return &c.TemporalNamespace })},
		{"HTTP_ADDRESS", ":8080", "where the API listens", false, nil, text(func(c *Config) *string { return &c.HTTPAddress })},
		{"WORKER_HTTP_ADDRESS", ":8081", "where the worker answers /healthz, /readyz and /metrics", false, nil, text(func(c *Config) *string { return &c.WorkerHTTPAddress })},
		{"PUBLIC_BASE_URL", "", "the address at which clients and vendors reach the API: scheme and host", false, both, origin(func(c *Config) **url.URL { return &c.PublicURL })},
		{"LOG_LEVEL", "info", "debug, info, warn or error", false, nil, text(func(c *Config) *string { return &c.LogLevel })},
		{"TWILIO_ACCOUNT_SID", "", "Twilio account", false, both, text(func(c *Config) *string { return &c.TwilioAccountSID })},
		{"TWILIO_AUTH_TOKEN", "", "Twilio auth token; also proves that a callback is Twilio's", true, both, text(func(c *Config) *string { return &c.TwilioAuthToken })},
		{"TWILIO_SECOND_AUTH_TOKEN", "", "the other token while it is being rotated", true, nil, text(func(c *Config) *string { return &c.TwilioSecondAuthToken })},
		{"TWILIO_FROM", "", "the number calls come from, E.164", false, both, phone(func(c *Config) *string { return &c.TwilioFrom })},
		{"TWILIO_BASE_URL", "", "a simulator instead of Twilio; dev only", false, nil, address(func(c *Config) **url.URL { return &c.TwilioURL })},
		{"MAILERS", "sendgrid", "sendgrid, smtp, or both in the order they are tried: the next one stands in while one is down", false, nil, func(c *Config, v string) error {
			for m := range strings.SplitSeq(v, ",") {
				if m = strings.TrimSpace(m); !slices.Contains([]string{"sendgrid", "smtp"}, m) || slices.Contains(c.Mailers, m) {
					return errors.New("is not a list of sendgrid and smtp")
				}
				c.Mailers = append(c.Mailers, m)
			}
			return nil
		}},
		{"SENDGRID_API_KEY", "", "SendGrid key with the scope mail.send", true, nil, text(func(c *Config) *string { return &c.SendGridAPIKey })},
		{"SENDGRID_FROM", "", "verified sender address", false, nil, text(func(c *Config) *string { return &c.SendGridFrom })},
		{"SENDGRID_FROM_NAME", "Watchfire", "sender name", false, nil, text(func(c *Config) *string { return &c.SendGridFromName })},
		{"SENDGRID_WEBHOOK_PUBLIC_KEY", "", "public key of SendGrid's signed event webhook", false, nil, text(func(c *Config) *string { return &c.SendGridWebhookKey })},
		{"SENDGRID_BASE_URL", "", "a simulator, or https://api.eu.sendgrid.com", false, nil, address(func(c *Config) **url.URL { return &c.SendGridURL })},
		{"SMTP_ADDRESS", "", "host:port of a mail server", false, nil, text(func(c *Config) *string { return &c.SMTPAddress })},
		{"SMTP_USER", "", "login there, if it wants one", false, nil, text(func(c *Config) *string { return &c.SMTPUser })},
		{"SMTP_PASSWORD", "", "its password", true, nil, text(func(c *Config) *string { return &c.SMTPPassword })},
		{"SMTP_FROM", "", "sender address there", false, nil, text(func(c *Config) *string { return &c.SMTPFrom })},
		{"SMTP_FROM_NAME", "Watchfire", "sender name there", false, nil, text(func(c *Config) *string { return &c.SMTPFromName })},
		{"SMTP_TLS", "starttls", "starttls, implicit, or none, which only this machine's own mail server may have", false, nil, text(func(c *Config) *string { return &c.SMTPTLS })},
		{"CROWDSTRIKE_CLIENT_ID", "", "Falcon API client with devices:read and devices:write", false, nil, text(func(c *Config) *string { return &c.CrowdStrikeClientID })},
		{"CROWDSTRIKE_CLIENT_SECRET", "", "its secret", true, nil, text(func(c *Config) *string { return &c.CrowdStrikeClientSecret })},
		{"CROWDSTRIKE_BASE_URL", "", "the Falcon cloud, such as https://api.eu-1.crowdstrike.com", false, nil, address(func(c *Config) **url.URL { return &c.CrowdStrikeURL })},
		{"SECRETS_KEYSET", "", "seals the credentials of clients' EDRs; watchfire secrets keygen prints one", true, nil, text(func(c *Config) *string { return &c.SecretsKeyset })},
		{"VAULT_TOKEN", "", "Vault's token, when SECRETS_KMS_URI is a key of Vault's", true, nil, text(func(c *Config) *string { return &c.VaultToken })},
		{"SECRETS_KMS_URI", "", "the key of a KMS the keyset is encrypted with, if it is: hcvault://host:port/transit/keys/name", false, nil, text(func(c *Config) *string { return &c.SecretsKMSURI })},
		{"EDR_EXTRA_HOSTS", "", "domains, with commas between, EDRs may be at beside their vendors' own; Elastic has none of its own", false, nil, domains(func(c *Config) *[]string { return &c.EDRExtraHosts })},
		{"VENDOR_TIMEOUT", "10s", "bound of one request to a vendor, at most 12s", false, nil, span(func(c *Config) *time.Duration { return &c.VendorTimeout })},
		{"VENDOR_SETTLE", "30s", "how long the outcome of an unanswered request may stay unknown; longer than VENDOR_TIMEOUT", false, nil, span(func(c *Config) *time.Duration { return &c.Settle })},
		{"EDR_POLL_EVERY", "2s", "first pause between looks at an endpoint", false, nil, span(func(c *Config) *time.Duration { return &c.EDRPollEvery })},
	}
}

// Read reads the settings through lookup (os.LookupEnv in the product) and checks those the part needs. The error
// names every setting that is wrong, and no value.
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
					problems = append(problems, fmt.Errorf("%s is not set: %s", s.name, s.help))
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

// longestVendorTimeout lets two mailers be asked within the 25 s that workflows give one run of an activity.
const longestVendorTimeout = 12 * time.Second

// check refuses combinations that are unsafe.
func (c Config) check(part Part) error {
	if part == Migrate || part == Keys {
		return nil
	}
	var problems []error
	if c.Profile != "dev" && c.Profile != "production" {
		problems = append(problems, errors.New("WATCHFIRE_PROFILE is neither production nor dev"))
	}
	if c.Profile == "production" {
		if c.PublicURL != nil && c.PublicURL.Scheme != "https" {
			problems = append(problems, errors.New("PUBLIC_BASE_URL must be https in production"))
		}
		for name, u := range map[string]*url.URL{"TWILIO_BASE_URL": c.TwilioURL, "SENDGRID_BASE_URL": c.SendGridURL, "CROWDSTRIKE_BASE_URL": c.CrowdStrikeURL} {
			if u != nil && u.Scheme != "https" {
				problems = append(problems, fmt.Errorf("%s must be https in production", name))
			}
		}
		if c.TwilioURL != nil {
			problems = append(problems, errors.New("TWILIO_BASE_URL belongs to the dev profile only"))
		}
	}
	problems = append(problems, c.checkMail(part))
	if c.VendorTimeout > longestVendorTimeout {
		problems = append(problems, fmt.Errorf("VENDOR_TIMEOUT is longer than %s", longestVendorTimeout))
	}
	if c.Settle <= c.VendorTimeout {
		problems = append(problems, errors.New("VENDOR_SETTLE must be longer than VENDOR_TIMEOUT"))
	}
	return errors.Join(problems...)
}

// checkMail refuses a mailer that is not set up.
func (c Config) checkMail(part Part) error {
	wanted := map[string]string{}
	if slices.Contains(c.Mailers, "sendgrid") && part == Worker {
		wanted["SENDGRID_API_KEY"], wanted["SENDGRID_FROM"] = c.SendGridAPIKey, c.SendGridFrom
	}
	if slices.Contains(c.Mailers, "sendgrid") && part == API {
		wanted["SENDGRID_WEBHOOK_PUBLIC_KEY"] = c.SendGridWebhookKey
	}
	if slices.Contains(c.Mailers, "smtp") && part == Worker {
		wanted["SMTP_ADDRESS"], wanted["SMTP_FROM"] = c.SMTPAddress, c.SMTPFrom
	}
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if wanted[name] == "" {
			problems = append(problems, fmt.Errorf("%s is not set, but MAILERS names its mailer", name))
		}
	}
	return errors.Join(problems...)
}

// Warnings says what works and is probably not meant.
func Warnings(lookup func(string) (string, bool)) []string {
	var all []string
	for _, name := range []string{"DATABASE_URL", "DATABASE_OWNER_URL"} {
		if v, _ := lookup(name); mayBeRead(v) {
			all = append(all, name+" lets a database on another machine be reached without TLS: "+
				"say sslmode=verify-full, unless the network between is yours alone")
		}
	}
	return all
}

// mayBeRead reports whether a connection to another machine's database may go without TLS.
func mayBeRead(database string) bool {
	c, err := pgconn.ParseConfig(database)
	if database == "" || err != nil {
		return false // whoever connects says what is wrong
	}
	ways := append([]*pgconn.FallbackConfig{{Host: c.Host, TLSConfig: c.TLSConfig}}, c.Fallbacks...)
	return slices.ContainsFunc(ways, func(way *pgconn.FallbackConfig) bool {
		ip := net.ParseIP(way.Host)
		here := way.Host == "localhost" || ip != nil && ip.IsLoopback() || strings.HasPrefix(way.Host, "/") || strings.HasPrefix(way.Host, "@")
		return way.TLSConfig == nil && !here
	})
}

// List writes every setting with its meaning and whether it is set, and what to think about; secrets are never shown.
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

// FromEnvironment reads the settings of this process.
func FromEnvironment(part Part) (Config, error) { return Read(part, os.LookupEnv) }
