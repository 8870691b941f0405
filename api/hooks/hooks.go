// Package hooks takes the vendors' reports: the progress of a call, the key a human pressed, the delivery of a mail.
//
// It reads no body without signature headers of the right form, and checks the signature before it reads anything into
// a request. Each fact moves the ledger forward and is signalled
// to the workflow that waits for it, or kept for it, before the vendor gets its answer. The documents a carrier asks
// for are written here too, because they are the answer on the wire; their words are in report.
package hooks

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/report"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/vendors/mail/sendgrid"
	"github.com/watchfire-mdr/watchfire/vendors/phone/twilio"
)

// FactSignaller tells facts to workflows; a desk.Desk is one. NotFound means that the workflow has ended.
type FactSignaller interface {
	SignalFact(ctx context.Context, fact string, arg any, workflow string) error
}

// Hooks answers the vendors.
type Hooks struct {
	Store     *store.Store
	Desk      FactSignaller
	Twilio    *twilio.Signatures
	SendGrid  *sendgrid.Events // nil when mails go out another way
	Words     report.Languages
	PublicURL *url.URL // the address vendors were given; signatures cover it
	Log       *slog.Logger

	calls, mails *semaphore.Weighted // budgets of bodies
}

// The bounds of a vendor's request: bytes of its body, keys of its form.
const (
	maxCallReport = 64 << 10
	maxMailEvents = 4 << 20
	maxFormKeys   = 100
)

// Register adds the routes.
func (h *Hooks) Register(r gin.IRouter) {
	h.calls, h.mails = semaphore.NewWeighted(callBodies), semaphore.NewWeighted(mailBodies)
	calls := r.Group("/hooks/twilio", h.fromTwilio)
	calls.POST("/voice/:client/:token", h.onlyCarryingCall(h.voice))
	calls.POST("/key/:client/:token", h.onlyCarryingCall(h.key))
	calls.POST("/status/:client/:token", h.status)
	calls.POST("/machine/:client/:token", h.machine)
	calls.POST("/text/:client/:token", h.textStatus)
	calls.POST("/text", h.textReply)
	if h.SendGrid != nil {
		r.POST("/hooks/sendgrid/events", h.mailEvents)
	}
}

// signal tells a fact to a workflow. told is false, without an error, when it is over.
func (h *Hooks) signal(ctx context.Context, fact string, arg any, workflow string) (told bool, err error) {
	err = h.Desk.SignalFact(ctx, fact, arg, workflow)
	if models.KindOf(err) == models.NotFound {
		return false, nil
	}
	return err == nil, err
}

// failTemporarily answers a vendor that we cannot take its report now. The error goes to the log alone.
func (h *Hooks) failTemporarily(c *gin.Context, what string, err error) {
	h.Log.ErrorContext(c.Request.Context(), "vendor report not taken", "hook", what, "error", err)
	c.AbortWithStatus(http.StatusServiceUnavailable)
}

func clientOf(c *gin.Context) (uuid.UUID, bool) {
	id, err := uuid.Parse(c.Param("client"))
	if err != nil {
		c.AbortWithStatus(http.StatusNotFound)
	}
	return id, err == nil
}
