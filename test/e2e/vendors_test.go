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

// call is the carrier's record of a placed call.
type call struct {
	Sid      string
	To       string
	URL      string // of its document
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

// overAt returns the time from which the next call may be placed: the call has ended, or the contact passed it on and
// hears no more than a goodbye.
func (c call) overAt() time.Time {
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

// mail is a mailer's record of an accepted mail.
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

// edrAction is an action that took effect, by CrowdStrike's name: contain or lift_containment.
type edrAction struct {
	At       time.Time
	Action   string
	Hostname string
}

// steer sends faults or personas to a simulator.
func (s *scene) steer(vendor, what string, body any) {
	s.t.Helper()
	if err := system.Dev.Steer(s.t.Context(), vendor, what, body); err != nil {
		s.t.Fatal(err)
	}
}

// faults adds rules to a vendor.
func (s *scene) faults(vendor string, rules ...rule) {
	s.t.Helper()
	s.steer(vendor, "faults", map[string]any{"rules": rules})
}

// clearFaults removes the fault rules of vendors.
func (s *scene) clearFaults(vendors ...string) {
	s.t.Helper()
	for _, v := range vendors {
		s.steer(v, "faults", map[string]any{"clear": true, "rules": []rule{}})
	}
}

// setPhonePersonas sets how the client's contacts behave on the phone, in calling order.
func (s *scene) setPhonePersonas(names ...string) {
	s.t.Helper()
	people := map[string]string{}
	for n, name := range names {
		people[s.contacts[n].Phone] = name
	}
	s.steer("twilio", "personas", map[string]any{"personas": people})
}

// setDevicePersona sets how the scene's device behaves in CrowdStrike.
func (s *scene) setDevicePersona(name string) {
	s.t.Helper()
	s.steer("crowdstrike", "personas", map[string]any{"personas": map[string]string{s.host: name}})
}

// effects reads into out what the requests to a vendor really did.
func (s *scene) effects(vendor string, out any) {
	s.t.Helper()
	if err := system.Dev.Effects(s.t.Context(), vendor, out); err != nil {
		s.t.Fatal(err)
	}
}

// calls returns the product's calls to the client's contacts since the scene began, the oldest first.
func (s *scene) calls() (all []call) {
	s.t.Helper()
	var e struct{ Calls map[string][]call }
	s.effects("twilio", &e)
	for _, c := range s.contacts {
		for _, k := range e.Calls[c.Phone] {
			if k.Placed.After(s.began) && strings.HasPrefix(k.URL, system.Dev.App+"/") {
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
func (s *scene) isBeingCalled(n int) bool {
	s.t.Helper()
	calls := s.callsTo(n)
	return len(calls) > 0 && calls[len(calls)-1].Ended == nil
}

// mails returns the mails about the scene's incident, from both mailers, in the order of their addresses.
func (s *scene) mails() (all []mail) {
	s.t.Helper()
	for _, mailer := range []string{"sendgrid", "smtp"} {
		var e struct{ Mails map[string][]mail }
		s.effects(mailer, &e)
		for to, list := range byName(e.Mails) {
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

// shortMessage is the carrier's record of an accepted text message, or of an answer to a reply.
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

// actions returns the actions that the EDR carried out on the scene's device, in order.
func (s *scene) actions() (actions []string) {
	s.t.Helper()
	var e struct{ Commands []edrAction }
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
		key[messageIDOf(d.Key)] = d.Key
	}
	got := map[string]int{}
	for _, m := range s.mails() {
		got[m.To+" "+key[m.messageID()]]++
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
	for unexpected, n := range byName(got) {
		s.t.Errorf("%s: %d unexpected mails %s", s.ref, n, unexpected)
	}
}

// messageID returns the mail's Message-ID without its brackets and its domain.
func (m mail) messageID() string {
	id := strings.Trim(cmp.Or(m.Headers["Message-ID"], m.MessageID), "<>")
	name, _, _ := strings.Cut(id, "@")
	return name
}

// messageIDOf returns the Message-ID that the mail of a delivery must have: half of the SHA-256 of its key, so that
// mail programs show a mail that was sent twice only once.
func messageIDOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

// wantCalls checks how often each contact was called, in calling order, and checks the order of the calls.
func (s *scene) wantCalls(times ...int) {
	s.t.Helper()
	for n, want := range times {
		if got := len(s.callsTo(n)); got != want {
			s.t.Errorf("%s: contact %d was called %d times, want %d%s", s.ref, n+1, got, want, s.eventList())
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
		if n > 0 && c.Placed.Before(calls[n-1].overAt()) {
			s.t.Errorf("%s: call %d began at %s, before the previous one was over%s", s.ref, n+1, c.Placed, s.eventList())
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

// wantActions checks the actions that the EDR carried out on the scene's device, and their order.
func (s *scene) wantActions(want ...string) {
	s.t.Helper()
	if got := s.actions(); !slices.Equal(got, want) {
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

// lastWorker returns the worker process that was started last.
func lastWorker() *devstack.Process { return system.Workers[len(system.Workers)-1] }

// killWorker kills the last worker.
func (s *scene) killWorker() {
	printProgress("  kill -9 of the worker")
	lastWorker().Kill()
}

// startWorker starts another worker.
func (s *scene) startWorker() {
	s.t.Helper()
	if err := system.StartWorker(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// spellOut returns a reference as the call reads it out.
func spellOut(r models.Reference) string {
	var parts []string
	for part := range strings.SplitSeq(string(r), "-") {
		parts = append(parts, strings.Join(strings.Split(part, ""), " "))
	}
	return strings.Join(parts, ", ")
}
