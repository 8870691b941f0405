package twilio

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// detectionRecord is a report on the person or machine that answered a call.
type detectionRecord struct {
	AnsweredBy string    `json:"answered_by"`
	At         time.Time `json:"at"`
	HTTP       int       `json:"http_status"` // 0 when no answer came
	Fault      string    `json:"fault,omitempty"`
}

// detectAnswerer tells a person from a machine beside the conversation, when AsyncAmd asks for it,
// and reports the verdict. It does not report on a call that ends sooner.
func (t *simulator) detectAnswerer(c *call, who callee) {
	if c.form.Get("AsyncAmd") != "true" {
		return
	}
	t.Play(func(ctx context.Context) {
		verdict := verdictOn(who, c.form.Get("MachineDetection"))
		if !t.Wait(c.ctx, detectionTime(verdict)) {
			return
		}
		record := detectionRecord{AnsweredBy: verdict, At: t.Now().UTC()}
		if c.form.Get("AsyncAmdStatusCallback") == "" {
			t.noteDetection(c, record)
			return
		}
		d := delivery{url: c.form.Get("AsyncAmdStatusCallback"), method: c.form.Get("AsyncAmdStatusCallbackMethod"), call: c,
			params: url.Values{"CallSid": {c.sid}, "AccountSid": {t.account}, "AnsweredBy": {verdict},
				"MachineDetectionDuration": {strconv.FormatInt(detectionTime(verdict).Milliseconds(), 10)}},
			idempotency: stage.RandomHex(32)}
		t.postToProduct(ctx, stage.OpCallback, d, func(fault string, r *stage.Reply) {
			record.Fault, record.HTTP = fault, statusOf(r)
			t.noteDetection(c, record)
		})
	})
}

func (t *simulator) noteDetection(c *call, record detectionRecord) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.detections = append(c.detections, record)
}

// detectionTime is how long Twilio listens before the verdict: a person says hello, a machine goes
// on talking, the end of its greeting comes later still.
func detectionTime(verdict string) time.Duration {
	switch verdict {
	case "human":
		return 2500 * time.Millisecond
	case "machine_start":
		return 4 * time.Second
	}
	return 6 * time.Second
}
