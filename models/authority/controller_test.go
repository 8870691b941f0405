package authority_test

import (
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
)

// Where the EDR calls a domain controller a server, a rule that forbids an action on the one forbids it on the other.
func TestAServerThatMayBeADomainControllerIsTreatedAsOne(t *testing.T) {
	a := authority.Authority{Version: 1, SignedAt: time.Unix(1, 0), Rules: []authority.Rule{
		{Name: "servers", Action: models.DesiredIsolated, Classes: []models.AssetClass{models.ClassServer}, Decision: authority.DecideAuto},
		{Name: "controllers", Action: models.DesiredIsolated, Classes: []models.AssetClass{models.ClassDomainController}, Decision: authority.DecideNever},
	}}
	decide := func(a authority.Authority, asset authority.Asset) authority.Ruling {
		return a.Evaluate(authority.Request{Action: models.DesiredIsolated, Asset: asset, Severity: models.SeverityHigh, At: time.Unix(2, 0)}, time.UTC, nil)
	}
	sure := authority.Asset{Hostname: "SRV-1", Class: models.ClassServer}
	unsure := authority.Asset{Hostname: "SRV-1", Class: models.ClassServer, MayBeController: true}
	workstation := authority.Asset{Hostname: "WS-1", Class: models.ClassWorkstation, MayBeController: false}
	if got := decide(a, sure); got.Decision != authority.DecideAuto {
		t.Errorf("a server that is no controller: %+v", got)
	}
	if got := decide(a, unsure); got.Decision != authority.DecideNever || got.Rule != "controllers" {
		t.Errorf("a server that may be one: %+v", got)
	}
	if got := decide(a, workstation); got.Decision != authority.DecideAsk {
		t.Errorf("a workstation, which no rule is about: %+v", got)
	}
	twoPersons := authority.Authority{Version: 1, SignedAt: time.Unix(1, 0), TwoPersons: []authority.AssetSelector{{Class: models.ClassDomainController}}, Rules: a.Rules[:1]}
	if got := decide(twoPersons, unsure); got.Persons != 2 || got.Decision != authority.DecideAsk {
		t.Errorf("two persons for what may be a controller: %+v", got)
	}
	if got := decide(twoPersons, sure); got.Persons != 1 {
		t.Errorf("two persons for what is none: %+v", got)
	}
}

// A rule for everything does not let a domain controller be isolated unasked: only one that names the class does.
func TestADomainControllerIsAskedAboutUnlessARuleNamesIt(t *testing.T) {
	const ws, server, dc = models.ClassWorkstation, models.ClassServer, models.ClassDomainController
	everything := authority.Rule{Name: "everything", Action: "isolated", Decision: authority.DecideAuto}
	tagged := authority.Rule{Name: "prod", Action: "isolated", Tags: []string{"prod"}, Decision: authority.DecideAskThenAuto}
	of := func(name string, d authority.Decision, classes ...models.AssetClass) authority.Rule {
		return authority.Rule{Name: name, Action: "isolated", Classes: classes, Decision: d}
	}
	controller := authority.Asset{Hostname: "DC-1", Class: dc, Tags: []string{"prod"}}
	unsure := authority.Asset{Hostname: "SRV-1", Class: server, MayBeController: true}
	for _, c := range []struct {
		name  string
		rules []authority.Rule
		asset authority.Asset
		want  authority.Decision
		rule  string
	}{
		{"everything", []authority.Rule{everything}, controller, "ask", notNamed},
		{"everything, after a call", []authority.Rule{{Name: "all", Action: "isolated", Decision: "ask_then_auto"}}, controller, "ask", notNamed},
		{"everything at a severity", []authority.Rule{{Name: "all", Action: "isolated", Severities: []models.Severity{"high"}, Decision: "auto"}}, controller, "ask", notNamed},
		{"by a tag", []authority.Rule{tagged}, controller, "ask", notNamed},
		{"servers", []authority.Rule{of("servers", "auto", server)}, controller, "ask", "no rule matches"},
		{"servers and workstations", []authority.Rule{everything, of("both", "auto", server, ws)}, controller, "ask", notNamed},
		{"named", []authority.Rule{everything, of("named", "auto", ws, server, dc)}, controller, "auto", "named"},
		{"named, after a call", []authority.Rule{of("named", "ask_then_auto", dc), everything}, controller, "ask_then_auto", "named"},
		{"asked about, named", []authority.Rule{everything, of("named", "ask", dc)}, controller, "ask", "named"},
		{"everything is asked about", []authority.Rule{everything, {Name: "ask", Action: "isolated", Decision: "ask"}}, controller, "ask", "ask"},
		{"nothing is done", []authority.Rule{{Name: "never", Action: "isolated", Decision: "never"}, everything}, controller, "never", "never"},
		{"a server that may be one", []authority.Rule{everything}, unsure, "ask", notNamed},
		{"a server that may be one, named", []authority.Rule{everything, of("servers", "auto", server)}, unsure, "auto", "servers"},
		{"a server that is none", []authority.Rule{everything}, authority.Asset{Hostname: "SRV-1", Class: server}, "auto", "everything"},
		{"a workstation", []authority.Rule{everything}, authority.Asset{Hostname: "PC-1", Class: ws}, "auto", "everything"},
		{"a device of which the EDR says nothing", []authority.Rule{everything}, authority.Asset{Hostname: "PC-1"}, "auto", "everything"},
	} {
		a := authority.Authority{Version: 1, SignedAt: time.Unix(1, 0), Rules: c.rules}
		got := a.Evaluate(authority.Request{Action: "isolated", Asset: c.asset, Severity: "high", At: time.Unix(2, 0)}, time.UTC, nil)
		if got.Decision != c.want || got.Rule != c.rule {
			t.Errorf("%s: %+v, want %s by %q", c.name, got, c.want, c.rule)
		}
	}
	a := authority.Authority{Version: 1, SignedAt: time.Unix(1, 0), Rules: []authority.Rule{{Name: "let go", Action: "released", Decision: authority.DecideAuto}}}
	got := a.Evaluate(authority.Request{Action: "released", Asset: controller, Severity: "high", At: time.Unix(2, 0)}, time.UTC, nil)
	if got.Decision != authority.DecideAuto || got.Rule != "let go" {
		t.Errorf("a release: %+v", got)
	}
}
