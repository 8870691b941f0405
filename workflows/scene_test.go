package workflows_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/workflows"
)

var (
	acme  = uuid.MustParse("6f1f3d2e-0000-4000-8000-000000001042")
	first = uuid.MustParse("00000000-0000-4000-8000-000000000001")
	ciso  = uuid.MustParse("00000000-0000-4000-8000-000000000002")
)

const ref = models.Reference("SI-1042-0007")

// story is one incident in Temporal's test environment, where waiting costs no time. The workflow's
// records are its own log; its requests to the world are in mails, texts, calls and edr.
type story struct {
	t        *testing.T
	env      *testsuite.TestWorkflowEnvironment
	mu       sync.Mutex // activities run side by side; the fields below are their journal
	began    time.Time
	events   []incident.Event
	mails    []sent
	texts    []sent
	calls    []notify.Effect
	hungUp   []string                  // the carrier's ids of calls
	said     map[string]notify.CallEnd // effect key -> our word on it
	canceled []activities.CancelInput
	edr      []string
	actions  []string // the keys of the actions sent to the EDR
	decided  map[string]bool
	disabled map[string]bool // users who may not act any more
	invited  bool            // one user of the client invited all others
	maker    string          // the user who made the contact made
	made     uuid.UUID
	unsaid   bool       // what contacts are said to have said has no row
	saidAt   func() int // Seq of the last event that the store had when a contact spoke; nil: all of them
	saidIn   string     // key of the call in which a contact spoke; "" for the last one to them
	requests int

	batches  []activities.RecordInput
	commands []incident.CommandResult
	lookups  int               // for commands carried out before
	opened   incident.Incident // before the first event

	notifying     *testsuite.MockCallWrapper         // what hands mails over with their events
	asking        *testsuite.MockCallWrapper         // what asks the carrier about a call
	recorded      func()                             // after events were recorded
	recordFails   func(activities.RecordInput) error // the store's answer to a batch
	mailFails     func() error
	refusedMailer string // refuses our key while another mailer takes the mails
	mailTried     func(notify.Notification)
	textFails     func() error
	changeFails   func() error
	answers       func(e notify.Effect)             // the act of the person called
	placeFails    func(e notify.Effect) error       // the carrier's answer to a request for a call
	planFails     func() error                      // the store's answer when it plans recipients
	callStands    func(id string) models.CallStatus // the carrier's answer when it is asked about a call
	directory     notify.Directory
	authority     authority.Authority
	released      bool                                                                  // somebody released the device in the vendor's console
	isolated      bool                                                                  // an isolation came late, or somebody isolated it there
	holders       []incident.EndpointID                                                 // other incidents' endpoints that want the device isolated
	confirm       func(in activities.EndpointInput) (*activities.EndpointReport, error) // nil, nil: as desired
	agent         string                                                                // the one device, whatever its name; "" for one per name
	looks         func() error
	tagless       bool   // the EDR tells no tags
	device        string // what the EDR calls every device, "" for what was typed
}

// sent is a message a vendor took, and when.
type sent struct {
	notify.Notification
	at time.Time
}

// contact is a person of the client who is reached for everything, over mail and phone.
func contact(id uuid.UUID, order int) models.Contact {
	return models.Contact{ID: id, Order: order, Phone: fmt.Sprintf("+4930555010%d", order), Severities: models.Severities(),
		Channels: []models.Channel{models.ChannelEmail, models.ChannelVoice},
		Verified: map[models.Channel]time.Time{models.ChannelVoice: time.Unix(1, 0)}, Approver: &models.Approver{}}
}

// mayApprove returns the directory of those who may approve what a user asked for.
func (s *story) mayApprove(by models.Actor) notify.Directory {
	return s.directory.Approvers(s.madeBy(by))
}

// madeBy returns the contacts whom a user made.
func (s *story) madeBy(by models.Actor) map[uuid.UUID]bool {
	made := map[uuid.UUID]bool{}
	if by.ID != "" && by.ID == s.maker {
		made[s.made] = true
	}
	return made
}

func newStory(t *testing.T) *story {
	var suite testsuite.WorkflowTestSuite
	s := &story{t: t, env: suite.NewTestWorkflowEnvironment(), decided: map[string]bool{},
		said:      map[string]notify.CallEnd{},
		authority: rules(authority.DecideAuto),
		directory: notify.Directory{Zone: time.UTC, Contacts: []models.Contact{contact(first, 1), contact(ciso, 2)}}}
	s.env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: ref.WorkflowID(), TaskQueue: models.QueueIncidents, WorkflowExecutionTimeout: 10 * 365 * 24 * time.Hour})
	s.env.SetTestTimeout(time.Minute)
	s.env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: time.Minute}) // a busy machine is no deadlock
	s.env.RegisterWorkflowWithOptions(workflows.Incident, workflow.RegisterOptions{Name: models.IncidentWorkflow})
	s.env.RegisterWorkflowWithOptions(workflows.Endpoint, workflow.RegisterOptions{Name: models.EndpointWorkflow})
	s.world()
	return s
}

// rules is a signed response authority that decides the same about everything.
func rules(d authority.Decision) authority.Authority {
	return authority.Authority{Version: 1, SignedAt: time.Unix(1, 0), Rules: []authority.Rule{
		{Name: "isolate", Action: models.DesiredIsolated, Decision: d}, {Name: "release", Action: models.DesiredReleased, Decision: authority.DecideAuto},
	}}
}

func (s *story) seq() int {
	if len(s.events) == 0 {
		return 1 // the desk recorded the first
	}
	return s.events[len(s.events)-1].Seq
}

func user(role models.Role) models.Actor {
	return models.Actor{Side: role.Side(), ID: "user-" + string(role), Role: role}
}

func (s *story) request(role models.Role, c incident.Command) incident.CommandRequest {
	s.requests++
	body, err := json.Marshal(c)
	if err != nil {
		s.t.Fatal(err)
	}
	r := incident.CommandRequest{CommandContext: incident.CommandContext{RequestID: fmt.Sprintf("request-%d", s.requests), Actor: user(role), Via: "api", Person: models.PersonOf(string(role) + "@acme.example")},
		Fingerprint: incident.Fingerprint(c.Name(), body), Body: body}
	s.decided[r.RequestID] = role.Side() == models.SideClient
	return r
}

// after lets a person give a command some time after the incident was opened. It must be taken.
func (s *story) after(d time.Duration, role models.Role, c incident.Command) {
	s.env.RegisterDelayedCallback(func() { s.give(s.request(role, c), c.Name(), nil) }, d)
}

// rejectedAfter lets a person send a command that must be rejected for a reason of the given kind.
func (s *story) rejectedAfter(d time.Duration, role models.Role, c incident.Command, kind models.Kind) {
	s.env.RegisterDelayedCallback(func() { s.give(s.request(role, c), c.Name(), &kind) }, d)
}

func (s *story) give(o incident.CommandRequest, name string, refused *models.Kind) {
	s.update(o.RequestID, o, name, refused)
}

// update sends a command as an Update with an id.
func (s *story) update(id string, o incident.CommandRequest, name string, refused *models.Kind) {
	fail := func(err error) {
		var app *temporal.ApplicationError
		switch {
		case refused == nil:
			s.t.Errorf("%s was refused: %v", name, err)
		case !asApp(err, &app) || app.Type() != string(*refused):
			s.t.Errorf("%s: %v, want a refusal of kind %s", name, err, *refused)
		}
	}
	s.env.UpdateWorkflow(name, id, &testsuite.TestUpdateCallback{
		OnReject: fail,
		OnAccept: func() {},
		OnComplete: func(_ any, err error) {
			if err != nil {
				fail(err)
			} else if refused != nil {
				s.t.Errorf("%s was not refused", name)
			}
		},
	}, o)
}

// signal lets an operator give a command from the Temporal UI.
func (s *story) signalAfter(d time.Duration, o incident.CommandRequest, name string) {
	s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow(name, o) }, d)
}

func (s *story) opening(severity models.Severity) incident.State {
	var i incident.Incident
	e := incident.NewEvent(i, s.env.Now(), user(models.RoleAnalyst), &incident.Opened{Reference: ref, ClientID: acme, Title: "Beaconing", Severity: severity})
	if err := i.Apply(e); err != nil {
		s.t.Fatal(err)
	}
	return incident.State{Incident: i, Policy: models.DefaultPolicy()}
}

// openedEvent returns the first event of the incident, which is in the store before its workflow begins.
func (s *story) openedEvent() incident.Event {
	return incident.NewEvent(incident.Incident{}, s.opened.OpenedAt, models.System(), &incident.Opened{
		Reference: s.opened.Reference, ClientID: s.opened.ClientID, Title: s.opened.Assessment.Title, Severity: s.opened.Severity,
	})
}

func (s *story) run(severity models.Severity) incident.Incident {
	return s.runFrom(s.opening(severity))
}

func (s *story) runFrom(run incident.State) incident.Incident {
	s.t.Helper()
	s.began = s.env.Now()
	if s.opened.Seq == 0 {
		s.opened = run.Incident
	}
	s.env.ExecuteWorkflow(models.IncidentWorkflow, run)
	if err := s.env.GetWorkflowError(); err != nil && !workflow.IsContinueAsNewError(err) {
		s.t.Fatalf("the workflow failed: %v", err)
	}
	return s.replay(s.opened)
}

// reached returns whom anything about the incident was sent to, as the ledger knows.
func (s *story) reached() (all []uuid.UUID) {
	for _, m := range slices.Concat(s.mails, s.texts) {
		all = append(all, m.Contact)
	}
	for _, c := range s.calls {
		all = append(all, c.Contact)
	}
	return all
}

// texted reports whether a text was handed over already, as the ledger knows.
func (s *story) texted(n notify.Notification) bool {
	key := notify.MessageEffect(ref, acme, n).Key
	return slices.ContainsFunc(s.texts, func(x sent) bool { return notify.MessageEffect(ref, acme, x.Notification).Key == key })
}

// goesOnAfter lets the history be so long that the incident goes on in a new run, where the story ends.
func (s *story) goesOnAfter(d time.Duration) {
	s.env.RegisterDelayedCallback(func() {
		s.env.SetContinueAsNewSuggested(true)
		s.give(s.request(models.RoleResponder, &incident.Acknowledge{}), "acknowledge", nil) // it sees that when it is woken
	}, d)
}

// since is how long ago the incident was opened.
func (s *story) since() time.Duration { return s.env.Now().Sub(s.began) }

// replay is the incident as anyone can tell it from the recorded events alone.
func (s *story) replay(i incident.Incident) incident.Incident {
	s.t.Helper()
	for _, e := range s.events {
		if err := i.Apply(e); err != nil {
			s.t.Fatal(err)
		}
	}
	return i
}

func (s *story) count(t incident.EventType) (n int) {
	for _, e := range s.events {
		if e.Type == t {
			n++
		}
	}
	return n
}

func (s *story) mailsFor(p notify.Purpose) (n int) {
	for _, m := range s.mails {
		if m.Purpose == p {
			n++
		}
	}
	return n
}

// presses lets whoever is called press a key.
func (s *story) presses(digit string) func(notify.Effect) {
	return func(e notify.Effect) {
		s.tells(e, models.SignalKeyPress, notify.KeyPress{Effect: e.Key, Contact: e.Contact, Digit: notify.Key(digit)})
	}
}

// hears lets the carrier report how the call ended.
func (s *story) hears(status models.CallStatus) func(notify.Effect) {
	return func(e notify.Effect) {
		s.tells(e, models.SignalCallProgress, notify.CallProgress{Effect: e.Key, Status: status, Sequence: 3})
	}
}

func (s *story) tells(e notify.Effect, name string, arg any) {
	if err := s.env.SignalWorkflowByID(e.Workflow, name, arg); err != nil {
		s.t.Logf("%s to %s: %v", name, e.Workflow, err)
	}
}
func asApp(err error, to **temporal.ApplicationError) bool { return errors.As(err, to) }

func asCAN(err error, to **workflow.ContinueAsNewError) bool { return errors.As(err, to) }

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
