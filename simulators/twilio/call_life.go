package twilio

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// callee is the person, machine or network at the other end of a call.
type callee struct {
	rings   time.Duration // the time from the first ring to the answer or the ending; 0 never rings
	end     ending        // of a call that nobody answers; a zero ending means that somebody does
	keys    []string      // pressed one by one, each at a menu
	leaves  time.Duration // the time from the answer to hanging up; 0 stays
	machine bool
}

// ending tells how a call ends.
type ending struct {
	status string
	sip    string // SIP response code, "" when somebody answered the call
}

func calleePersonas() []string {
	return []string{"acknowledges", "hangs_up", "wrong_digit", "repeats_then_acknowledges", "passes", "approves",
		"voicemail", "silent", "busy", "no_answer", "unreachable", "invalid"}
}

func calleeOf(persona string) callee {
	c := callee{rings: 2 * time.Second}
	switch persona {
	case "acknowledges":
		c.keys = []string{"1"}
	case "hangs_up":
		c.leaves = time.Second
	case "wrong_digit":
		c.keys = []string{"9"}
	case "repeats_then_acknowledges":
		c.keys = []string{"2", "1"}
	case "approves": // listens to the details, then agrees
		c.keys = []string{"1", "1"}
	case "passes":
		c.keys = []string{"3"}
	case "voicemail":
		c.rings, c.machine = 5*time.Second, true
	case "busy":
		c.rings, c.end = time.Second, ending{"busy", "486"}
	case "no_answer":
		c.rings, c.end = time.Hour, ending{"no-answer", "487"}
	case "unreachable":
		c.rings, c.end = 0, ending{"failed", "480"}
	}
	return c
}

const (
	queueTime   = 300 * time.Millisecond // from accepted to dialed
	connectTime = 700 * time.Millisecond // from dialed to ringing
)

// playCall plays a call from the queue to its end.
func (t *simulator) playCall(ctx context.Context, c *call) {
	defer c.hangUp()
	end := t.dialCall(c, calleeOf(c.persona))
	if ctx.Err() != nil {
		return // the simulator is closing and reports nothing more
	}
	t.finishCall(c, end)
}

// dialCall plays a call up to its end, which it returns. When the product hangs up, dialCall returns
// early, and its ending does not matter.
func (t *simulator) dialCall(c *call, who callee) ending {
	t.Wait(c.ctx, queueTime)
	t.advanceCall(c, "initiated")
	t.Wait(c.ctx, connectTime)
	if who.rings == 0 {
		return who.end
	}
	t.advanceCall(c, "ringing")
	limit := 60 * time.Second
	if s, err := strconv.Atoi(c.form.Get("Timeout")); err == nil {
		limit = time.Duration(s) * time.Second
	}
	if who.rings >= limit {
		t.Wait(c.ctx, limit)
		return ending{"no-answer", "487"}
	}
	t.Wait(c.ctx, who.rings)
	if who.end != (ending{}) {
		return who.end
	}
	if !t.advanceCall(c, "answered") {
		return ending{}
	}
	t.detectAnswerer(c, who)
	return t.holdConversation(c, who)
}

// advanceCall moves a call forward and reports it; false when the call is over.
func (t *simulator) advanceCall(c *call, event string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.isOver() || t.Context().Err() != nil {
		return false
	}
	c.updated = t.Now().UTC()
	reported := event
	switch event {
	case "ringing":
		c.dialed, c.status = c.updated, "ringing"
	case "answered":
		c.answered, c.status, reported = c.updated, "in-progress", "in-progress"
	}
	t.reportCall(c, event, reported, "")
	return true
}

// finishCall ends a call once; later endings change nothing.
func (t *simulator) finishCall(c *call, end ending) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.isOver() {
		return
	}
	c.closed = t.Now().UTC()
	c.updated, c.status = c.closed, end.status
	t.reportCall(c, "completed", end.status, end.sip)
}

// reportCall queues a status callback if the product asked for this event. The caller holds t.mu.
func (t *simulator) reportCall(c *call, event, status, sip string) {
	events := c.form["StatusCallbackEvent"]
	if len(events) == 0 {
		events = []string{"completed"}
	}
	if c.form.Get("StatusCallback") == "" || !slices.Contains(events, event) {
		return
	}
	params := t.callParams(c, status)
	params.Set("Timestamp", c.updated.Format(time.RFC1123Z))
	params.Set("CallbackSource", "call-progress-events")
	params.Set("SequenceNumber", strconv.Itoa(c.sequence))
	if event == "completed" {
		params.Set("CallDuration", strconv.Itoa(c.billedSeconds()))
		params.Set("Duration", strconv.Itoa((c.billedSeconds()+59)/60))
	}
	if sip != "" {
		params.Set("SipResponseCode", sip)
	}
	d := delivery{url: c.form.Get("StatusCallback"), method: c.form.Get("StatusCallbackMethod"),
		params: params, idempotency: stage.RandomHex(32), call: c}
	record := callbackRecord{Status: status, Sequence: c.sequence, At: c.updated}
	c.sequence++
	c.outbox.Post(t.Stage, func(ctx context.Context) {
		t.postToProduct(ctx, stage.OpCallback, d, func(fault string, r *stage.Reply) {
			t.mu.Lock()
			defer t.mu.Unlock()
			record.Fault, record.HTTP = fault, statusOf(r)
			c.callbacks = append(c.callbacks, record)
		})
	})
}
