package e2e

import (
	"database/sql"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // the database as its owner sees it
	"go.temporal.io/sdk/client"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// row is a decision of the client as it stands in the database.
type row struct{ request, command, user, role, person, via, body string }

// decisionsOf returns the rows behind what the client said about the incident.
func (s *scene) decisionsOf(ref models.Reference) (all []row) {
	s.t.Helper()
	db, err := sql.Open("pgx", system.OwnerURL())
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	found, err := db.QueryContext(s.t.Context(), `select request_id, command, user_id::text, role, person, via, body::text
		from client_decisions where incident = $1 order by at, request_id`, string(ref))
	if err != nil {
		s.t.Fatal(err)
	}
	defer found.Close()
	for found.Next() {
		var r row
		if err := found.Scan(&r.request, &r.command, &r.user, &r.role, &r.person, &r.via, &r.body); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, r)
	}
	if err := found.Err(); err != nil {
		s.t.Fatal(err)
	}
	return all
}

// as returns a command request that claims to be the one of a row. Its fingerprint is right: whoever forges with the
// provider's keys can make one.
func (r row) as(command, body string) incident.CommandRequest {
	return incident.CommandRequest{
		CommandContext: incident.CommandContext{
			RequestID: r.request, Actor: models.Actor{Side: models.SideClient, ID: r.user, Role: models.Role(r.role)}, Via: r.via, Person: r.person,
		},
		Fingerprint: incident.Fingerprint(command, []byte(body)), Body: json.RawMessage(body),
	}
}

// Whoever reaches Temporal, and nothing else, plays every decision of the client and every word of a contact. All of it
// is refused, and stands in the event log as refused.
func TestNobodySpeaksForTheClientThroughTemporal(t *testing.T) {
	s := newScene(t, 2)
	defer s.signAuthority(authority.DecideAuto)
	s.signAuthority(authority.DecideAsk)
	s.setPhonePersonas("no_answer", "no_answer", "no_answer")
	s.open(models.SeverityMedium)
	s.assess()
	s.publish()
	s.send(s.responder, &incident.Comment{Text: "Looking at it."}, &incident.Acknowledge{})
	elsewhere := s.ref // its rows are another incident's

	s.open(models.SeverityMedium)
	s.assess()
	s.publish()
	s.send(s.analyst, &incident.AskQuestion{Text: "Is it a scanner?", Answers: []string{"yes", "no"}, Deadline: time.Now().Add(time.Hour)})
	s.send(s.responder, &incident.Comment{Text: "Looking at it."})
	s.wantRejected(s.responder, http.StatusConflict, &incident.Approve{Approval: "a1"}) // asked of nobody yet: the row stays
	s.wantRejected(s.responder, http.StatusConflict, &incident.RequestClosure{
		Outcome: incident.OutcomeRiskAccepted, Note: "We accept it.", ExpiresAt: time.Now().Add(24 * time.Hour),
	})
	s.isolate()
	s.awaitQuestion("a1")

	bodies := map[string]string{
		"acknowledge": `{}`, "comment": `{"text":"All is well."}`, "approve": `{"approval":"a1"}`, "deny": `{"approval":"a1","reason":"No."}`,
		"answer-question": `{"question":"q1","answer":"yes"}`, "release": `{"endpoint":"e1","reason":"Let it go."}`,
		"settle-recommendation": `{"recommendation":"r1","outcome":"not_applicable","reason":"No."}`,
		"extend-isolation":      `{"endpoint":"e1","reason":"Keep it."}`, "keep-isolated": `{"endpoint":"e1","reason":"Keep it."}`,
		"request-closure": `{"outcome":"risk_accepted","note":"We accept the risk."}`, "confirm-closure": `{"reason":"We accept it."}`,
		"withdraw-closure": `{"reason":"Not yet."}`, "give-feedback": `{"rating":5}`, "settle-risk": `{"outcome":"mitigated","evidence":"It is retired."}`,
	}
	for _, c := range incident.Commands() {
		speaks := slices.ContainsFunc(incident.RolesOf(c), func(r models.Role) bool { return r.Side() == models.SideClient })
		if _, played := bodies[c.Name()]; played != speaks {
			t.Fatalf("%s is played: %v, the client may send it: %v", c.Name(), played, speaks)
		}
	}
	before, err := s.events()
	if err != nil {
		t.Fatal(err)
	}
	c := temporal(t)
	refusals := 0
	play := func(name string, r incident.CommandRequest) {
		t.Helper()
		if err := c.SignalWorkflow(t.Context(), s.ref.WorkflowID(), "", name, r); err != nil {
			t.Fatal(err)
		}
		refusals++
	}
	own, foreign := s.decisionsOf(s.ref), s.decisionsOf(elsewhere)
	if len(own) != 3 || len(foreign) != 2 {
		t.Fatalf("rows %+v and %+v, want three and two", own, foreign)
	}
	forger := plainTemporal(t)
	playPlain := func(name string, arg any) {
		t.Helper()
		if err := forger.SignalWorkflow(t.Context(), s.ref.WorkflowID(), "", name, arg); err != nil {
			t.Fatal(err)
		}
		refusals++
	}
	for name, body := range byName(bodies) {
		playPlain(name, own[0].as(name, body)) // as whoever does not have the provider's keys must
		invented := own[0]
		invented.request = uuid.NewString()
		play(name, invented.as(name, body)) // no row
		play(name, foreign[0].as(name, body))
		for _, r := range own { // a used one, one that is older than the question, and one with another body
			play(name, r.as(name, body))
		}
	}
	play(own[2].command, own[2].as(own[2].command, own[2].body))
	contact := s.contacts[0].ID
	about := notify.ApprovalCallEffect(s.ref, uuid.Nil, "a1", "e1", 1, 1, contact).Key
	keys := []notify.Key{notify.KeyAcknowledge, notify.KeyDeny, notify.KeyHeard}
	for _, key := range keys {
		err := c.SignalWorkflow(t.Context(), s.ref.WorkflowID(), "", models.SignalKeyPress, notify.KeyPress{Effect: about, Contact: contact, Digit: key})
		if err != nil {
			t.Fatal(err)
		}
	}
	call := notify.CallEffect(s.ref, uuid.Nil, 1, 1, 1, contact).Key
	for name, fact := range byName(map[string]any{
		models.SignalKeyPress:  notify.KeyPress{Effect: call, Contact: contact, Digit: notify.KeyAcknowledge},
		models.SignalTextReply: notify.TextReply{Effect: call, Contact: contact},
	}) {
		if err := c.SignalWorkflow(t.Context(), s.ref.WorkflowID(), "", name, fact); err != nil {
			t.Fatal(err)
		}
		playPlain(name, fact)
	}
	playPlain(models.SignalCallProgress, notify.CallProgress{Effect: call, Status: models.CallCompleted})
	refusals += len(keys) + 2
	s.await("the refusals", func() (bool, error) { return len(eventsOf[*incident.CommandRejected](s)) >= refusals, nil })
	after, err := s.events()
	if err != nil {
		t.Fatal(err)
	}
	unsealed := map[string]int{}
	for _, r := range eventsOf[*incident.CommandRejected](s) {
		if strings.Contains(r.Reason, "not sealed by this provider") {
			unsealed[r.Command]++
		}
	}
	for _, name := range append(slices.Collect(maps.Keys(bodies)), models.SignalKeyPress, models.SignalCallProgress, models.SignalTextReply) {
		if unsealed[name] != 1 {
			t.Errorf("%s as a plain payload was refused %d times, want once", name, unsealed[name])
		}
	}
	for _, e := range after[len(before):] {
		if e.Actor.Side == models.SideClient || e.Actor.Side == models.SideSOC {
			t.Errorf("event %d, %s, stands there in the name of %+v", e.Seq, e.Type, e.Actor)
		}
	}
	if i := s.current(); !i.Endpoints[0].Approval.IsAnswerable() || i.Acknowledged.How != "comment" || i.Phase != incident.PhasePublished {
		t.Errorf("approval %+v, acknowledged %+v, phase %s", i.Endpoints[0].Approval, i.Acknowledged, i.Phase)
	}
	if got := s.actions(); len(got) != 0 {
		t.Errorf("the EDR carried out %v", got)
	}

	s.send(s.responder, &incident.Approve{Approval: "a1"}) // the client's own word counts as ever
	s.awaitContainment(incident.ContainmentContained)
	s.send(s.responder, &incident.AnswerQuestion{Question: "q1", Answer: "no"})
	s.settleAndRelease()
	s.wantActions("contain", "lift_containment")
	// It was refused, and what it was refused for is gone now.
	left := own[2]
	refusals = len(eventsOf[*incident.CommandRejected](s))
	again := left.as(left.command, left.body)
	again.Recorded = s.current().Seq // as if its sender asked again
	update, err := c.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{
		UpdateID: left.request, WorkflowID: s.ref.WorkflowID(), UpdateName: left.command, Args: []any{again},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = update.Get(t.Context(), nil)
	}
	if err == nil || !strings.Contains(err.Error(), "no decision of the client") {
		t.Errorf("the decision that was left was answered with %v", err)
	}
	invented := left
	invented.request = uuid.NewString()
	_, err = c.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{
		UpdateID: invented.request, WorkflowID: s.ref.WorkflowID(), UpdateName: left.command, Args: []any{invented.as(left.command, left.body)},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.await("the refusal of an update", func() (bool, error) { return len(eventsOf[*incident.CommandRejected](s)) > refusals, nil })
	if i := s.current(); i.Phase != incident.PhasePublished {
		t.Errorf("phase %s", i.Phase)
	}
	s.closeIncident()
}

// A contact said yes to an isolation once. Whoever reaches Temporal, with the provider's keys, says it again when the same
// device is to be isolated anew.
func TestAContactsWordCountsForItsQuestionOnly(t *testing.T) {
	s := newScene(t, 2)
	defer s.signAuthority(authority.DecideAuto)
	s.signAuthority(authority.DecideAsk)
	s.setPhonePersonas("approves", "no_answer", "no_answer")
	s.open(models.SeverityMedium)
	s.assess()
	s.publish()
	s.isolate()
	s.awaitContainment(incident.ContainmentContained)
	s.settleAndRelease()
	s.ringFor(10 * time.Minute) // of simulated time
	s.setPhonePersonas("no_answer", "no_answer", "no_answer")
	s.send(s.analyst, &incident.Isolate{Hostname: s.host, Reason: "It is back."})
	s.awaitQuestion("a3")
	began := len(s.callsTo(0))
	s.await("the first contact's phone to ring", func() (bool, error) { return s.isBeingCalled(0), nil })

	c, contact := temporal(t), s.contacts[0].ID
	again := notify.KeyPress{
		Contact: contact, Digit: notify.KeyAcknowledge,
		Effect: notify.ApprovalCallEffect(s.ref, uuid.Nil, "a3", "e1", 1, 1, contact).Key,
	}
	if err := c.SignalWorkflow(t.Context(), s.ref.WorkflowID(), "", models.SignalKeyPress, again); err != nil {
		t.Fatal(err)
	}
	refused := func() (n int) {
		for _, r := range eventsOf[*incident.CommandRejected](s) {
			if r.By == models.ContactActor(contact) {
				n++
			}
		}
		return n
	}
	s.await("the refusal", func() (bool, error) { return refused() == 1, nil })
	if a := s.current().Endpoints[0].Approval; !a.IsAnswerable() || len(a.Given) != 0 || len(s.callsTo(0)) != began+1 {
		t.Errorf("the approval is %+v, and the contact was called %d times", a, len(s.callsTo(0))-began)
	}
	s.send(s.responder, &incident.Deny{Approval: "a3", Reason: "It is a new one."})
	s.wantActions("contain", "lift_containment")
}
