package incident_test

import (
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// A decision that was refused must not count when things have changed: it was made before the event that it would
// answer then.
func TestADecisionAnswersWhatWasBefore(t *testing.T) {
	var i incident.Incident
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	happens := func(side models.Side, d incident.EventData) {
		t.Helper()
		role := models.RoleAnalyst
		if side == models.SideClient {
			role = models.RoleResponder
		}
		if err := i.Apply(incident.NewEvent(i, at, models.Actor{Side: side, ID: "x", Role: role}, d)); err != nil {
			t.Fatal(err)
		}
	}
	soc, client, system := models.SideSOC, models.SideClient, models.SideSystem
	check := func(c incident.Command, want int) {
		t.Helper()
		if got := incident.Answers(c, i); got != want {
			t.Errorf("after event %d %s answers event %d, want %d", i.Seq, c.Name(), got, want)
		}
	}
	request := &incident.RequestClosure{}
	happens(soc, &incident.Opened{Reference: "SI-1042-0001", Title: "t", Severity: models.SeverityHigh}) // 1
	happens(soc, &incident.Published{Expedited: true})                                                   // 2
	check(request, 0)
	check(&incident.Acknowledge{}, 0)
	happens(soc, &incident.Recommended{ID: "r1", Text: "t"})       // 3
	happens(soc, &incident.QuestionAsked{ID: "q1", Text: "t"})     // 4
	happens(client, &incident.Commented{Text: "t"})                // 5
	check(&incident.SettleRecommendation{Recommendation: "r1"}, 3) // not r2
	check(&incident.SettleRecommendation{Recommendation: "r2"}, 0)
	check(&incident.AnswerQuestion{Question: "q1"}, 4)
	happens(client, &incident.RecommendationSettled{Recommendation: "r1", Outcome: incident.NotApplicable, Reason: "t"}) // 6
	happens(soc, &incident.IsolationRequested{Endpoint: "e1", Hostname: "PC-1", Reason: "t"})                            // 7
	happens(system, &incident.EndpointObserved{Endpoint: "e1", Generation: 1, AgentID: "a", State: models.HostNormal})   // 8
	ask := &incident.ContainmentRuled{Endpoint: "e1", Generation: 1, Approval: "a1", AgentID: "a", ApproveFor: models.Duration(time.Hour), Lease: models.Duration(time.Hour), Ruling: authority.Ruling{Decision: authority.DecideAsk, Persons: 1}}
	happens(system, ask) // 9
	check(&incident.Approve{Approval: "a1"}, 9)
	happens(system, &incident.ApprovalExpired{Approval: "a1", NextAskAt: at}) // 10
	happens(system, ask)                                                      // 11
	check(&incident.Deny{Approval: "a1"}, 11)                                 // what was said before it was asked again is void
	happens(client, &incident.ApprovalGiven{Approval: "a1", Via: "portal"})   // 12
	happens(system, ask)                                                      // 13
	check(&incident.ExtendIsolation{Endpoint: "e1"}, 13)
	check(&incident.KeepIsolated{Endpoint: "e1"}, 7)
	happens(system, &incident.EndpointObserved{Endpoint: "e1", Generation: 1, AgentID: "a", State: models.HostIsolated}) // 14
	happens(client, &incident.LeaseExtended{Endpoint: "e1", Reason: "t"})                                                // 15
	check(&incident.ExtendIsolation{Endpoint: "e1"}, 13)
	happens(client, &incident.EndpointKept{Endpoint: "e1", Reason: "t"}) // 16
	happens(soc, &incident.Revised{Change: "a comma"})                   // 17
	check(request, 0)
	check(&incident.Acknowledge{}, 0)
	happens(client, &incident.ClosureRequested{Decision: "d", Outcome: incident.OutcomeResolved, Note: "t"}) // 18
	confirm := &incident.ConfirmClosure{}
	check(&incident.WithdrawClosure{}, 0)
	check(confirm, 0)
	happens(soc, &incident.Verified{Gone: false, Note: "t"}) // 19
	check(confirm, 19)
	happens(client, &incident.ClosureWithdrawn{Reason: "t"}) // 20
	check(request, 0)
	happens(soc, &incident.Assessed{Severity: models.SeverityCritical, Assessment: incident.Assessment{Title: "t"}}) // 21
	happens(soc, &incident.Revised{Change: "it spreads", Material: true})                                            // 22
	check(request, 22)
	check(&incident.Acknowledge{}, 22)
	check(&incident.Comment{}, 0)
	check(confirm, 22)
	accepted := at.Add(time.Hour)
	happens(client, &incident.RecommendationSettled{Recommendation: "r1", Outcome: incident.RiskAccepted, Reason: "t", ExpiresAt: accepted})       // 23
	happens(client, &incident.ClosureRequested{Decision: "d", Outcome: incident.OutcomeRiskAccepted, Note: "t", ExpiresAt: at.Add(3 * time.Hour)}) // 24
	check(confirm, 22)
	at = accepted
	check(&incident.SettleRecommendation{Recommendation: "r1"}, 3)
	happens(system, &incident.RiskExpired{Risk: "r1", Number: 1}) // 25
	check(&incident.SettleRecommendation{Recommendation: "r1"}, 25)
	happens(client, &incident.RecommendationSettled{Recommendation: "r1", Outcome: incident.Mitigated, Evidence: "t"}) // 26
	happens(soc, &incident.Verified{Gone: false, Note: "t"})                                                           // 27
	check(confirm, 27)
	happens(client, &incident.ClosureConfirmed{Decision: "d2", Reason: "t", ExpiresAt: at.Add(time.Hour)}) // 28
	check(&incident.SettleRisk{}, 0)
	happens(client, &incident.Closed{Decision: "d2"}) // 29
	at = at.Add(time.Hour)
	happens(system, &incident.RiskExpired{Risk: incident.RiskOfClosure, Number: 1}) // 30
	check(&incident.SettleRisk{}, 30)
	happens(system, &incident.RiskExpired{Risk: incident.RiskOfClosure, Number: 2}) // 31
	check(&incident.SettleRisk{}, 30)
}
