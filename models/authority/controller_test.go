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
