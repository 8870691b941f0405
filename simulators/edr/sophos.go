package edr

import (
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// The operations of the Sophos simulator, beside opToken.
const (
	opSophosWhoami    = "whoami"
	opSophosList      = "list_endpoints"
	opSophosEndpoint  = "endpoint"
	opSophosChange    = "change_isolation"
	opSophosIsolation = "isolation" // reads it
)

const sophosTokenLife = time.Hour

// sophos pretends to be Sophos Central: the login, the global API and the region of one tenant.
type sophos struct {
	*stage.Stage
	stage.Steering
	fleet    *fleet
	tenant   string
	comments map[string]string // of the last action, by endpoint

	mu     sync.Mutex // guards tokens and comments
	tokens map[string]time.Time
}

// newSophos makes the simulator. Its own personas are an endpoint that isolated itself, and one
// whose isolation Sophos does not let anybody change twice in a short time.
func newSophos(s *stage.Stage) stage.Vendor {
	v := &sophos{Stage: s, tenant: formatUUID(stage.HashHex("sophos tenant")), tokens: map[string]time.Time{}, comments: map[string]string{}}
	v.Personas = newFleetPersonas("self_isolated", "too_soon")
	v.fleet = newFleet(s, v.Personas)
	v.fleet.hostForm = formatUUID
	v.fleet.forgets = true
	return v
}

func (s *sophos) Name() string { return "sophos" }

func (s *sophos) Ops() []string {
	return []string{stage.OpToken, opSophosWhoami, opSophosList, opSophosEndpoint, opSophosChange, opSophosIsolation}
}

func (s *sophos) PersonasChanged(names []string) { s.fleet.personasChanged(names) }

// SteerFaults voids all tokens at once when a rule says so.
func (s *sophos) SteerFaults(rules []stage.Rule) {
	if slices.ContainsFunc(rules, func(r stage.Rule) bool { return r.Kind == stage.FaultExpire }) {
		s.mu.Lock()
		defer s.mu.Unlock()
		clear(s.tokens)
	}
}

// Effects lists the devices, the actions that took effect, and the violations.
func (s *sophos) Effects() any {
	e := s.fleet.effects()
	e["violations"] = s.Violations.All()
	return e
}

func (s *sophos) Route(r *stage.Request) (string, func() stage.Answer) {
	const endpoints = "/endpoint/v1/endpoints"
	id, isolation := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, endpoints+"/"), "/isolation")
	one := strings.HasPrefix(r.URL.Path, endpoints+"/") && id != "" && !strings.Contains(id, "/")
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/api/v2/oauth2/token":
		return stage.OpToken, func() stage.Answer { return s.issueToken(r) }
	case r.Method == http.MethodGet && r.URL.Path == "/whoami/v1":
		return opSophosWhoami, func() stage.Answer { return s.performAuthorised(r, false, s.showTenant) }
	case r.Method == http.MethodGet && r.URL.Path == endpoints:
		return opSophosList, func() stage.Answer {
			return s.performAuthorised(r, true, func() stage.Answer { return s.listEndpoints(r) })
		}
	case r.Method == http.MethodGet && one && isolation:
		return opSophosIsolation, func() stage.Answer {
			return s.performAuthorised(r, true, func() stage.Answer { return s.readIsolation(r, id) })
		}
	case r.Method == http.MethodPatch && one && isolation:
		return opSophosChange, func() stage.Answer {
			return s.performAuthorised(r, true, func() stage.Answer { return s.changeIsolation(r, id) })
		}
	case r.Method == http.MethodGet && one:
		return opSophosEndpoint, func() stage.Answer {
			return s.performAuthorised(r, true, func() stage.Answer { return s.readEndpoint(r, id) })
		}
	}
	return stage.OpUnknown, func() stage.Answer {
		s.Violations.Add(s.Now(), stage.OpUnknown, r.Method+" is not served on this path")
		return s.Refusal(http.StatusNotFound)
	}
}

// Refusal is Central's error answer for a status.
func (s *sophos) Refusal(status int) stage.Answer {
	return s.errorAnswer(status, strings.ReplaceAll(http.StatusText(status), " ", ""), http.StatusText(status))
}

func (s *sophos) errorAnswer(status int, word, message string) stage.Answer {
	a := stage.AnswerJSON(status, map[string]any{
		"error": word, "message": message, "correlationId": formatUUID(stage.RandomHex(32)), "requestId": formatUUID(stage.RandomHex(32)),
		"createdAt": s.Now().UTC().Format(time.RFC3339),
	})
	if status == http.StatusTooManyRequests {
		a.Header.Set("Retry-After", "2")
	}
	return a
}

// reject answers 400 and records a violation.
func (s *sophos) reject(op, message string) stage.Answer {
	s.Violations.Add(s.Now(), op, message)
	return s.errorAnswer(http.StatusBadRequest, "BadRequest", message)
}

// issueToken answers the token endpoint.
func (s *sophos) issueToken(r *stage.Request) stage.Answer {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	form, formErr := url.ParseQuery(string(r.Payload))
	fixed := edrValues["sophos"]
	switch {
	case err != nil || formErr != nil || kind != "application/x-www-form-urlencoded" || r.URL.RawQuery != "":
		return s.reject(stage.OpToken, "the request must be a form")
	case len(form) != 4 || form.Get("grant_type") != "client_credentials" || form.Get("scope") != "token":
		return s.reject(stage.OpToken, "grant_type, scope, client_id and client_secret are required, and nothing else")
	case form.Get("client_id") != fixed["client_id"] || form.Get("client_secret") != fixed["client_secret"]:
		return stage.AnswerJSON(http.StatusUnauthorized, map[string]string{"errorCode": "oauth.invalid_client_secret",
			"message": "Unauthorized", "trackingId": formatUUID(stage.RandomHex(32))})
	}
	token := stage.RandomHex(64)
	s.mu.Lock()
	s.tokens[token] = s.Now().Add(sophosTokenLife)
	s.mu.Unlock()
	return stage.AnswerJSON(http.StatusOK, map[string]any{"access_token": token, "refresh_token": stage.RandomHex(64), "token_type": "bearer",
		"expires_in": int(sophosTokenLife.Seconds()), "errorCode": "success", "message": "OK", "trackingId": formatUUID(stage.RandomHex(32))})
}

// performAuthorised performs the deed for a good token, and in a region for the tenant in the header.
func (s *sophos) performAuthorised(r *stage.Request, region bool, deed func() stage.Answer) stage.Answer {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	s.mu.Lock()
	expires, known := s.tokens[token]
	s.mu.Unlock()
	if !strings.EqualFold(scheme, "bearer") || !known || !s.Now().Before(expires) {
		return s.Refusal(http.StatusUnauthorized)
	}
	if tenant := r.Header.Get("X-Tenant-Id"); region && tenant != s.tenant {
		s.Violations.Add(s.Now(), stage.OpUnknown, "X-Tenant-ID is not the tenant's")
		if tenant == "" {
			return s.Refusal(http.StatusUnauthorized)
		}
		return s.Refusal(http.StatusForbidden)
	}
	return deed()
}

func (s *sophos) showTenant() stage.Answer {
	return stage.AnswerJSON(http.StatusOK, map[string]any{"id": s.tenant, "idType": "tenant", "apiHosts": map[string]string{
		"global": "https://api.central.sophos.com", "dataRegion": "https://api-eu01.central.sophos.com"}})
}
