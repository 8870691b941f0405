package hooks

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
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

// callOf finds the effect a request is about and, if no call of it is known yet, adopts this one: its answer to our
// order was lost. It answers the request itself and reports false when there is nothing to go on with.
func (h *Hooks) callOf(c *gin.Context) (call, bool) {
	var k call
	var ok bool
	if k.client, ok = clientOf(c); !ok {
		return k, false
	}
	form, _ := c.MustGet(formKey).(url.Values)
	report, err := twilio.ParseReport(form)
	if err != nil {
		c.AbortWithStatus(http.StatusBadRequest)
		return k, false
	}
	k.report = report
	err = h.Store.ForClient(c.Request.Context(), store.Worker, k.client, func(tx *store.Tx) (err error) {
		k.row, k.mine, err = tx.Adopt(c.Param("token"), vendor, report.CallID, h.Now())
		return err
	})
	switch {
	case models.KindOf(err) == models.NotFound:
		c.AbortWithStatus(http.StatusNotFound)
		return k, false
	case err != nil:
		h.fail(c, "call", err)
		return k, false
	}
	return k, true
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
			document(c, h, twilio.Hangup)
		}
	}
}

// voice answers what to say once a human, or a machine, has picked up.
func (h *Hooks) voice(c *gin.Context, k call) { h.menu(c, k, 1, "") }

// menu says what the call is about and asks for a key.
func (h *Hooks) menu(c *gin.Context, k call, n int, before string) {
	var i models.Incident
	err := h.Store.ForClient(c.Request.Context(), store.Worker, k.client, func(tx *store.Tx) (err error) {
		i, err = tx.Incident(k.row.Incident)
		return err
	})
	if err != nil {
		h.fail(c, "voice", err)
		return
	}
	if i.Acknowledged != nil {
		document(c, h, func() ([]byte, error) { return h.callScript.say("already") })
		return
	}
	action := h.PublicURL.JoinPath("hooks", "twilio", "key", k.client.String(), k.row.Token)
	action.RawQuery = "n=" + strconv.Itoa(n)
	document(c, h, func() ([]byte, error) { return h.callScript.menu(before, i, action.String()) })
}

// key takes the digit a human pressed. "Recorded" is said only after the workflow has it for good.
func (h *Hooks) key(c *gin.Context, k call) {
	n, _ := strconv.Atoi(c.Query("n")) // signed, so ours; absent is zero
	switch d := k.report.Digits; {
	case d == "1" || d == "3":
		h.pressed(c, k, d, n)
	case d == "" || n >= maxRepeats:
		document(c, h, func() ([]byte, error) { return h.callScript.say("goodbye") })
	case d == "2":
		h.menu(c, k, n+1, "")
	default:
		h.menu(c, k, n+1, "wrong")
	}
}

func (h *Hooks) pressed(c *gin.Context, k call, digit string, n int) {
	press := models.KeyPress{Effect: k.row.Key, Contact: k.row.Contact, Digit: digit}
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
		document(c, h, func() ([]byte, error) { return h.callScript.say("over") })
	default:
		document(c, h, func() ([]byte, error) { return h.callScript.say("key" + digit) })
	}
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
	if k.report.Status.Final() {
		fact := models.CallProgress{Effect: k.row.Key, CallID: k.report.CallID, Status: k.report.Status, Sequence: k.report.Sequence}
		if _, err := h.signal(ctx, k.row.Workflow, models.SignalCallProgress, fact); err != nil {
			h.fail(c, "status", err)
			return
		}
	}
	err := h.Store.ForClient(ctx, store.Worker, k.client, func(tx *store.Tx) error {
		_, err := tx.Progress(k.row.Key, string(k.report.Status), 0, k.report.Sequence, h.Now())
		return err
	})
	if err != nil {
		h.fail(c, "status", err)
		return
	}
	c.Status(http.StatusNoContent)
}

// document answers with a spoken document.
func document(c *gin.Context, h *Hooks, write func() ([]byte, error)) {
	doc, err := write()
	if err != nil {
		h.fail(c, "document", err)
		return
	}
	c.Data(http.StatusOK, "text/xml; charset=utf-8", doc)
}
