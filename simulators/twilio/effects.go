package twilio

import "time"

// callEffect is the history of a call that Twilio really placed.
type callEffect struct {
	Sid       string           `json:"sid"`
	To        string           `json:"to"`
	From      string           `json:"from"`
	Persona   string           `json:"persona"`
	URL       string           `json:"url"`
	Status    string           `json:"status"`
	Placed    time.Time        `json:"in_flight_from"`
	Answered  *time.Time       `json:"answered_at"`
	Ended     *time.Time       `json:"in_flight_until"` // null while the call is in flight
	Seconds   int              `json:"seconds"`
	Keys      []keyPress       `json:"keys"`
	Said      []utterance      `json:"said"`
	Callbacks []callbackRecord `json:"callbacks"`
	Problem   string           `json:"problem,omitempty"`

	Detections []detectionRecord `json:"detections,omitempty"` // when the product asked for them
}

// Effects lists the calls and the texts by the number they went to, and the texts of people by their
// own number, each list in the sequence of time.
func (t *simulator) Effects() any {
	t.mu.Lock()
	defer t.mu.Unlock()
	calls := map[string][]callEffect{}
	for _, c := range t.calls {
		calls[c.to] = append(calls[c.to], callEffect{
			Sid: c.sid, To: c.to, From: c.from, Persona: c.persona, URL: c.form.Get("Url"), Status: c.status,
			Placed: c.created, Answered: timeOrNull(c.answered), Ended: timeOrNull(c.closed), Seconds: c.billedSeconds(),
			Keys: append([]keyPress{}, c.keys...), Said: append([]utterance{}, c.utterances...),
			Callbacks: append([]callbackRecord{}, c.callbacks...), Problem: c.problem,
			Detections: append([]detectionRecord{}, c.detections...),
		})
	}
	texts, inbound := map[string][]textEffect{}, map[string][]textEffect{}
	for _, x := range t.texts {
		if x.direction == textInbound {
			inbound[x.from] = append(inbound[x.from], x.effect())
		} else {
			texts[x.to] = append(texts[x.to], x.effect())
		}
	}
	return map[string]any{"calls": calls, "texts": texts, "inbound": inbound, "violations": t.Violations.All()}
}

// timeOrNull returns a time that is null in JSON for no time.
func timeOrNull(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	return &at
}
