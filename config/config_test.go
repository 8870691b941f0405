package config_test

import (
	"bytes"
	"maps"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/config"
)

func good() map[string]string {
	return map[string]string{
		"DATABASE_URL": "postgres://app:s3cret@db/watchfire", "PUBLIC_BASE_URL": "https://soc.example", "PROVIDER_NAME": "Nordlicht SOC",
		"TWILIO_ACCOUNT_SID": "AC0123456789abcdef0123456789abcdef", "TWILIO_AUTH_TOKEN": "s3cret", "TWILIO_FROM": "+12025550100",
		"SENDGRID_API_KEY": "SG.s3cret", "SENDGRID_FROM": "soc@mdr.example", "SENDGRID_WEBHOOK_PUBLIC_KEY": "key",
		"PAYLOAD_KEYSET": "s3cret", "CODES_KEYSET": "s3cret",
	}
}

// goodFor returns good settings of a part.
func goodFor(part config.Part) map[string]string {
	env := good()
	if part == config.Worker {
		env["CHECKPOINT_KEYSET"] = "s3cret"
	}
	return env
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
}

func TestUnsafeSettingsStopTheStart(t *testing.T) {
	for _, c := range []struct {
		part        config.Part
		name, value string
	}{
		{config.API, "DATABASE_URL", ""}, {config.API, "PUBLIC_BASE_URL", ""}, {config.API, "TWILIO_AUTH_TOKEN", ""},
		{config.API, "SENDGRID_WEBHOOK_PUBLIC_KEY", ""}, {config.API, "PUBLIC_BASE_URL", "http://soc.example"},
		{config.API, "PUBLIC_BASE_URL", "soc.example"}, {config.API, "WATCHFIRE_PROFILE", "staging"},
		{config.Worker, "SENDGRID_API_KEY", ""}, {config.Worker, "SENDGRID_FROM", ""}, {config.Worker, "TWILIO_FROM", ""},
		{config.Worker, "TWILIO_BASE_URL", "https://sim.example"}, {config.Worker, "SENDGRID_BASE_URL", "http://sim.example"},
		{config.Worker, "CROWDSTRIKE_BASE_URL", "http://127.0.0.1:1"}, {config.Worker, "VENDOR_SETTLE", "1s"},
		{config.Worker, "VENDOR_TIMEOUT", "soon"}, {config.Worker, "VENDOR_TIMEOUT", "-1s"}, {config.API, "DATABASE_MAX_CONNS", "s3cret"},
		{config.API, "DATABASE_MAX_CONNS", "0"}, {config.Worker, "DATABASE_MAX_CONNS", "1001"}, {config.API, "DATABASE_MAX_CONNS", "-1"},
		{config.API, "PUBLIC_BASE_URL", "https://soc.example/watchfire"}, {config.Worker, "PUBLIC_BASE_URL", "https://soc.example/?s3cret=1"},
		{config.API, "PUBLIC_BASE_URL", "https://soc.example?"}, {config.API, "PUBLIC_BASE_URL", "https://soc.example/#"},
		{config.API, "PUBLIC_BASE_URL", "https://u:s3cret@soc.example"}, {config.API, "PUBLIC_BASE_URL", "https://:443"},
		{config.API, "PROVIDER_NAME", "S3cret Operations Centre"}, {config.Worker, "PROVIDER_NAME", "s3cret\u202e"}, {config.Worker, "PROVIDER_NAME", "s3cret 你好"},
		{config.API, "TWILIO_FROM", "s3cret"}, {config.Worker, "TWILIO_FROM", "0301234567"}, {config.Worker, "TWILIO_FROM", "+1 202 555 0100"},
		{config.Worker, "VENDOR_TIMEOUT", "13s"}, {config.Worker, "VENDOR_SETTLE", "10s"},
		{config.Migrate, "DATABASE_OWNER_URL", ""}, {config.Worker, "MAILERS", "pigeon"}, {config.Worker, "MAILERS", "smtp,smtp"},
		{config.API, "PHONE_COUNTRIES", "DE,Austria"}, {config.API, "PHONE_COUNTRIES", "DE,"},
		{config.API, "EDR_EXTRA_HOSTS", "com"}, {config.API, "EDR_EXTRA_HOSTS", "a.example,"}, {config.Worker, "EDR_EXTRA_HOSTS", "10.0.0.1"},
		{config.API, "PAYLOAD_KEYSET", ""}, {config.Worker, "PAYLOAD_KEYSET", ""}, {config.Command, "PAYLOAD_KEYSET", ""},
		{config.Worker, "PAYLOADS", "plain"}, {config.API, "TEMPORAL_TLS", "off"}, {config.Command, "TEMPORAL_ADDRESS", "temporal.example"},
		{config.Worker, "TEMPORAL_TLS_CERT_FILE", "client.pem"}, {config.Worker, "TEMPORAL_TLS_KEY_FILE", "client.key"},
		{config.API, "TEMPORAL_API_KEY", "s3cret"}, {config.Command, "TEMPORAL_TLS_CA_FILE", "ca.pem"}, // Temporal is on this machine
		{config.API, "CODES_KEYSET", ""}, {config.Worker, "CODES_KEYSET", ""}, {config.Worker, "CHECKPOINT_KEYSET", ""}, {config.API, "CHECKPOINT_KEYSET", "s3cret"}, {config.API, "SECRETS_KEYSET", "s3cret"}, {config.API, "SECRETS_OLD_KEYSET", "s3cret"},
		{config.Worker, "EDR_EXTRA_HOSTS", "https://a.example"}, {config.Worker, "EDR_EXTRA_HOSTS", "*.a.example"},
	} {
		env := goodFor(c.part)
		env[c.name] = c.value
		_, err := config.Read(c.part, lookup(env))
		if err == nil || !strings.Contains(err.Error(), c.name) {
			t.Errorf("%s starts with %s=%q, or the reason does not name the setting: %v", c.part, c.name, c.value, err)
			continue
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the reason shows a secret: %v", err)
		}
	}
}

func TestOnlyMailersInUseNeedSettings(t *testing.T) {
	smtp := goodFor(config.Worker)
	maps.DeleteFunc(smtp, func(name, _ string) bool { return strings.HasPrefix(name, "SENDGRID") })
	smtp["MAILERS"], smtp["SMTP_ADDRESS"], smtp["SMTP_FROM"] = "smtp", "mail.example:587", "soc@mdr.example"
	api := maps.Clone(smtp)
	delete(api, "CHECKPOINT_KEYSET")
	for part, env := range map[config.Part]map[string]string{config.API: api, config.Worker: smtp} {
		if _, err := config.Read(part, lookup(env)); err != nil {
			t.Errorf("%s does not start with SMTP alone: %v", part, err)
		}
	}
	both := maps.Clone(smtp)
	both["MAILERS"] = "smtp, sendgrid"
	if _, err := config.Read(config.Worker, lookup(both)); err == nil || !strings.Contains(err.Error(), "SENDGRID_API_KEY") {
		t.Errorf("SendGrid is in MAILERS without an API key: got %v, want an error about SENDGRID_API_KEY", err)
	}
	delete(smtp, "SMTP_ADDRESS")
	if _, err := config.Read(config.Worker, lookup(smtp)); err == nil || !strings.Contains(err.Error(), "SMTP_ADDRESS") {
		t.Errorf("SMTP is in MAILERS without an address: got %v, want an error about SMTP_ADDRESS", err)
	}
}

func TestGoodSettingsStart(t *testing.T) {
	for _, part := range []config.Part{config.API, config.Worker} {
		if _, err := config.Read(part, lookup(goodFor(part))); err != nil {
			t.Errorf("%s does not start with good settings: %v", part, err)
		}
	}
}

func TestThePublicAddressIsASchemeAndAHost(t *testing.T) {
	for given, want := range map[string]string{
		"https://soc.example": "https://soc.example", "https://soc.example/": "https://soc.example", "https://soc.example:8443": "https://soc.example:8443",
	} {
		env := maps.Clone(good())
		env["PUBLIC_BASE_URL"] = given
		if c, err := config.Read(config.API, lookup(env)); err != nil || c.PublicURL.String() != want {
			t.Errorf("PUBLIC_BASE_URL=%s is read as %v, error %v, want %s", given, c.PublicURL, err, want)
		}
	}
}

func TestWarningAboutARemoteDatabaseWithoutTLS(t *testing.T) {
	for address, warned := range map[string]bool{
		"postgres://app:s3cret@db/watchfire":                                      true, // sslmode is prefer
		"postgres://app:s3cret@db/watchfire?sslmode=disable":                      true,
		"postgres://app:s3cret@10.0.0.7:5433/watchfire?sslmode=allow":             true,
		"host=db user=app password=s3cret dbname=watchfire sslmode=disable":       true,
		"postgres://app:s3cret@localhost,db/watchfire?sslmode=disable":            true,
		"postgres://app:s3cret@db/watchfire?sslmode=require":                      false,
		"postgres://app:s3cret@db/watchfire?sslmode=verify-full":                  false,
		"postgres://app:s3cret@localhost/watchfire":                               false,
		"postgres://app:s3cret@127.0.0.1:5433/watchfire?sslmode=disable":          false,
		"postgres://app:s3cret@[::1]/watchfire?sslmode=disable":                   false,
		"postgres:///watchfire?host=/var/run/postgresql&user=app&password=s3cret": false,
		"": false,
	} {
		for _, name := range []string{"DATABASE_URL", "DATABASE_OWNER_URL"} {
			env := lookup(map[string]string{name: address})
			got := config.Warnings(env)
			var out bytes.Buffer
			config.List(&out, env)
			if warned != (len(got) == 1 && strings.Contains(got[0], name)) || warned != strings.Contains(out.String(), "warning: "+name) {
				t.Errorf("%s=%s: warnings are %q, want one %t", name, address, got, warned)
			}
			if strings.Contains(out.String(), "s3cret") {
				t.Errorf("the list shows a secret:\n%s", out.String())
			}
		}
	}
}

func TestListShowsNoSecret(t *testing.T) {
	var out bytes.Buffer
	config.List(&out, lookup(good()))
	if strings.Contains(out.String(), "s3cret") {
		t.Errorf("a secret is shown:\n%s", out.String())
	}
	if !strings.Contains(out.String(), "https://soc.example") {
		t.Errorf("a plain setting is not shown:\n%s", out.String())
	}
}

func TestExtraHostsForEDRs(t *testing.T) {
	env := maps.Clone(good())
	env["EDR_EXTRA_HOSTS"] = "Kibana.example, b.example.com"
	c, err := config.Read(config.API, lookup(env))
	if err != nil || strings.Join(c.EDRExtraHosts, " ") != "kibana.example b.example.com" {
		t.Errorf("got %q, %v", c.EDRExtraHosts, err)
	}
}

func TestOnlyThisMachinesTemporalIsSpokenToInClear(t *testing.T) {
	for _, c := range []struct {
		address, tls string
		want         bool
	}{
		{"127.0.0.1:7233", "", false}, {"localhost:7233", "", false}, {"[::1]:7233", "", false}, {"127.0.0.1:7233", "on", true},
		{"temporal:7233", "", true}, {"10.0.0.5:7233", "", true}, {"localhost.example.com:7233", "", true}, {"0.0.0.0:7233", "", true},
		{"temporal:7233", "on", true}, {"temporal:7233", "off-on-private-network", false},
	} {
		env := maps.Clone(good())
		env["TEMPORAL_ADDRESS"], env["TEMPORAL_TLS"] = c.address, c.tls
		got, err := config.Read(config.Command, lookup(env))
		if err != nil || got.UsesTemporalTLS() != c.want {
			t.Errorf("%s with %q: TLS %v, want %v: %v", c.address, c.tls, got.UsesTemporalTLS(), c.want, err)
		}
	}
}

func TestCountriesOfPhoneNumbers(t *testing.T) {
	env := maps.Clone(good())
	env["PHONE_COUNTRIES"] = "de, AT"
	c, err := config.Read(config.API, lookup(env))
	if err != nil || strings.Join(c.PhoneCountries, " ") != "DE AT" {
		t.Errorf("got %q, %v", c.PhoneCountries, err)
	}
}
