package hooks

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/vendors/mail/sendgrid"
)

// lastYear is the last that can be written down (RFC 3339). A vendor that counts milliseconds means later ones.
const lastYear = 9999

// mailEvents takes a batch of events on mails: of several clients, in no order, some of them twice.
func (h *Hooks) mailEvents(c *gin.Context) {
	signature, timestamp := c.GetHeader("X-Twilio-Email-Event-Webhook-Signature"), c.GetHeader("X-Twilio-Email-Event-Webhook-Timestamp")
	if !sendgrid.IsSignature(signature, timestamp) {
		c.AbortWithStatus(http.StatusForbidden)
		return
	}
	raw, release, ok := readBody(c, maxMailEvents, h.mails)
	if !ok {
		return
	}
	defer release()
	events, err := h.SendGrid.Parse(raw, signature, timestamp)
	switch {
	case models.KindOf(err) == models.Forbidden:
		c.AbortWithStatus(http.StatusForbidden)
		return
	case err != nil:
		c.AbortWithStatus(http.StatusBadRequest)
		return
	}
	for _, of := range reportsByClient(events) {
		if err := h.advance(c.Request.Context(), of.client, "sendgrid", of.reports); err != nil {
			h.failTemporarily(c, "mail events", err) // the vendor sends the batch again; the ledger knows what it has
			return
		}
	}
	c.Status(http.StatusNoContent)
}

// clientReports are a vendor's reports about effects of one client, in the order they came.
type clientReports struct {
	client  uuid.UUID
	reports []store.VendorReport
}

// reportsByClient turns events into reports, client by client in the order they first come. It leaves out events that
// are not about an effect of ours.
func reportsByClient(events []models.MailEvent) []clientReports {
	var all []clientReports
	place := map[uuid.UUID]int{} // client -> index in all
	for _, e := range events {
		client, cerr := uuid.Parse(e.Opaque["mdr_client_id"])
		delivery, derr := uuid.Parse(e.Opaque["mdr_delivery_id"])
		rank := mailRank(e.Type)
		if cerr != nil || derr != nil || client == uuid.Nil || rank == 0 {
			continue
		}
		if e.At.Year() > lastYear {
			e.At = time.Time{} // the vendor does not say when
		}
		n, known := place[client]
		if !known {
			n = len(all)
			place[client], all = n, append(all, clientReports{client: client})
		}
		all[n].reports = append(all[n].reports, store.VendorReport{
			EventID: e.ID, Effect: delivery, State: e.Type, Rank: rank, Sequence: -1, At: e.At, Detail: withoutAddresses(e.Reason),
		})
	}
	return all
}

// addresses match what holds an @, plain or encoded, up to the next space, with the quoted name before it.
var addresses = regexp.MustCompile(`(?:"[^"]*"|\S)*(?:@|%40|＠)\S*`)

// withoutAddresses returns a mail server's words on one line, without the mailboxes they often quote.
func withoutAddresses(said string) string {
	return strings.Join(strings.Fields(addresses.ReplaceAllString(said, "[address]")), " ")
}

// mailRank orders what a mail vendor says: a mail never goes back.
func mailRank(event string) int {
	switch event {
	case "processed":
		return 1
	case "deferred":
		return 2
	case "blocked":
		return 3
	case "delivered":
		return 4
	case "bounce", "dropped":
		return 5
	default: // opens, clicks and the like say nothing about delivery
		return 0
	}
}

// advance moves the ledger by a vendor's reports on messages of one client, and tells the incidents whose message did
// not reach its contact. It tells them before the commit: the ledger must not know a fact that could not be told.
func (h *Hooks) advance(ctx context.Context, client uuid.UUID, vendor string, reports []store.VendorReport) error {
	return h.Store.ForClient(ctx, store.Hooks, client, func(tx *store.Tx) error {
		moved, err := tx.Advance(vendor, reports, tx.Now())
		if err != nil {
			return err
		}
		for _, row := range moved {
			if row.Incident == "" || !isLost(row.VendorState) {
				continue
			}
			if _, err := h.signal(ctx, models.SignalUndelivered, undelivered(row), row.Workflow); err != nil {
				return err
			}
		}
		return nil
	})
}

// isLost reports whether a vendor's word means that a message never reaches its contact.
func isLost(state string) bool {
	switch state {
	case "bounce", "dropped", "blocked", string(models.TextUndelivered), string(models.TextFailed):
		return true
	}
	return false
}

func undelivered(row store.LedgerRow) notify.Undelivered {
	n := notify.Notification{Purpose: row.Purpose, Revision: row.Revision, Occurrence: row.Occurrence, Contact: row.Contact, Channel: models.ChannelEmail}
	if row.Kind == notify.EffectText {
		n.Channel = models.ChannelSMS
	}
	return notify.Undelivered{Effect: row.Key, Notification: n, Reason: row.VendorState}
}
