package twilio

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // G505: the vendor signs with HMAC-SHA1
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// delivery is one request of Twilio to the product.
type delivery struct {
	url         string // as configured; a fragment holds connection overrides and is not sent
	method      string // POST when empty
	params      url.Values
	idempotency string // the same on every retry
	call        *call  // because of which it is made; nil for a text
}

// badDocument is the reason why no carrier could follow an answer of the product.
type badDocument struct{ reason string }

func (b *badDocument) Error() string { return b.reason }

// callParams returns the parameters that every request about a call carries.
func (t *simulator) callParams(c *call, status string) url.Values {
	return url.Values{"CallSid": {c.sid}, "AccountSid": {t.account}, "From": {c.from}, "To": {c.to},
		"Caller": {c.from}, "Called": {c.to}, "CallStatus": {status}, "Direction": {"outbound-api"}, "ApiVersion": {"2010-04-01"}}
}

// fetchDocument asks the product for the next document and parses it.
func (t *simulator) fetchDocument(c *call, who callee, p *page) ([]verb, error) {
	if doc := c.form.Get("Twiml"); doc != "" && p.url == "" {
		return parseTwiML([]byte(doc))
	}
	params := t.callParams(c, "in-progress")
	maps.Copy(params, p.extra)
	if c.form.Get("MachineDetection") != "" && c.form.Get("AsyncAmd") != "true" {
		params.Set("AnsweredBy", verdictOn(who, c.form.Get("MachineDetection")))
	}
	d := delivery{url: p.url, method: p.method, params: params, idempotency: stage.RandomHex(32), call: c}
	r, err := t.askProduct(c.ctx, d)
	if fallback := c.form.Get("FallbackUrl"); err != nil && fallback != "" && c.ctx.Err() == nil {
		d = delivery{url: fallback, method: c.form.Get("FallbackMethod"), params: params, idempotency: stage.RandomHex(32), call: c}
		r, err = t.askProduct(c.ctx, d)
	}
	if err != nil {
		return nil, err
	}
	return readVerbs(r)
}

func verdictOn(who callee, detection string) string {
	switch {
	case !who.machine:
		return "human"
	case detection == "Enable":
		return "machine_start"
	}
	return "machine_end_beep"
}

// readVerbs reads the document in a reply; 204 is an empty document.
func readVerbs(r *stage.Reply) ([]verb, error) {
	if r.Status == http.StatusNoContent {
		return nil, nil
	}
	if !slices.Contains([]string{"text/xml", "application/xml", "text/html"}, r.MediaType) {
		return nil, &badDocument{"the document is not XML but " + strconv.Quote(r.MediaType)}
	}
	verbs, err := parseTwiML(r.Body)
	if err != nil {
		return nil, &badDocument{err.Error()}
	}
	return verbs, nil
}

// askProduct requests a document, with the faults of op voice. Any status but 2xx is an error.
func (t *simulator) askProduct(ctx context.Context, d delivery) (*stage.Reply, error) {
	rule, _ := t.Faults.UseRule(stage.OpVoice)
	token := t.token
	switch rule.Kind {
	case stage.FaultDrop:
		return nil, errors.New("the request for a document was lost")
	case stage.FaultDelay, stage.FaultReorder:
		t.WaitExactly(ctx, rule.Delay())
	case stage.FaultMissign:
		token += "x"
	}
	r, err := t.deliverRequest(ctx, d, token)
	if rule.Kind == stage.FaultDuplicate && err == nil {
		r, err = t.deliverRequest(ctx, d, token)
	}
	if err != nil {
		return nil, err
	}
	if r.Status/100 != 2 {
		return nil, fmt.Errorf("the document was answered with status %d", r.Status)
	}
	return r, nil
}

// postToProduct sends a delivery, with the faults of op. It calls note for every attempt, with the
// fault of the attempt and the reply; nil when no reply came.
func (t *simulator) postToProduct(ctx context.Context, op string, d delivery, note func(fault string, r *stage.Reply)) {
	rule, _ := t.Faults.UseRule(op)
	token := t.token
	switch rule.Kind {
	case stage.FaultDrop:
		note(rule.Kind, nil)
		return
	case stage.FaultDelay:
		t.WaitExactly(ctx, rule.Delay())
	case stage.FaultReorder:
		t.Play(func(ctx context.Context) {
			t.WaitExactly(ctx, max(rule.Delay(), t.Scale(5*time.Second)))
			r, _ := t.deliverRequest(ctx, d, t.token)
			note(rule.Kind, r)
		})
		return
	case stage.FaultMissign:
		token += "x"
	case stage.FaultDuplicate:
		r, _ := t.deliverRequest(ctx, d, token)
		note(rule.Kind, r)
	}
	r, err := t.deliverRequest(ctx, d, token)
	if err != nil {
		t.Log.DebugContext(ctx, "not delivered to the product", "op", op)
	}
	note(rule.Kind, r)
}

// statusOf returns the HTTP status of a reply, 0 when none came.
func statusOf(r *stage.Reply) int {
	if r == nil {
		return 0
	}
	return r.Status
}

// deliverRequest sends a signed request and retries as the connection overrides in the fragment say:
// by default once, and only when no connection came about.
func (t *simulator) deliverRequest(ctx context.Context, d delivery, token string) (*stage.Reply, error) {
	target, overrides, _ := strings.Cut(d.url, "#")
	o, _ := url.ParseQuery(overrides)
	retries := 1
	if n, err := strconv.Atoi(o.Get("rc")); err == nil && n >= 0 && n <= 5 {
		retries = n
	}
	for attempt := 0; ; attempt++ {
		r, err := t.sendSigned(ctx, d, target, token)
		if attempt >= retries || ctx.Err() != nil || !mayRetry(o.Get("rp"), r, err) {
			return r, err
		}
		t.Wait(ctx, 500*time.Millisecond)
	}
}

// mayRetry applies Twilio's retry policy: ct connect failed, rt no answer in time, 4xx, 5xx, all.
func mayRetry(policy string, r *stage.Reply, err error) bool {
	if policy == "" {
		policy = "ct"
	}
	var dial *net.OpError
	reason := ""
	switch {
	case errors.As(err, &dial) && dial.Op == "dial":
		reason = "ct"
	case err != nil:
		reason = "rt"
	case r.Status >= 400:
		reason = strconv.Itoa(r.Status/100) + "xx"
	}
	wanted := strings.Split(policy, ",")
	return reason != "" && (slices.Contains(wanted, reason) || slices.Contains(wanted, "all"))
}

func (t *simulator) sendSigned(ctx context.Context, d delivery, target, token string) (*stage.Reply, error) {
	method, signed, body := http.MethodPost, d.params, []byte(d.params.Encode())
	if d.method == http.MethodGet {
		method, signed, body = http.MethodGet, nil, nil
		separator := "?"
		if strings.Contains(target, "?") {
			separator = "&"
		}
		target += separator + d.params.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("address of the product: %w", err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
	}
	req.Header.Set("User-Agent", "TwilioProxy/1.1")
	req.Header.Set("I-Twilio-Idempotency-Token", d.idempotency)
	req.Header.Set("X-Twilio-Signature", signRequest(token, target, signed))
	reply, err := t.Fetch(req)
	t.noteEvent(d, method, target, reply)
	return reply, err
}

// signRequest returns base64(HMAC-SHA1(token, url + every parameter's name and value, sorted by name)).
func signRequest(token, url string, params map[string][]string) string {
	mac := hmac.New(sha1.New, []byte(token))
	_, _ = io.WriteString(mac, url)
	for _, name := range slices.Sorted(maps.Keys(params)) {
		for _, value := range params[name] {
			_, _ = io.WriteString(mac, name+value)
		}
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
