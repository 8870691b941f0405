package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// deliveryTo returns the first delivery of a kind to the n-th contact, or nil.
func (s *scene) deliveryTo(kind notify.EffectKind, n int) *notify.Delivery {
	s.t.Helper()
	for _, d := range s.deliveries() {
		if d.Kind == kind && d.Contact == s.contacts[n].ID {
			return &d
		}
	}
	return nil
}

// setMailboxPersonas sets how the mailboxes of the client's contacts behave, in calling order. It takes the SMTP server
// down, which does not report on mails, so that SendGrid is the only mailer.
func (s *scene) setMailboxPersonas(names ...string) {
	s.t.Helper()
	s.faults("smtp", rule{Op: "*", Kind: "refuse"})
	boxes := map[string]string{}
	for n, name := range names {
		boxes[s.contacts[n].Email] = name
	}
	s.steer("sendgrid", "personas", map[string]any{"personas": boxes})
}

// texter is the number of the one contact of a seeded client who has a mobile phone.
const texter = 1

// setTextPersona sets how the mobile phone of that contact behaves.
func (s *scene) setTextPersona(persona string) {
	s.t.Helper()
	s.steer("twilio", "personas", map[string]any{"personas": map[string]string{"sms:" + s.contacts[texter].Phone: persona}})
}

func TestTheNextContactIsCalledWhateverHappensOnThePhone(t *testing.T) {
	for persona, want := range byName(map[string]notify.CallOutcome{
		"hangs_up": notify.OutcomeNoKey, "wrong_digit": notify.OutcomeNoKey, "silent": notify.OutcomeNoKey, "voicemail": notify.OutcomeVoicemail,
		"busy": notify.OutcomeBusy, "no_answer": notify.OutcomeNoAnswer, "unreachable": notify.OutcomeUnreachable, "invalid": notify.OutcomeRejected,
		"passes": notify.OutcomePassedOn,
	}) {
		t.Run(persona, func(t *testing.T) {
			s := newScene(t, 1)
			s.setPhonePersonas(persona, "acknowledges")
			s.open(models.SeverityCritical)
			s.assess()
			s.publish()
			s.awaitAcknowledgement()
			s.wantOrderlyCalls()
			if len(s.callsTo(1)) != 1 || len(s.callsTo(2)) != 0 {
				t.Errorf("%d and %d calls to the second and the third contact, want 1 and 0", len(s.callsTo(1)), len(s.callsTo(2)))
			}
			s.await("the outcomes of both calls in the ledger, which nobody waits for", func() (bool, error) {
				first, second := s.deliveryTo(notify.EffectCall, 0), s.deliveryTo(notify.EffectCall, 1)
				return first != nil && first.Outcome != "" && second != nil && second.Outcome != "", nil
			})
			if d := s.deliveryTo(notify.EffectCall, 0); d.Outcome != string(want) {
				t.Errorf("the delivery of the first call is %+v, want the outcome %s", d, want)
			}
			if d := s.deliveryTo(notify.EffectCall, 1); d.AcknowledgedBy != s.contacts[1].ID || d.How != "key press 1" || d.Outcome != "acknowledged" {
				t.Errorf("the delivery of the acknowledged call is %+v", d)
			}
			if rejected := len(openTasks(s.current(), incident.TaskRejected)) == 1; rejected != (persona == "invalid") {
				t.Errorf("a task about a rejected call is open: %t; tasks %+v", rejected, s.current().Tasks)
			}
		})
	}
}

func TestTheNextChannelMakesUpForAMailThatDoesNotArrive(t *testing.T) {
	s := newScene(t, 2)
	s.setMailboxPersonas("hard_bounce", "suppressed", "deferred_then_delivered")
	s.open(models.SeverityHigh)
	s.assess()
	s.publish()
	s.await("a call to the contact without a mobile phone", func() (bool, error) { return len(s.callsTo(0)) == 1, nil })
	s.await("a text to the contact with a mobile phone", func() (bool, error) { return len(s.texts()) == 1, nil })
	s.awaitAcknowledgement()
	s.until("a task for each", func(i incident.Incident) bool { return len(openTasks(i, incident.TaskNotDelivered)) == 2 })
	s.await("the deferred mail", func() (bool, error) {
		d := s.deliveryTo(notify.EffectMail, 2)
		return d != nil && d.VendorState == "delivered", nil
	})
	var states []string
	for _, report := range s.deliveryTo(notify.EffectMail, 2).States {
		if report.At.IsZero() {
			t.Errorf("the vendor's report %s has no time", report.State)
		}
		states = append(states, report.State)
	}
	if !slices.Contains(states, "deferred") || !slices.Contains(states, "delivered") {
		t.Errorf("the vendor's reports on the deferred mail are %v, want deferred and delivered", states)
	}
	if to := s.texts()[0].To; to != s.contacts[texter].Phone {
		t.Errorf("the text went to %s, want the contact with a mobile phone", to)
	}
	if n := len(s.calls()); n != 1 {
		t.Errorf("%d calls were placed, want one, to the contact whose mail bounced", n)
	}
	for _, e := range eventsOf[*incident.NotDelivered](s) {
		if want := map[uuid.UUID]models.Channel{s.contacts[0].ID: models.ChannelVoice, s.contacts[1].ID: models.ChannelSMS}[e.Contact]; e.Fallback != want {
			t.Errorf("contact %s has the fallback %q, want %q", e.Contact, e.Fallback, want)
		}
	}
}

func TestACallMakesUpForATextThatDoesNotArrive(t *testing.T) {
	for _, persona := range []string{"text-undelivered", "text-landline", "text-unsubscribed", "text-invalid"} {
		t.Run(persona, func(t *testing.T) {
			s := newScene(t, 2)
			s.setMailboxPersonas("delivered", "hard_bounce", "delivered")
			s.setTextPersona(persona)
			s.open(models.SeverityMedium)
			s.assess()
			s.publish()
			s.awaitAcknowledgement()
			if len(s.callsTo(texter)) != 1 || len(s.calls()) != 1 {
				t.Errorf("the calls are %+v, want one, to the contact of the text", s.calls())
			}
			i := s.current()
			if open := len(openTasks(i, incident.TaskNotDelivered)) + len(openTasks(i, incident.TaskRejected)); open != 2 {
				t.Errorf("%d tasks are open, want one for the mail and one for the text: %+v", open, i.Tasks)
			}
		})
	}
}

func TestAReplyToATextAcknowledgesAndStopsTheCalls(t *testing.T) {
	s := newScene(t, 0)
	s.setPhonePersonas("no_answer", "no_answer", "no_answer")
	s.setTextPersona("text-acknowledges")
	s.open(models.SeverityCritical)
	s.assess()
	s.publish()
	s.until("the acknowledgement by text", func(i incident.Incident) bool { return i.Acknowledged != nil && !i.CallRoundEnded.IsZero() })
	i := s.current()
	if i.Acknowledged.Channel != "sms" || i.Acknowledged.How != "reply to text message" {
		t.Errorf("the acknowledgement is %+v, want one by the reply to a text", i.Acknowledged)
	}
	for _, c := range s.calls() {
		if c.Placed.After(i.Acknowledged.At.Add(time.Second)) {
			t.Errorf("a call was placed at %s, after the acknowledgement at %s", c.Placed, i.Acknowledged.At)
		}
	}
	var d *notify.Delivery
	s.await("the ledger to know who replied", func() (bool, error) { // the ledger learns of it after the incident
		d = s.deliveryTo(notify.EffectText, texter)
		return d != nil && d.AcknowledgedBy != uuid.Nil, nil
	})
	if d.AcknowledgedBy != s.contacts[texter].ID || d.How != "reply to text message" {
		t.Errorf("the delivery of the text is %+v", d)
	}
	if sent := s.texts()[0].Body; !strings.Contains(sent, "kritisch") || strings.Contains(sent, "FILESRV") || strings.Contains(sent, "http") {
		t.Errorf("the text is not in German, or holds a title or a link: %q", sent)
	}
	s.await("an answer to the reply", func() (bool, error) {
		var e struct{ Texts map[string][]shortMessage }
		s.effects("twilio", &e)
		return slices.ContainsFunc(e.Texts[s.contacts[texter].Phone], func(m shortMessage) bool { return m.ReplyOf != "" }), nil
	})
}

// A machine that answers whatever we say gets ten answers and no more.
func TestAMachineThatRepliesIsNotAnsweredForEver(t *testing.T) {
	for persona, want := range map[string]int{"text-chatty": 10, "text-wrong-code": 1} {
		t.Run(persona, func(t *testing.T) {
			s := newScene(t, 0)
			s.setPhonePersonas("no_answer", "no_answer", "no_answer")
			s.setTextPersona(persona)
			s.open(models.SeverityCritical)
			s.assess()
			s.publish()
			s.await("all answers to the machine", func() (bool, error) { return s.answersTo(texter) >= want, nil })
			s.until("two rounds and the lead's task", func(i incident.Incident) bool { return len(openTasks(i, incident.TaskNobodyReached)) == 1 })
			round := s.current().CallRound
			s.until("the calls to go on", func(i incident.Incident) bool { return i.CallRound > round })
			if n := s.answersTo(texter); n != want || len(s.texts()) != 1 || s.current().Acknowledged != nil {
				t.Errorf("%d texts were sent, %d answers, acknowledged %v; want one text, %d answers and no acknowledgement", len(s.texts()), n, s.current().Acknowledged, want)
			}
			s.send(s.responder, &incident.Acknowledge{Revision: 1})
		})
	}
}

// answersTo returns how often a contact's replies to texts were answered.
func (s *scene) answersTo(contact int) (n int) {
	s.t.Helper()
	var e struct{ Texts map[string][]shortMessage }
	s.effects("twilio", &e)
	for _, m := range e.Texts[s.contacts[contact].Phone] {
		if m.ReplyOf != "" && m.Placed.After(s.began) {
			n++
		}
	}
	return n
}

func TestTheSecondMailerStandsIn(t *testing.T) {
	s := newScene(t, 1)
	s.faults("sendgrid", outage("refuse"))
	s.open(models.SeverityMedium)
	s.assess()
	s.publish()
	s.await("both mails", func() (bool, error) { return len(s.mails()) == 2, nil })
	for _, m := range s.mails() {
		if m.Mailer != "smtp" {
			t.Errorf("the mailer %s took a mail, want smtp", m.Mailer)
		}
	}
	s.await("the ledger to know who took the mail", func() (bool, error) {
		d := s.deliveryTo(notify.EffectMail, 0)
		return d != nil && d.Vendor == "smtp" && d.State == notify.EffectAccepted, nil
	})
	if tasks := s.current().Tasks; len(tasks) != 0 {
		t.Errorf("there are tasks although every mail went out: %+v", tasks)
	}
}

func TestTheCodeOnThePhoneIsTheOneInThePortal(t *testing.T) {
	s := newScene(t, 1)
	s.setPhonePersonas("no_answer", "acknowledges")
	s.open(models.SeverityCritical)
	s.assess()
	s.publish()
	s.awaitAcknowledgement()
	var shown struct {
		Code, Previous string
		ValidUntil     time.Time `json:"valid_until"`
	}
	if err := s.viewer.Get(t.Context(), fmt.Sprintf("/clients/%d/caller-code", s.number), &shown); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for _, u := range s.callsTo(1)[0].Said {
		said.WriteString(u.Text)
	}
	spoken := func(code string) string { return strings.Join(strings.Split(code, ""), " ") }
	if !strings.Contains(said.String(), spoken(shown.Code)) && !strings.Contains(said.String(), spoken(shown.Previous)) {
		t.Errorf("the portal shows the code %s, before it %s, but the call says: %s", shown.Code, shown.Previous, said.String())
	}
	if err := system.Dev.Person(models.RoleViewer, 1042).Get(t.Context(), fmt.Sprintf("/clients/%d/caller-code", s.number), &shown); err == nil {
		t.Error("another client's user sees the code")
	}
}

var sixDigits = regexp.MustCompile(`\d{6}`)

func TestAContactsChannelsAreVerifiedByCode(t *testing.T) {
	s := newClientScene(t, func(*models.Policy) {})
	path := fmt.Sprintf("/clients/%d/contacts", s.number)
	var c models.Contact
	s.post(s.operator, path, map[string]any{
		"name": "Third", "language": "de", "order": 3, "email": fmt.Sprintf("third@client%d.example", s.number), "phone": fmt.Sprintf("+49151%08d", s.number),
		"severities": models.Severities(), "channels": []models.Channel{models.ChannelEmail, models.ChannelVoice, models.ChannelSMS},
	}, &c)
	path += "/" + c.ID.String()
	for _, channel := range c.Channels {
		s.post(s.analyst, path+"/verify-channel", map[string]any{"channel": channel}, nil)
		var code string
		s.await("the code over "+string(channel), func() (bool, error) {
			code = s.codeFor(channel, c)
			return code != "", nil
		})
		wrong := code[1:] + "0"
		if _, err := s.analyst.PostAs(t.Context(), uuid.NewString(), path+"/confirm-channel", map[string]any{"channel": channel, "code": wrong}, nil); err == nil && wrong != code {
			t.Errorf("%s: the API accepted a wrong code", channel)
		}
		if status := s.post(s.analyst, path+"/confirm-channel", map[string]any{"channel": channel, "code": code}, &c); status != http.StatusOK || c.Verified[channel].IsZero() {
			t.Errorf("%s: the code was answered with %d, the verified channels are %v", channel, status, c.Verified)
		}
	}
	s.post(s.analyst, path+"/test-channel", map[string]any{"channel": models.ChannelEmail}, nil)
	s.await("the test mail", func() (bool, error) { return len(s.mailTextsTo(c)) == 2, nil })
}

// codeFor returns the six digits that last reached a contact over a channel, or "".
func (s *scene) codeFor(ch models.Channel, c models.Contact) (code string) {
	s.t.Helper()
	var texts struct{ Texts map[string][]shortMessage }
	var calls struct{ Calls map[string][]call }
	s.effects("twilio", &texts)
	s.effects("twilio", &calls)
	switch ch {
	case models.ChannelSMS:
		for _, m := range texts.Texts[c.Phone] {
			code = sixDigits.FindString(m.Body)
		}
	case models.ChannelVoice:
		for _, k := range calls.Calls[c.Phone] {
			for _, u := range k.Said {
				code = regexp.MustCompile(`(\d[ ,.]+){5}\d`).FindString(u.Text)
			}
		}
		code = regexp.MustCompile(`\D`).ReplaceAllString(code, "")
	default:
		for _, text := range s.mailTextsTo(c) {
			code = sixDigits.FindString(text)
		}
	}
	return code
}

// mailTextsTo returns the texts of all mails to a contact, but for notices of changed contacts, from both mailers.
func (s *scene) mailTextsTo(c models.Contact) (all []string) {
	s.t.Helper()
	return slices.DeleteFunc(s.allMailTextsTo(c), isNotice)
}

// isNotice reports whether a mail or text tells of changed contacts.
func isNotice(text string) bool {
	return strings.Contains(text, "reaches people in a security incident") || strings.Contains(text, "Menschen erreicht") || strings.Contains(text, "phone number of a contact")
}

func (s *scene) allMailTextsTo(c models.Contact) (all []string) {
	s.t.Helper()
	entries, err := system.Dev.Journal(s.t.Context(), "sendgrid")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		var body struct{ Content []struct{ Value string } }
		if strings.Contains(e.Body, c.Email) && e.Status == http.StatusAccepted && json.Unmarshal([]byte(e.Body), &body) == nil && len(body.Content) == 2 {
			all = append(all, body.Content[0].Value)
		}
	}
	var smtp struct {
		Mails map[string][]struct{ Text string }
	}
	s.effects("smtp", &smtp)
	for _, m := range smtp.Mails[c.Email] {
		all = append(all, m.Text)
	}
	return all
}

func TestAFireDrillTellsWhoAnsweredAndWhichNumberIsDead(t *testing.T) {
	s := newScene(t, 1)
	s.setPhonePersonas("acknowledges", "invalid", "no_answer")
	r := s.runDrill(models.ExerciseFireDrill)
	if r.Answered != 1 || len(r.Contacts) != 3 {
		t.Fatalf("the drill report is %+v, want one answer of three contacts", r)
	}
	for n, want := range []struct{ answered, dead bool }{{true, false}, {false, true}, {false, false}} {
		c := r.Contacts[slices.IndexFunc(r.Contacts, func(c incident.DrillContact) bool { return c.Contact == s.contacts[n].ID })]
		dead := slices.ContainsFunc(c.Channels, func(ch incident.DrillChannel) bool { return ch.Channel == models.ChannelVoice && ch.Dead })
		if c.Answered != want.answered || dead != want.dead || c.Answered && c.After <= 0 {
			t.Errorf("contact %d: %+v, want answered %t, dead %t", n+1, c, want.answered, want.dead)
		}
	}
	for n, want := range []int{1, 0, 1} { // the carrier rejected the second number
		if got := len(s.callsTo(n)); got != want {
			t.Errorf("contact %d was called %d times, want %d", n+1, got, want)
		}
	}
	for _, m := range s.mails() {
		if !strings.Contains(m.Subject, "DRILL") {
			t.Errorf("a mail about a drill does not say so: %s", m.Subject)
		}
	}
	if i := s.current(); i.Phase != incident.PhaseDismissed || !i.Exercise.IsDrill() {
		t.Errorf("after the drill the incident is %s, drill %t", i.Phase, i.Exercise.IsDrill())
	}
}

func TestAFireDrillWithSimulatedPhonesReachesNobody(t *testing.T) {
	s := newClientScene(t, func(p *models.Policy) { p.RingFor = models.Duration(5 * time.Second) }) // of real time: nobody speeds it up
	r := s.runDrill(models.ExerciseSimulatedFireDrill)
	if r.Answered != 0 || len(r.Contacts) != 2 {
		t.Errorf("the drill report is %+v, want no answer of two contacts", r)
	}
	if n := len(s.calls()) + len(s.mails()) + len(s.texts()); n != 0 {
		t.Errorf("%d calls, mails and texts reached the vendors", n)
	}
	for _, c := range r.Contacts {
		if !slices.ContainsFunc(c.Channels, func(ch incident.DrillChannel) bool {
			return ch.Channel == models.ChannelVoice && ch.Result == string(notify.OutcomeNoAnswer)
		}) {
			t.Errorf("contact %s was not called in the drill: %+v", c.Contact, c.Channels)
		}
	}
}

// runDrill runs a fire drill to its end and returns its report.
func (s *scene) runDrill(exercise models.Exercise) (r incident.DrillReport) {
	s.t.Helper()
	var i incident.Incident
	s.post(s.lead, fmt.Sprintf("/clients/%d/fire-drills", s.number), map[string]any{"exercise": exercise}, &i)
	s.ref = i.Reference
	printProgress("  %s opened, a %s", s.ref, exercise)
	s.until("the end of the drill", incident.Incident.IsOver)
	if err := s.analyst.Get(s.t.Context(), "/incidents/"+string(s.ref)+"/drill-report", &r); err != nil {
		s.t.Fatal(err)
	}
	return r
}

func TestAQuestionIsMailedAndAnswered(t *testing.T) {
	s := newScene(t, 1)
	s.open(models.SeverityHigh)
	s.assess()
	s.publish()
	s.send(s.analyst, &incident.AskQuestion{Text: "Was this sign-in yours?", Answers: []string{"yes", "no"}, Deadline: time.Now().Add(48 * time.Hour)})
	s.await("a mail to everybody, then one about the question", func() (bool, error) { return len(s.mails()) == 6, nil })
	for _, m := range s.mails() {
		if strings.Contains(m.Subject, "sign-in") {
			t.Errorf("a mail holds the question itself: %s", m.Subject)
		}
	}
	s.wantRejected(s.viewer, http.StatusForbidden, &incident.AnswerQuestion{Question: "q1", Answer: "no"})
	s.wantRejected(s.responder, http.StatusUnprocessableEntity, &incident.AnswerQuestion{Question: "q1", Answer: "perhaps"})
	s.send(s.responder, &incident.AnswerQuestion{Question: "q1", Answer: "no"})
	s.until("the answer, and the SOC's turn", func(i incident.Incident) bool { return i.Questions[0].Answer == "no" && i.Turn == incident.TurnSOC })
}
