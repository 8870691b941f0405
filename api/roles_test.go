package api_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

// callers are the columns of the matrix. The stranger is an admin of another client, the limited one an analyst whose reach
// is the other client, and the machine has a service token of Acme's for each operation that such a token may name.
var callers = []string{"", "analyst", "lead", "operator", "viewer", "responder", "admin", "stranger", "limited", "machine"}

// matrix holds the answer of every operation to every caller, about things of Acme. An operation that is not here fails
// the test. 2 stands for any 2xx.
var matrix = map[string]string{
	//                 anon analyst lead operator viewer responder admin stranger limited machine
	"list-clients":            "401 2 2 2 403 403 403 403 2 403",
	"create-client":           "401 403 2 2 403 403 403 403 403 403",
	"get-client":              "401 2 2 2 2 2 2 404 404 403",
	"update-client":           "401 403 2 2 403 403 403 404 404 403",
	"list-contacts":           "401 2 2 2 2 2 2 404 404 403",
	"create-contact":          "401 2 2 2 403 403 2 404 404 403",
	"update-contact":          "401 2 2 2 403 403 2 404 404 403",
	"remove-contact":          "401 2 2 2 403 403 2 404 404 403",
	"verify-channel":          "401 2 2 2 403 403 2 404 404 403",
	"test-channel":            "401 2 2 2 403 403 2 404 404 403",
	"confirm-channel":         "401 2 2 2 403 403 2 404 404 403",
	"confirm-approver":        "401 409 409 409 403 403 2 404 404 403",
	"revoke-approver":         "401 409 409 409 403 403 2 404 404 403",
	"list-contact-deliveries": "401 2 2 2 403 403 403 404 404 403",
	"get-plan":                "401 2 2 2 2 2 2 404 404 403",
	"check-go-live":           "401 2 2 2 2 2 2 404 404 403",
	"go-live":                 "401 403 2 2 403 403 403 404 404 403",
	"get-caller-code":         "401 2 2 2 2 2 2 404 404 403",
	"start-fire-drill":        "401 2 2 403 403 403 403 404 404 403",

	"get-response-authority":     "401 2 2 2 2 2 2 404 404 403",
	"draft-response-authority":   "401 403 2 2 403 403 403 404 404 403",
	"sign-response-authority":    "401 409 409 409 403 403 2 404 404 403",
	"dry-run-response-authority": "401 2 2 2 2 2 2 404 404 403",
	"list-edr-products":          "401 2 2 2 403 403 403 403 2 403",
	"get-edr":                    "401 2 2 2 403 403 403 404 404 403",
	"list-isolations":            "401 2 2 2 2 2 2 404 404 403",
	"set-edr-credentials":        "401 403 2 2 403 403 403 404 404 403",
	"remove-edr-credentials":     "401 403 2 2 403 403 403 404 404 403",
	"check-edr-connection":       "401 2 2 2 403 403 403 404 404 403",
	"pause-isolation":            "401 403 2 2 403 403 2 404 404 403",
	"resume-isolation":           "401 403 2 2 403 403 2 404 404 403",
	"list-audit-log":             "401 2 2 2 403 403 2 404 404 403",

	"list-soc-users":              "401 403 2 2 403 403 403 403 403 403",
	"invite-soc-user":             "401 403 403 2 403 403 403 403 403 403",
	"update-soc-user":             "401 403 403 2 403 403 403 403 403 403",
	"list-client-users":           "401 403 2 2 403 403 2 404 404 403",
	"invite-client-user":          "401 403 403 2 403 403 2 404 404 403",
	"update-client-user":          "401 403 403 2 403 403 2 404 404 403",
	"list-tokens":                 "401 2 2 2 2 2 2 2 2 403",
	"create-token":                "401 2 2 2 2 2 2 2 2 403",
	"revoke-token":                "401 2 2 2 2 2 2 2 2 403",
	"list-soc-service-tokens":     "401 403 2 2 403 403 403 403 403 403",
	"create-soc-service-token":    "401 403 2 2 403 403 403 403 403 403",
	"revoke-soc-service-token":    "401 403 2 2 403 403 403 403 403 403",
	"list-client-service-tokens":  "401 403 2 2 403 403 2 404 404 403",
	"create-client-service-token": "401 403 2 2 403 403 2 404 404 403",
	"revoke-client-service-token": "401 403 2 2 403 403 2 404 404 403",
	"list-soc-audit-log":          "401 403 2 2 403 403 403 403 403 403",
	"list-refusals":               "401 403 2 2 403 403 403 403 403 403",

	"report-suspicion": "401 409 409 409 403 2 2 404 404 403",
	"list-suspicions":  "401 2 2 2 2 2 2 404 404 403",

	"list-alarms":     "401 403 403 2 403 403 403 403 403 403",
	"decode-payloads": "401 403 403 2 403 403 403 403 403 403",

	"list-alerts":   "401 2 2 2 403 403 403 403 2 403",
	"receive-alert": "401 2 2 2 403 403 403 403 404 2",
	"receive-ocsf":  "401 2 2 2 403 403 403 403 404 2",
	"get-alert":     "401 2 2 2 403 403 403 403 404 403",
	"get-alert-raw": "401 2 2 2 403 403 403 403 404 403",

	"list-incidents":   "401 2 2 2 2 2 2 2 2 403",
	"open-incident":    "401 2 2 403 403 403 403 403 404 403",
	"get-incident":     "401 2 2 2 2 2 2 404 404 403",
	"list-events":      "401 2 2 2 2 2 2 404 404 403",
	"list-deliveries":  "401 2 2 2 2 2 2 404 404 403",
	"get-drill-report": "401 2 2 2 2 2 2 404 404 403",
	"list-revisions":   "401 2 2 2 2 2 2 404 404 403",
	"get-revision":     "401 2 2 2 2 2 2 404 404 403",

	"assess":                  "401 2 2 403 403 403 403 404 404 403",
	"publish":                 "401 2 2 403 403 403 403 404 404 403",
	"expedite":                "401 2 2 403 403 403 403 404 404 403",
	"revise":                  "401 2 2 403 403 403 403 404 404 403",
	"dismiss":                 "401 2 2 403 403 403 403 404 404 403",
	"comment":                 "401 2 2 403 403 2 2 404 404 403",
	"ask-question":            "401 2 2 403 403 403 403 404 404 403",
	"answer-question":         "401 409 409 409 403 2 2 404 404 403",
	"recommend":               "401 2 2 403 403 403 403 404 404 403",
	"settle-recommendation":   "401 409 409 409 403 2 2 404 404 403",
	"recommend-response-team": "401 2 2 403 403 403 403 404 404 403",
	"isolate":                 "401 2 2 403 403 403 403 404 404 403",
	"release":                 "401 2 2 403 403 2 2 404 404 403",
	"keep-isolated":           "401 409 409 409 403 2 2 404 404 403",
	"approve":                 "401 409 409 409 403 2 2 404 404 403",
	"deny":                    "401 409 409 409 403 2 2 404 404 403",
	"extend-isolation":        "401 409 409 403 403 2 2 404 404 403",
	"acknowledge":             "401 409 409 409 2 2 2 404 404 403",
	"complete-task":           "401 2 2 2 403 403 403 404 404 403",
	"verify":                  "401 2 2 403 403 403 403 404 404 403",
	"request-closure":         "401 409 409 409 403 2 2 404 404 403",
	"confirm-closure":         "401 409 409 409 403 2 2 404 404 403",
	"settle-risk":             "401 409 409 409 403 2 2 404 404 403",
	"withdraw-closure":        "401 409 409 409 403 2 2 404 404 403",
	"give-feedback":           "401 409 409 409 2 2 2 404 404 403",
}

func TestEveryOperationAnswersEveryRoleAsTheMatrixSays(t *testing.T) {
	w := newWorld(t)
	known := map[string]bool{}
	for path, item := range w.doc.Paths.Map() {
		for method, op := range item.Operations() {
			known[op.OperationID] = true
			row := strings.Fields(matrix[op.OperationID])
			if len(row) != len(callers) {
				t.Errorf("%s has no row in the matrix", op.OperationID)
				continue
			}
			for n, who := range callers {
				a := w.send(w.example(who, method, path, op))
				if got := class(a.StatusCode); got != row[n] {
					t.Errorf("%s by %q: want %s, got %s", op.OperationID, who, row[n], a)
				}
			}
		}
	}
	for _, operation := range auth.Operations() {
		if !known[operation] {
			t.Errorf("the table of permissions knows %s, the document does not", operation)
		}
	}
}

func class(status int) string {
	if status/100 == 2 {
		return "2"
	}
	return strconv.Itoa(status)
}

// example builds a request out of the document's own examples, about a thing in a state that allows it.
func (w *world) example(who, method, path string, op *openapi3.Operation) *http.Request {
	w.Helper()
	w.forgetUses()
	var body any
	if op.RequestBody != nil {
		body = op.RequestBody.Value.Content["application/json"].Schema.Value.Example
	}
	replace := []string{"{number}", strconv.Itoa(w.acme.Number), "{n}", "1"}
	if strings.Contains(path, "{reference}") {
		replace = append(replace, "{reference}", string(w.ripe(op.OperationID, who)))
	}
	contact := uuid.Nil
	switch {
	case strings.Contains(path, "{version}"):
		replace = append(replace, "{version}", strconv.Itoa(w.draft("at all")))
	case strings.HasSuffix(path, "/users/{id}"):
		replace = append(replace, "{id}", w.guest(op.OperationID).String())
	case strings.HasSuffix(path, "tokens/{id}"):
		replace = append(replace, "{id}", w.spare(op.OperationID, who))
	case op.OperationID == "start-fire-drill" && w.users[who].Role.Side() == models.SideSOC: // has no other under way
		replace[1] = strconv.Itoa(w.newClient(w.newKey()).Number)
	case op.OperationID == "remove-edr-credentials" && w.users[who].Role.Side() == models.SideSOC: // no device of this one is isolated
		replace[1] = strconv.Itoa(w.newClient(w.newKey()).Number)
	case op.OperationID == "check-edr-connection", op.OperationID == "get-edr":
		w.must(http.StatusOK, w.put("lead", w.clientPath("edr"), edrCredentials()))
	case strings.Contains(path, "/contacts/{id}"):
		contact = w.contact()
		replace = append(replace, "{id}", contact.String())
	case strings.Contains(path, "{id}"):
		replace = append(replace, "{id}", w.alert())
	}
	if object, ok := body.(map[string]any); ok {
		body = w.completed(op.OperationID, maps.Clone(object), contact)
	}
	target := strings.NewReplacer(replace...).Replace(path)
	if op.OperationID == "receive-ocsf" {
		target += "?source=integration&client=" + strconv.Itoa(w.acme.Number)
	}
	r := w.request(who, method, target, body)
	if op.Parameters.GetByInAndName(openapi3.ParameterInHeader, "Idempotency-Key") != nil {
		r.Header.Set("Idempotency-Key", w.newKey())
	}
	return r
}

// completed sets the fields of an example that depend on the test.
func (w *world) completed(operation string, body map[string]any, contact uuid.UUID) map[string]any {
	w.Helper()
	if body["client"] != nil {
		body["client"] = w.acme.Number
	}
	switch operation {
	case "open-incident":
		body["alerts"] = []string{w.alert()}
	case "confirm-closure":
		body["expires_at"] = time.Now().Add(time.Hour)
	case "ask-question":
		body["deadline"] = time.Now().Add(time.Hour)
	case "invite-soc-user", "invite-client-user":
		body["email"] = w.newKey() + "@users.example"
	case "create-token", "create-soc-service-token", "create-client-service-token":
		body["name"] = w.newKey()
	case "receive-alert":
		body["source"] = "integration" // the one that a machine of the client may name
	case "update-soc-user":
		body["clients"] = []int{w.acme.Number}
	case "confirm-approver":
		body["phone"], body["email"] = "+12025550100", "ada@acme.example"
	case "confirm-channel":
		body["code"] = w.code(contact, models.ChannelSMS)
	}
	return body
}

// guest makes a user of the SOC or of Acme, whom an operation may change.
func (w *world) guest(operation string) uuid.UUID {
	w.Helper()
	u := models.User{ClientID: w.acme.ID, Name: "Guest", Email: w.newKey() + "@users.example", Role: models.RoleViewer}
	if operation == "update-soc-user" {
		u.ClientID, u.Role = uuid.Nil, models.RoleAnalyst
	}
	u, err := w.store.CreateUser(w.Context(), u)
	w.ok(err)
	return u.ID
}

// spare makes a token that an operation may revoke: one of the caller's own, or a service token.
func (w *world) spare(operation, who string) string {
	w.Helper()
	var made struct{ Token struct{ ID string } }
	body := map[string]any{"name": w.newKey(), "operations": []string{"receive-alert"}}
	switch operation {
	case "revoke-soc-service-token":
		w.must(http.StatusCreated, w.post("operator", "/api/v1/service-tokens", body)).into(w, &made)
	case "revoke-client-service-token":
		w.must(http.StatusCreated, w.post("operator", w.clientPath("service-tokens"), body)).into(w, &made)
	default:
		delete(body, "operations")
		if who == "" || who == "machine" {
			who = "analyst"
		}
		w.must(http.StatusCreated, w.post(who, "/api/v1/tokens", body)).into(w, &made)
	}
	return made.Token.ID
}

// ripe returns an incident of Acme that is ready for an operation. Users of the client always get one they can see.
func (w *world) ripe(operation, who string) models.Reference {
	w.Helper()
	responder := w.users["responder"]
	switch operation {
	case "publish", "expedite", "dismiss":
		if u, known := w.users[who]; known && u.Role.Side() == models.SideSOC {
			ref := w.incident()
			w.happen(ref, w.users["analyst"].Actor(), &incident.Assessed{
				Severity: models.SeverityHigh, Assessment: incident.Assessment{Title: "T", Summary: "S"}})
			return ref
		}
	case "request-closure", "confirm-closure", "withdraw-closure", "give-feedback", "settle-risk":
		ref := w.incident()
		w.happen(ref, w.users["analyst"].Actor(), &incident.Published{Expedited: true})
		if operation == "request-closure" {
			return ref
		}
		w.happen(ref, responder.Actor(), &incident.ClosureRequested{Decision: "d-" + string(ref), Outcome: incident.OutcomeResolved, Note: "Done."})
		if operation == "give-feedback" {
			w.ok(w.store.ForClient(w.Context(), store.Portal, w.acme.ID, func(tx *store.Tx) error {
				return tx.SaveDecision(store.Decision{RequestID: "d-" + string(ref), Incident: ref, Command: "request-closure", UserID: responder.ID})
			}))
			w.happen(ref, w.users["analyst"].Actor(), &incident.Verified{Gone: true, Note: "Gone."})
			w.happen(ref, responder.Actor(), &incident.Closed{Decision: "d-" + string(ref)})
		}
		if operation == "settle-risk" {
			w.closeAccepting(ref, time.Now().Add(-time.Hour))
			w.happen(ref, models.System(), &incident.RiskExpired{Risk: incident.RiskOfClosure, Number: 1})
		}
		return ref
	case "get-drill-report":
		return w.drill()
	case "approve", "deny":
		return w.ruled(authority.DecideAsk, 1)
	case "extend-isolation", "keep-isolated":
		ref := w.ruled(authority.DecideAuto, 1)
		w.happen(ref, models.System(), &incident.EndpointObserved{Endpoint: "e1", Generation: 1, AgentID: "agent-1", State: models.HostIsolated, Online: true})
		return ref
	case "answer-question":
		ref := w.published()
		w.happen(ref, w.users["analyst"].Actor(), &incident.QuestionAsked{
			ID: "q1", Text: "Was this you?", Answers: []string{"yes", "no"}, Deadline: time.Now().Add(time.Hour)})
		return ref
	}
	return w.published()
}

// closeAccepting lets the responder confirm the closure of an incident, accepting its risk until a moment.
func (w *world) closeAccepting(ref models.Reference, until time.Time) {
	w.Helper()
	responder := w.users["responder"]
	w.ok(w.store.ForClient(w.Context(), store.Portal, w.acme.ID, func(tx *store.Tx) error {
		return errors.Join(tx.SaveDecision(store.Decision{RequestID: "d-" + string(ref), Incident: ref, Command: "request-closure", UserID: responder.ID}),
			tx.SaveDecision(store.Decision{RequestID: "c-" + string(ref), Incident: ref, Command: "confirm-closure", UserID: responder.ID}))
	}))
	w.happen(ref, responder.Actor(), &incident.ClosureConfirmed{Decision: "c-" + string(ref), Reason: "It is retired.", ExpiresAt: until.UTC()})
	w.happen(ref, responder.Actor(), &incident.Closed{Decision: "c-" + string(ref)})
}

// alert hands in a new alert of Acme and returns its id.
func (w *world) alert() string {
	w.Helper()
	var a struct{ Alert models.Alert }
	w.must(http.StatusCreated, w.post("operator", "/api/v1/alerts", map[string]any{
		"client": w.acme.Number, "source": "realtime", "finding_id": w.newKey(), "title": "T", "severity": "high",
	})).into(w, &a)
	return a.Alert.ID.String()
}

// Somebody else's incident or client looks exactly like one that does not exist.
func TestSomebodyElsesLooksLikeNothing(t *testing.T) {
	w := newWorld(t)
	ref := w.published()
	nothing := models.NewReference(w.acme.Number, 9999)
	for _, command := range incident.Commands() {
		path := "/" + command.Name()
		body := w.doc.Paths.Value("/api/v1/incidents/{reference}" + path).Post.RequestBody.Value.Content["application/json"].Schema.Value.Example
		same(t, w.post("stranger", at(ref)+path, body), w.post("stranger", at(nothing)+path, body))
	}
	for _, path := range []string{"", "/events", "/deliveries", "/drill-report", "/revisions", "/revisions/1"} {
		same(t, w.get("stranger", at(ref)+path), w.get("stranger", at(nothing)+path))
	}
	same(t, w.get("stranger", "/api/v1/clients/"+strconv.Itoa(w.acme.Number)), w.get("stranger", "/api/v1/clients/999999"))
	version := strconv.Itoa(w.draft("at all"))
	for path, body := range map[string]any{"/dry-run": isolating(nil), "/" + version + "/sign": nil} {
		same(t, w.post("stranger", w.clientPath("response-authority")+path, body), w.post("stranger", "/api/v1/clients/999999/response-authority"+path, body))
	}
	same(t, w.get("stranger", w.clientPath("response-authority")), w.get("stranger", "/api/v1/clients/999999/response-authority"))
	same(t, w.get("viewer", at(w.incident())), w.get("viewer", at(nothing))) // their own, not published
	same(t, w.get("viewer", "/api/v1/incidents/nonsense"), w.get("viewer", at(nothing)))
}

func same(t *testing.T, a, b answer) {
	t.Helper()
	for _, one := range []answer{a, b} {
		one.Header.Del("X-Request-Id")
		if one.StatusCode != http.StatusNotFound {
			t.Errorf("want 404, got %s", one)
		}
	}
	left, _ := json.Marshal(a.Header)
	right, _ := json.Marshal(b.Header)
	if string(a.body) != string(b.body) || string(left) != string(right) {
		t.Errorf("they can be told apart:\n%s %s\n%s %s", a, left, b, right)
	}
}
