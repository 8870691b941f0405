package simulators

import "time"

// callEffect is what became of one call that was really placed.
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
}

// effects lists the calls by the number called, in the order they were placed.
func (t *twilio) effects() any {
	t.mu.Lock()
	defer t.mu.Unlock()
	calls := map[string][]callEffect{}
	for _, c := range t.calls {
		calls[c.to] = append(calls[c.to], callEffect{
			Sid: c.sid, To: c.to, From: c.from, Persona: c.persona, URL: c.form.Get("Url"), Status: c.status,
			Placed: c.created, Answered: moment(c.answered), Ended: moment(c.closed), Seconds: c.seconds(),
			Keys: append([]keyPress{}, c.keys...), Said: append([]utterance{}, c.said...),
			Callbacks: append([]callbackRecord{}, c.callbacks...), Problem: c.problem,
		})
	}
	return map[string]any{"calls": calls, "violations": t.violations.all()}
}

// moment is null in JSON for no time.
func moment(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	return &at
}
