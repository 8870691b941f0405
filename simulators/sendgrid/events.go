package sendgrid

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// message is a mail on its way to one recipient. simulator.mu guards the fields below persona.
type message struct {
	id         string // sg_message_id; up to the first dot it is X-Message-Id
	to, from   string
	subject    string
	headers    map[string]string
	args       map[string]string
	categories []string
	accepted   time.Time
	persona    string

	status string // in the logs; "" until the vendor has processed the mail
	reason string
	events []map[string]any
}

// mailEffect is the history of one accepted mail to one recipient.
type mailEffect struct {
	ID         string            `json:"sg_message_id"`
	RequestID  string            `json:"x_message_id"`
	To         string            `json:"to"`
	Subject    string            `json:"subject"`
	Headers    map[string]string `json:"headers"`
	CustomArgs map[string]string `json:"custom_args"`
	Categories []string          `json:"categories"`
	Accepted   time.Time         `json:"accepted_at"`
	Persona    string            `json:"persona"`
	Status     string            `json:"status"`
	Events     []string          `json:"events"`
}

func (m *message) effect() mailEffect {
	e := mailEffect{ID: m.id, To: m.to, Subject: m.subject, Headers: m.headers, CustomArgs: m.args,
		Categories: m.categories, Accepted: m.accepted, Persona: m.persona, Status: m.status, Events: []string{}}
	e.RequestID, _, _ = strings.Cut(m.id, ".")
	for _, event := range m.events {
		e.Events = append(e.Events, fmt.Sprint(event["event"]))
	}
	return e
}

// splitByRecipient splits an accepted request into one message per recipient.
func (m *mail) splitByRecipient(id string, now time.Time) []*message {
	var out []*message
	for _, p := range m.Personalizations {
		for _, to := range slices.Concat(p.To, p.CC, p.BCC) {
			msg := &message{
				id: fmt.Sprintf("%s.recvd-%s-%d-%s.0", id, stage.RandomHex(10), len(out)+1, strings.ToUpper(stage.RandomHex(8))),
				to: to.Email, from: m.From.Email, subject: m.Subject, accepted: now.UTC(),
				headers: map[string]string{}, args: map[string]string{}, categories: slices.Clone(m.Categories),
			}
			maps.Copy(msg.headers, m.Headers)
			maps.Copy(msg.headers, p.Headers)
			maps.Copy(msg.args, m.CustomArgs)
			maps.Copy(msg.args, p.CustomArgs)
			if p.Subject != "" {
				msg.subject = p.Subject
			}
			out = append(out, msg)
		}
	}
	return out
}

// isSystemField reports whether an event has a field of its own with this name, which a
// custom argument merged at top level would hide.
func isSystemField(name string) bool {
	return slices.Contains([]string{"event", "email", "timestamp", "sg_event_id", "sg_message_id", "smtp-id", "category",
		"reason", "status", "type", "response", "attempt", "ip", "tls", "bounce_classification"}, name)
}

// noteEvent records an event of a message and queues it for the webhook.
func (g *simulator) noteEvent(m *message, kind string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	request, _, _ := strings.Cut(m.id, ".")
	e := map[string]any{"event": kind, "email": m.to, "sg_message_id": m.id, "sg_event_id": randomID(),
		"timestamp": g.Now().Unix(), "smtp-id": "<" + request + "@geopod-ismtpd-1>"}
	m.status = kind
	switch kind {
	case "delivered":
		e["response"], e["ip"], e["tls"] = "250 2.0.0 OK", "127.0.0.1", 1
	case "deferred":
		e["response"], e["attempt"] = "451 4.7.1 Try again later", "1"
	case "dropped":
		e["reason"], m.reason = "Bounced Address", "Bounced Address"
	case "bounce", "blocked":
		e["event"], e["type"], e["ip"] = "bounce", kind, "127.0.0.1"
		e["status"], e["bounce_classification"] = "5.1.1", "Invalid Address"
		m.status, m.reason = "bounced", "550 5.1.1 The account does not exist"
		if kind == "blocked" {
			e["status"], e["bounce_classification"] = "5.7.1", "Reputation"
			m.status, m.reason = "blocked", "554 5.7.1 Message refused by policy"
		}
		e["reason"] = m.reason
	}
	m.events = append(m.events, e)
	g.queueEvent(m, e)
}

// queueEvent adds an event to the next batch, in the form of the webhook. The caller holds g.mu.
func (g *simulator) queueEvent(m *message, event map[string]any) {
	if g.webhook == "" {
		return
	}
	e := map[string]any{}
	for name, value := range m.args {
		e[name] = value
	}
	maps.Copy(e, event)
	switch len(m.categories) {
	case 0:
	case 1:
		e["category"] = m.categories[0]
	default:
		e["category"] = m.categories
	}
	g.pending = append(g.pending, e)
	if !g.batching {
		g.batching = true
		g.Play(g.postPending)
	}
}

const (
	batchTime   = 500 * time.Millisecond // for which events wait for company
	batchEvents = 1000
)

// postPending posts the events that have gathered.
func (g *simulator) postPending(ctx context.Context) {
	g.Wait(ctx, batchTime)
	g.mu.Lock()
	batch := g.pending
	g.pending, g.batching = nil, false
	g.mu.Unlock()
	for part := range slices.Chunk(batch, batchEvents) {
		g.Play(func(ctx context.Context) { g.postUntilTaken(ctx, part) })
	}
}

// postUntilTaken posts one batch again and again, with growing pauses, until the product takes it.
func (g *simulator) postUntilTaken(ctx context.Context, batch []map[string]any) {
	pause := time.Second
	for attempt := 0; attempt < 60 && ctx.Err() == nil; attempt++ {
		rule, _ := g.Faults.UseRule(stage.OpCallback)
		key := g.key
		switch rule.Kind {
		case stage.FaultDrop:
			return
		case stage.FaultDelay:
			g.WaitExactly(ctx, rule.Delay())
		case stage.FaultReorder:
			slices.Reverse(batch)
			g.WaitExactly(ctx, max(rule.Delay(), g.Scale(5*time.Second)))
		case stage.FaultMissign:
			key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		case stage.FaultDuplicate:
			_ = g.postOnce(ctx, batch, key)
		}
		if g.postOnce(ctx, batch, key) == nil {
			return
		}
		g.Wait(ctx, pause)
		pause = min(2*pause, 10*time.Minute)
	}
}

func (g *simulator) postOnce(ctx context.Context, batch []map[string]any, key *ecdsa.PrivateKey) error {
	body, err := encodeEvents(batch)
	if err != nil {
		return err
	}
	stamp := strconv.FormatInt(g.Now().Unix(), 10)
	signature, err := signEvents(key, stamp, body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.webhook, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("address of the product: %w", err)
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "SendGrid Event API")
	req.Header.Set("X-Twilio-Email-Event-Webhook-Signature", signature)
	req.Header.Set("X-Twilio-Email-Event-Webhook-Timestamp", stamp)
	r, err := g.Fetch(req)
	if err != nil {
		return err
	}
	if r.Status/100 != 2 {
		return fmt.Errorf("events were answered with status %d", r.Status)
	}
	return nil
}

// encodeEvents writes a JSON array with an event on each line, lines ended by CRLF.
func encodeEvents(batch []map[string]any) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, e := range batch {
		if i > 0 {
			b.WriteString(",\r\n")
		}
		line, err := json.Marshal(e)
		if err != nil {
			return nil, fmt.Errorf("write event: %w", err)
		}
		b.Write(line)
	}
	b.WriteString("]\r\n")
	return b.Bytes(), nil
}

// signEvents returns the base64 of the DER form of an ECDSA signature over SHA-256 of the timestamp
// followed by the raw body.
func signEvents(key *ecdsa.PrivateKey, timestamp string, body []byte) (string, error) {
	digest := sha256.Sum256(append([]byte(timestamp), body...))
	der, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		return "", fmt.Errorf("sign events: %w", err)
	}
	return base64.StdEncoding.EncodeToString(der), nil
}
