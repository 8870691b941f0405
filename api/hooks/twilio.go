package hooks

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/vendors/phone/twilio"
)

const (
	formKey = "twilio.form"
	vendor  = "twilio"
)

// fromTwilio lets only signed requests through. The signature covers the address we gave Twilio, whatever a proxy made
// of it.
func (h *Hooks) fromTwilio(c *gin.Context) {
	signature := c.GetHeader("X-Twilio-Signature")
	if !twilio.IsSignature(signature) {
		c.AbortWithStatus(http.StatusForbidden)
		return
	}
	raw, release, ok := readBody(c, maxCallReport, h.calls)
	if !ok {
		return
	}
	defer release()
	form, err := url.ParseQuery(string(raw))
	if err != nil || len(form) > maxFormKeys {
		c.AbortWithStatus(http.StatusBadRequest)
		return
	}
	public := *h.PublicURL
	public.Path, public.RawPath, public.RawQuery = c.Request.URL.Path, c.Request.URL.RawPath, c.Request.URL.RawQuery
	if !h.Twilio.Valid(public.String(), form, signature) {
		c.AbortWithStatus(http.StatusForbidden)
		return
	}
	c.Set(formKey, form)
	c.Next()
}

// call is a request about one call of ours.
type call struct {
	report  twilio.CallReport
	row     store.LedgerRow
	client  uuid.UUID
	carries bool         // it is the one call that carries the effect
	about   conversation // of a request that the human's words or keys answer
}

// callOf reads a request about a call, finds its effect, and does with it what with does, in the same transaction. It
// answers the request itself and reports false when it is malformed or no effect fits.
func (h *Hooks) callOf(c *gin.Context, with func(*store.Tx, *call) error) (call, bool) {
	form, _ := c.MustGet(formKey).(url.Values)
	report, err := twilio.ParseReport(form)
	if err != nil {
		c.AbortWithStatus(http.StatusBadRequest)
		return call{}, false
	}
	return h.adopt(c, call{report: report}, report.CallID, with)
}

// adopt finds the effect that a request's address names and, if no call of it is known yet, adopts this one: the answer
// to our request for it was lost. It does with the call that carries the effect what with does, in the same transaction.
// It answers the request itself and reports false when there is no such effect.
func (h *Hooks) adopt(c *gin.Context, k call, callID string, with func(*store.Tx, *call) error) (_ call, ok bool) {
	if k.client, ok = clientOf(c); !ok {
		return k, false
	}
	err := h.Store.ForClient(c.Request.Context(), store.Hooks, k.client, func(tx *store.Tx) (err error) {
		if k.row, k.carries, err = tx.Adopt(c.Param("token"), vendor, callID, tx.Now()); err != nil || !k.carries {
			return err
		}
		return with(tx, &k)
	})
	switch {
	case models.KindOf(err) == models.NotFound:
		c.AbortWithStatus(http.StatusNotFound)
	case err != nil:
		h.failTemporarily(c, "call", err)
	}
	return k, err == nil
}

// onlyCarryingCall lets only the one call through that carries the effect. It is the last fence: it hangs up a
// second call for the same effect, so that nobody hears the incident twice and nobody acknowledges twice.
func (h *Hooks) onlyCarryingCall(then func(*gin.Context, call)) gin.HandlerFunc {
	return func(c *gin.Context) {
		k, ok := h.callOf(c, readConversation)
		switch {
		case !ok:
		case k.carries:
			then(c, k)
		default:
			h.speak(c, twilio.Hangup)
		}
	}
}

// machine takes the carrier's word that a machine, not a human, picked up: the call has reached nobody.
func (h *Hooks) machine(c *gin.Context) {
	form, _ := c.MustGet(formKey).(url.Values)
	m, err := twilio.ParseMachine(form) // it says nothing of the call's status
	if err != nil {
		c.AbortWithStatus(http.StatusBadRequest)
		return
	}
	k, ok := h.adopt(c, call{}, m.CallID, func(*store.Tx, *call) error { return nil })
	if !ok {
		return
	}
	if k.carries && m.Machine() {
		fact := notify.CallProgress{Effect: k.row.Key, CallID: m.CallID, Machine: true}
		if _, err := h.signal(c.Request.Context(), models.SignalCallProgress, fact, k.row.Workflow); err != nil {
			h.failTemporarily(c, "machine", err)
			return
		}
	}
	c.Status(http.StatusNoContent)
}

// status takes the carrier's word on a call. A final one matters to the incident that waits for it, and is in the ledger
// only after the incident has it. It does not matter any more when the incident has said how the call ended, or was told of
// the key that ends it.
func (h *Hooks) status(c *gin.Context) {
	ended := false
	k, ok := h.callOf(c, func(tx *store.Tx, k *call) (err error) {
		if ended = k.row.Outcome != ""; k.report.Status.IsFinal() && !ended {
			if ended, err = isAcknowledged(tx, k.row); err != nil || !ended {
				return err
			}
		}
		return k.advance(tx)
	})
	if !ok {
		return
	}
	ctx := c.Request.Context()
	if k.carries && k.report.Status.IsFinal() && !ended {
		fact := notify.CallProgress{Effect: k.row.Key, CallID: k.report.CallID, Status: k.report.Status, Sequence: k.report.Sequence}
		_, err := h.signal(ctx, models.SignalCallProgress, fact, k.row.Workflow)
		if err == nil {
			err = h.Store.ForClient(ctx, store.Hooks, k.client, k.advance)
		}
		if err != nil {
			h.failTemporarily(c, "status", err)
			return
		}
	}
	c.Status(http.StatusNoContent)
}

// isAcknowledged reports whether the contact acknowledged the incident in a call. The incident was told then, or asks the
// carrier about the call by itself. A key about an approval may be refused, and the end of the call matters all the same.
func isAcknowledged(tx *store.Tx, row store.LedgerRow) (bool, error) {
	if row.Purpose == notify.PurposeApproval || row.Incident == "" {
		return false, nil
	}
	said, err := tx.Statements(row.Incident, row.Contact)
	return slices.ContainsFunc(said, func(s store.Statement) bool { return s.Effect == row.Key && s.Key == notify.KeyAcknowledge }), err
}

// advance writes the carrier's word on a call into the ledger.
func (k *call) advance(tx *store.Tx) error {
	_, err := tx.Advance(vendor, []store.VendorReport{{
		EventID: fmt.Sprintf("%s/%d/%s", k.report.CallID, k.report.Sequence, k.report.Status), Effect: k.row.ID,
		State: string(k.report.Status), Sequence: k.report.Sequence,
	}}, tx.Now())
	return err
}

// speak answers with a document.
func (h *Hooks) speak(c *gin.Context, write func() ([]byte, error)) {
	doc, err := write()
	if err != nil {
		h.failTemporarily(c, "document", err)
		return
	}
	c.Data(http.StatusOK, "text/xml; charset=utf-8", doc)
}
