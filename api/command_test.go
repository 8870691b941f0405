package api_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/watchfire-mdr/watchfire/desk"
	"github.com/watchfire-mdr/watchfire/desk/desktest"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/reconcile"
)

func TestTheSameKeyGivesTheSameAnswerAndOneEffect(t *testing.T) {
	w := newWorld(t)
	ref := w.published()
	comment := map[string]any{"text": "Was this you?"}
	first := w.must(http.StatusOK, w.postAs("analyst", at(ref, "comment"), "k", comment))
	again := w.must(http.StatusOK, w.postAs("analyst", at(ref, "comment"), "k", comment))
	if string(first.body) != string(again.body) || w.engine.Executed() != 1 {
		t.Errorf("%s\n%s\n%d effects", first, again, w.engine.Executed())
	}
	other := w.must(http.StatusUnprocessableEntity, w.postAs("analyst", at(ref, "comment"), "k", map[string]any{"text": "Or this?"}))
	if !strings.Contains(string(other.body), "Idempotency-Key was already used for another request") {
		t.Error(other)
	}
	w.must(http.StatusUnprocessableEntity, w.postAs("analyst", at(ref, "recommend"), "k", comment))
	w.must(http.StatusOK, w.postAs("lead", at(ref, "comment"), "k", comment)) // another person's key is another key
}

func TestTheSameKeyForADecisionOfTheClient(t *testing.T) {
	w := newWorld(t)
	ref := w.published()
	settle := map[string]any{"recommendation": "r1", "outcome": "mitigated", "evidence": "Done."}
	first := w.must(http.StatusOK, w.postAs("responder", at(ref, "settle-recommendation"), "k", settle))
	again := w.must(http.StatusOK, w.postAs("responder", at(ref, "settle-recommendation"), "k", settle))
	if string(first.body) != string(again.body) {
		t.Errorf("%s\n%s", first, again)
	}
	settle["evidence"] = "Something else."
	w.must(http.StatusUnprocessableEntity, w.postAs("responder", at(ref, "settle-recommendation"), "k", settle))
}

func TestTheSameKeyForADraft(t *testing.T) {
	w := newWorld(t)
	rules := map[string]any{"rules": []any{map[string]any{"name": "n", "action": "isolated", "classes": []string{}, "decision": "ask"}}}
	first := w.must(http.StatusCreated, w.postAs("lead", w.clientPath("response-authority"), "k", rules))
	again := w.must(http.StatusCreated, w.postAs("lead", w.clientPath("response-authority"), "k", rules))
	if string(first.body) != string(again.body) {
		t.Errorf("%s\n%s", first, again)
	}
	rules["never"] = []string{"dc-*"}
	w.must(http.StatusUnprocessableEntity, w.postAs("lead", w.clientPath("response-authority"), "k", rules))
	if list, _ := w.authorities("lead"); len(list) != 1 {
		t.Errorf("%d versions", len(list))
	}
}

func TestTheSameKeyForWhatIsMade(t *testing.T) {
	w := newWorld(t)
	alert := map[string]any{"client": w.acme.Number, "source": "realtime", "finding_id": "f-1", "title": "T", "severity": "high"}
	same := func(who, path string, body map[string]any, field string) {
		t.Helper()
		first := w.must(http.StatusCreated, w.postAs(who, path, "k", body))
		again := w.must(http.StatusCreated, w.postAs(who, path, "k", body))
		if string(first.body) != string(again.body) {
			t.Errorf("%s:\n%s\n%s", path, first, again)
		}
		body[field] = "Another one"
		w.must(http.StatusUnprocessableEntity, w.postAs(who, path, "k", body))
	}
	same("analyst", "/api/v1/alerts", alert, "title")
	same("analyst", "/api/v1/incidents", map[string]any{"client": w.acme.Number, "title": "T", "severity": "low"}, "title")
	same("lead", "/api/v1/clients/1001/contacts", map[string]any{"name": "N", "language": "en", "email": "n@x.example",
		"severities": []string{"high"}, "channels": []string{"email"}}, "name")
	same("lead", "/api/v1/clients", map[string]any{"legal_name": "L", "time_zone": "Europe/Berlin", "language": "de",
		"contract": map[string]any{"start": "2026-01-01T00:00:00Z", "end": "2030-12-31T00:00:00Z", "plan": "mdr"}}, "legal_name")
}

// The generated server leaves the commands out, so the compiler does not hold them to the document.
func TestTheDocumentsCommandsAreTheIncidents(t *testing.T) {
	doc := readDocument(t)
	documented := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !slices.Contains(op.Tags, "commands") {
				continue
			}
			documented[op.OperationID] = true
			if method != http.MethodPost || path != "/api/v1/incidents/{reference}/"+op.OperationID {
				t.Errorf("the operation %s is %s %s", op.OperationID, method, path)
			}
			if op.Parameters.GetByInAndName(openapi3.ParameterInHeader, "Idempotency-Key") == nil {
				t.Errorf("the operation %s takes no Idempotency-Key", op.OperationID)
			}
			schema := op.RequestBody.Value.Content["application/json"].Schema.Value
			example, err := json.Marshal(schema.Example)
			if err != nil {
				t.Fatal(err)
			}
			command, err := incident.ParseCommand(op.OperationID, example)
			if err != nil {
				t.Errorf("the incident does not read the example of %s: %v", op.OperationID, err)
				continue
			}
			if want := strings.TrimPrefix(fmt.Sprintf("%T", command), "*"); schema.Extensions["x-go-type"] != want {
				t.Errorf("the body of %s is of type %v, want %s", op.OperationID, schema.Extensions["x-go-type"], want)
			}
		}
	}
	for _, command := range incident.Commands() {
		if !documented[command.Name()] {
			t.Errorf("the document has no operation for the command %s", command.Name())
		}
	}
}

func TestACommandWithTwoKeysIsRefused(t *testing.T) {
	w := newWorld(t)
	r := w.request("analyst", http.MethodPost, at(w.published(), "comment"), `{"text":"a"}`)
	r.Header["Idempotency-Key"] = []string{"k", "l"}
	w.must(http.StatusBadRequest, w.send(r))
}

func TestACommandWithoutFieldsNeedsNoBody(t *testing.T) {
	w := newWorld(t)
	ref := w.incident()
	r := w.request("analyst", http.MethodPost, at(ref, "expedite"), nil)
	r.Header.Set("Idempotency-Key", "k")
	w.must(http.StatusOK, w.send(r))
}

func TestAnIllegalCommandIsRefusedWithTheReasonAndLeavesNoEvent(t *testing.T) {
	w := newWorld(t)
	ref := w.published()
	before := w.events(ref)
	for who, rejection := range map[string]struct{ command, body, reason string }{
		"analyst":   {"publish", `{}`, "published already"},
		"lead":      {"request-closure", `{"outcome":"resolved","note":"n"}`, "only the client may request closure"},
		"responder": {"request-closure", `{"outcome":"resolved","note":"n"}`, "recommendation r1 is not settled"},
		"admin":     {"acknowledge", `{"revision":7}`, "revision 7 not found"},
	} {
		a := w.must(http.StatusConflict, w.post(who, at(ref, rejection.command), rejection.body))
		if !strings.Contains(string(a.body), rejection.reason) {
			t.Errorf("%s: %s", who, a)
		}
	}
	if after := w.events(ref); after != before {
		t.Errorf("%d events before, %d after", before, after)
	}
}

func (w *world) events(ref models.Reference) int {
	w.Helper()
	var list struct{ Items []incident.Event }
	w.must(http.StatusOK, w.get("analyst", at(ref, "events"))).into(w, &list)
	return len(list.Items)
}

func TestACommandWithoutAWorkerIsQueued(t *testing.T) {
	w := newWorld(t)
	ref := w.published()
	w.engine.Become(desktest.NoWorker)
	var a incident.CommandResult
	w.must(http.StatusAccepted, w.postAs("responder", at(ref, "settle-recommendation"), "k",
		map[string]any{"recommendation": "r1", "outcome": "mitigated", "evidence": "Done."})).into(t, &a)
	left := w.engine.Signals()
	if len(left) != 1 || left[0].Name != "settle-recommendation" || left[0].Request.RequestID != a.RequestID || left[0].Request.Actor != w.users["responder"].Actor() {
		t.Errorf("left for a worker: %+v", left)
	}
	if a.Command != "settle-recommendation" || a.FirstSeq != 0 {
		t.Errorf("answer: %+v", a)
	}
	w.engine.Become(desktest.Healthy)
	var done incident.CommandResult
	w.must(http.StatusOK, w.postAs("responder", at(ref, "settle-recommendation"), "k",
		map[string]any{"recommendation": "r1", "outcome": "mitigated", "evidence": "Done."})).into(t, &done)
	if done.RequestID != a.RequestID || done.FirstSeq == 0 {
		t.Errorf("asked again: %+v", done)
	}
}

func TestWithoutAnEngineNothingIsPromised(t *testing.T) {
	w := newWorld(t)
	ref := w.published()
	w.engine.Become(desktest.NoService)
	a := w.must(http.StatusServiceUnavailable, w.post("analyst", at(ref, "comment"), map[string]any{"text": "Anybody?"}))
	if a.Header.Get("Retry-After") == "" {
		t.Error("the answer does not say when to ask again")
	}
	w.must(http.StatusOK, w.get("analyst", at(ref))) // reading needs no engine
}

func TestACommandToAnIncidentThatIsOver(t *testing.T) {
	w := newWorld(t)
	ref := w.incident()
	w.must(http.StatusOK, w.post("analyst", at(ref, "dismiss"), map[string]any{"reason": "A planned test."}))
	w.engine.End(ref)
	a := w.must(http.StatusConflict, w.post("analyst", at(ref, "assess"), map[string]any{"title": "T"}))
	if !strings.Contains(string(a.body), "the incident is dismissed") {
		t.Error(a)
	}
}

func TestAnIncidentIsOpenedFromItsAlerts(t *testing.T) {
	w := newWorld(t)
	var first, second struct{ Alert models.Alert }
	for finding, into := range map[string]any{"f-1": &first, "f-2": &second} {
		severity := map[string]string{"f-1": "medium", "f-2": "critical"}[finding]
		w.must(http.StatusCreated, w.post("analyst", "/api/v1/alerts", map[string]any{
			"client": w.acme.Number, "source": "hunting", "finding_id": finding, "title": "Title of " + finding, "severity": severity,
		})).into(t, into)
	}
	var i incident.Incident
	a := w.must(http.StatusCreated, w.post("analyst", "/api/v1/incidents", map[string]any{
		"client": w.acme.Number, "alerts": []string{first.Alert.ID.String(), second.Alert.ID.String()}, "exercise": "exercise"}))
	a.into(t, &i)
	if i.Assessment.Title != "Title of f-1" || i.Severity != models.SeverityCritical || !i.Exercise.IsDrill() {
		t.Errorf("opened: %+v", i)
	}
	if a.Header.Get("Location") != at(i.Reference) {
		t.Errorf("Location: %s", a.Header.Get("Location"))
	}
	options, run, started := w.engine.Started(i.Reference)
	if !started || options.ID != "incident/"+string(i.Reference) || options.TaskQueue != models.QueueIncidents ||
		options.StaticSummary != string(i.Reference)+" · critical" || run.Policy.Rounds != 5 || run.Incident.Reference != i.Reference {
		t.Errorf("started %v: %+v %+v", started, options, run)
	}
	w.must(http.StatusConflict, w.post("analyst", "/api/v1/incidents", map[string]any{
		"client": w.acme.Number, "alerts": []string{first.Alert.ID.String()}}))
	w.must(http.StatusNotFound, w.post("analyst", "/api/v1/incidents", map[string]any{
		"client": w.other.Number, "alerts": []string{first.Alert.ID.String()}}))
}

func TestAnIncidentOpenedWithoutAnEngineStartsLater(t *testing.T) {
	w := newWorld(t)
	w.engine.Become(desktest.NoService)
	var i incident.Incident
	w.must(http.StatusAccepted, w.post("analyst", "/api/v1/incidents",
		map[string]any{"client": w.acme.Number, "title": "T", "severity": "low"})).into(t, &i)
	older, running, err := w.desk.OpenIncident(t.Context(), w.users["analyst"],
		desk.OpenIncidentRequest{Client: w.acme.Number, Title: "T", Severity: "low"}, "key")
	if err != nil || running {
		t.Fatalf("opened without an engine: running %t, %v", running, err)
	}
	w.owner("update incidents set opened_at = opened_at - interval '10 seconds' where reference = '" + string(older.Reference) + "'")
	w.reconcile()
	w.engine.Become(desktest.Healthy)
	w.reconcile()
	if _, _, started := w.engine.Started(i.Reference); started {
		t.Error("the younger one was started though its opener may do so still")
	}
	if _, run, started := w.engine.Started(older.Reference); !started || run.Incident.Reference != older.Reference {
		t.Error("the workflow of the older one was not started")
	}
	w.reconcile()
}

// reconcile compares store and engine once.
func (w *world) reconcile() {
	w.Helper()
	r := &reconcile.Reconciler{Store: w.store, Temporal: w.engine, Log: slog.New(slog.DiscardHandler)}
	w.ok(r.Pass(w.Context()))
}

func TestARefusalIsShownToTheSideThatAsked(t *testing.T) {
	w := newWorld(t)
	ref := w.published()
	w.engine.Become(desktest.NoWorker)
	var a incident.CommandResult
	w.must(http.StatusAccepted, w.post("responder", at(ref, "approve"), map[string]any{"approval": "a1"})).into(t, &a)
	w.happen(ref, models.System(),
		&incident.CommandRejected{Command: "approve", Reason: "no open approval", RequestID: a.RequestID, By: w.users["responder"].Actor()},
		&incident.CommandRejected{Command: "revise", Reason: "not published", RequestID: "r2", By: w.users["analyst"].Actor()},
		&incident.CommandRejected{Command: "keep-isolated", Reason: "recorded before it was kept who asked"})
	for who, want := range map[string][]string{"analyst": {"approve", "revise", "keep-isolated"}, "responder": {"approve"}, "viewer": {"approve"}} {
		var list struct{ Items []incident.Event }
		w.must(http.StatusOK, w.get(who, at(ref, "events"))).into(t, &list)
		var seen []string
		for _, e := range list.Items {
			if d, ok := e.Data.(*incident.CommandRejected); ok {
				seen = append(seen, d.Command)
				if d.Command == "approve" && (d.RequestID != a.RequestID || d.By != w.users["responder"].Actor()) {
					t.Errorf("%s cannot tell whose it was: %+v", who, d)
				}
			}
		}
		if !slices.Equal(seen, want) {
			t.Errorf("%s sees refusals of %v, want %v", who, seen, want)
		}
	}
}
