package incident_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/modelstest"
)

// TestNoSequenceOfApprovalsPermitsTooMuch gives only commands about endpoints, so that approvals come far.
func TestNoSequenceOfApprovalsPermitsTooMuch(t *testing.T) {
	reached := map[string]bool{}
	start := opened(t, models.SeverityCritical)
	mustGive(t, &start, &incident.Expedite{}, models.RoleAnalyst)
	mustGive(t, &start, &incident.Isolate{Hostname: "PC-1", Reason: "r"}, models.RoleAnalyst)
	rapid.Check(t, func(t *rapid.T) {
		i, now := start, modelstest.T0
		for range 300 {
			now = now.Add(time.Minute)
			was := i
			if rapid.IntRange(0, 5).Draw(t, "machine") == 0 {
				checkStep(t, was, i, happen(t, &i, now))
				recordGrants(i, reached)
				continue
			}
			role := rapid.SampledFrom([]models.Role{models.RoleAnalyst, models.RoleViewer, models.RoleResponder, models.RoleAdmin}).Draw(t, "role")
			a := ask(role)
			a.Person = rapid.SampledFrom([]string{"", "p1", "p1", "p2", "p2"}).Draw(t, "person")
			events, err := give(&i, anyWord(t, i), a, now)
			if err != nil {
				continue
			}
			if c := events[0].Data; (role == models.RoleAnalyst || role == models.RoleViewer) && clientsWord(c) {
				t.Fatalf("%s gave %s", role, c.Type())
			}
			checkStep(t, was, i, events)
			recordGrants(i, reached)
			reached[string(events[0].Type)] = true
		}
	})
	for _, want := range []string{"approved1", "approved2", "nobody answered, as the rule allows1", "approval_denied", "by rule1", "lease_extended", "release_requested"} {
		if !reached[want] {
			t.Errorf("no sequence reached %q: %v", want, reached)
		}
	}
}

// recordGrants adds to reached how the present approvals were granted.
func recordGrants(i incident.Incident, reached map[string]bool) {
	for _, p := range i.Endpoints {
		if p.Approval != nil && p.Approval.Granted {
			reached[fmt.Sprint(p.Approval.How, p.Approval.Ruling.Persons)] = true
		}
	}
}

// anyWord is a command about the endpoint, mostly about its present approval.
func anyWord(t *rapid.T, i incident.Incident) incident.Command {
	approval := fmt.Sprintf("a%d", i.Approvals-rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "approval"))
	return rapid.SampledFrom([]incident.Command{
		&incident.Approve{Approval: approval}, &incident.Approve{Approval: approval}, &incident.Approve{Approval: approval},
		&incident.Deny{Approval: approval, Reason: "r"}, &incident.ExtendIsolation{Endpoint: "e1", Reason: "r"},
		&incident.Release{Endpoint: "e1", Reason: "r"}, &incident.Isolate{Hostname: "PC-1", Reason: "r"}, &incident.KeepIsolated{Endpoint: "e1", Reason: "r"},
	}).Draw(t, "command")
}

func clientsWord(d incident.EventData) bool {
	switch d.(type) {
	case *incident.ApprovalGiven, *incident.ApprovalDenied, *incident.LeaseExtended, *incident.EndpointKept:
		return true
	}
	return false
}

func anyRuling(t *rapid.T, i incident.Incident, p incident.Endpoint) *incident.ContainmentRuled {
	approval := fmt.Sprintf("a%d", i.Approvals+1)
	if p.Approval != nil {
		approval = p.Approval.ID
	}
	return &incident.ContainmentRuled{
		Endpoint: p.ID, Generation: p.Generation, Approval: approval, Asset: authority.Asset{Hostname: p.Hostname},
		Ruling: authority.Ruling{
			Decision: rapid.SampledFrom(authority.Decisions()).Draw(t, "decision"), Rule: "rule", Version: 1, Persons: rapid.IntRange(1, 2).Draw(t, "persons"),
		},
		ApproveFor: models.Duration(time.Duration(rapid.IntRange(1, 30).Draw(t, "approve for")) * time.Minute), Lease: models.Duration(time.Hour),
	}
}

// checkApprovals checks that the permitted state of an endpoint changes only with a ruling that permits it: by itself,
// by the approvals of as many different persons of the client as it asks for, or because everybody was tried and the
// rule allows it then. A denial changes nothing.
func checkApprovals(t *rapid.T, was, is incident.Incident, events []incident.Event) {
	for _, p := range is.Endpoints {
		var before models.Desired
		if old := was.Endpoint(p.ID); old != nil {
			before = old.Permitted
		}
		if p.Permitted == before {
			continue
		}
		n := slices.IndexFunc(events, func(e incident.Event) bool {
			d, ok := e.Data.(*incident.ContainmentRuled)
			return ok && d.Endpoint == p.ID
		})
		if n < 0 {
			t.Fatalf("permitted without a ruling: %+v", p)
		}
		a, ruling := p.Approval, events[n].Data.(*incident.ContainmentRuled).Ruling
		own := p.RequestedBy.Side == models.SideClient && p.Desired == models.DesiredReleased
		agreed := ruling.Persons < 2 && len(a.Given) > 0 || different(a.Given) >= ruling.Persons
		switch {
		case ruling.Decision == authority.DecideNever && !own:
			t.Fatalf("permitted although the rule says never: %+v", p)
		case agreed:
		case ruling.Persons > 1:
			t.Fatalf("permitted by too few: %+v", a)
		case ruling.Decision != authority.DecideAuto && (ruling.Decision != authority.DecideAskThenAuto || a.How == "approved"):
			t.Fatalf("permitted without a word of the client: %+v", a)
		}
	}
}

// different counts the persons of the client who can be told apart.
func different(given []incident.Consent) int {
	seen := map[string]bool{}
	for _, c := range given {
		if c.By.Side == models.SideClient && c.Person != "" {
			seen[c.Person] = true
		}
	}
	return len(seen)
}
