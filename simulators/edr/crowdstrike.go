package edr

import (
	"errors"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// The operations of the CrowdStrike simulator.
const (
	opQueryHosts   = "query_hosts"
	opHostDetails  = "host_details"
	opDeviceAction = "device_action"
	opOnlineState  = "online_state"
)

const tokenLife = 30 * time.Minute

// crowdStrike pretends to be the hosts part of CrowdStrike Falcon.
type crowdStrike struct {
	*stage.Stage
	stage.Steering
	clientID, secret string

	fleet *fleet

	mu     sync.Mutex
	tokens map[string]grant
}

// grant lets the bearer of a token act for one CID until it expires.
type grant struct {
	cid     string
	expires time.Time
}

// NewCrowdStrike makes the simulator of CrowdStrike Falcon, which takes a client of the caller's
// besides Credentials("crowdstrike").
func NewCrowdStrike(s *stage.Stage, clientID, secret string) (stage.Vendor, error) {
	switch {
	case clientID == "":
		return nil, errors.New("crowdstrike simulator: the client id is empty, set one")
	case secret == "":
		return nil, errors.New("crowdstrike simulator: the client secret is empty and would let everyone in, set one")
	}
	f := &crowdStrike{Stage: s, clientID: clientID, secret: secret, tokens: map[string]grant{}}
	f.Personas = newFleetPersonas("already_contained", "errors_in_202", reinstalled)
	f.fleet = newFleet(s, f.Personas)
	f.fleet.forgets = true
	return f, nil
}

func (f *crowdStrike) Name() string { return "crowdstrike" }

func (f *crowdStrike) Ops() []string {
	return []string{stage.OpToken, opQueryHosts, opHostDetails, opDeviceAction, opOnlineState}
}

// SteerFaults voids all tokens at once when a rule says so.
func (f *crowdStrike) SteerFaults(rules []stage.Rule) {
	if slices.ContainsFunc(rules, func(r stage.Rule) bool { return r.Kind == stage.FaultExpire }) {
		f.mu.Lock()
		defer f.mu.Unlock()
		clear(f.tokens)
	}
}

func (f *crowdStrike) Route(r *stage.Request) (string, func() stage.Answer) {
	op, deed := stage.OpUnknown, func(string) stage.Answer {
		f.Violations.Add(f.Now(), stage.OpUnknown, r.Method+" is not served on this path")
		return f.errorAnswer(http.StatusNotFound, "not found")
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /oauth2/token":
		return stage.OpToken, func() stage.Answer { return f.addTraceHeaders(f.issueToken(r)) }
	case "GET /devices/queries/devices/v1":
		op, deed = opQueryHosts, func(cid string) stage.Answer { return f.queryHosts(r, cid) }
	case "GET /devices/entities/devices/v2", "POST /devices/entities/devices/v2":
		op, deed = opHostDetails, func(cid string) stage.Answer { return f.readDetails(r, cid) }
	case "POST /devices/entities/devices-actions/v2":
		op, deed = opDeviceAction, func(cid string) stage.Answer { return f.act(r, cid) }
	case "GET /devices/entities/online-state/v1":
		op, deed = opOnlineState, func(cid string) stage.Answer { return f.readOnlineState(r, cid) }
	}
	return op, func() stage.Answer {
		cid, ok := f.authenticate(r)
		if !ok {
			return f.Refusal(http.StatusUnauthorized)
		}
		return f.addTraceHeaders(deed(cid))
	}
}

// addTraceHeaders adds the headers that every answer has.
func (f *crowdStrike) addTraceHeaders(a stage.Answer) stage.Answer {
	if a.Header.Get("X-Cs-Traceid") == "" {
		a.Header.Set("X-Cs-Traceid", formatUUID(stage.RandomHex(32)))
	}
	a.Header.Set("X-Cs-Region", "us-1")
	a.Header.Set("X-Ratelimit-Limit", "6000")
	if a.Header.Get("X-Ratelimit-Remaining") == "" {
		a.Header.Set("X-Ratelimit-Remaining", "5999")
	}
	return a
}

// Refusal is Falcon's error answer for a status. The time of a 429 is in epoch seconds.
func (f *crowdStrike) Refusal(status int) stage.Answer {
	message := strings.ToLower(http.StatusText(status))
	switch status {
	case http.StatusUnauthorized:
		message = "access denied, invalid bearer token"
	case http.StatusForbidden:
		message = "access denied, authorization failed"
	case http.StatusTooManyRequests:
		message = "API rate limit exceeded."
	}
	a := f.addTraceHeaders(f.errorAnswer(status, message))
	if status == http.StatusTooManyRequests {
		a.Header.Set("X-Ratelimit-Remaining", "0")
		a.Header.Set("X-Ratelimit-Retryafter", strconv.Itoa(int(f.Now().Unix())+2))
	}
	return a
}

// reject answers 400 and records a violation.
func (f *crowdStrike) reject(op, message string) stage.Answer {
	f.Violations.Add(f.Now(), op, message)
	return f.errorAnswer(http.StatusBadRequest, message)
}

func (f *crowdStrike) errorAnswer(status int, message string) stage.Answer {
	return f.answerEnvelope(status, []any{}, apiError{Code: status, Message: message})
}

// apiError is one element of errors; ID names the host it is about, if any.
type apiError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	ID      string `json:"id,omitempty"`
}

// answerEnvelope answers in Falcon's envelope: errors may come with any status, also with a good one.
func (f *crowdStrike) answerEnvelope(status int, resources any, errs ...apiError) stage.Answer {
	trace := formatUUID(stage.RandomHex(32))
	a := stage.AnswerJSON(status, map[string]any{
		"meta":      map[string]any{"query_time": 0.004, "powered_by": "device-api", "trace_id": trace},
		"resources": resources, "errors": append([]apiError{}, errs...),
	})
	a.Header.Set("X-Cs-Traceid", trace)
	return a
}

// issueToken answers POST /oauth2/token.
func (f *crowdStrike) issueToken(r *stage.Request) stage.Answer {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	form, formErr := url.ParseQuery(string(r.Payload))
	if err != nil || kind != "application/x-www-form-urlencoded" || formErr != nil || r.URL.RawQuery != "" {
		return f.reject(stage.OpToken, "the request must be a form")
	}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		if !slices.Contains([]string{"client_id", "client_secret", "member_cid", "grant_type", "scope"}, name) {
			return f.reject(stage.OpToken, "unknown parameter "+name)
		}
	}
	if g := form.Get("grant_type"); g != "" && g != "client_credentials" {
		return f.reject(stage.OpToken, "unsupported grant_type")
	}
	cid, ok := f.cidOf(form.Get("member_cid"))
	switch {
	case !form.Has("client_id") || !form.Has("client_secret"):
		return f.reject(stage.OpToken, "client_id and client_secret are required in the form")
	case !f.isClient(form.Get("client_id"), form.Get("client_secret")):
		return f.Refusal(http.StatusForbidden)
	case !ok:
		return f.reject(stage.OpToken, "member_cid is not a CID")
	}
	token := stage.RandomHex(64)
	f.mu.Lock()
	f.tokens[token] = grant{cid: cid, expires: f.Now().Add(tokenLife)}
	f.mu.Unlock()
	return stage.AnswerJSON(http.StatusCreated, map[string]any{"access_token": token, "token_type": "bearer", "expires_in": 1799})
}

func (f *crowdStrike) isClient(clientID, secret string) bool {
	fixed := edrValues["crowdstrike"]
	return clientID == f.clientID && secret == f.secret || clientID == fixed["client_id"] && secret == fixed["client_secret"]
}

// cidOf returns the CID to act for: the member's (with or without its checksum), or the account's
// own for ""; false when the member's is not a CID.
func (f *crowdStrike) cidOf(member string) (string, bool) {
	if member == "" {
		return stage.HashHex("cid " + f.clientID), true
	}
	cid, checksum, has := strings.Cut(member, "-")
	return strings.ToLower(cid), len(cid) == 32 && stage.IsHex(cid) && (!has || (len(checksum) == 2 && stage.IsHex(checksum)))
}

func (f *crowdStrike) authenticate(r *stage.Request) (string, bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	f.mu.Lock()
	defer f.mu.Unlock()
	g, known := f.tokens[token]
	if !strings.EqualFold(scheme, "bearer") || !known || !f.Now().Before(g.expires) {
		return "", false
	}
	return g.cid, true
}

func formatUUID(hex32 string) string {
	return hex32[:8] + "-" + hex32[8:12] + "-" + hex32[12:16] + "-" + hex32[16:20] + "-" + hex32[20:]
}
