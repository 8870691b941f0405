package simulators

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The operations of the Twilio simulator.
const (
	opPlaceCall  = "place_call"
	opFetchCall  = "fetch_call"
	opListCalls  = "list_calls"
	opUpdateCall = "update_call"
	opUnknown    = "unknown"
)

// twilio pretends to be the Calls and the Messages resource of Twilio.
type twilio struct {
	*stage
	temper
	account, token, from string
	inboundURL           string // where texts of people are posted; "" posts none

	mu        sync.Mutex
	calls     []*call // in the order they were placed
	bySid     map[string]*call
	texts     []*text // of both directions, in the order they were created
	textBySid map[string]*text
	chats     map[string]int // replies an auto-responder has given, by number
}

func newTwilio(s *stage, o Options) *twilio {
	t := &twilio{stage: s, account: o.TwilioAccountSID, token: o.TwilioAuthToken, from: o.TwilioFrom, inboundURL: o.TwilioInboundTextURL,
		bySid: map[string]*call{}, textBySid: map[string]*text{}, chats: map[string]int{}}
	t.personas = newPersonas(strings.TrimSpace, calleeNames()...)
	t.personas.known = twilioPersonas
	return t
}

// twilioPersonas are those of a number on the phone, or of one that is written to.
func twilioPersonas(key string) []string {
	if strings.HasPrefix(key, textKey) {
		return textPersonas()
	}
	return calleeNames()
}

func (t *twilio) name() string       { return "twilio" }
func (t *twilio) steerFaults([]Rule) {}

func (t *twilio) ops() []string {
	return []string{opPlaceCall, opFetchCall, opListCalls, opUpdateCall, opCreateText, opFetchText, opListTexts,
		opCallback, opVoice, opInboundText}
}

// personasChanged lets auto-responders start over.
func (t *twilio) personasChanged(keys []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range keys {
		delete(t.chats, strings.TrimPrefix(strings.TrimSpace(key), textKey))
	}
}

func (t *twilio) route(r *request) (string, func() answer) {
	op, deed := t.routeCall(r)
	if op == opUnknown {
		op, deed = t.routeText(r)
	}
	return op, func() answer {
		if user, pass, _ := r.BasicAuth(); user != t.account || pass != t.token {
			return twilioError(http.StatusUnauthorized, 20003, "Authenticate")
		}
		return deed()
	}
}

func (t *twilio) routeCall(r *request) (string, func() answer) {
	calls := "/2010-04-01/Accounts/" + t.account + "/Calls"
	op, deed := opUnknown, func() answer { return t.noSuchPath(r) }
	sid, oneCall := strings.CutPrefix(r.URL.Path, calls+"/")
	sid, json := strings.CutSuffix(sid, ".json")
	switch {
	case r.URL.Path == calls+".json" && r.Method == http.MethodPost:
		op, deed = opPlaceCall, func() answer { return t.place(r) }
	case r.URL.Path == calls+".json" && r.Method == http.MethodGet:
		op, deed = opListCalls, func() answer { return t.list(r) }
	case oneCall && json && r.Method == http.MethodGet:
		op, deed = opFetchCall, func() answer { return t.fetch(r, sid) }
	case oneCall && json && r.Method == http.MethodPost:
		op, deed = opUpdateCall, func() answer { return t.update(r, sid) }
	}
	return op, deed
}

func (t *twilio) noSuchPath(r *request) answer {
	t.violations.add(t.now(), opUnknown, r.Method+" is not served on this path")
	return twilioError(http.StatusNotFound, 20404, "The requested resource "+r.URL.Path+" was not found")
}

// refusal is Twilio's error answer for a status, with the code Twilio uses for it.
func (t *twilio) refusal(status int) answer {
	switch status {
	case http.StatusTooManyRequests:
		a := twilioError(status, 20429, "Too Many Requests")
		a.header.Set("Retry-After", "1")
		return a
	case http.StatusUnauthorized, http.StatusForbidden:
		return twilioError(status, 20003, "Authenticate")
	}
	return twilioError(status, 20000+status, http.StatusText(status))
}

// reject answers 400 and records that the client sent what it never should.
func (t *twilio) reject(op string, bad *badCall) answer {
	t.violations.add(t.now(), op, bad.message)
	return twilioError(http.StatusBadRequest, bad.code, bad.message)
}

func twilioError(status, code int, message string) answer {
	return jsonAnswer(status, map[string]any{
		"code": code, "message": message, "status": status,
		"more_info": "https://www.twilio.com/docs/errors/" + itoa(code),
	})
}

// place accepts a call and lets it begin its life.
func (t *twilio) place(r *request) answer {
	form, bad := readForm(r, createCallFields())
	if bad == nil {
		bad = t.checkCreate(form)
	}
	if bad != nil {
		return t.reject(opPlaceCall, bad)
	}
	persona := t.personas.next(form.Get("To"))
	if persona == "invalid" {
		return twilioError(http.StatusBadRequest, codeInvalidTo,
			"The phone number you are attempting to call, "+form.Get("To")+", is not valid.")
	}
	c := t.newCall(form, persona)
	a := jsonAnswer(http.StatusCreated, t.resource(c))
	t.mu.Lock()
	t.calls = append(t.calls, c)
	t.bySid[c.sid] = c
	t.mu.Unlock()
	t.play(func(ctx context.Context) { t.live(ctx, c) })
	return a
}

func (t *twilio) fetch(r *request, sid string) answer {
	c := t.find(sid)
	if c == nil {
		return twilioError(http.StatusNotFound, 20404, "The requested resource "+r.URL.Path+" was not found")
	}
	return jsonAnswer(http.StatusOK, t.resource(c))
}

// update hangs a call up: Status=canceled before the answer, Status=completed at any time.
func (t *twilio) update(r *request, sid string) answer {
	form, bad := readForm(r, []string{"Status"})
	if bad == nil && form.Get("Status") != "canceled" && form.Get("Status") != "completed" {
		bad = &badCall{20001, "Status must be canceled or completed"}
	}
	if bad != nil {
		return t.reject(opUpdateCall, bad)
	}
	c := t.find(sid)
	if c == nil {
		return t.fetch(r, sid)
	}
	if !t.hangUp(c, form.Get("Status")) {
		return twilioError(http.StatusBadRequest, 21220, "Call is not in-progress. Cannot redirect.")
	}
	return t.fetch(r, sid)
}

func (t *twilio) hangUp(c *call, asked string) bool {
	t.mu.Lock()
	answered, over := !c.answered.IsZero(), c.over()
	t.mu.Unlock()
	if over || (answered && asked == "canceled") {
		return false
	}
	end := ending{status: "canceled"}
	if answered {
		end.status = "completed"
	}
	t.finish(c, end)
	c.cut()
	return true
}

func (t *twilio) find(sid string) *call {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bySid[sid]
}

// listDelay is how long a new call or text stays out of the list.
const listDelay = time.Second
