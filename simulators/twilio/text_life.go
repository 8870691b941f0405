package twilio

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// textKey precedes a number in the personas of texts; the personas of calls have the bare number.
const textKey = "sms:"

func textPersonas() []string {
	return []string{"text-delivered", "text-acknowledges", "text-wrong-code", "text-chatty", "text-undelivered",
		"text-landline", "text-unsubscribed", "text-invalid", "text-silent"}
}

// Codes of Twilio's errors for texts that do not arrive.
const (
	codeUnreachable = 30003
	codeLandline    = 30006
)

func textErrorMessage(code int) string {
	if code == codeLandline {
		return "Landline or unreachable carrier"
	}
	return "Unreachable destination handset"
}

const (
	sendingTime   = 500 * time.Millisecond
	deliveryTime  = 2 * time.Second
	humanPause    = 8 * time.Second // from the sound of the phone to the answer typed
	mostAutoTexts = 20
)

type textStep struct {
	after  time.Duration
	status string
	code   int
}

// textSteps returns the life of a text to such a person.
func textSteps(persona string) []textStep {
	steps := []textStep{{0, "queued", 0}, {queueTime, "sending", 0}, {sendingTime, "sent", 0}}
	switch persona {
	case "text-silent":
		return steps
	case "text-landline":
		return []textStep{steps[0], steps[1], {sendingTime, "failed", codeLandline}}
	case "text-undelivered":
		return append(steps, textStep{deliveryTime, "undelivered", codeUnreachable})
	}
	return append(steps, textStep{deliveryTime, "delivered", 0})
}

// playText plays a text to its end, and the person's answer to it.
func (t *simulator) playText(ctx context.Context, x *text) {
	for _, step := range textSteps(x.persona) {
		if !t.Wait(ctx, step.after) {
			return
		}
		t.advanceText(x, step)
	}
	if body := t.replyOfPerson(x); body != "" && t.Wait(ctx, humanPause) {
		t.receiveText(ctx, x.to, body, x.persona, x.sid)
	}
}

func (t *simulator) advanceText(x *text, step textStep) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x.status, x.code, x.updated = step.status, step.code, t.Now().UTC()
	switch step.status {
	case "sent":
		x.sent = x.updated
	case "delivered", "undelivered", "failed":
		x.closed = x.updated
	}
	t.reportText(x)
}

// reportText queues a status callback if the product asked for one. The caller holds t.mu.
func (t *simulator) reportText(x *text) {
	if x.statusCallback == "" {
		return
	}
	params := url.Values{"MessageSid": {x.sid}, "SmsSid": {x.sid}, "MessageStatus": {x.status}, "SmsStatus": {x.status},
		"AccountSid": {t.account}, "From": {x.from}, "To": {x.to}, "ApiVersion": {"2010-04-01"}}
	if x.code != 0 {
		params.Set("ErrorCode", strconv.Itoa(x.code))
	}
	d := delivery{url: x.statusCallback, params: params, idempotency: stage.RandomHex(32)}
	record := textCallback{Status: x.status, At: x.updated}
	x.outbox.Post(t.Stage, func(ctx context.Context) {
		t.postToProduct(ctx, stage.OpCallback, d, func(fault string, r *stage.Reply) { t.noteTextCallback(x, record, fault, r) })
	})
}

func (t *simulator) noteTextCallback(x *text, record textCallback, fault string, r *stage.Reply) {
	t.mu.Lock()
	defer t.mu.Unlock()
	record.Fault, record.HTTP = fault, statusOf(r)
	x.callbacks = append(x.callbacks, record)
}

var sixDigits = regexp.MustCompile(`\b[0-9]{6}\b`)

// replyOfPerson returns the answer that a person writes to a text, "" for none.
func (t *simulator) replyOfPerson(x *text) string {
	code := sixDigits.FindString(x.body)
	switch x.persona {
	case "text-acknowledges":
		return code
	case "text-wrong-code":
		if n, err := strconv.Atoi(code); err == nil {
			return fmt.Sprintf("%06d", (n+1)%1_000_000)
		}
	case "text-chatty":
		return t.nextAutoReply(x.to)
	}
	return ""
}

// nextAutoReply returns the answer of an auto-responder, "" when it has answered often enough.
func (t *simulator) nextAutoReply(number string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.chats[number] == mostAutoTexts {
		return ""
	}
	t.chats[number]++
	return "Thank you for your message. I am out of office and will read it later."
}
