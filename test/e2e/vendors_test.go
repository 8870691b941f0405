package e2e

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/devstack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	simstage "github.com/watchfire-mdr/watchfire/simulators/stage"
)

// rule makes a simulator misbehave.
type rule = simstage.Rule

// call is what became of a call that was really placed.
type call struct {
	Sid      string
	To       string
	Status   string
	Placed   time.Time  `json:"in_flight_from"`
	Ended    *time.Time `json:"in_flight_until"`
	Answered *time.Time `json:"answered_at"`
	Keys     []struct {
		Key string
		At  time.Time
	}
	Said []struct {
		Text     string
		AfterKey string `json:"after_key"`
	}
	Callbacks []struct {
		Status string `json:"call_status"`
		HTTP   int    `json:"http_status"`
		Fault  string
	}
}

// done is when a call no longer stands in the way of the next: it ended, or the contact passed it on and hears no
// more than a goodbye.
func (c call) done() time.Time {
	for _, k := range c.Keys {
		if k.Key == "3" {
			return k.At
		}
	}
	if c.Ended == nil {
		return time.Now()
	}
	return *c.Ended
}

// mail is what became of a mail that was really accepted.
type mail struct {
	To         string
	Subject    string
	Headers    map[string]string
	MessageID  string            `json:"message_id"` // as the SMTP server saw it
	Mailer     string            `json:"-"`
	CustomArgs map[string]string `json:"custom_args"`
	Accepted   time.Time         `json:"accepted_at"`
	Events     []string
}

// order is a contain or lift that took effect.
type order struct {
	At       time.Time
	Action   string
	Hostname string
}

func (s *scene) steer(vendor, what string, body any) {
	s.t.Helper()
	if err := house.Dev.Steer(s.t.Context(), vendor, what, body); err != nil {
		s.t.Fatal(err)
	}
}

// faults adds rules to a vendor.
func (s *scene) faults(vendor string, rules ...rule) {
	s.t.Helper()
	s.steer(vendor, "faults", map[string]any{"rules": rules})
}

// heal takes a vendor's rules away.
func (s *scene) heal(vendors ...string) {
	s.t.Helper()
	for _, v := range vendors {
		s.steer(v, "faults", map[string]any{"clear": true, "rules": []rule{}})
	}
}

// persona says how the client's contacts behave on the phone, in calling order.
func (s *scene) persona(names ...string) {
	s.t.Helper()
	people := map[string]string{}
	for n, name := range names {
		people[s.contacts[n].Phone] = name
	}
	s.steer("twilio", "personas", map[string]any{"personas": people})
}

func (s *scene) effects(vendor string, out any) {
	s.t.Helper()
	if err := house.Dev.Effects(s.t.Context(), vendor, out); err != nil {
		s.t.Fatal(err)
	}
}

// calls returns the calls to the client's contacts since the scene began, the oldest first.
func (s *scene) calls() (all []call) {
	s.t.Helper()
	var e struct{ Calls map[string][]call }
	s.effects("twilio", &e)
	for _, c := range s.contacts {
		for _, k := range e.Calls[c.Phone] {
			if k.Placed.After(s.began) {
				all = append(all, k)
			}
		}
	}
	slices.SortFunc(all, func(a, b call) int { return a.Placed.Compare(b.Placed) })
	return all
}

// callsTo returns the calls to the n-th contact.
func (s *scene) callsTo(n int) (found []call) {
	s.t.Helper()
	for _, c := range s.calls() {
		if c.To == s.contacts[n].Phone {
			found = append(found, c)
		}
	}
	return found
}

// inFlight reports whether the n-th contact's phone is being called right now.
func (s *scene) inFlight(n int) bool {
	s.t.Helper()
	calls := s.callsTo(n)
	return len(calls) > 0 && calls[len(calls)-1].Ended == nil
}

// mails returns the mails about the scene's incident, whichever mailer took them.
func (s *scene) mails() (all []mail) {
	s.t.Helper()
	for _, mailer := range []string{"sendgrid", "smtp"} {
		var e struct{ Mails map[string][]mail }
		s.effects(mailer, &e)
		for to, list := range e.Mails {
			for _, m := range list {
				if strings.Contains(m.Subject, "["+string(s.ref)+"]") {
					m.To, m.Mailer = to, mailer
					all = append(all, m)
				}
			}
		}
	}
	return all
}

// shortMessage is what became of a text message that was really accepted, or of an answer to one.
type shortMessage struct {
	To      string
	Body    string
	Placed  time.Time
	ReplyOf string `json:"reply_of"`
}

// texts returns the texts about the scene's incident, the oldest first.
func (s *scene) texts() (all []shortMessage) {
	s.t.Helper()
	var e struct{ Texts map[string][]shortMessage }
	s.effects("twilio", &e)
	for _, c := range s.contacts {
		for _, m := range e.Texts[c.Phone] {
			if strings.Contains(m.Body, string(s.ref)) {
				all = append(all, m)
			}
		}
	}
	return all
}

// orders returns what was done to the scene's device.
func (s *scene) orders() (actions []string) {
	s.t.Helper()
	var e struct{ Commands []order }
	s.effects("crowdstrike", &e)
	for _, c := range e.Commands {
		if c.Hostname == s.host {
			actions = append(actions, c.Action)
		}
	}
	return actions
}

// wantMails checks that every contact got exactly one mail for each purpose, each from an entry of its own in the
// incident's deliveries, and nobody any other.
func (s *scene) wantMails(purposes ...notify.Purpose) {
	s.t.Helper()
	s.await("the mails", func() (bool, error) { return len(s.mails()) >= len(purposes)*len(s.contacts), nil })
	key := map[string]string{}
	for _, d := range s.deliveries() {
		key[messageID(d.Key)] = d.Key
	}
	got := map[string]int{}
	for _, m := range s.mails() {
		got[m.To+" "+key[m.id()]]++
	}
	for _, p := range purposes {
		for _, c := range s.contacts {
			want := c.Email + " " + fmt.Sprintf("%s/%s/1/%s/email/1", s.ref, p, c.ID)
			if got[want] != 1 {
				s.t.Errorf("%s: %d mails %s, want 1", s.ref, got[want], want)
			}
			delete(got, want)
		}
	}
	for what, n := range got {
		s.t.Errorf("%s: %d unexpected mails %s", s.ref, n, what)
	}
}

// id is the mail's Message-ID without its brackets and its domain.
func (m mail) id() string {
	id := strings.Trim(cmp.Or(m.Headers["Message-ID"], m.MessageID), "<>")
	name, _, _ := strings.Cut(id, "@")
	return name
}

// messageID is what a delivery's mail is to be named: half of the SHA-256 of its key, so that a mail that was sent
// twice is shown once.
func messageID(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

// wantCalls checks how often each contact was called, in calling order, and that the calls did not step on each other.
func (s *scene) wantCalls(times ...int) {
	s.t.Helper()
	for n, want := range times {
		if got := len(s.callsTo(n)); got != want {
			s.t.Errorf("%s: contact %d was called %d times, want %d%s", s.ref, n+1, got, want, s.story())
		}
	}
	s.wantOrderlyCalls()
}

// wantOrderlyCalls checks that no two calls overlap, that nobody is called after an acknowledgement, and that no
// call was placed that the incident's deliveries do not know.
func (s *scene) wantOrderlyCalls() {
	s.t.Helper()
	calls := s.calls()
	var acknowledged time.Time
	for n, c := range calls {
		if n > 0 && c.Placed.Before(calls[n-1].done()) {
			s.t.Errorf("%s: call %d began at %s, before the one before it was done with%s", s.ref, n+1, c.Placed, s.story())
		}
		if !acknowledged.IsZero() && c.Placed.After(acknowledged) {
			s.t.Errorf("%s: call %d was placed after the acknowledgement", s.ref, n+1)
		}
		for _, k := range c.Keys {
			if k.Key == "1" && acknowledged.IsZero() {
				acknowledged = k.At
			}
		}
	}
	planned := map[uuid.UUID]int{}
	for _, d := range s.deliveries() {
		if d.Kind == notify.EffectCall {
			planned[d.Contact]++
		}
	}
	for n, c := range s.contacts {
		if got := len(s.callsTo(n)); got > planned[c.ID] {
			s.t.Errorf("%s: contact %d was called %d times for %d planned calls", s.ref, n+1, got, planned[c.ID])
		}
	}
}

// wantOrders checks what was done to the scene's device, and in which order.
func (s *scene) wantOrders(want ...string) {
	s.t.Helper()
	if got := s.orders(); !slices.Equal(got, want) {
		s.t.Errorf("%s: the EDR carried out %v, want %v", s.ref, got, want)
	}
}

// openTasks lists the open tasks of a kind.
func openTasks(i incident.Incident, kind incident.TaskKind) (open []incident.Task) {
	for _, t := range i.Tasks {
		if t.Kind == kind && !t.Done {
			open = append(open, t)
		}
	}
	return open
}

// worker is the worker process that was started last.
func worker() *devstack.Process { return house.Workers[len(house.Workers)-1] }

// killWorker ends the worker with SIGKILL.
func (s *scene) killWorker() {
	tell("  kill -9 of the worker")
	worker().Kill()
}

func (s *scene) startWorker() {
	s.t.Helper()
	if err := house.StartWorker(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// spelled is a reference as it is read out.
func spelled(r models.Reference) string {
	var parts []string
	for part := range strings.SplitSeq(string(r), "-") {
		parts = append(parts, strings.Join(strings.Split(part, ""), " "))
	}
	return strings.Join(parts, ", ")
}
