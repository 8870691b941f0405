package hooks

import (
	"context"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/vendors/phone/twilio"
)

const (
	pinMenu = "approval-pin" // the block that asks for a PIN
	// The wrong PINs after which no PIN is taken: in one call, and of one contact within wrongPINsFor.
	wrongPINsOfCall    = 3
	wrongPINsOfContact = 5
	wrongPINsFor       = time.Hour
)

// pinVerdict is the worth of a PIN.
type pinVerdict int

const (
	pinRight pinVerdict = iota // or none is asked for
	pinMissing
	pinWrong
	pinsOver // too many were wrong
)

// approve passes an approval on, once the contact has entered their PIN if they have one. pin is what was entered, "" for
// nothing.
func (h *Hooks) approve(c *gin.Context, k call, q question, key notify.KeyMeaning, pin string) {
	verdict, err := h.checkPIN(c.Request.Context(), k, pin)
	switch {
	case err != nil:
		h.failTemporarily(c, "PIN", err)
	case verdict == pinRight:
		q.pin = false
		h.answer(c, k, q, key)
	case verdict == pinsOver:
		h.say(c, k, "pin-over")
	case !q.pin:
		h.askPIN(c, k, question{script: q.script, stage: q.stage, asked: 1, pin: true}, "")
	case q.asked >= notify.MaxAsked:
		h.say(c, k, "goodbye")
	case verdict == pinWrong:
		h.askPIN(c, k, q.again(), "pin-wrong")
	default:
		h.askPIN(c, k, q.again(), "")
	}
}

func (h *Hooks) askPIN(c *gin.Context, k call, q question, before string) {
	h.askIn(c, k, q, before, twilio.Digits)
}

// checkPIN compares what was entered in a call with the PIN of its contact. A wrong one is noted.
func (h *Hooks) checkPIN(ctx context.Context, k call, pin string) (pinVerdict, error) {
	return store.Run(h.Store.InClient(ctx, store.Hooks, k.client), func(tx *store.Tx) (pinVerdict, error) {
		hash, err := tx.ApproverPIN(k.row.Contact)
		if err != nil || hash == "" {
			return pinRight, err
		}
		inCall, lately, err := tx.WrongPINs(k.row.Contact, k.row.Key, tx.Now().Add(-wrongPINsFor))
		switch {
		case err != nil:
			return pinWrong, err
		case inCall >= wrongPINsOfCall || lately >= wrongPINsOfContact:
			return pinsOver, nil
		case pin == "":
			return pinMissing, nil
		}
		right, err := auth.IsPIN(hash, pin)
		if err != nil || right {
			return pinRight, err
		}
		if inCall+1 >= wrongPINsOfCall || lately+1 >= wrongPINsOfContact {
			return pinsOver, tx.NoteWrongPIN(k.row.Contact, k.row.Key, inCall+1, tx.Now())
		}
		return pinWrong, tx.NoteWrongPIN(k.row.Contact, k.row.Key, inCall+1, tx.Now())
	})
}

// hear tells the incident that a human heard in a call about an approval which incident it is about. When that fails the
// contacts are called about the incident as before.
func (h *Hooks) hear(ctx context.Context, k call) {
	err := h.keepStatement(ctx, k.row, notify.KeyHeard)
	if err == nil {
		press := notify.KeyPress{Effect: k.row.Key, Contact: k.row.Contact, Digit: notify.KeyHeard}
		_, err = h.signal(ctx, models.SignalKeyPress, press, k.row.Incident.WorkflowID())
	}
	if err != nil {
		h.Log.ErrorContext(ctx, "not recorded that a contact heard of an incident", "error", err)
	}
}
