package hooks

import (
	"context"
	"crypto/subtle"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/vendors/phone/twilio"
)

// repliesFor is how long the code in a text message acknowledges.
const repliesFor = 30 * 24 * time.Hour

var sixDigits = regexp.MustCompile(`\b\d{6}\b`)

// textRank orders what the carrier says of a text: it never goes back.
func textRank(s models.TextStatus) int {
	switch s {
	case models.TextAccepted, models.TextQueued:
		return 1
	case models.TextSending:
		return 2
	case models.TextSent:
		return 3
	case models.TextDelivered, models.TextUndelivered, models.TextFailed:
		return 4
	default:
		return 0
	}
}

// textStatus takes the carrier's word on a text message of ours.
func (h *Hooks) textStatus(c *gin.Context) {
	client, ok := clientOf(c)
	if !ok {
		return
	}
	form, _ := c.MustGet(formKey).(url.Values)
	r, err := twilio.ParseTextReport(form)
	if err != nil {
		c.AbortWithStatus(http.StatusBadRequest)
		return
	}
	ctx := c.Request.Context()
	var row store.LedgerRow
	var mine bool
	err = h.Store.ForClient(ctx, store.Worker, client, func(tx *store.Tx) (err error) {
		row, mine, err = tx.Adopt(c.Param("token"), vendor, r.TextID, tx.Now())
		return err
	})
	rank := textRank(r.Status)
	switch {
	case models.KindOf(err) == models.NotFound:
		c.AbortWithStatus(http.StatusNotFound)
		return
	case err == nil && mine && rank > 0:
		err = h.advance(ctx, client, vendor, []store.VendorReport{{
			EventID: r.TextID + "/" + string(r.Status), Effect: row.ID, State: string(r.Status), Rank: rank, Sequence: -1, Detail: r.ErrorCode,
		}})
	}
	if err != nil {
		h.failTemporarily(c, "text status", err)
		return
	}
	c.Status(http.StatusNoContent)
}

// textReply takes a text message that a person sent us. Only the code of a message of ours, from the number that got
// it, means anything: it acknowledges the incident. The answer says "recorded" only when it is certain that the
// workflow learns of it.
func (h *Hooks) textReply(c *gin.Context) {
	form, _ := c.MustGet(formKey).(url.Values)
	in, err := twilio.ParseIncoming(form)
	if err != nil {
		c.AbortWithStatus(http.StatusBadRequest)
		return
	}
	answer, err := h.reply(c.Request.Context(), in)
	if err != nil {
		h.failTemporarily(c, "text reply", err)
		return
	}
	h.speak(c, func() ([]byte, error) { return twilio.Reply(answer) })
}

// reply acts on a text message and returns the answer, "" for none. Strangers get none.
func (h *Hooks) reply(ctx context.Context, in twilio.IncomingText) (string, error) {
	rows, err := store.Run(h.Store.InEveryClient(ctx), func(tx *store.Tx) ([]store.LedgerRow, error) {
		return tx.AwaitedReplies(in.From, tx.Now().Add(-repliesFor))
	})
	if err != nil || len(rows) == 0 {
		return "", err
	}
	for _, code := range sixDigits.FindAllString(in.Body, 5) {
		for _, row := range rows {
			if subtle.ConstantTimeCompare([]byte(row.Code()), []byte(code)) == 1 {
				return h.acknowledge(ctx, row)
			}
		}
	}
	return h.explainCode(ctx, rows[0])
}

// acknowledge tells the incident that a contact answered.
func (h *Hooks) acknowledge(ctx context.Context, row store.LedgerRow) (string, error) {
	if err := h.keepStatement(ctx, row, notify.KeyReply); err != nil {
		return "", err
	}
	told, err := h.signal(ctx, models.SignalTextReply, notify.TextReply{Effect: row.Key, Contact: row.Contact}, row.Incident.WorkflowID())
	if err != nil {
		return "", err
	}
	return store.Run(h.Store.InClient(ctx, store.Worker, row.ClientID), func(tx *store.Tx) (string, error) {
		contact, err := tx.Contact(row.Contact)
		if err != nil {
			return "", err
		}
		if !told {
			return h.Words.Answer(contact.Language, "over")
		}
		if err := tx.Acknowledge(row.Key, row.Contact, "reply to text message", tx.Now()); err != nil {
			return "", err
		}
		return h.Words.Answer(contact.Language, "recorded")
	})
}

// explainCode answers a message that holds no code of ours, once for each message of ours: an answering machine must
// not talk to us for ever.
func (h *Hooks) explainCode(ctx context.Context, row store.LedgerRow) (string, error) {
	if row.Outcome != "" {
		return "", nil
	}
	return store.Run(h.Store.InClient(ctx, store.Worker, row.ClientID), func(tx *store.Tx) (string, error) {
		contact, err := tx.Contact(row.Contact)
		if err != nil {
			return "", err
		}
		answer, err := h.Words.Answer(contact.Language, "not-recognised")
		if err != nil {
			return "", err
		}
		return answer, tx.SetOutcome(row.Key, "answered without the code", tx.Now())
	})
}
