package main

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/config"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/simulators"
	"github.com/watchfire-mdr/watchfire/vendors/edr"
)

// entered is what an operator enters for a product, at a base URL.
func entered(vendor, baseURL string) models.EDRCredentials {
	return models.EDRCredentials{Vendor: vendor, BaseURL: baseURL, Values: maps.Clone(simulators.EDRCredentials(vendor))}
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
		if err := check(entered(p.Vendor, own[p.Vendor])); err != nil {
			t.Errorf("%s at %s: %v", p.Vendor, own[p.Vendor], err)
		}
		if p.DefaultURL != "" {
			if err := check(entered(p.Vendor, "")); err != nil {
				t.Errorf("%s at its own address: %v", p.Vendor, err)
			}
		}
		for _, base := range []string{
			"https://evil.example", "http://" + strings.TrimPrefix(own[p.Vendor], "https://"), "https://10.0.0.1", "http://127.0.0.1:9200", "https://localhost",
			"https://169.254.169.254", own[p.Vendor] + ".evil.example", "https://evil.example/" + own[p.Vendor],
		} {
			wantRefused(t, check(entered(p.Vendor, base)), "/base_url", p.Vendor+" at "+base)
		}
		c := entered(p.Vendor, own[p.Vendor])
		c.Values["surprise"] = "x"
		wantRefused(t, check(c), "/values", p.Vendor+" with an unknown field")
		for _, f := range p.Fields {
			switch c := entered(p.Vendor, own[p.Vendor]); {
			case f.Name == "login_url":
				c.Values[f.Name] = "https://169.254.169.254"
				wantRefused(t, check(c), "/values/login_url", p.Vendor+" with a login inside")
			case f.Secret:
				c.Values[f.Name] = ""
				wantRefused(t, check(c), "/values", p.Vendor+" without "+f.Name)
			}
		}
	}
	wantRefused(t, check(models.EDRCredentials{Vendor: "unknown"}), "/vendor", "unknown product")
}

func wantRefused(t *testing.T, err error, field, what string) {
	t.Helper()
	var e *models.Error
	if !errors.As(err, &e) || e.Kind != models.Invalid || e.Field != field {
		t.Errorf("%s: %v, want one about %s", what, err, field)
	}
}

func TestThereIsOneFalconForEachMember(t *testing.T) {
	shared := sharedFalcons(config.Config{CrowdStrikeClientID: "id", CrowdStrikeClientSecret: "secret"}, nil)
	of := func(e models.EDR) activities.EDR {
		f, err := shared(e)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	one := of(models.EDR{Vendor: "crowdstrike", Tenant: "cid-1"})
	if of(models.EDR{Vendor: "crowdstrike", Tenant: "cid-1"}) != one || of(models.EDR{Vendor: "crowdstrike", Tenant: "cid-2"}) == one {
		t.Error("the connection is not the member's")
	}
	if _, err := shared(models.EDR{Vendor: "mde"}); models.ClassOf(err) != models.Config {
		t.Errorf("another vendor: %v", err)
	}
}
