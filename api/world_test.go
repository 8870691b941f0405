package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/watchfire-mdr/watchfire/api"
	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/desk"
	"github.com/watchfire-mdr/watchfire/desk/desktest"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/observability"
	"github.com/watchfire-mdr/watchfire/report"
	"github.com/watchfire-mdr/watchfire/secrets"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/store/storetest"
)

// world is a provider with two clients behind the real handler, store and database; only the engine is played.
type world struct {
	testing.TB
	payloads *observability.Payloads
	handler  http.Handler
	store    *store.Store
	desk     *desk.Desk
	engine   *desktest.Engine
	logs     *bytes.Buffer
	metrics  *observability.Metrics
	doc      *openapi3.T
	router   routers.Router
	acme     models.Client
	other    models.Client
	users    map[string]models.User // by role; "stranger" is an admin of the other client
	tokens   map[string]string
	keys     atomic.Int64

	countries []string // of phone numbers; nil is every one

	ownerURL string
}

// owner runs a statement as the owner of the database, past every rule.
func (w *world) owner(sql string) {
	w.Helper()
	conn, err := pgx.Connect(w.Context(), w.ownerURL)
	w.ok(err)
	defer conn.Close(context.WithoutCancel(w.Context()))
	_, err = conn.Exec(w.Context(), sql)
	w.ok(err)
}

// ownerRow asks for a row as the owner of the database.
func (w *world) ownerRow(sql string, args ...any) pgx.Row {
	w.Helper()
	conn, err := pgx.Connect(w.Context(), w.ownerURL)
	w.ok(err)
	w.Cleanup(func() { _ = conn.Close(context.WithoutCancel(w.Context())) })
	return conn.QueryRow(w.Context(), sql, args...)
}

// forgetUses gives everybody back what they used of the limits.
func (w *world) forgetUses() {
	w.Helper()
	w.owner("delete from limits")
}

func newWorld(t testing.TB) *world {
	t.Helper()
	s, ownerURL := storetest.New(t)
	w := &world{TB: t, store: s, ownerURL: ownerURL, engine: desktest.New(s, time.Now), logs: &bytes.Buffer{}, metrics: observability.NewMetrics(), users: map[string]models.User{}, tokens: map[string]string{}}
	sealing, err := secrets.Generate("")
	w.ok(err)
	keys, err := secrets.OpenPayloadKeys(sealing, "")
	w.ok(err)
	w.payloads = observability.NewPayloads(keys, observability.SealedPayloads)
	w.serve()
	w.readDocument()
	w.acme, w.other = w.newClient("Acme"), w.newClient("Other")
	for _, role := range []models.Role{models.RoleAnalyst, models.RoleLead, models.RoleOperator} {
		w.newUser(string(role), uuid.Nil, role)
	}
	for _, role := range []models.Role{models.RoleViewer, models.RoleResponder, models.RoleAdmin} {
		w.newUser(string(role), w.acme.ID, role)
	}
	w.newUser("stranger", w.other.ID, models.RoleAdmin)
	w.newUser("limited", uuid.Nil, models.RoleAnalyst)
	w.limit("limited", w.other.Number)
	w.newMachine("machine", w.acme.Number)
	return w
}

// serve puts a desk and a handler of its own before the database, as another process of the API has them.
func (w *world) serve() {
	w.Helper()
	log := observability.Logger(slog.LevelInfo, w.logs)
	keyset, err := secrets.GenerateBox("")
	w.ok(err)
	box, err := secrets.OpenBox(keyset, "", "")
	w.ok(err)
	words, err := report.LoadLanguages("Nordlicht SOC")
	w.ok(err)
	w.desk = desk.New(w.store, w.engine, desk.Options{UpdateWait: time.Minute, Log: log, PhoneCountries: w.countries, HasLanguage: words.Has, EDR: desk.EDROptions{
		Products: []models.EDRProduct{{
			Vendor: "crowdstrike", Title: "CrowdStrike Falcon", DefaultURL: "https://api.crowdstrike.com", Hosts: []string{"crowdstrike.com"},
			Fields: []models.EDRField{{Name: "client_id"}, {Name: "client_secret", Secret: true}},
		}},
		Sealer: &box.Sealer, Check: func(c models.EDRCredentials) error {
			if c.Vendor != "crowdstrike" {
				return models.InvalidField("/vendor", "is not a known product")
			}
			return nil
		}}, Payloads: w.payloads})
	w.handler, err = api.New(api.Options{
		Desk: w.desk, Auth: auth.New(w.store), Log: log, Metrics: w.metrics, UI: "https://temporal.soc.example",
	})
	w.ok(err)
}

func readDocument(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	if err == nil {
		err = doc.Validate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func (w *world) readDocument() {
	w.Helper()
	w.doc = readDocument(w)
	var err error
	w.router, err = gorillamux.NewRouter(w.doc)
	w.ok(err)
}

func (w *world) newClient(name string) models.Client {
	w.Helper()
	c, err := w.store.CreateClient(w.Context(), models.Client{
		LegalName: name, TimeZone: "Europe/Prague", Language: "en", Policy: models.DefaultPolicy(), CreatedAt: time.Now(),
		Contract: models.Contract{Start: time.Now().AddDate(-1, 0, 0), End: time.Now().AddDate(1, 0, 0), Plan: "mdr"}, LiveAt: time.Now(),
	}, "client-"+name, "")
	w.ok(err)
	return c
}

func (w *world) newUser(name string, client uuid.UUID, role models.Role) {
	w.Helper()
	w.newUserAt(name+"@users.example", name, client, role)
}

func (w *world) newUserAt(email, name string, client uuid.UUID, role models.Role) {
	w.Helper()
	u, err := w.store.CreateUser(w.Context(), models.User{ClientID: client, Name: name, Email: email, Role: role})
	w.ok(err)
	secret, hash := auth.NewToken()
	w.ok(w.store.CreateToken(w.Context(), models.Token{UserID: u.ID, Hash: hash}))
	w.users[name], w.tokens[name] = u, secret
}

// limit narrows the reach of a user of the SOC.
func (w *world) limit(name string, clients ...int) {
	w.Helper()
	w.change(name, store.UserChange{Role: w.users[name].Role, Limited: true, Clients: clients})
}

// change changes a user as an operator does.
func (w *world) change(name string, to store.UserChange) {
	w.Helper()
	u, number := w.users[name], 0
	switch u.ClientID {
	case w.acme.ID:
		number = w.acme.Number
	case w.other.ID:
		number = w.other.Number
	}
	_, err := w.desk.ChangeUser(w.Context(), w.users["operator"], number, u.ID, to)
	w.ok(err)
}

// newMachine makes a service token of the client with a number, or of the SOC for 0, for every operation it may name.
func (w *world) newMachine(name string, number int) {
	w.Helper()
	_, secret, err := w.desk.CreateServiceToken(w.Context(), w.users["operator"], number, name, auth.ServiceOperations(), 90)
	w.ok(err)
	w.tokens[name] = secret
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) newKey() string { return fmt.Sprintf("key-%d", w.keys.Add(1)) }

// answer is the answer to a request.
type answer struct {
	*http.Response
	body []byte
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.StatusCode, a.body) }

// into reads the answer's body.
func (a answer) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%s: %v", a, err)
	}
}

// pointers lists the fields a problem points at.
func (a answer) pointers(t testing.TB) []string {
	t.Helper()
	var p struct{ Errors []struct{ Pointer string } }
	a.into(t, &p)
	var list []string
	for _, e := range p.Errors {
		list = append(list, e.Pointer)
	}
	return list
}

func (w *world) get(who, path string) answer {
	w.Helper()
	return w.send(w.request(who, http.MethodGet, path, nil))
}

// post sends a body under a new key.
func (w *world) post(who, path string, body any) answer {
	w.Helper()
	return w.postAs(who, path, w.newKey(), body)
}

func (w *world) postAs(who, path, key string, body any) answer {
	w.Helper()
	r := w.request(who, http.MethodPost, path, body)
	r.Header.Set("Idempotency-Key", key)
	return w.send(r)
}

// request builds a request of a user; a string is a body as it stands.
func (w *world) request(who, method, path string, body any) *http.Request {
	w.Helper()
	var b []byte
	switch v := body.(type) {
	case nil:
	case string:
		b = []byte(v)
	case []byte:
		b = v
	default:
		var err error
		b, err = json.Marshal(v)
		w.ok(err)
	}
	r := httptest.NewRequestWithContext(w.Context(), method, path, bytes.NewReader(b))
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if who != "" {
		r.Header.Set("Authorization", "Bearer "+w.tokens[who])
	}
	return r
}

// refusals are the statuses that the document names at each operation that answers with them. Its default is for the rest.
var refusals = []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusTooManyRequests}

// send answers a request and holds every answer of a documented operation against the document.
func (w *world) send(r *http.Request) answer {
	w.Helper()
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	a := answer{Response: rec.Result()}
	a.body, _ = io.ReadAll(a.Body)
	if route, params, err := w.router.FindRoute(r); err == nil {
		in := &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
			Status:                 a.StatusCode, Header: a.Header, Options: &openapi3filter.Options{MultiError: true},
		}
		in.SetBodyBytes(a.body)
		if slices.Contains(refusals, a.StatusCode) && route.Operation.Responses.Value(strconv.Itoa(a.StatusCode)) == nil {
			w.Errorf("%s %s: the document does not say that %s may be answered with %d: %s", r.Method, r.URL.Path, route.Operation.OperationID, a.StatusCode, a)
		}
		if err := openapi3filter.ValidateResponse(context.Background(), in); err != nil {
			w.Errorf("%s %s: the answer does not fit the document: %v\n%s", r.Method, r.URL.Path, err, a)
		}
	}
	return a
}

// must fails the test when an answer has another status.
func (w *world) must(status int, a answer) answer {
	w.Helper()
	if a.StatusCode != status {
		w.Fatalf("want %d, got %s", status, a)
	}
	return a
}

// incident opens an incident of Acme.
func (w *world) incident() models.Reference {
	w.Helper()
	var i incident.Incident
	w.must(http.StatusCreated, w.post("analyst", "/api/v1/incidents",
		map[string]any{"client": w.acme.Number, "title": "First title", "severity": "high"})).into(w, &i)
	return i.Reference
}

func at(ref models.Reference, rest ...string) string {
	return "/api/v1/incidents/" + strings.Join(append([]string{string(ref)}, rest...), "/")
}

// happen changes an incident by events of an actor.
func (w *world) happen(ref models.Reference, by models.Actor, data ...incident.EventData) {
	w.Helper()
	w.ok(w.engine.Happen(w.Context(), ref, by, data...))
}

// published opens and publishes an incident, with the things that commands act on.
func (w *world) published() models.Reference {
	w.Helper()
	ref := w.incident()
	analyst := w.users["analyst"].Actor()
	w.happen(ref, analyst,
		&incident.Assessed{Severity: models.SeverityCritical, Assessment: incident.Assessment{Title: "Published title", Summary: "What we know."}},
		&incident.Published{}, &incident.Recommended{ID: "r1", Text: "Reset the passwords."},
		&incident.IsolationRequested{Endpoint: "e1", Hostname: "dc01", Reason: "Credentials are taken."})
	w.happen(ref, models.System(), &incident.TaskOpened{ID: "t1", Kind: incident.TaskConfig, Detail: "The mail vendor refuses our key."})
	return ref
}
