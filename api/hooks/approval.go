package hooks

import (
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/report"
	"github.com/watchfire-mdr/watchfire/vendors/phone/twilio"
)

// approval says what a call about an approval is about. The name of the device is said only after a key press: stage 1
// asks for it, stage 2 asks for the decision.
func (h *Hooks) approval(c *gin.Context, k call, stage, n int, before string) {
	h.speak(c, func() ([]byte, error) {
		p, err := h.pickedUp(c, k)
		if err != nil {
			return nil, err
		}
		e := p.incident.Endpoint(k.row.Endpoint)
		if e == nil || !e.Approval.IsAnswerable() {
			return h.sentence(p.contact, "settled")
		}
		code, _, err := auth.CallerCode(p.secret, h.Now())
		if err != nil {
			return nil, err
		}
		host := ""
		if stage > 1 {
			host = e.Name()
		}
		s, err := h.Words.Approval(report.Announcement{
			Language: p.contact.Language, Reference: p.incident.Reference, Severity: p.incident.PublishedSeverity, Drill: p.incident.Exercise.IsDrill(),
			Code: code, Before: before, Release: e.Desired == models.DesiredReleased,
		}, host)
		if err != nil {
			return nil, err
		}
		action := h.PublicURL.JoinPath("hooks", "twilio", "key", k.client.String(), k.row.Token)
		action.RawQuery = "n=" + strconv.Itoa(n) + "&stage=" + strconv.Itoa(stage)
		return twilio.Menu(twilio.Spoken{Text: s.Text, Language: s.Language}, action.String())
	})
}

// approvalKey takes the digit a human pressed in a call about an approval.
func (h *Hooks) approvalKey(c *gin.Context, k call) {
	n, _ := strconv.Atoi(c.Query("n")) // signed, so ours; absent is zero
	stage, _ := strconv.Atoi(c.Query("stage"))
	switch d := k.report.Digits; {
	case d == "1" && stage < 2:
		h.approval(c, k, 2, n, "")
	case d == "1" || d == "9" && stage > 1 || d == "3":
		h.decided(c, k, d, stage, n)
	case d == "" || n >= maxRepeats:
		h.say(c, k, "goodbye")
	case d == "2":
		h.approval(c, k, stage, n+1, "")
	default:
		h.approval(c, k, stage, n+1, "wrong")
	}
}

// decided passes an answer about an approval on. "Recorded" is said only after the workflow has it for good.
func (h *Hooks) decided(c *gin.Context, k call, digit string, stage, n int) {
	ctx := c.Request.Context()
	press := notify.KeyPress{Effect: k.row.Key, Contact: k.row.Contact, Digit: digit}
	told, err := h.signal(ctx, k.row.Workflow, models.SignalKeyPress, press)
	switch {
	case err != nil && n < maxRepeats:
		h.Log.ErrorContext(ctx, "answer about an approval not recorded yet", "error", err)
		h.approval(c, k, stage, n+1, "again")
	case err != nil:
		h.fail(c, "approval", err)
	case !told:
		h.say(c, k, "settled")
	default:
		h.say(c, k, map[string]string{"1": "approved", "9": "declined", "3": "key3"}[digit])
	}
}
