package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// outage returns a fault of every operation of a vendor: "refuse" refuses connections, "status" answers 503.
func outage(kind string) rule { return rule{Op: "*", Kind: kind, Status: 503} }

// awaitTasksDone waits until Watchfire has ended every task by itself.
func (s *scene) awaitTasksDone() {
	s.t.Helper()
	s.until("the tasks to end by themselves", func(i incident.Incident) bool {
		for _, t := range i.Tasks {
			if !t.Done {
				return false
			}
		}
		return len(i.Tasks) > 0
	})
}

func TestWhileMailIsDownTheIncidentShowsItAndGoesOnAfterwards(t *testing.T) {
	for _, kind := range []string{"refuse", "status"} {
		t.Run(kind, func(t *testing.T) {
			s := newClientScene(t, func(*models.Policy) {})
			s.faults("sendgrid", outage(kind))
			s.faults("smtp", rule{Op: "*", Kind: "refuse"}) // so is the second mailer
			s.open(models.SeverityCritical)
			s.assess()
			s.publish()
			s.until("a task about the mails", func(i incident.Incident) bool { return len(openTasks(i, incident.TaskVendorDown)) == 1 })
			s.awaitAcknowledgement() // the phone does not wait for the mail
			s.clearFaults("sendgrid", "smtp")
			s.awaitTasksDone()
			s.wantMails(notify.PurposePublished)
		})
	}
}

func TestWhileThePhoneIsDownTheIncidentShowsItAndGoesOnAfterwards(t *testing.T) {
	s := newClientScene(t, func(p *models.Policy) { p.Rounds = 50 })
	s.faults("twilio", outage("refuse"))
	s.open(models.SeverityCritical)
	s.assess()
	s.publish()
	s.until("a task about the phone", func(i incident.Incident) bool { return len(openTasks(i, incident.TaskVendorDown)) == 1 })
	s.wantMails(notify.PurposePublished) // the mails do not wait for the phone
	if n := len(s.calls()); n != 0 {
		t.Errorf("%d calls were placed while the phone was down", n)
	}
	s.clearFaults("twilio")
	s.awaitAcknowledgement()
	s.awaitTasksDone()
	s.wantOrderlyCalls()
	if n := len(s.calls()); n != 1 {
		t.Errorf("%d calls were placed after the outage, want the one that was acknowledged", n)
	}
}

func TestWhileTheEDRIsDownTheIncidentShowsItAndGoesOnAfterwards(t *testing.T) {
	s := newClientScene(t, func(*models.Policy) {})
	s.faults("crowdstrike", outage("refuse"))
	s.open(models.SeverityCritical)
	s.assess()
	s.isolate()
	s.publish()
	s.until("a task about the endpoint", func(i incident.Incident) bool {
		return len(openTasks(i, incident.TaskUnconfirmed)) == 1 && i.Containment() == incident.ContainmentFailed
	})
	s.awaitAcknowledgement()
	s.wantActions()
	s.clearFaults("crowdstrike")
	s.awaitContainment(incident.ContainmentContained)
	s.awaitTasksDone()
	s.wantActions("contain")
}

// While no vendor accepts our key one task says so and one message is tried now and then; when the key is right again
// every message goes out once, and nobody has to do anything for it.
func TestMessagesGoOutByThemselvesWhenTheKeyIsRightAgain(t *testing.T) {
	s := newClientScene(t, func(p *models.Policy) { p.Rounds = 50 })
	for n := range 6 {
		channel := []models.Channel{models.ChannelEmail, models.ChannelSMS}[n/3]
		s.addContact(n+3, channel)
	}
	s.faults("sendgrid", rule{Op: "send_mail", Kind: "status", Status: 401})
	s.faults("smtp", rule{Op: "data", Kind: "status", Status: 535})
	s.faults("twilio", rule{Op: "create_message", Kind: "status", Status: 401}, rule{Op: "place_call", Kind: "status", Status: 401})
	s.open(models.SeverityCritical)
	s.assess()
	s.publish()
	s.until("a task for each channel", func(i incident.Incident) bool { return len(openTasks(i, incident.TaskConfig)) == 3 })
	s.await("attempts while the key is wrong", func() (bool, error) { return s.refusedMails() >= 8, nil })
	if tasks := s.current().Tasks; len(tasks) != 3 {
		t.Errorf("there are %d tasks, want one each for mails, texts and calls: %+v", len(tasks), tasks)
	}
	s.clearFaults("sendgrid", "smtp", "twilio")
	s.awaitAcknowledgement()
	s.awaitTasksDone()
	s.await("the messages", func() (bool, error) { return len(s.mails())+len(s.texts()) >= 8, nil })
	got := map[string]int{}
	for _, m := range s.mails() {
		got[m.To]++
	}
	for _, m := range s.texts() {
		got[m.To]++
	}
	for n, c := range s.contacts {
		if to := got[c.Email] + got[c.Phone]; to != 1 {
			t.Errorf("contact %d got %d messages, want one", n+1, to)
		}
	}
	events, err := s.events()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if _, done := e.Data.(*incident.TaskDone); done && e.Actor.Side != models.SideSystem {
			t.Errorf("a task was completed by %s", e.Actor.Side)
		}
	}
}

// A carrier that asks us to come back later is not asked before, however soon the incident would try again by itself.
func TestAVendorThatAsksForPatienceIsNotAskedBefore(t *testing.T) {
	s := newClientScene(t, func(*models.Policy) {}) // it would try again after two seconds, and one more
	s.addContact(3, models.ChannelSMS)
	s.faults("twilio", rule{Op: "create_message", Kind: "status", Status: 429, Headers: map[string]string{"Retry-After": "9"}, Times: 1})
	s.open(models.SeverityLow)
	s.assess()
	s.publish()
	s.await("the text", func() (bool, error) { return len(s.texts()) == 1, nil })
	entries, err := system.Dev.Journal(t.Context(), "twilio")
	if err != nil {
		t.Fatal(err)
	}
	var refused time.Time
	for _, e := range entries {
		if e.Status == 429 && e.At.After(s.began) {
			refused = e.At
		}
	}
	if waited := s.texts()[0].Placed.Sub(refused); refused.IsZero() || waited < 9*time.Second {
		t.Errorf("asked again after %s, want the 9 seconds the carrier asked for", waited)
	}
}

// addContact adds a contact who is reached over one channel.
func (s *scene) addContact(order int, channel models.Channel) {
	s.t.Helper()
	var c models.Contact
	err := system.Dev.Person(models.RoleOperator, 0).Post(s.t.Context(), fmt.Sprintf("/clients/%d/contacts", s.number), map[string]any{
		"name": fmt.Sprintf("Contact %d", order), "language": "en", "order": order,
		"email": fmt.Sprintf("contact%d@client%d.example", order, s.number), "phone": fmt.Sprintf("+49151%05d%03d", s.number, order),
		"severities": models.Severities(), "channels": []models.Channel{channel},
	}, &c)
	if err != nil {
		s.t.Fatalf("add a contact: %v", err)
	}
	s.contacts = append(s.contacts, c)
}

// refusedMails counts the mails about the incident that SendGrid refused since the scene began.
func (s *scene) refusedMails() (n int) {
	s.t.Helper()
	entries, err := system.Dev.Journal(s.t.Context(), "sendgrid")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Path == "/v3/mail/send" && e.Status == 401 && e.At.After(s.began) && strings.Contains(e.Body, string(s.ref)) {
			n++
		}
	}
	return n
}

// While Temporal stands still for eight seconds a contact presses 1 and an analyst sends a command. Neither is turned
// away, and nobody has to do it again.
func TestAPauseOfTheEngineTurnsNobodyAway(t *testing.T) {
	s := newScene(t, 0)
	s.setPhonePersonas("acknowledges", "acknowledges")
	s.open(models.SeverityCritical)
	s.assess()
	s.publish()
	s.await("the first contact's phone to ring", func() (bool, error) { return s.isBeingCalled(0), nil })
	temporal := system.Temporal.Process().PID()
	signalProcess(t, temporal, syscall.SIGSTOP)
	goesOn := time.AfterFunc(8*time.Second, func() { signalProcess(t, temporal, syscall.SIGCONT) })
	t.Cleanup(func() {
		if goesOn.Stop() {
			signalProcess(t, temporal, syscall.SIGCONT)
		}
	})
	status := s.post(s.analyst, "/incidents/"+string(s.ref)+"/comment", &incident.Comment{Text: "We look into it."}, nil)
	if status != http.StatusOK && status != http.StatusAccepted {
		t.Errorf("the API answered a comment with %d", status)
	}
	s.awaitAcknowledgement()
	s.until("the comment", func(incident.Incident) bool { return len(eventsOf[*incident.Commented](s)) == 1 })
	s.wantCalls(1, 0)
	if c := s.callsTo(0)[0]; len(c.Keys) != 1 {
		t.Errorf("the contact pressed %d keys, and heard %+v", len(c.Keys), c.Said)
	}
	for _, c := range s.callsTo(0)[0].Callbacks {
		if c.HTTP >= http.StatusInternalServerError {
			t.Errorf("the carrier's report %s was answered with %d", c.Status, c.HTTP)
		}
	}
	if n := len(eventsOf[*incident.AcknowledgedBy](s)); n != 1 {
		t.Errorf("%d acknowledgements are recorded", n)
	}
	s.wantAgreement()
}
