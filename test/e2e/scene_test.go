package e2e

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// patience bounds every wait. It is generous: the machine may be busy with other tests.
const patience = 2 * time.Minute

// scene is one incident of one client, with the people who handle it. Its methods fail the test when a step fails.
type scene struct {
	t        *testing.T
	number   int
	contacts []models.Contact // in calling order
	host     string           // a device of this scene alone
	vendor   string           // of the client's EDR, where it matters
	began    time.Time

	analyst, lead, operator stack.Person
	responder, admin        stack.Person
	viewer                  stack.Person // of seeded clients only

	ref   models.Reference
	retry bool // parts are being killed: post sends a failed request again, under the same key
}

// hosts numbers the devices of the scenes.
var hosts atomic.Int64

// newScene sets a scene at a seeded client, numbered from 0.
func newScene(t *testing.T, client int) *scene {
	t.Helper()
	c := system.Dev.Clients[client]
	return setScene(t, c.Number, c.Contacts)
}

// setScene resets the personas of the contacts and restores the system at the end of the test.
func setScene(t *testing.T, number int, contacts []models.Contact) *scene {
	t.Helper()
	printProgress("%s", t.Name())
	if err := statSources(); err != nil {
		t.Fatal(err)
	}
	s := &scene{
		t: t, number: number, contacts: contacts, host: fmt.Sprintf("WS-%03d.corp", hosts.Add(1)), began: time.Now(),
		analyst: system.Dev.Person(models.RoleAnalyst, 0), lead: system.Dev.Person(models.RoleLead, 0), operator: system.Dev.Person(models.RoleOperator, 0),
		viewer: system.Dev.Person(models.RoleViewer, number), responder: system.Dev.Person(models.RoleResponder, number),
		admin: system.Dev.Person(models.RoleAdmin, number),
	}
	phones, mailboxes := map[string]string{}, map[string]string{}
	for _, c := range contacts {
		phones[c.Phone], phones["sms:"+c.Phone], mailboxes[c.Email] = "acknowledges", "text-delivered", "delivered"
	}
	s.steer("twilio", "personas", map[string]any{"personas": phones})
	s.steer("sendgrid", "personas", map[string]any{"personas": mailboxes})
	t.Cleanup(func() { restoreSystem(t) })
	return s
}

// newClientScene sets a scene at a client of its own, which it adds over the API with an adjusted policy.
func newClientScene(t *testing.T, adjust func(*models.Policy)) *scene {
	t.Helper()
	operator := system.Dev.Person(models.RoleOperator, 0)
	p := fastPolicy()
	p.TellAfter = models.Duration(2 * time.Second)
	adjust(&p)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var added models.Client
	err := operator.Post(t.Context(), "/clients", map[string]any{
		"legal_name": "Test " + t.Name(), "time_zone": "Europe/Berlin", "language": "en", "policy": p,
		"contract": models.Contract{Start: start, End: start.AddDate(3, 0, -1), Plan: "mdr"},
		"edr":      models.EDR{Vendor: "crowdstrike", Tenant: strings.ReplaceAll(uuid.NewString(), "-", "")},
	}, &added)
	if err != nil {
		t.Fatalf("add a client: %v", err)
	}
	if err := operator.Post(t.Context(), fmt.Sprintf("/clients/%d/go-live", added.Number), map[string]any{"despite": "a test"}, nil); err != nil {
		t.Fatalf("let a client go live: %v", err)
	}
	authorize(t, added)
	var contacts []models.Contact
	for n := range 2 {
		var c models.Contact
		err := operator.Post(t.Context(), fmt.Sprintf("/clients/%d/contacts", added.Number), map[string]any{
			"name": fmt.Sprintf("Contact %d", n+1), "language": "en", "order": n + 1,
			"email": fmt.Sprintf("contact%d@client%d.example", n+1, added.Number), "phone": fmt.Sprintf("+4930%05d%02d", added.Number, n),
			"severities": models.Severities(), "channels": []models.Channel{models.ChannelEmail, models.ChannelVoice},
		}, &c)
		if err != nil {
			t.Fatalf("add a contact: %v", err)
		}
		contacts = append(contacts, c)
	}
	return setScene(t, added.Number, contacts)
}

// authorize adds a responder and an admin to the client. The admin signs a response authority that permits isolations
// and releases at once.
func authorize(t *testing.T, c models.Client) {
	t.Helper()
	db, err := store.Open(t.Context(), system.AppURL(), store.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	email := func(role models.Role) string { return fmt.Sprintf("%s@client%d.example", role, c.Number) }
	for _, role := range []models.Role{models.RoleResponder, models.RoleAdmin} {
		u := models.User{ClientID: c.ID, Name: "The " + string(role), Email: email(role), Role: role}
		if err := system.AddUser(t.Context(), db, u, c.Number); err != nil {
			t.Fatalf("add a user: %v", err)
		}
	}
	signer, err := db.UserByEmail(t.Context(), c.ID, email(models.RoleAdmin))
	if err == nil {
		err = stack.SignAuthority(t.Context(), db, c.ID, signer.ID, stack.ImmediateAuthority())
	}
	if err != nil {
		t.Fatalf("sign a response authority: %v", err)
	}
}

// restoreSystem brings the stack back to the state in which every test begins: without faults, every part running,
// and one worker.
func restoreSystem(t *testing.T) {
	ctx := context.WithoutCancel(t.Context())
	for vendor := range byName(system.Dev.Simulators) {
		if err := system.Dev.Steer(ctx, vendor, "faults", map[string]any{"clear": true, "rules": []rule{}}); err != nil {
			t.Error(err)
		}
	}
	for _, part := range []struct {
		done    <-chan struct{}
		restart func(context.Context) error
	}{
		{system.Postgres.Process().Done(), system.Postgres.Restart}, {system.Temporal.Process().Done(), system.Temporal.Restart},
		{system.API.Done(), system.StartAPI}, {lastWorker().Done(), func(ctx context.Context) error { return system.StartWorker(ctx) }},
	} {
		select {
		case <-part.done:
			if err := part.restart(ctx); err != nil {
				t.Errorf("start a killed part again: %v", err)
			}
		default:
		}
	}
	for _, surplus := range system.Workers[:len(system.Workers)-1] {
		surplus.Stop()
	}
}

// runSQL runs a statement as the superuser of PostgreSQL, in the database of a URL.
func runSQL(t *testing.T, database, statement string, args ...any) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	db, err := pgx.Connect(ctx, database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(ctx)
	if _, err := db.Exec(ctx, statement, args...); err != nil {
		t.Fatal(err)
	}
}

// await calls isSo until it returns true; what names the expected state in the failure. A temporary error makes it try
// again, any other error ends the test.
func (s *scene) await(what string, isSo func() (bool, error)) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := isSo()
		switch {
		case err == nil && ok:
			return
		case err != nil && !isTemporary(err):
			s.t.Fatalf("%s: waiting for %s: %v", s.ref, what, err)
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("%s: %s did not happen within %s (last error: %v)%s", s.ref, what, patience, err, s.eventList())
		case <-tick.C:
		}
	}
}

// isTemporary reports whether an error says only that a part does not answer now.
func isTemporary(err error) bool {
	var rejected *stack.APIError
	if errors.As(err, &rejected) {
		return rejected.Status == http.StatusServiceUnavailable
	}
	return true // no answer at all
}

// eventList returns the incident's events as text, for the reader of a failure.
func (s *scene) eventList() string {
	events, err := s.events()
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "\n  %3d %s %s %.500s", e.Seq, e.At.Format("15:04:05.000"), e.Type, fmt.Sprintf("%+v", e.Data))
	}
	return b.String()
}

// getIncident reads the incident over the API.
func (s *scene) getIncident() (i incident.Incident, err error) {
	return i, s.analyst.Get(s.t.Context(), "/incidents/"+string(s.ref), &i)
}

// current returns the incident as it is now.
func (s *scene) current() incident.Incident {
	s.t.Helper()
	i, err := s.getIncident()
	if err != nil {
		s.t.Fatalf("read %s: %v", s.ref, err)
	}
	return i
}

// until waits until isSo holds for the incident; what names that state in the failure.
func (s *scene) until(what string, isSo func(incident.Incident) bool) {
	s.t.Helper()
	s.await(what, func() (bool, error) {
		i, err := s.getIncident()
		return err == nil && isSo(i), err
	})
}

// events reads all events of the incident.
func (s *scene) events() (all []incident.Event, err error) {
	for after := 0; ; {
		var page struct{ Items []incident.Event }
		if err := s.analyst.Get(s.t.Context(), fmt.Sprintf("/incidents/%s/events?limit=200&cursor=%d", s.ref, after), &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if len(page.Items) < 200 {
			return all, nil
		}
		after = all[len(all)-1].Seq
	}
}

// eventsOf returns the data of the events of one kind, and checks that the events are numbered without a gap.
func eventsOf[D incident.EventData](s *scene) (found []D) {
	s.t.Helper()
	events, err := s.events()
	if err != nil {
		s.t.Fatalf("read events: %v", err)
	}
	for n, e := range events {
		if e.Seq != n+1 {
			s.t.Errorf("event %d of %s has number %d", n+1, s.ref, e.Seq)
		}
		if d, ok := e.Data.(D); ok {
			found = append(found, d)
		}
	}
	return found
}

// deliveries reads all deliveries of the incident.
func (s *scene) deliveries() (all []notify.Delivery) {
	s.t.Helper()
	path := "/incidents/" + string(s.ref) + "/deliveries?limit=200"
	for target := path; ; {
		var page struct {
			Items []notify.Delivery
			Next  string
		}
		if err := s.analyst.Get(s.t.Context(), target, &page); err != nil {
			s.t.Fatalf("read deliveries: %v", err)
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all
		}
		target = path + "&cursor=" + page.Next
	}
}

// post posts a body and returns the status. While parts are killed it repeats the request under the same key, as a
// program should.
func (s *scene) post(p stack.Person, path string, body, out any) (status int) {
	s.t.Helper()
	key := uuid.NewString()
	s.await("an answer to "+path, func() (bool, error) {
		var err error
		status, err = p.PostAs(s.t.Context(), key, path, body, out)
		if err != nil && !s.retry {
			s.t.Fatalf("%s: %s: %v", s.ref, path, err)
		}
		return err == nil, err
	})
	return status
}

// send lets a person send commands, one after the other, and waits until each was carried out.
func (s *scene) send(p stack.Person, commands ...incident.Command) {
	s.t.Helper()
	for _, c := range commands {
		status := s.post(p, "/incidents/"+string(s.ref)+"/"+c.Name(), c, nil)
		if status != http.StatusOK && !s.retry {
			s.t.Errorf("%s: the API answered %s with %d, want 200", s.ref, c.Name(), status)
		}
	}
}

// wantRejected lets a person send a command that the API must reject with a status, and that must leave no event.
func (s *scene) wantRejected(p stack.Person, status int, c incident.Command) {
	s.t.Helper()
	before := s.current().Seq
	_, err := p.Command(s.t.Context(), s.ref, c)
	var rejected *stack.APIError
	if !errors.As(err, &rejected) || rejected.Status != status || rejected.Detail == "" {
		s.t.Errorf("%s: %s was answered with %v, want a rejection with %d and its reason", s.ref, c.Name(), err, status)
		return
	}
	events, err := s.events()
	if err != nil {
		s.t.Fatalf("read events: %v", err)
	}
	for _, e := range events[min(before, len(events)):] {
		if e.Actor.Side != models.SideSystem && !strings.HasPrefix(e.Actor.ID, "contact:") {
			s.t.Errorf("%s: the rejected %s left the event %d, %s", s.ref, c.Name(), e.Seq, e.Type)
		}
	}
}

// byName yields the pairs of a map in the order of their names, so that requests and failures come in the same order in
// every run.
func byName[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if !yield(name, m[name]) {
				return
			}
		}
	}
}
