package edr

import (
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

// The operations of the Defender simulator, beside the login service's stage.OpToken.
const (
	opMDEListMachines = "list_machines"
	opMDEGetMachine   = "get_machine"
	opMDEIsolate      = "isolate"
	opMDEUnisolate    = "unisolate"
	opMDEListActions  = "list_actions"
	opMDEGetAction    = "get_action"
	opMDECancelAction = "cancel_action"
)

const (
	mdeScope     = "https://api.securitycenter.microsoft.com/.default"
	mdeTokenLife = time.Hour
)

// mde pretends to be the device isolation of Microsoft Defender for Endpoint, and the login
// service in front of it.
type mde struct {
	*stage.Stage
	stage.Steering
	fleet *fleet

	mu     sync.Mutex
	tokens map[string]time.Time // when they end
}

// newMDE makes the simulator. It has personas of its own: Defender queues a duplicate isolation of
// "double_isolate" and runs it after the release, answers a duplicate on "returns_pending" with the
// pending action.
func newMDE(s *stage.Stage) stage.Vendor {
	d := &mde{Stage: s, tokens: map[string]time.Time{}}
	d.Personas = newFleetPersonas("double_isolate", "returns_pending")
	d.fleet = newFleet(s, d.Personas)
	d.fleet.hostForm = func(hex32 string) string { return hex32 + stage.HashHex(hex32)[:8] }
	d.fleet.actionForm = func(n int) string { return formatUUID(stage.HashHex("machine action " + strconv.Itoa(n))) }
	return d
}

func (d *mde) Name() string { return "mde" }

func (d *mde) Ops() []string {
	return []string{stage.OpToken, opMDEListMachines, opMDEGetMachine, opMDEIsolate, opMDEUnisolate, opMDEListActions, opMDEGetAction, opMDECancelAction}
}

// SteerFaults voids all tokens at once when a rule says so.
func (d *mde) SteerFaults(rules []stage.Rule) {
	if slices.ContainsFunc(rules, func(r stage.Rule) bool { return r.Kind == stage.FaultExpire }) {
		d.mu.Lock()
		defer d.mu.Unlock()
		clear(d.tokens)
	}
}

func (d *mde) PersonasChanged(names []string) { d.fleet.personasChanged(names) }

func (d *mde) Effects() any {
	e := d.fleet.effects()
	e["violations"] = d.Violations.All()
	return e
}

func (d *mde) Route(r *stage.Request) (string, func() stage.Answer) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	op, deed := stage.OpUnknown, func() stage.Answer {
		d.Violations.Add(d.Now(), stage.OpUnknown, r.Method+" is not served on this path")
		return d.errorAnswer(http.StatusNotFound, "NotFound", "not found")
	}
	switch at := r.Method + " " + strings.Join(parts[:min(2, len(parts))], "/"); {
	case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token") && len(parts) == 4:
		return stage.OpToken, func() stage.Answer { return d.issueToken(r, parts[0]) }
	case at == "GET api/machines" && len(parts) == 2:
		op, deed = opMDEListMachines, func() stage.Answer { return d.listMachines(r) }
	case at == "GET api/machines" && len(parts) == 3:
		op, deed = opMDEGetMachine, func() stage.Answer { return d.getMachine(r, parts[2]) }
	case at == "POST api/machines" && len(parts) == 4 && (parts[3] == opMDEIsolate || parts[3] == opMDEUnisolate):
		op, deed = parts[3], func() stage.Answer { return d.act(r, parts[3], parts[2]) }
	case at == "GET api/machineactions" && len(parts) == 2:
		op, deed = opMDEListActions, func() stage.Answer { return d.listActions(r) }
	case at == "GET api/machineactions" && len(parts) == 3:
		op, deed = opMDEGetAction, func() stage.Answer { return d.getAction(parts[2]) }
	case at == "POST api/machineactions" && len(parts) == 4 && parts[3] == "cancel":
		op, deed = opMDECancelAction, func() stage.Answer { return d.cancelAction(r, parts[2]) }
	}
	return op, func() stage.Answer {
		if !d.isAuthorised(r) {
			return d.Refusal(http.StatusUnauthorized)
		}
		return deed()
	}
}

func (d *mde) isAuthorised(r *stage.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.EqualFold(scheme, "bearer") && d.Now().Before(d.tokens[token])
}

// Refusal is the API's error answer for a status. The time of a 429 is in seconds.
func (d *mde) Refusal(status int) stage.Answer {
	code := map[int]string{
		http.StatusBadRequest: "BadRequest", http.StatusUnauthorized: "Unauthorized", http.StatusForbidden: "Forbidden",
		http.StatusNotFound: "ResourceNotFound", http.StatusTooManyRequests: "TooManyRequests",
	}[status]
	if code == "" {
		code = "InternalServerError"
	}
	a := d.errorAnswer(status, code, strings.ToLower(http.StatusText(status)))
	if status == http.StatusTooManyRequests {
		a.Header.Set("Retry-After", "2")
	}
	return a
}

func (d *mde) errorAnswer(status int, code, message string) stage.Answer {
	return stage.AnswerJSON(status, map[string]any{"error": map[string]string{
		"code": code, "message": message, "target": formatUUID(stage.RandomHex(32))}})
}

// reject answers 400 and records a violation.
func (d *mde) reject(op, code, message string) stage.Answer {
	d.Violations.Add(d.Now(), op, message)
	return d.errorAnswer(http.StatusBadRequest, code, message)
}

// issueToken answers the login service, which takes client credentials only.
func (d *mde) issueToken(r *stage.Request, tenant string) stage.Answer {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	form, formErr := url.ParseQuery(string(r.Payload))
	if err != nil || kind != "application/x-www-form-urlencoded" || formErr != nil || r.URL.RawQuery != "" {
		return d.refuseLogin(http.StatusBadRequest, "invalid_request", 900144, "the request must be a form")
	}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		if !slices.Contains([]string{"grant_type", "client_id", "client_secret", "scope"}, name) {
			return d.refuseLogin(http.StatusBadRequest, "invalid_request", 900144, "unknown parameter "+name)
		}
	}
	account := edrValues["mde"]
	switch {
	case form.Get("grant_type") != "client_credentials":
		return d.refuseLogin(http.StatusBadRequest, "unsupported_grant_type", 70003, "unsupported grant_type")
	case form.Get("scope") != mdeScope:
		return d.refuseLogin(http.StatusBadRequest, "invalid_scope", 70011, "the scope is not valid")
	case tenant != account["tenant_id"]:
		return d.refuseLogin(http.StatusBadRequest, "invalid_request", 90002, "")
	case form.Get("client_id") != account["client_id"]:
		return d.refuseLogin(http.StatusBadRequest, "unauthorized_client", 700016, "")
	case form.Get("client_secret") != account["client_secret"]:
		return d.refuseLogin(http.StatusUnauthorized, "invalid_client", 7000215, "")
	}
	token := stage.RandomHex(64)
	d.mu.Lock()
	d.tokens[token] = d.Now().Add(mdeTokenLife)
	d.mu.Unlock()
	return stage.AnswerJSON(http.StatusOK, map[string]any{"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token})
}

// refuseLogin answers in the login service's error shape. A fault that is the client's own is a
// violation, "" is none.
func (d *mde) refuseLogin(status int, code string, number int, fault string) stage.Answer {
	if fault != "" {
		d.Violations.Add(d.Now(), stage.OpToken, fault)
	}
	return stage.AnswerJSON(status, map[string]any{
		"error": code, "error_description": "AADSTS" + strconv.Itoa(number) + ": the request was refused.", "error_codes": []int{number},
		"trace_id": formatUUID(stage.RandomHex(32)), "correlation_id": formatUUID(stage.RandomHex(32)),
	})
}
