// Package sendgrid pretends to be SendGrid: it accepts mails, delivers them to simulated mailboxes, posts signed
// events about them and answers searches of its logs.
package sendgrid

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// The operations of the SendGrid simulator.
const (
	opSendMail = "send_mail"
	opLogs     = "logs"
)

// simulator pretends to be SendGrid's mail/send, e-mail logs and event webhook.
type simulator struct {
	*stage.Stage
	stage.Steering
	apiKey, from string
	webhook      string
	key          *ecdsa.PrivateKey

	mu       sync.Mutex
	messages []*message // one per recipient, the oldest first
	byID     map[string]*message
	pending  []map[string]any // events that wait for the next batch
	batching bool
}

// Options are the one account at the simulated SendGrid.
type Options struct {
	APIKey     string            // must not be empty
	From       string            // the one verified sender
	WebhookURL string            // takes the events; "" posts none
	WebhookKey *ecdsa.PrivateKey // P-256; signs events; required with WebhookURL
}

func (o Options) check() error {
	switch {
	case o.APIKey == "":
		return errors.New("sendgrid simulator: the API key is empty and would let everyone in, set one")
	case !stage.IsMailAddress(o.From):
		return errors.New("sendgrid simulator: the verified sender is not a mail address, set one")
	case o.WebhookURL != "" && o.WebhookKey == nil:
		return errors.New("sendgrid simulator: events have no key to be signed with, set one or post no events")
	}
	return nil
}

// New makes the simulator of SendGrid's mail/send, e-mail logs and event webhook.
func New(s *stage.Stage, o Options) (stage.Vendor, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	g := &simulator{Stage: s, apiKey: o.APIKey, from: o.From,
		webhook: o.WebhookURL, key: o.WebhookKey, byID: map[string]*message{}}
	g.Personas = stage.NewPersonas(strings.ToLower, "delivered", "hard_bounce", "suppressed", "deferred_then_delivered", "blocked")
	return g, nil
}

func (g *simulator) Name() string             { return "sendgrid" }
func (g *simulator) Ops() []string            { return []string{opSendMail, opLogs, stage.OpCallback} }
func (g *simulator) SteerFaults([]stage.Rule) {}
func (g *simulator) PersonasChanged([]string) {}

func (g *simulator) Route(r *stage.Request) (string, func() stage.Answer) {
	op, deed := stage.OpUnknown, func() stage.Answer {
		g.Violations.Add(g.Now(), stage.OpUnknown, r.Method+" is not served on this path")
		return errorAnswer(http.StatusNotFound, reason{"not found", ""})
	}
	id, one := strings.CutPrefix(r.URL.Path, "/v3/logs/")
	switch {
	case r.URL.Path == "/v3/mail/send" && r.Method == http.MethodPost:
		op, deed = opSendMail, func() stage.Answer { return g.sendMail(r) }
	case r.URL.Path == "/v3/logs" && r.Method == http.MethodPost:
		op, deed = opLogs, func() stage.Answer { return g.searchLogs(r) }
	case one && r.Method == http.MethodGet:
		op, deed = opLogs, func() stage.Answer { return g.readLog(id) }
	}
	return op, func() stage.Answer {
		if r.Header.Get("Authorization") != "Bearer "+g.apiKey {
			return g.Refusal(http.StatusUnauthorized)
		}
		return deed()
	}
}

// Refusal is SendGrid's error answer for a status.
func (g *simulator) Refusal(status int) stage.Answer {
	switch status {
	case http.StatusTooManyRequests:
		a := errorAnswer(status, reason{"too many requests", ""})
		a.Header.Set("X-RateLimit-Limit", "600")
		a.Header.Set("X-RateLimit-Remaining", "0")
		a.Header.Set("X-RateLimit-Reset", strconv.Itoa(int(g.Now().Unix())+2))
		return a
	case http.StatusUnauthorized:
		return errorAnswer(status, reason{"The provided authorization grant is invalid, expired, or revoked", ""})
	case http.StatusForbidden:
		return errorAnswer(status, reason{"access forbidden", ""})
	case http.StatusRequestEntityTooLarge:
		return errorAnswer(status, reason{"The JSON payload you have included in your request is too large.", ""})
	}
	return errorAnswer(status, reason{strings.ToLower(http.StatusText(status)), ""})
}

// reason is one reason why SendGrid refuses a request.
type reason struct{ message, field string }

func errorAnswer(status int, reasons ...reason) stage.Answer {
	list := []map[string]any{}
	for _, r := range reasons {
		e := map[string]any{"message": r.message}
		if r.field != "" {
			e["field"] = r.field
		}
		list = append(list, e)
	}
	return stage.AnswerJSON(status, map[string]any{"errors": list})
}

// rejectRequest answers 400 (or 403 for the sender) and records violations.
func (g *simulator) rejectRequest(op string, status int, reasons ...reason) stage.Answer {
	for _, r := range reasons {
		g.Violations.Add(g.Now(), op, strings.TrimSpace(r.field+" "+r.message))
	}
	return errorAnswer(status, reasons...)
}

// sendMail accepts a mail for every recipient and starts its delivery.
func (g *simulator) sendMail(r *stage.Request) stage.Answer {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		return g.rejectRequest(opSendMail, http.StatusBadRequest, reason{"Content-Type should be application/json", ""})
	}
	var m mail
	if err := stage.DecodeStrict(r.Payload, &m); err != nil {
		return g.rejectRequest(opSendMail, http.StatusBadRequest, reason{"Bad Request: " + err.Error(), ""})
	}
	if reasons := m.check(g.Now()); len(reasons) > 0 {
		return g.rejectRequest(opSendMail, http.StatusBadRequest, reasons...)
	}
	if !strings.EqualFold(m.From.Email, g.from) {
		return g.rejectRequest(opSendMail, http.StatusForbidden, reason{"The from address does not match a verified Sender Identity. " +
			"Mail cannot be sent until this error is resolved.", "from"})
	}
	if m.isSandboxed() {
		return stage.Answer{Status: http.StatusOK, Header: http.Header{}}
	}
	id := randomID()
	for _, msg := range m.splitByRecipient(id, g.Now()) {
		msg.persona = g.Personas.Next(msg.to)
		g.mu.Lock()
		g.messages = append(g.messages, msg)
		g.byID[msg.id] = msg
		g.mu.Unlock()
		g.Play(func(ctx context.Context) { g.playMessage(ctx, msg) })
	}
	return stage.Answer{Status: http.StatusAccepted, Header: http.Header{"X-Message-Id": {id}}}
}

// randomID returns 22 random characters in SendGrid's style.
func randomID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// playMessage takes a message from its acceptance to its fate.
func (g *simulator) playMessage(ctx context.Context, m *message) {
	type step struct {
		after time.Duration
		event string
	}
	steps := []step{{500 * time.Millisecond, "processed"}, {1500 * time.Millisecond, "delivered"}}
	switch m.persona {
	case "suppressed":
		steps = []step{{500 * time.Millisecond, "dropped"}}
	case "hard_bounce":
		steps[1].event = "bounce"
	case "blocked":
		steps[1].event = "blocked"
	case "deferred_then_delivered":
		steps = []step{steps[0], {1500 * time.Millisecond, "deferred"}, {10 * time.Second, "delivered"}}
	}
	for _, s := range steps {
		if !g.Wait(ctx, s.after) {
			return
		}
		g.noteEvent(m, s.event)
	}
}

// Effects lists the accepted mails by address, the oldest first.
func (g *simulator) Effects() any {
	g.mu.Lock()
	defer g.mu.Unlock()
	mails := map[string][]mailEffect{}
	for _, m := range g.messages {
		to := strings.ToLower(m.to)
		mails[to] = append(mails[to], m.effect())
	}
	return map[string]any{"mails": mails, "violations": g.Violations.All()}
}
