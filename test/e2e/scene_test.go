package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// patience bounds every wait. It is generous: the machine may be busy with other tests.
const patience = 2 * time.Minute

// scene is one incident of one client, with the people who handle it.
type scene struct {
	t        *testing.T
	number   int
	contacts []models.Contact // in calling order
	host     string           // a device of this scene alone
	vendor   string           // of the client's EDR, where it matters
	began    time.Time

	analyst, lead, operator  stack.Person
	viewer, responder, admin stack.Person // of seeded clients only

	ref   models.Reference
	rough bool // parts are being killed: what cannot be done now is asked for again under the same key
}

var hosts atomic.Int64

// at sets a scene at a seeded client.
func at(t *testing.T, client int) *scene {
	t.Helper()
	c := house.Dev.Clients[client]
	s := stage(t, c.Number, c.Contacts)
	s.viewer = house.Dev.Person(models.RoleViewer, c.Number)
	s.responder = house.Dev.Person(models.RoleResponder, c.Number)
	s.admin = house.Dev.Person(models.RoleAdmin, c.Number)
	return s
}

func stage(t *testing.T, number int, contacts []models.Contact) *scene {
	t.Helper()
	tell("%s", t.Name())
	if err := witness(); err != nil {
		t.Fatal(err)
	}
	s := &scene{
		t: t, number: number, contacts: contacts, host: fmt.Sprintf("WS-%03d.corp", hosts.Add(1)), began: time.Now(),
		analyst: house.Dev.Person(models.RoleAnalyst, 0), lead: house.Dev.Person(models.RoleLead, 0), operator: house.Dev.Person(models.RoleOperator, 0),
	}
	phones, mailboxes := map[string]string{}, map[string]string{}
	for _, c := range contacts {
		phones[c.Phone], phones["sms:"+c.Phone], mailboxes[c.Email] = "acknowledges", "text-delivered", "delivered"
	}
	s.steer("twilio", "personas", map[string]any{"personas": phones})
	s.steer("sendgrid", "personas", map[string]any{"personas": mailboxes})
	t.Cleanup(func() { mend(t) })
	return s
}

// newcomer sets a scene at a client of its own, taken on over the API, whose policy is adjusted.
func newcomer(t *testing.T, adjust func(*models.Policy)) *scene {
	t.Helper()
	operator := house.Dev.Person(models.RoleOperator, 0)
	p := policy()
	p.TellAfter = models.Duration(2 * time.Second)
	adjust(&p)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var made models.Client
	err := operator.Post(t.Context(), "/clients", map[string]any{
		"legal_name": "Test " + t.Name(), "time_zone": "Europe/Berlin", "language": "en", "policy": p,
		"contract": models.Contract{Start: start, End: start.AddDate(3, 0, -1), Plan: "mdr"},
		"edr":      models.EDR{Vendor: "crowdstrike", Tenant: strings.ReplaceAll(uuid.NewString(), "-", "")},
	}, &made)
	if err != nil {
		t.Fatalf("take on a client: %v", err)
	}
	authorize(t, made.ID)
	var contacts []models.Contact
	for n := range 2 {
		var c models.Contact
		err := operator.Post(t.Context(), fmt.Sprintf("/clients/%d/contacts", made.Number), map[string]any{
			"name": fmt.Sprintf("Contact %d", n+1), "language": "en", "order": n + 1,
			"email": fmt.Sprintf("contact%d@client%d.example", n+1, made.Number), "phone": fmt.Sprintf("+4930%05d%02d", made.Number, n),
			"severities": models.Severities(), "channels": []models.Channel{models.ChannelEmail, models.ChannelVoice},
		}, &c)
		if err != nil {
			t.Fatalf("add a contact: %v", err)
		}
		contacts = append(contacts, c)
	}
	return stage(t, made.Number, contacts)
}

// authorize lets a user of the client, who is made for it, sign a response authority that isolates and releases at once.
func authorize(t *testing.T, client uuid.UUID) {
	t.Helper()
	db, err := store.Open(t.Context(), house.AppURL(), store.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	signer, err := db.CreateUser(t.Context(), models.User{ClientID: client, Name: "Signer", Email: "signer@client.example", Role: models.RoleAdmin})
	if err == nil {
		err = stack.SignAuthority(t.Context(), db, client, signer.ID, stack.AtOnce())
	}
	if err != nil {
		t.Fatalf("sign a response authority: %v", err)
	}
}

// mend brings the stack back to where every test begins: no faults, everything running.
func mend(t *testing.T) {
	ctx := context.WithoutCancel(t.Context())
	for vendor := range house.Dev.Simulators {
		if err := house.Dev.Steer(ctx, vendor, "faults", map[string]any{"clear": true, "rules": []rule{}}); err != nil {
			t.Error(err)
		}
	}
	for _, part := range []struct {
		done    <-chan struct{}
		restart func(context.Context) error
	}{
		{house.Postgres.Process().Done(), house.Postgres.Restart}, {house.Temporal.Process().Done(), house.Temporal.Restart},
		{house.API.Done(), house.StartAPI}, {worker().Done(), house.StartWorker},
	} {
		select {
		case <-part.done:
			if err := part.restart(ctx); err != nil {
				t.Errorf("bring back what was killed: %v", err)
			}
		default:
		}
	}
}

// await looks until something is so. What cannot be looked at for now is looked at again; any other error ends the test.
func (s *scene) await(what string, so func() (bool, error)) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := so()
		switch {
		case err == nil && ok:
			return
		case err != nil && !passing(err):
			s.t.Fatalf("%s: waiting for %s: %v", s.ref, what, err)
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("%s: %s did not happen within %s (last error: %v)%s", s.ref, what, patience, err, s.story())
		case <-tick.C:
		}
	}
}

// passing reports whether an error says only that something does not answer now.
func passing(err error) bool {
	var rejected *stack.APIError
	if errors.As(err, &rejected) {
		return rejected.Status == http.StatusServiceUnavailable
	}
	return true // no answer at all
}

// story lists the incident's events, for whoever reads a failure.
func (s *scene) story() string {
	events, err := s.events()
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "\n  %3d %s %s %+v", e.Seq, e.At.Format("15:04:05.000"), e.Type, e.Data)
	}
	return b.String()
}

func (s *scene) incident() (i incident.Incident, err error) {
	return i, s.analyst.Get(s.t.Context(), "/incidents/"+string(s.ref), &i)
}

// now reads the incident.
func (s *scene) now() incident.Incident {
	s.t.Helper()
	i, err := s.incident()
	if err != nil {
		s.t.Fatalf("read %s: %v", s.ref, err)
	}
	return i
}

// until waits for the incident to be as wanted.
func (s *scene) until(what string, so func(incident.Incident) bool) {
	s.t.Helper()
	s.await(what, func() (bool, error) {
		i, err := s.incident()
		return err == nil && so(i), err
	})
}

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

// happened returns the events of one kind.
func happened[D incident.EventData](s *scene) (found []D) {
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

// send posts and insists while parts are down, under one key, as a program should.
func (s *scene) send(p stack.Person, path string, body, out any) (status int) {
	s.t.Helper()
	key := uuid.NewString()
	s.await("an answer to "+path, func() (bool, error) {
		var err error
		status, err = p.PostAs(s.t.Context(), key, path, body, out)
		if err != nil && !s.rough {
			s.t.Fatalf("%s: %s: %v", s.ref, path, err)
		}
		return err == nil, err
	})
	return status
}

// give lets a person give commands, one after the other. Each has happened when it returns.
func (s *scene) give(p stack.Person, commands ...incident.Command) {
	s.t.Helper()
	for _, c := range commands {
		status := s.send(p, "/incidents/"+string(s.ref)+"/"+c.Name(), c, nil)
		if status != http.StatusOK && !s.rough {
			s.t.Errorf("%s: %s was answered with %d", s.ref, c.Name(), status)
		}
	}
}

// refused lets a person give a command that must be refused with a status, and without a trace.
func (s *scene) refused(p stack.Person, status int, c incident.Command) {
	s.t.Helper()
	before := s.now().Seq
	_, err := p.Command(s.t.Context(), s.ref, c)
	var rejected *stack.APIError
	if !errors.As(err, &rejected) || rejected.Status != status || rejected.Detail == "" {
		s.t.Errorf("%s: %s: got %v, want a refusal with %d and its reason", s.ref, c.Name(), err, status)
		return
	}
	events, err := s.events()
	if err != nil {
		s.t.Fatalf("read events: %v", err)
	}
	for _, e := range events[min(before, len(events)):] {
		if e.Actor.Side != models.SideSystem && !strings.HasPrefix(e.Actor.ID, "contact:") {
			s.t.Errorf("%s: the refused %s left the event %d, %s", s.ref, c.Name(), e.Seq, e.Type)
		}
	}
}
