package hooks

import (
	"context"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/report"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/vendors/phone/twilio"
)

// voice answers with the words to say once a human, or a machine, has picked up.
func (h *Hooks) voice(c *gin.Context, k call) {
	script := notify.CallScriptOf(k.row.Purpose)
	if len(script.Stages) == 0 {
		h.spellCode(c, k)
		return
	}
	h.ask(c, k, question{script: script, stage: 1, asked: 1}, "")
}

// question is one stage of a call's script.
type question struct {
	script notify.CallScript
	stage  int  // from 1
	asked  int  // how often the call asked for a key with it
	pin    bool // it asks for the PIN of the contact, who has approved at the stage
}

// questionOf reads which question the human answers, from the address we gave the carrier: it is signed, so it is ours.
func questionOf(c *gin.Context, script notify.CallScript) question {
	asked, _ := strconv.Atoi(c.Query("n"))
	stage, _ := strconv.Atoi(c.Query("stage")) // a script of one stage names none
	return question{script: script, stage: min(max(stage, 1), len(script.Stages)), asked: asked, pin: c.Query("pin") != ""}
}

// query writes the question into an address, for questionOf to read.
func (q question) query() string {
	query := "n=" + strconv.Itoa(q.asked)
	if len(q.script.Stages) > 1 {
		query += "&stage=" + strconv.Itoa(q.stage)
	}
	if q.pin {
		query += "&pin=1"
	}
	return query
}

func (q question) current() notify.CallStage { return q.script.Stages[q.stage-1] }

func (q question) again() question {
	q.asked++
	return q
}

func (q question) next() question {
	q.stage++
	return q
}

// ask says what the call is about and asks for a key. before names a sentence that comes first, "" for none.
func (h *Hooks) ask(c *gin.Context, k call, q question, before string) {
	h.askIn(c, k, q, before, twilio.Menu)
}

// askIn asks a question in the form that the carrier has for its answer.
func (h *Hooks) askIn(c *gin.Context, k call, q question, before string, form func(twilio.Spoken, string) ([]byte, error)) {
	h.speak(c, func() (_ []byte, err error) {
		p := k.about
		if p.isSettled() {
			return h.sentence(p.contact, q.script.Settled)
		}
		a := p.announcement(q.current())
		if q.pin {
			a.Menu = pinMenu
		}
		a.Before = before
		if a.Code, _, err = auth.CallerCode(p.secret, p.at); err != nil {
			return nil, err
		}
		s, err := h.Words.Menu(a)
		if err != nil {
			return nil, err
		}
		action := h.PublicURL.JoinPath("hooks", "twilio", "key", k.client.String(), k.row.Token)
		action.RawQuery = q.query()
		return form(twilio.Spoken{Text: s.Text, Language: s.Language}, action.String())
	})
}

// key takes the digit a human pressed.
func (h *Hooks) key(c *gin.Context, k call) {
	script := notify.CallScriptOf(k.row.Purpose)
	if len(script.Stages) == 0 {
		h.say(c, k, "goodbye")
		return
	}
	q, pressed := questionOf(c, script), notify.Key(k.report.Digits)
	meaning := q.current().Meaning(pressed)
	switch {
	case q.pin:
		h.approve(c, k, q, q.current().Meaning(notify.KeyAcknowledge), k.report.Digits)
	case meaning.Use == notify.KeyContinues:
		h.hear(c.Request.Context(), k)
		h.ask(c, k, q.next(), "")
	case meaning.Use == notify.KeyAnswers && meaning.Key == notify.KeyAcknowledge && k.row.Purpose == notify.PurposeApproval:
		h.approve(c, k, q, meaning, "")
	case meaning.Use == notify.KeyAnswers:
		h.answer(c, k, q, meaning)
	case pressed == "" || q.asked >= notify.MaxAsked:
		h.say(c, k, "goodbye")
	case meaning.Use == notify.KeyAsksAgain:
		h.ask(c, k, q.again(), "")
	default:
		h.ask(c, k, q.again(), "wrong")
	}
}

// answer passes a key on that ends the matter. "Recorded" is said only when it is certain that the incident learns of it.
func (h *Hooks) answer(c *gin.Context, k call, q question, key notify.KeyMeaning) {
	ctx := c.Request.Context()
	if k.row.Purpose == notify.PurposeApproval && k.about.isSettled() { // while the phone spoke
		h.say(c, k, q.script.Settled)
		return
	}
	press := notify.KeyPress{Effect: k.row.Key, Contact: k.row.Contact, Digit: key.Key}
	err := h.keepStatement(ctx, k.row, key.Key)
	told := false
	if err == nil {
		told, err = h.signal(ctx, models.SignalKeyPress, press, k.row.Workflow)
	}
	switch {
	case err != nil && q.asked < notify.MaxAsked:
		h.Log.ErrorContext(ctx, "key press not recorded yet", "error", err)
		h.ask(c, k, q.again(), "again")
	case err != nil:
		h.failTemporarily(c, "key", err)
	case !told:
		h.say(c, k, q.script.Over)
	default:
		h.say(c, k, key.Thanks)
	}
}

// keepStatement writes what a contact said before any workflow is told: without that row nobody takes it for the
// contact's.
func (h *Hooks) keepStatement(ctx context.Context, row store.LedgerRow, key notify.Key) error {
	return h.Store.ForClient(ctx, store.Hooks, row.ClientID, func(tx *store.Tx) error {
		seq, err := tx.Recorded(row.Incident)
		if err != nil {
			return err
		}
		return tx.SaveStatement(store.Statement{Effect: row.Key, Key: key, Incident: row.Incident, Contact: row.Contact, Seq: seq, At: tx.Now()})
	})
}

// conversation is the matter of a call and the contact it reaches.
type conversation struct {
	purpose  notify.Purpose
	effect   string // key of the call
	revision int    // of the incident, that the call tells of
	incident incident.Incident
	endpoint *incident.Endpoint // of an approval; nil: the incident has it no more
	contact  models.Contact
	secret   []byte    // of the client, for the caller code
	at       time.Time // the database's
}

// readConversation reads what a call is about.
func readConversation(tx *store.Tx, k *call) (err error) {
	p := &k.about
	p.purpose, p.effect, p.revision, p.at = k.row.Purpose, k.row.Key, k.row.Revision, tx.Now()
	if p.contact, err = tx.Contact(k.row.Contact); err != nil || k.row.Incident == "" {
		return err
	}
	if p.incident, err = tx.Incident(k.row.Incident); err != nil {
		return err
	}
	p.endpoint = p.incident.Endpoint(k.row.Endpoint)
	p.secret, err = tx.CallerSecret()
	return err
}

// isSettled reports whether nothing is left to ask in the call. That about an approval is not about the next one of the
// same endpoint.
func (p conversation) isSettled() bool {
	if p.purpose == notify.PurposeApproval {
		e := p.endpoint
		return e == nil || !e.Approval.IsAnswerable() || !notify.IsCallAbout(p.effect, p.incident.Reference, e.Approval.ID)
	}
	return p.incident.Acknowledged != nil && !p.incident.Exercise.IsFireDrill()
}

// announcement returns the words of a stage of the call, without the caller code.
func (p conversation) announcement(stage notify.CallStage) report.Announcement {
	a := report.Announcement{
		Menu: stage.Menu, Language: p.contact.Language, Reference: p.incident.Reference, Severity: p.incident.PublishedSeverity,
		Drill: p.incident.Exercise.IsDrill(),
	}
	if p.incident.Revision < p.revision { // the first call rings before the store has the publication, which makes this public
		a.Severity = p.incident.Severity
	}
	if p.endpoint != nil {
		a.Release = p.endpoint.Desired == models.DesiredReleased
		if stage.NamesDevice {
			a.Host = p.endpoint.Name()
		}
	}
	return a
}

// spellCode says the code that verifies the phone, to whoever picked up.
func (h *Hooks) spellCode(c *gin.Context, k call) {
	h.speak(c, func() ([]byte, error) {
		s, err := h.Words.SpokenCode(k.about.contact.Language, k.row.Code())
		if err != nil {
			return nil, err
		}
		return twilio.Say(s.Text, s.Language)
	})
}

// say answers a call with one sentence.
func (h *Hooks) say(c *gin.Context, k call, name string) {
	h.speak(c, func() ([]byte, error) { return h.sentence(k.about.contact, name) })
}

func (h *Hooks) sentence(contact models.Contact, name string) ([]byte, error) {
	s, err := h.Words.Sentence(contact.Language, name)
	if err != nil {
		return nil, err
	}
	return twilio.Say(s.Text, s.Language)
}
