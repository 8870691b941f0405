package twilio

import (
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// eventsAfter is how long after its end a call tells its events.
const eventsAfter = 15 * time.Minute

// callEvent is one request to the product because of a call, and the product's answer.
type callEvent struct {
	method, url string
	params      map[string]string
	status      int // 0 when no answer came
	at          time.Time
}

// noteEvent keeps a request about a call for the call's events.
func (t *simulator) noteEvent(d delivery, method, target string, r *stage.Reply) {
	if d.call == nil {
		return
	}
	e := callEvent{method: method, url: target, params: map[string]string{}, status: statusOf(r), at: t.Now().UTC()}
	for name := range d.params {
		e.params[snakeCase(name)] = d.params.Get(name)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	d.call.events = append(d.call.events, e)
}

// snakeCase writes the name of a parameter as events do: CallSid becomes call_sid.
func snakeCase(name string) string {
	var out []rune
	for n, r := range name {
		if r >= 'A' && r <= 'Z' {
			if n > 0 {
				out = append(out, '_')
			}
			r += 'a' - 'A'
		}
		out = append(out, r)
	}
	return string(out)
}

// listEvents answers with a page of a call's events, in the sequence of time. It has none until some time after the
// call's end.
func (t *simulator) listEvents(r *stage.Request, sid string) stage.Answer {
	c := t.findCall(sid)
	if c == nil {
		return t.fetchCall(r, sid)
	}
	q, bad := readQuery(r, []string{"PageSize", "Page", "PageToken"})
	if bad != nil {
		return t.rejectRequest(opListEvents, bad)
	}
	t.mu.Lock()
	var found []callEvent
	if c.isOver() && !c.closed.Add(t.Scale(eventsAfter)).After(t.Now()) {
		found = append(found, c.events...)
	}
	t.mu.Unlock()
	return answerPage(t, "Calls/"+sid+"/Events", q, found, callEvent.resource)
}

// resource writes an event as the API does.
func (e callEvent) resource() map[string]any {
	return map[string]any{
		"request":  map[string]any{"method": e.method, "url": e.url, "parameters": e.params},
		"response": map[string]any{"response_code": e.status, "date_created": e.at.Format(time.RFC1123Z), "request_duration": 1},
	}
}
