// Package simulated stands in for the mailer and the carrier in fire drills with simulated phones: it takes every
// message and every call, every call rings out, and nothing leaves the house.
package simulated

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
)

// House takes everything and reaches nobody. All it knows of a call is in the call's id.
type House struct{ Now func() time.Time }

// Send takes a mail.
func (House) Send(context.Context, models.OutboundMail) (string, error) { return newID(), nil }

// Lookup never knows a mail: taking one again does no harm.
func (House) Lookup(context.Context, models.OutboundMail, time.Time) (string, bool, error) {
	return "", false, nil
}

// Text takes a short message.
func (h House) Text(_ context.Context, t models.OutboundText) (models.SentText, error) {
	return models.SentText{ID: newID(), Status: models.TextSent, Body: t.Body, At: h.Now()}, nil
}

// RecentTexts never knows a message.
func (House) RecentTexts(context.Context, string) ([]models.SentText, error) {
	return nil, nil
}

// Place takes a call, which begins to ring.
func (h House) Place(_ context.Context, c models.OutboundCall) (models.PlacedCall, error) {
	until := h.Now().Add(c.RingFor)
	return models.PlacedCall{ID: fmt.Sprintf("%s/%d", newID(), until.UnixMilli()), Status: models.CallQueued, At: h.Now()}, nil
}

// Status says that a call rings until its time is over, and then that nobody answered.
func (h House) Status(_ context.Context, id string) (models.PlacedCall, error) {
	_, until, _ := strings.Cut(id, "/")
	ms, err := strconv.ParseInt(until, 10, 64)
	if err != nil {
		return models.PlacedCall{}, &models.VendorError{Class: models.Rejected, Vendor: "simulated", Op: "read call", Code: "invalid_call_id"}
	}
	status := models.CallRinging
	if !h.Now().Before(time.UnixMilli(ms)) {
		status = models.CallNoAnswer
	}
	return models.PlacedCall{ID: id, Status: status}, nil
}

// Hangup ends a call.
func (House) Hangup(context.Context, string) error { return nil }

// Recent never knows a call: placing one again does no harm.
func (House) Recent(context.Context, string) ([]models.PlacedCall, time.Time, error) {
	return nil, time.Time{}, nil
}

// Requests never knows any: nothing leaves the house.
func (House) Requests(context.Context, string) ([]string, error) { return nil, nil }

func newID() string { return "simulated-" + uuid.NewString() }
