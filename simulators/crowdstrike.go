package simulators

import (
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// The operations of the CrowdStrike simulator.
const (
	opToken        = "token"
	opQueryHosts   = "query_hosts"
	opHostDetails  = "host_details"
	opDeviceAction = "device_action"
	opOnlineState  = "online_state"
)

const tokenLife = 30 * time.Minute

// crowdStrike pretends to be the hosts part of CrowdStrike Falcon.
type crowdStrike struct {
	*stage
	temper
	clientID, secret string

	fleet *fleet

	mu     sync.Mutex
	tokens map[string]grant
}

// grant is what a token allows: acting for one CID until it expires.
type grant struct {
	cid     string
	expires time.Time
}

func newCrowdStrike(s *stage, o Options) *crowdStrike {
	f := &crowdStrike{stage: s, clientID: o.CrowdStrikeClientID, secret: o.CrowdStrikeClientSecret,
		tokens: map[string]grant{}}
	f.personas = fleetPersonas("already_contained", "errors_in_202")
	f.fleet = newFleet(s, f.personas)
	f.fleet.exactNames = true
	return f
}

func (f *crowdStrike) name() string { return "crowdstrike" }

func (f *crowdStrike) ops() []string {
	return []string{opToken, opQueryHosts, opHostDetails, opDeviceAction, opOnlineState}
}

// steerFaults voids all tokens at once when a rule says so.
func (f *crowdStrike) steerFaults(rules []Rule) {
	if slices.ContainsFunc(rules, func(r Rule) bool { return r.Kind == faultExpire }) {
		f.mu.Lock()
		defer f.mu.Unlock()
		clear(f.tokens)
	}
}

func (f *crowdStrike) route(r *request) (string, func() answer) {
	op, deed := opUnknown, func(string) answer {
		f.violations.add(f.now(), opUnknown, r.Method+" is not served on this path")
		return f.errors(http.StatusNotFound, "not found")
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /oauth2/token":
		return opToken, func() answer { return f.traced(f.issue(r)) }
	case "GET /devices/queries/devices/v1":
		op, deed = opQueryHosts, func(cid string) answer { return f.query(r, cid) }
	case "GET /devices/entities/devices/v2", "POST /devices/entities/devices/v2":
		op, deed = opHostDetails, func(cid string) answer { return f.details(r, cid) }
	case "POST /devices/entities/devices-actions/v2":
		op, deed = opDeviceAction, func(cid string) answer { return f.act(r, cid) }
	case "GET /devices/entities/online-state/v1":
		op, deed = opOnlineState, func(cid string) answer { return f.onlineState(r, cid) }
	}
	return op, func() answer {
		cid, ok := f.bearer(r)
		if !ok {
			return f.refusal(http.StatusUnauthorized)
		}
		return f.traced(deed(cid))
	}
}

// traced puts the headers of every answer on a.
func (f *crowdStrike) traced(a answer) answer {
	if a.header.Get("X-Cs-Traceid") == "" {
		a.header.Set("X-Cs-Traceid", uuidLike(randomHex(32)))
	}
	a.header.Set("X-Cs-Region", "us-1")
	a.header.Set("X-Ratelimit-Limit", "6000")
	if a.header.Get("X-Ratelimit-Remaining") == "" {
		a.header.Set("X-Ratelimit-Remaining", "5999")
	}
	return a
}

// refusal is Falcon's error answer for a status. The time of a 429 is in epoch seconds.
func (f *crowdStrike) refusal(status int) answer {
	message := strings.ToLower(http.StatusText(status))
	switch status {
	case http.StatusUnauthorized:
		message = "access denied, invalid bearer token"
	case http.StatusForbidden:
		message = "access denied, authorization failed"
	case http.StatusTooManyRequests:
		message = "API rate limit exceeded."
	}
	a := f.traced(f.errors(status, message))
	if status == http.StatusTooManyRequests {
		a.header.Set("X-Ratelimit-Remaining", "0")
		a.header.Set("X-Ratelimit-Retryafter", itoa(int(f.now().Unix())+2))
	}
	return a
}

// reject answers 400 and records what the client should never send.
func (f *crowdStrike) reject(op, message string) answer {
	f.violations.add(f.now(), op, message)
	return f.errors(http.StatusBadRequest, message)
}

func (f *crowdStrike) errors(status int, message string) answer {
	return f.reply(status, []any{}, apiError{Code: status, Message: message})
}

// apiError is one element of errors; ID names the host it is about, if any.
type apiError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	ID      string `json:"id,omitempty"`
}

// reply is Falcon's envelope: errors may come with any status, also with a good one.
func (f *crowdStrike) reply(status int, resources any, errs ...apiError) answer {
	trace := uuidLike(randomHex(32))
	a := jsonAnswer(status, map[string]any{
		"meta":      map[string]any{"query_time": 0.004, "powered_by": "device-api", "trace_id": trace},
		"resources": resources, "errors": append([]apiError{}, errs...),
	})
	a.header.Set("X-Cs-Traceid", trace)
	return a
}

// issue answers POST /oauth2/token.
func (f *crowdStrike) issue(r *request) answer {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	form, formErr := url.ParseQuery(string(r.body))
	if err != nil || kind != "application/x-www-form-urlencoded" || formErr != nil || r.URL.RawQuery != "" {
		return f.reject(opToken, "the request must be a form")
	}
	for name := range form {
		if !slices.Contains([]string{"client_id", "client_secret", "member_cid", "grant_type", "scope"}, name) {
			return f.reject(opToken, "unknown parameter "+name)
		}
	}
	if g := form.Get("grant_type"); g != "" && g != "client_credentials" {
		return f.reject(opToken, "unsupported grant_type")
	}
	cid, ok := f.cidOf(form.Get("member_cid"))
	switch {
	case !form.Has("client_id") || !form.Has("client_secret"):
		return f.reject(opToken, "client_id and client_secret are required in the form")
	case !f.knows(form.Get("client_id"), form.Get("client_secret")):
		return f.refusal(http.StatusForbidden)
	case !ok:
		return f.reject(opToken, "member_cid is not a CID")
	}
	token := randomHex(64)
	f.mu.Lock()
	f.tokens[token] = grant{cid: cid, expires: f.now().Add(tokenLife)}
	f.mu.Unlock()
	return jsonAnswer(http.StatusCreated, map[string]any{"access_token": token, "token_type": "bearer", "expires_in": 1799})
}

func (f *crowdStrike) knows(clientID, secret string) bool {
	fixed := edrValues["crowdstrike"]
	return clientID == f.clientID && secret == f.secret || clientID == fixed["client_id"] && secret == fixed["client_secret"]
}

// cidOf is the CID to act for: the member's (with or without its checksum), or the account's own.
func (f *crowdStrike) cidOf(member string) (string, bool) {
	if member == "" {
		return hexOf("cid " + f.clientID), true
	}
	cid, checksum, has := strings.Cut(member, "-")
	return strings.ToLower(cid), len(cid) == 32 && isHex(cid) && (!has || (len(checksum) == 2 && isHex(checksum)))
}

func (f *crowdStrike) bearer(r *request) (string, bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	f.mu.Lock()
	defer f.mu.Unlock()
	g, known := f.tokens[token]
	if !strings.EqualFold(scheme, "bearer") || !known || !f.now().Before(g.expires) {
		return "", false
	}
	return g.cid, true
}

func uuidLike(hex32 string) string {
	return hex32[:8] + "-" + hex32[8:12] + "-" + hex32[12:16] + "-" + hex32[16:20] + "-" + hex32[20:]
}
