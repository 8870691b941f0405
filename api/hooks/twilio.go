package hooks

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/report"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/vendors/phone/twilio"
)

const (
	formKey    = "twilio.form"
	vendor     = "twilio"
	maxRepeats = 3 // of the menu within one call
)

// fromTwilio lets only signed requests through. The signature covers the address we gave Twilio, not the one a proxy
// made of it.
func (h *Hooks) fromTwilio(c *gin.Context) {
	raw, ok := body(c, maxCallReport)
	if !ok {
		return
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil || len(form) > maxFormKeys {
		c.AbortWithStatus(http.StatusBadRequest)
		return
	}
	public := *h.PublicURL
	public.Path, public.RawPath, public.RawQuery = c.Request.URL.Path, c.Request.URL.RawPath, c.Request.URL.RawQuery
	if !h.Twilio.Valid(public.String(), form, c.GetHeader("X-Twilio-Signature")) {
		c.AbortWithStatus(http.StatusForbidden)
		return
	}
	c.Set(formKey, form)
}

// call is a request about one call of ours.
type call struct {
	report twilio.CallReport
	row    store.LedgerRow
	client uuid.UUID
	mine   bool // the request speaks for the one call that carries this effect
}

// callOf finds the effect that a request about a call is about. It answers the request itself and reports false when
// there is nothing to go on with.
func (h *Hooks) callOf(c *gin.Context) (call, bool) {
	form, _ := c.MustGet(formKey).(url.Values)
	report, err := twilio.ParseReport(form)
	if err != nil {
		c.AbortWithStatus(http.StatusBadRequest)
		return call{}, false
	}
	k, ok := h.adopt(c, report.CallID)
	k.report = report
	return k, ok
}

// adopt finds the effect that a request's address names and, if no call of it is known yet, adopts this one: its
// answer to our order was lost. It answers the request itself and reports false when there is no such effect.
func (h *Hooks) adopt(c *gin.Context, callID string) (k call, ok bool) {
	if k.client, ok = clientOf(c); !ok {
		return k, false
	}
	err := h.Store.ForClient(c.Request.Context(), store.Worker, k.client, func(tx *store.Tx) (err error) {
		k.row, k.mine, err = tx.Adopt(c.Param("token"), vendor, callID, h.Now())
		return err
	})
	switch {
	case models.KindOf(err) == models.NotFound:
		c.AbortWithStatus(http.StatusNotFound)
	case err != nil:
		h.fail(c, "call", err)
	}
	return k, err == nil
}

// speaking lets only the one call through that carries the effect. It is the last fence: a second call for the same
// effect is hung up, so nobody is read the incident twice and nobody acknowledges twice.
func (h *Hooks) speaking(then func(*gin.Context, call)) gin.HandlerFunc {
	return func(c *gin.Context) {
		k, ok := h.callOf(c)
		switch {
		case !ok:
		case k.mine:
			then(c, k)
		default:
			h.speak(c, twilio.Hangup)
		}
	}
}

// voice answers what to say once a human, or a machine, has picked up.
func (h *Hooks) voice(c *gin.Context, k call) {
	if k.row.Purpose == notify.PurposeCode {
		h.spell(c, k)
		return
	}
	if k.row.Purpose == notify.PurposeApproval {
		h.approval(c, k, 1, 1, "")
		return
	}
	h.menu(c, k, 1, "")
}

// pickedUp is what a call is about and whom it reaches.
type pickedUp struct {
	incident incident.Incident
	contact  models.Contact
	secret   uuid.UUID // of the client, for the caller code
}

func (h *Hooks) pickedUp(c *gin.Context, k call) (p pickedUp, err error) {
	err = h.Store.ForClient(c.Request.Context(), store.Worker, k.client, func(tx *store.Tx) (err error) {
		if p.contact, err = tx.Contact(k.row.Contact); err != nil || k.row.Incident == "" {
			return err
		}
		if p.incident, err = tx.Incident(k.row.Incident); err != nil {
			return err
		}
		p.secret, err = tx.CallerSecret()
		return err
	})
	return p, err
}

// spell says the code that verifies the phone, to whoever it reaches.
func (h *Hooks) spell(c *gin.Context, k call) {
	h.speak(c, func() ([]byte, error) {
		p, err := h.pickedUp(c, k)
		if err != nil {
			return nil, err
		}
		s, err := h.Words.SpokenCode(p.contact.Language, k.row.Code())
		if err != nil {
			return nil, err
		}
		return twilio.Say(s.Text, s.Language)
	})
}

// menu says what the call is about and asks for a key. before names a sentence that comes first.
func (h *Hooks) menu(c *gin.Context, k call, n int, before string) {
	h.speak(c, func() ([]byte, error) {
		p, err := h.pickedUp(c, k)
		if err != nil {
			return nil, err
		}
		if p.incident.Acknowledged != nil && !p.incident.Exercise.IsFireDrill() {
			return h.sentence(p.contact, "already")
		}
		code, _, err := auth.CallerCode(p.secret, h.Now())
		if err != nil {
			return nil, err
		}
		s, err := h.Words.Menu(report.Announcement{
			Language: p.contact.Language, Reference: p.incident.Reference, Severity: p.incident.PublishedSeverity, Drill: p.incident.Exercise.IsDrill(),
			Code: code, Before: before,
		})
		if err != nil {
			return nil, err
		}
		action := h.PublicURL.JoinPath("hooks", "twilio", "key", k.client.String(), k.row.Token)
		action.RawQuery = "n=" + strconv.Itoa(n)
		return twilio.Menu(twilio.Spoken{Text: s.Text, Language: s.Language}, action.String())
	})
}

func (h *Hooks) sentence(contact models.Contact, name string) ([]byte, error) {
	s, err := h.Words.Sentence(contact.Language, name)
	if err != nil {
		return nil, err
	}
	return twilio.Say(s.Text, s.Language)
}

// say answers a call with one sentence.
func (h *Hooks) say(c *gin.Context, k call, name string) {
	h.speak(c, func() ([]byte, error) {
		p, err := h.pickedUp(c, k)
		if err != nil {
			return nil, err
		}
		return h.sentence(p.contact, name)
	})
}

// key takes the digit a human pressed. "Recorded" is said only after the workflow has it for good.
func (h *Hooks) key(c *gin.Context, k call) {
	n, _ := strconv.Atoi(c.Query("n")) // signed, so ours; absent is zero
	switch d := k.report.Digits; {
	case k.row.Purpose == notify.PurposeCode: // such a call asks for no key
		h.say(c, k, "goodbye")
	case k.row.Purpose == notify.PurposeApproval:
		h.approvalKey(c, k)
	case d == "1" || d == "3":
		h.pressed(c, k, d, n)
	case d == "" || n >= maxRepeats:
		h.say(c, k, "goodbye")
	case d == "2":
		h.menu(c, k, n+1, "")
	default:
		h.menu(c, k, n+1, "wrong")
	}
}

func (h *Hooks) pressed(c *gin.Context, k call, digit string, n int) {
	press := notify.KeyPress{Effect: k.row.Key, Contact: k.row.Contact, Digit: digit}
	told, err := h.signal(c.Request.Context(), k.row.Workflow, models.SignalKeyPress, press)
	if err == nil && !told { // the round is over; the incident itself takes the key
		told, err = h.signal(c.Request.Context(), k.row.Incident.WorkflowID(), models.SignalKeyPress, press)
	}
	switch {
	case err != nil && n < maxRepeats:
		h.Log.ErrorContext(c.Request.Context(), "key press not recorded yet", "error", err)
		h.menu(c, k, n+1, "again")
	case err != nil:
		h.fail(c, "key", err)
	case !told:
		h.say(c, k, "over")
	default:
		h.say(c, k, "key"+digit)
	}
}

// machine takes the carrier's word that a machine, not a human, picked up. It never counts as having reached anybody.
func (h *Hooks) machine(c *gin.Context) {
	form, _ := c.MustGet(formKey).(url.Values)
	m, err := twilio.ParseMachine(form) // it says nothing of the call's status
	if err != nil {
		c.AbortWithStatus(http.StatusBadRequest)
		return
	}
	k, ok := h.adopt(c, m.CallID)
	if !ok {
		return
	}
	if k.mine && m.Machine() {
		fact := notify.CallProgress{Effect: k.row.Key, CallID: m.CallID, Machine: true}
		if _, err := h.signal(c.Request.Context(), k.row.Workflow, models.SignalCallProgress, fact); err != nil {
			h.fail(c, "machine", err)
			return
		}
	}
	c.Status(http.StatusNoContent)
}

// status takes the carrier's word on how a call stands. Only a final one matters to the round that waits.
func (h *Hooks) status(c *gin.Context) {
	k, ok := h.callOf(c)
	if !ok {
		return
	}
	ctx := c.Request.Context()
	if !k.mine {
		c.Status(http.StatusNoContent)
		return
	}
	if k.report.Status.IsFinal() {
		fact := notify.CallProgress{Effect: k.row.Key, CallID: k.report.CallID, Status: k.report.Status, Sequence: k.report.Sequence}
		if _, err := h.signal(ctx, k.row.Workflow, models.SignalCallProgress, fact); err != nil {
			h.fail(c, "status", err)
			return
		}
	}
	err := h.Store.ForClient(ctx, store.Worker, k.client, func(tx *store.Tx) error {
		_, err := tx.Advance(vendor, []store.VendorReport{{
			EventID: fmt.Sprintf("%s/%d/%s", k.report.CallID, k.report.Sequence, k.report.Status), Effect: k.row.ID,
			State: string(k.report.Status), Sequence: k.report.Sequence, At: h.Now(),
		}}, h.Now())
		return err
	})
	if err != nil {
		h.fail(c, "status", err)
		return
	}
	c.Status(http.StatusNoContent)
}

// speak answers with a document.
func (h *Hooks) speak(c *gin.Context, write func() ([]byte, error)) {
	doc, err := write()
	if err != nil {
		h.fail(c, "document", err)
		return
	}
	c.Data(http.StatusOK, "text/xml; charset=utf-8", doc)
}
