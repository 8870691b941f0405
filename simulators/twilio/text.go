package twilio

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// The operations on texts.
const (
	opCreateText = "create_message"
	opFetchText  = "fetch_message"
	opListTexts  = "list_messages"
)

// The directions of a text.
const (
	textOutbound = "outbound-api"
	textAnswer   = "outbound-reply" // a Message in the answer to an inbound text
	textInbound  = "inbound"
)

// text is one message from or to the account's number. simulator.mu guards the fields below outbox.
type text struct {
	sid, direction, to, from, body string
	persona                        string // of the person at the other end
	statusCallback                 string // "" for none
	replyOf                        string // sid of the text this one answers, "" for none
	created                        time.Time
	outbox                         stage.Outbox

	status                string
	code                  int // of the error, 0 for none
	updated, sent, closed time.Time
	callbacks             []textCallback
}

// textCallback is one report to the product: on the status of its text, or on a text of a person.
type textCallback struct {
	Status string    `json:"message_status"`
	At     time.Time `json:"at"`
	HTTP   int       `json:"http_status"` // 0 when no answer came
	Fault  string    `json:"fault,omitempty"`
}

// textEffect is the history of a text.
type textEffect struct {
	Sid       string         `json:"sid"`
	To        string         `json:"to"`
	From      string         `json:"from"`
	Persona   string         `json:"persona"`
	Body      string         `json:"body"`
	Status    string         `json:"status"`
	Placed    time.Time      `json:"placed"`
	Ended     *time.Time     `json:"ended"` // null while it is under way
	Callbacks []textCallback `json:"callbacks"`
	ErrorCode int            `json:"error_code,omitempty"`
	ReplyOf   string         `json:"reply_of,omitempty"`
}

func (x *text) effect() textEffect {
	return textEffect{Sid: x.sid, To: x.to, From: x.from, Persona: x.persona, Body: x.body, Status: x.status,
		Placed: x.created, Ended: timeOrNull(x.closed), Callbacks: append([]textCallback{}, x.callbacks...),
		ErrorCode: x.code, ReplyOf: x.replyOf}
}

func (t *simulator) routeText(r *stage.Request) (string, func() stage.Answer) {
	texts := "/2010-04-01/Accounts/" + t.account + "/Messages"
	sid, oneText := strings.CutPrefix(r.URL.Path, texts+"/")
	sid, json := strings.CutSuffix(sid, ".json")
	switch {
	case r.URL.Path == texts+".json" && r.Method == http.MethodPost:
		return opCreateText, func() stage.Answer { return t.createText(r) }
	case r.URL.Path == texts+".json" && r.Method == http.MethodGet:
		return opListTexts, func() stage.Answer { return t.listTexts(r) }
	case oneText && json && r.Method == http.MethodGet:
		return opFetchText, func() stage.Answer { return t.fetchText(r, sid) }
	}
	return stage.OpUnknown, func() stage.Answer { return t.refusePath(r) }
}

// createText accepts a text and sends it in the background.
func (t *simulator) createText(r *stage.Request) stage.Answer {
	form, bad := readForm(r, []string{"To", "From", "Body", "StatusCallback", "ValidityPeriod"})
	if bad == nil {
		bad = t.checkText(form)
	}
	if bad != nil {
		return t.rejectRequest(opCreateText, bad)
	}
	persona := t.Personas.Next(textKey + form.Get("To"))
	switch persona {
	case "text-invalid":
		return refuseText(refuseTextRecipient(form.Get("To")))
	case "text-unsubscribed":
		return refuseText(&refusal{codeUnsubscribed, "Attempt to send to unsubscribed recipient"})
	}
	x := t.newText(textOutbound, form.Get("To"), form.Get("Body"), persona)
	x.statusCallback = form.Get("StatusCallback")
	t.noteLinks(opCreateText, x.body)
	a := stage.AnswerJSON(http.StatusCreated, t.textResource(x))
	t.keepText(x)
	t.Play(func(ctx context.Context) { t.playText(ctx, x) })
	return a
}

// refuseText answers 400 without a violation, for a reason that is no fault of the client.
func refuseText(bad *refusal) stage.Answer {
	return errorAnswer(http.StatusBadRequest, bad.code, bad.message)
}

// newText makes a text between the account's number and a person's.
func (t *simulator) newText(direction, person, body, persona string) *text {
	now := t.Now().UTC()
	x := &text{sid: "SM" + stage.RandomHex(32), direction: direction, to: person, from: t.from, body: body,
		persona: persona, created: now, updated: now, status: "queued"}
	if direction == textInbound {
		x.to, x.from, x.status, x.closed = t.from, person, "received", now
	}
	return x
}

func (t *simulator) keepText(x *text) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.texts = append(t.texts, x)
	t.textBySid[x.sid] = x
}

func (t *simulator) fetchText(r *stage.Request, sid string) stage.Answer {
	t.mu.Lock()
	x := t.textBySid[sid]
	t.mu.Unlock()
	if x == nil {
		return errorAnswer(http.StatusNotFound, 20404, "The requested resource "+r.URL.Path+" was not found")
	}
	return stage.AnswerJSON(http.StatusOK, t.textResource(x))
}

// textResource writes a text as the API does.
func (t *simulator) textResource(x *text) map[string]any {
	t.mu.Lock()
	defer t.mu.Unlock()
	uri := "/2010-04-01/Accounts/" + t.account + "/Messages/" + x.sid
	m := map[string]any{
		"sid": x.sid, "account_sid": t.account, "api_version": "2010-04-01", "direction": x.direction,
		"to": x.to, "from": x.from, "body": x.body, "status": x.status, "messaging_service_sid": nil,
		"num_segments": strconv.Itoa(countSegments(x.body)), "num_media": "0", "error_code": nil, "error_message": nil,
		"date_created": formatTime(x.created), "date_updated": formatTime(x.updated), "date_sent": formatTime(x.sent),
		"price": nil, "price_unit": "USD", "uri": uri + ".json",
		"subresource_uris": map[string]string{"media": uri + "/Media.json"},
	}
	if x.code != 0 {
		m["error_code"], m["error_message"] = x.code, textErrorMessage(x.code)
	}
	return m
}

func listTextsFields() []string {
	return []string{"To", "From", "DateSent", "DateSent<", "DateSent>", "PageSize", "Page", "PageToken"}
}

// listTexts answers with a page of texts, newest first. A text enters the list a moment after its
// creation, and has no date until Twilio sends it.
func (t *simulator) listTexts(r *stage.Request) stage.Answer {
	q, bad := readQuery(r, listTextsFields())
	if bad != nil {
		return t.rejectRequest(opListTexts, bad)
	}
	found := t.findTexts(q)
	for _, name := range listTextsFields() {
		if !strings.HasPrefix(name, "Date") || q.Get(name) == "" {
			continue
		}
		test, bad := parseTimeFilter(name, q.Get(name))
		if bad != nil {
			return t.rejectRequest(opListTexts, bad)
		}
		found = slices.DeleteFunc(found, func(x *text) bool { return !test(t.sentTime(x)) })
	}
	return answerPage(t, "Messages", q, found, t.textResource)
}

func (t *simulator) findTexts(q listQuery) []*text {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []*text
	horizon := t.Now().Add(-t.Scale(listDelay))
	for _, x := range slices.Backward(t.texts) {
		if !x.created.After(horizon) && (q.Get("To") == "" || x.to == q.Get("To")) && (q.Get("From") == "" || x.from == q.Get("From")) {
			found = append(found, x)
		}
	}
	return found
}

func (t *simulator) sentTime(x *text) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return x.sent
}
