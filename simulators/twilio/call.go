package twilio

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// call is one outgoing call. simulator.mu guards the fields below outbox.
type call struct {
	sid, to, from, persona string
	form                   url.Values
	created                time.Time
	ctx                    context.Context // ends when somebody hangs up
	hangUp                 context.CancelFunc
	outbox                 stage.Outbox

	status                            string
	updated, dialed, answered, closed time.Time
	sequence                          int
	keys                              []keyPress
	utterances                        []utterance
	callbacks                         []callbackRecord
	events                            []callEvent
	detections                        []detectionRecord
	problem                           string // the reason why the conversation broke off, "" when it did not
}

type keyPress struct {
	Key string    `json:"key"`
	At  time.Time `json:"at"`
}

type utterance struct {
	Text     string    `json:"text"`
	AfterKey string    `json:"after_key"` // the last key before it, "" when the person had pressed none
	At       time.Time `json:"at"`
}

type callbackRecord struct {
	Status   string    `json:"call_status"`
	Sequence int       `json:"sequence"`
	At       time.Time `json:"at"`
	HTTP     int       `json:"http_status"` // 0 when no answer came
	Fault    string    `json:"fault,omitempty"`
}

func (t *simulator) newCall(form url.Values, persona string) *call {
	now := t.Now().UTC()
	c := &call{
		sid: "CA" + stage.RandomHex(32), to: form.Get("To"), from: form.Get("From"), persona: persona,
		form: form, created: now, updated: now, status: "queued",
	}
	c.ctx, c.hangUp = context.WithCancel(t.Context())
	return c
}

func (c *call) isOver() bool { return !c.closed.IsZero() }

// billedSeconds returns the billed length of the conversation, whole seconds rounded up.
func (c *call) billedSeconds() int {
	if c.answered.IsZero() || c.closed.IsZero() {
		return 0
	}
	return int((c.closed.Sub(c.answered) + time.Second - 1) / time.Second)
}

// callResource writes a call as the API does.
func (t *simulator) callResource(c *call) map[string]any {
	t.mu.Lock()
	defer t.mu.Unlock()
	uri := "/2010-04-01/Accounts/" + t.account + "/Calls/" + c.sid
	m := map[string]any{
		"sid": c.sid, "account_sid": t.account, "api_version": "2010-04-01", "direction": "outbound-api",
		"to": c.to, "to_formatted": c.to, "from": c.from, "from_formatted": c.from, "status": c.status,
		"date_created": formatTime(c.created), "date_updated": formatTime(c.updated),
		"start_time": formatTime(c.dialed), "end_time": formatTime(c.closed), "duration": nil,
		"price": nil, "price_unit": "USD", "queue_time": "0", "answered_by": nil, "caller_name": nil,
		"forwarded_from": nil, "group_sid": nil, "parent_call_sid": nil, "trunk_sid": nil,
		"phone_number_sid": "PN" + stage.HashHex(t.from), "uri": uri + ".json",
		"subresource_uris": map[string]string{
			"notifications": uri + "/Notifications.json", "recordings": uri + "/Recordings.json", "events": uri + "/Events.json",
		},
	}
	if c.isOver() {
		m["duration"] = strconv.Itoa(c.billedSeconds())
	}
	if len(c.detections) > 0 {
		m["answered_by"], _, _ = strings.Cut(c.detections[0].AnsweredBy, "_")
	}
	return m
}

// formatTime formats a time as the API does; nil for no time.
func formatTime(at time.Time) any {
	if at.IsZero() {
		return nil
	}
	return at.UTC().Format(time.RFC1123Z)
}

func listCallsFields() []string {
	return []string{"To", "From", "ParentCallSid", "Status", "StartTime", "StartTime<", "StartTime>",
		"EndTime", "EndTime<", "EndTime>", "PageSize", "Page", "PageToken"}
}

// listCalls answers with a page of calls, newest first. A call enters the list a moment after its
// placement, and has no start time until Twilio dials it.
func (t *simulator) listCalls(r *stage.Request) stage.Answer {
	q, bad := readQuery(r, listCallsFields())
	if bad != nil {
		return t.rejectRequest(opListCalls, bad)
	}
	match, bad := parseCallFilter(q.Values)
	if bad != nil {
		return t.rejectRequest(opListCalls, bad)
	}
	return answerPage(t, "Calls", q, t.findCalls(match), t.callResource)
}

func (t *simulator) findCalls(match func(*call) bool) []*call {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []*call
	horizon := t.Now().Add(-t.Scale(listDelay))
	for _, c := range slices.Backward(t.calls) {
		if !c.created.After(horizon) && match(c) {
			found = append(found, c)
		}
	}
	return found
}

// parseCallFilter turns the query of a list into a predicate.
func parseCallFilter(q url.Values) (func(*call) bool, *refusal) {
	statuses := []string{"queued", "ringing", "in-progress", "completed", "busy", "failed", "no-answer", "canceled"}
	if s := q.Get("Status"); s != "" && !slices.Contains(statuses, s) {
		return nil, badParameter("Status is not valid")
	}
	tests := []func(*call) bool{func(c *call) bool {
		return (q.Get("To") == "" || c.to == q.Get("To")) && (q.Get("From") == "" || c.from == q.Get("From")) &&
			(q.Get("Status") == "" || c.status == q.Get("Status")) && q.Get("ParentCallSid") == ""
	}}
	for _, name := range listCallsFields() {
		if !strings.Contains(name, "Time") || q.Get(name) == "" {
			continue
		}
		test, bad := parseTimeFilter(name, q.Get(name))
		if bad != nil {
			return nil, bad
		}
		tests = append(tests, func(c *call) bool {
			if strings.HasPrefix(name, "End") {
				return test(c.closed)
			}
			return test(c.dialed)
		})
	}
	return func(c *call) bool {
		for _, test := range tests {
			if !test(c) {
				return false
			}
		}
		return true
	}, nil
}
