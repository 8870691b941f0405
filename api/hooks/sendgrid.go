package hooks

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// mailEvents takes a batch of what became of mails: of several clients, in no order, some of them twice.
func (h *Hooks) mailEvents(c *gin.Context) {
	raw, ok := body(c, maxMailEvents)
	if !ok {
		return
	}
	events, err := h.SendGrid.Parse(raw, c.GetHeader("X-Twilio-Email-Event-Webhook-Signature"), c.GetHeader("X-Twilio-Email-Event-Webhook-Timestamp"))
	switch {
	case models.KindOf(err) == models.Forbidden:
		c.AbortWithStatus(http.StatusForbidden)
		return
	case err != nil:
		c.AbortWithStatus(http.StatusBadRequest)
		return
	}
	for _, e := range events {
		if err := h.mailEvent(c.Request.Context(), e); err != nil {
			h.fail(c, "mail events", err) // the vendor sends the batch again; what was taken is known
			return
		}
	}
	c.Status(http.StatusNoContent)
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

// mailEvent takes one event. It belongs to an effect of ours or is somebody else's and ignored.
func (h *Hooks) mailEvent(ctx context.Context, e models.MailEvent) error {
	client, cerr := uuid.Parse(e.Opaque["mdr_client_id"])
	delivery, derr := uuid.Parse(e.Opaque["mdr_delivery_id"])
	rank := mailRank(e.Type)
	if cerr != nil || derr != nil || rank == 0 {
		return nil
	}
	return h.Store.ForClient(ctx, store.Worker, client, func(tx *store.Tx) error {
		seen, err := tx.SeenVendorEvent("sendgrid", e.ID)
		if err != nil || seen {
			return err
		}
		row, err := tx.EffectByID(delivery)
		if models.KindOf(err) == models.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		moved, err := tx.Progress(row.Key, e.Type, rank, -1, h.Now())
		if err != nil || !moved || e.Type != "bounce" && e.Type != "dropped" && e.Type != "blocked" {
			return err
		}
		// Told before the commit: a fact that could not be told is not marked as seen.
		_, err = h.signal(ctx, row.Workflow, models.SignalMailFact, models.MailFact{Effect: row.Key, Type: e.Type})
		return err
	})
}
