package models_test

import (
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// Where the EDR calls a domain controller a server, what is forbidden for the one is forbidden for the other.
func TestAServerThatMayBeADomainControllerIsTreatedAsOne(t *testing.T) {
	a := models.Authority{Version: 1, SignedAt: time.Unix(1, 0), Rules: []models.Rule{
		{Name: "servers", Action: models.DesiredIsolated, Classes: []models.AssetClass{models.ClassServer}, Decision: models.DecideAuto},
		{Name: "controllers", Action: models.DesiredIsolated, Classes: []models.AssetClass{models.ClassDomainController}, Decision: models.DecideNever},
	}}
	decide := func(a models.Authority, asset models.Asset) models.Ruling {
		return a.Evaluate(models.Request{Action: models.DesiredIsolated, Asset: asset, Severity: models.SeverityHigh, At: time.Unix(2, 0)}, time.UTC, nil)
	}
	sure := models.Asset{Hostname: "SRV-1", Class: models.ClassServer}
	unsure := models.Asset{Hostname: "SRV-1", Class: models.ClassServer, MayBeController: true}
	workstation := models.Asset{Hostname: "WS-1", Class: models.ClassWorkstation, MayBeController: false}
	if got := decide(a, sure); got.Decision != models.DecideAuto {
		t.Errorf("a server that is no controller: %+v", got)
	}
	if got := decide(a, unsure); got.Decision != models.DecideNever || got.Rule != "controllers" {
		t.Errorf("a server that may be one: %+v", got)
	}
	if got := decide(a, workstation); got.Decision != models.DecideAsk {
		t.Errorf("a workstation, which no rule is about: %+v", got)
	}
	marked := models.Authority{Version: 1, SignedAt: time.Unix(1, 0), TwoPersons: []models.AssetSelector{{Class: models.ClassDomainController}}, Rules: a.Rules[:1]}
	if got := decide(marked, unsure); got.Persons != 2 || got.Decision != models.DecideAsk {
		t.Errorf("two persons for what may be a controller: %+v", got)
	}
	if got := decide(marked, sure); got.Persons != 1 {
		t.Errorf("two persons for what is none: %+v", got)
	}
}
