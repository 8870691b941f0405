package main

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/config"
	"github.com/watchfire-mdr/watchfire/models"
	simedr "github.com/watchfire-mdr/watchfire/simulators/edr"
	"github.com/watchfire-mdr/watchfire/vendors/edr"
)

// enteredCredentials returns the credentials that an operator enters for a product, at a base URL.
func enteredCredentials(vendor, baseURL string) models.EDRCredentials {
	return models.EDRCredentials{Vendor: vendor, BaseURL: baseURL, Values: maps.Clone(simedr.Credentials(vendor))}
}

func TestEveryProductTakesCredentialsForItsOwnHosts(t *testing.T) {
	g := edr.Guard{Extra: []string{"kibana.example"}}
	check := checkEDR(g)
	own := map[string]string{
		"carbonblack": "https://defense-eu.conferdeploy.net", "cortex": "https://api-acme.xdr.eu.paloaltonetworks.com",
		"crowdstrike": "https://api.eu-1.crowdstrike.com", "elastic": "https://kibana.example:9243", "mde": "https://api.security.microsoft.com",
		"sentinelone": "https://euce1-100.sentinelone.net", "sophos": "https://api.central.sophos.com", "trend": "https://api.eu.xdr.trendmicro.com",
	}
	for _, p := range edr.Products() {
		if err := check(enteredCredentials(p.Vendor, own[p.Vendor])); err != nil {
			t.Errorf("%s at %s: %v", p.Vendor, own[p.Vendor], err)
		}
		if p.DefaultURL != "" {
			if err := check(enteredCredentials(p.Vendor, "")); err != nil {
				t.Errorf("%s at its own address: %v", p.Vendor, err)
			}
		}
		for _, base := range []string{
			"https://evil.example", "http://" + strings.TrimPrefix(own[p.Vendor], "https://"), "https://10.0.0.1", "http://127.0.0.1:9200", "https://localhost",
			"https://169.254.169.254", own[p.Vendor] + ".evil.example", "https://evil.example/" + own[p.Vendor],
		} {
			wantInvalid(t, check(enteredCredentials(p.Vendor, base)), "/base_url", p.Vendor+" at "+base)
		}
		c := enteredCredentials(p.Vendor, own[p.Vendor])
		c.Values["sur/pr~se"] = "x"
		wantInvalid(t, check(c), "/values/sur~1pr~0se", p.Vendor+" with an unknown field")
		for _, f := range p.Fields {
			c := enteredCredentials(p.Vendor, own[p.Vendor])
			if f.Name == "login_url" {
				c.Values[f.Name] = "https://169.254.169.254"
				wantInvalid(t, check(c), "/values/login_url", p.Vendor+" with a login inside")
				continue
			}
			c.Values[f.Name] = "not a value\r\n"
			if f.Name != "client_id" && f.Name != "client_secret" { // some vendors give them no form
				wantInvalid(t, check(c), "/values/"+f.Name, p.Vendor+" with a wrong "+f.Name)
			}
			delete(c.Values, f.Name)
			if !f.Optional {
				wantInvalid(t, check(c), "/values/"+f.Name, p.Vendor+" without "+f.Name)
			}
		}
	}
}

func TestAnErrorListsTheKnownNames(t *testing.T) {
	check := checkEDR(edr.Guard{})
	err := check(models.EDRCredentials{Vendor: "unknown"})
	wantInvalid(t, err, "/vendor", "unknown product")
	for _, p := range edr.Products() {
		if !strings.Contains(err.Error(), p.Vendor) {
			t.Errorf("%v does not name %s", err, p.Vendor)
		}
	}
	c := enteredCredentials("mde", "")
	c.Values[strings.Repeat("ä", 1000)] = "quoted"
	if err = check(c); err == nil || len(err.Error()) > 300 || !strings.Contains(err.Error(), "tenant_id, client_id, client_secret") || strings.Contains(err.Error(), "quoted") {
		t.Errorf("%v", err)
	}
	err = check(enteredCredentials("trend", ""))
	wantInvalid(t, err, "/base_url", "no address")
	if !strings.Contains(err.Error(), "must be given") {
		t.Error(err)
	}
}

func TestEveryProductListsItsFields(t *testing.T) {
	list := edrProducts()
	if len(list) != len(edr.Products()) {
		t.Fatalf("%d products are listed, want %d", len(list), len(edr.Products()))
	}
	for _, p := range list {
		if p.Title == "" || len(p.Fields) == 0 || p.BaseURLRequired != (p.DefaultURL == "") || p.Hosts == nil {
			t.Errorf("the product lacks a title, fields or hosts, or has no address at all: %+v", p)
		}
	}
}

// wantInvalid fails unless err is Invalid and points at the field.
func wantInvalid(t *testing.T, err error, field, what string) {
	t.Helper()
	var e *models.Error
	if !errors.As(err, &e) || e.Kind != models.Invalid || e.Field != field {
		t.Errorf("%s: the error is %v, want Invalid about %s", what, err, field)
	}
}

// The table in docs/operations.md has a row for every product, with every field of its credentials.
func TestTheTableOfCredentialsIsComplete(t *testing.T) {
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(string(doc), "\n")
	for _, p := range edr.Products() {
		n := slices.IndexFunc(rows, func(r string) bool { return strings.HasPrefix(r, "| `"+p.Vendor+"` | "+p.Title+" |") })
		if n < 0 {
			t.Errorf("docs/operations.md has no row for %s", p.Vendor)
			continue
		}
		for _, f := range p.Fields {
			if name := "`" + f.Name + "`"; !strings.Contains(rows[n], name) || strings.Contains(rows[n], "**"+name+"**") != f.Secret {
				t.Errorf("%s: docs/operations.md lacks %s, or prints it in bold although it is no secret, or not in bold although it is one", p.Vendor, f.Name)
			}
		}
	}
}

func TestThereIsOneFalconForEachMember(t *testing.T) {
	shared := sharedFalcons(config.Config{CrowdStrikeClientID: "id", CrowdStrikeClientSecret: "secret"}, nil)
	of := func(e models.EDR) edr.Connection {
		f, err := shared(e)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	one := of(models.EDR{Vendor: "crowdstrike", Tenant: "cid-1"})
	if of(models.EDR{Vendor: "crowdstrike", Tenant: "cid-1"}) != one || of(models.EDR{Vendor: "crowdstrike", Tenant: "cid-2"}) == one {
		t.Error("a member has two connections, or two members share one")
	}
	if _, err := shared(models.EDR{Vendor: "mde"}); models.ClassOf(err) != models.Config {
		t.Errorf("a shared connection of another vendor: the error is %v, want one of the class config", err)
	}
}
