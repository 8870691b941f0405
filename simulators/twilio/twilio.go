// Package twilio pretends to be the Calls and the Messages resource of Twilio: it places calls and texts to
// simulated people, fetches and follows the spoken documents, and signs its callbacks.
package twilio

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// The operations of the Twilio simulator.
const (
	opPlaceCall  = "place_call"
	opFetchCall  = "fetch_call"
	opListCalls  = "list_calls"
	opUpdateCall = "update_call"
	opListEvents = "list_events"
)

// simulator pretends to be the Calls and the Messages resource of Twilio.
type simulator struct {
	*stage.Stage
	stage.Steering
	account, token, from string
	inboundURL           string // takes the texts of people; "" posts none

	mu        sync.Mutex
	calls     []*call // the oldest first
	bySid     map[string]*call
	texts     []*text // of both directions, the oldest first
	textBySid map[string]*text
	chats     map[string]int // the number of answers of an auto-responder, by phone number
}

// Options are the one account at the simulated Twilio.
type Options struct {
	AccountSID string // "AC" and 32 hex digits
	AuthToken  string // authenticates requests and signs callbacks; must not be empty
	From       string // the one number the account owns, E.164
	// InboundTextURL takes the texts that people write, signed over exactly this address; "" posts none.
	InboundTextURL string
}

func (o Options) check() error {
	switch {
	case len(o.AccountSID) != 34 || o.AccountSID[:2] != "AC" || !stage.IsHex(o.AccountSID[2:]):
		return errors.New("twilio simulator: the account SID is not AC and 32 hex digits, set one that is")
	case o.AuthToken == "":
		return errors.New("twilio simulator: the auth token is empty and would let everyone in, set one")
	case !isE164(o.From):
		return errors.New("twilio simulator: the number of the account is not in E.164 form, write it like +18005550100")
	case o.InboundTextURL != "" && !isWebhookURL(o.InboundTextURL):
		return errors.New("twilio simulator: Twilio would not post texts to this address, set one with https or on loopback")
	}
	return nil
}

// New makes the simulator of Twilio's Calls and Messages.
func New(s *stage.Stage, o Options) (stage.Vendor, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	t := &simulator{Stage: s, account: o.AccountSID, token: o.AuthToken, from: o.From, inboundURL: o.InboundTextURL,
		bySid: map[string]*call{}, textBySid: map[string]*text{}, chats: map[string]int{}}
	t.Personas = stage.NewPersonas(strings.TrimSpace, calleePersonas()...)
	t.Personas.Known = personasFor
	return t, nil
}

// personasFor returns the personas of a number that Twilio calls, or of one that it writes to.
func personasFor(key string) []string {
	if strings.HasPrefix(key, textKey) {
		return textPersonas()
	}
	return calleePersonas()
}

func (t *simulator) Name() string             { return "twilio" }
func (t *simulator) SteerFaults([]stage.Rule) {}

func (t *simulator) Ops() []string {
	return []string{opPlaceCall, opFetchCall, opListCalls, opUpdateCall, opListEvents, opCreateText, opFetchText, opListTexts,
		stage.OpCallback, stage.OpVoice, stage.OpInboundText}
}

// PersonasChanged lets auto-responders start over.
func (t *simulator) PersonasChanged(keys []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range keys {
		delete(t.chats, strings.TrimPrefix(strings.TrimSpace(key), textKey))
	}
}

func (t *simulator) Route(r *stage.Request) (string, func() stage.Answer) {
	op, deed := t.routeCall(r)
	if op == stage.OpUnknown {
		op, deed = t.routeText(r)
	}
	return op, func() stage.Answer {
		if user, pass, _ := r.BasicAuth(); user != t.account || pass != t.token {
			return errorAnswer(http.StatusUnauthorized, 20003, "Authenticate")
		}
		return deed()
	}
}

func (t *simulator) routeCall(r *stage.Request) (string, func() stage.Answer) {
	calls := "/2010-04-01/Accounts/" + t.account + "/Calls"
	op, deed := stage.OpUnknown, func() stage.Answer { return t.refusePath(r) }
	sid, oneCall := strings.CutPrefix(r.URL.Path, calls+"/")
	sid, json := strings.CutSuffix(sid, ".json")
	switch {
	case r.URL.Path == calls+".json" && r.Method == http.MethodPost:
		op, deed = opPlaceCall, func() stage.Answer { return t.placeCall(r) }
	case r.URL.Path == calls+".json" && r.Method == http.MethodGet:
		op, deed = opListCalls, func() stage.Answer { return t.listCalls(r) }
	case oneCall && json && strings.HasSuffix(sid, "/Events") && r.Method == http.MethodGet:
		op, deed = opListEvents, func() stage.Answer { return t.listEvents(r, strings.TrimSuffix(sid, "/Events")) }
	case oneCall && json && r.Method == http.MethodGet:
		op, deed = opFetchCall, func() stage.Answer { return t.fetchCall(r, sid) }
	case oneCall && json && r.Method == http.MethodPost:
		op, deed = opUpdateCall, func() stage.Answer { return t.updateCall(r, sid) }
	}
	return op, deed
}

func (t *simulator) refusePath(r *stage.Request) stage.Answer {
	t.Violations.Add(t.Now(), stage.OpUnknown, r.Method+" is not served on this path")
	return errorAnswer(http.StatusNotFound, 20404, "The requested resource "+r.URL.Path+" was not found")
}

// Refusal is Twilio's error answer for a status, with the code that Twilio uses for it.
func (t *simulator) Refusal(status int) stage.Answer {
	switch status {
	case http.StatusTooManyRequests:
		a := errorAnswer(status, 20429, "Too Many Requests")
		a.Header.Set("Retry-After", "1")
		return a
	case http.StatusUnauthorized, http.StatusForbidden:
		return errorAnswer(status, 20003, "Authenticate")
	}
	return errorAnswer(status, 20000+status, http.StatusText(status))
}

// rejectRequest answers 400 and records a violation.
func (t *simulator) rejectRequest(op string, bad *refusal) stage.Answer {
	t.Violations.Add(t.Now(), op, bad.message)
	return errorAnswer(http.StatusBadRequest, bad.code, bad.message)
}

func errorAnswer(status, code int, message string) stage.Answer {
	return stage.AnswerJSON(status, map[string]any{
		"code": code, "message": message, "status": status,
		"more_info": "https://www.twilio.com/docs/errors/" + strconv.Itoa(code),
	})
}

// placeCall accepts a call and plays it in the background.
func (t *simulator) placeCall(r *stage.Request) stage.Answer {
	form, bad := readForm(r, createCallFields())
	if bad == nil {
		bad = t.checkCreate(form)
	}
	if bad != nil {
		return t.rejectRequest(opPlaceCall, bad)
	}
	persona := t.Personas.Next(form.Get("To"))
	if persona == "invalid" {
		return errorAnswer(http.StatusBadRequest, codeInvalidTo,
			"The phone number you are attempting to call, "+form.Get("To")+", is not valid.")
	}
	c := t.newCall(form, persona)
	a := stage.AnswerJSON(http.StatusCreated, t.callResource(c))
	t.mu.Lock()
	t.calls = append(t.calls, c)
	t.bySid[c.sid] = c
	t.mu.Unlock()
	t.Play(func(ctx context.Context) { t.playCall(ctx, c) })
	return a
}

func (t *simulator) fetchCall(r *stage.Request, sid string) stage.Answer {
	c := t.findCall(sid)
	if c == nil {
		return errorAnswer(http.StatusNotFound, 20404, "The requested resource "+r.URL.Path+" was not found")
	}
	return stage.AnswerJSON(http.StatusOK, t.callResource(c))
}

// updateCall hangs a call up: Status=canceled before the answer, Status=completed at any time.
func (t *simulator) updateCall(r *stage.Request, sid string) stage.Answer {
	form, bad := readForm(r, []string{"Status"})
	if bad == nil && form.Get("Status") != "canceled" && form.Get("Status") != "completed" {
		bad = &refusal{20001, "Status must be canceled or completed"}
	}
	if bad != nil {
		return t.rejectRequest(opUpdateCall, bad)
	}
	c := t.findCall(sid)
	if c == nil {
		return t.fetchCall(r, sid)
	}
	if !t.hangUp(c, form.Get("Status")) {
		return errorAnswer(http.StatusBadRequest, 21220, "Call is not in-progress. Cannot redirect.")
	}
	return t.fetchCall(r, sid)
}

func (t *simulator) hangUp(c *call, asked string) bool {
	t.mu.Lock()
	answered, over := !c.answered.IsZero(), c.isOver()
	t.mu.Unlock()
	if over || (answered && asked == "canceled") {
		return false
	}
	end := ending{status: "canceled"}
	if answered {
		end.status = "completed"
	}
	t.finishCall(c, end)
	c.hangUp()
	return true
}

func (t *simulator) findCall(sid string) *call {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bySid[sid]
}

// listDelay is how long a new call or text stays out of the list.
const listDelay = time.Second
