package api_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"go.temporal.io/sdk/converter"

	"github.com/watchfire-mdr/watchfire/models"
)

// sealedFor returns a payload that is sealed for a workflow.
func (w *world) sealedFor(workflow, text string) models.Payload {
	w.Helper()
	dc := converter.WithDataConverterSerializationContext(w.payloads.DataConverter(), converter.WorkflowSerializationContext{Namespace: "default", WorkflowID: workflow})
	p, err := dc.ToPayload(text)
	w.ok(err)
	return models.Payload{Metadata: p.GetMetadata(), Data: p.GetData()}
}

// Temporal's UI shows an operator what is sealed, and the client's audit log says so, once for each page.
func TestAnOperatorOpensPayloadsOnTheRecord(t *testing.T) {
	w := newWorld(t)
	acme := models.NewReference(w.acme.Number, 7).WorkflowID()
	sealed := []models.Payload{
		w.sealedFor(acme, "the first"), {Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"plain"`)},
		w.sealedFor(acme, "the second"), w.sealedFor("incident/SI-9999-0001", "nobody's"), w.sealedFor("canary/1", "the provider's"),
	}
	moved := w.sealedFor(models.NewReference(w.other.Number, 1).WorkflowID(), "the other's")
	moved.Metadata["watchfire-workflow"] = []byte(acme)
	sealed = append(sealed, moved)
	page := struct {
		Payloads []models.Payload `json:"payloads"`
	}{sealed}
	const path = "/api/v1/operator/payloads/decode"
	before := len(w.changes("admin"))
	w.must(http.StatusForbidden, w.post("lead", path, page))
	if got := len(w.changes("admin")); got != before {
		t.Errorf("a refusal left %d entries", got-before)
	}
	w.must(http.StatusOK, w.post("operator", path, page)).into(w, &page)
	want := []string{`"the first"`, `"plain"`, `"the second"`, "", `"the provider's"`, ""}
	for n, p := range page.Payloads {
		if want[n] == "" && slices.Equal(p.Data, sealed[n].Data) {
			continue // as it was
		}
		if string(p.Data) != want[n] {
			t.Errorf("payload %d is %q, want %q", n, p.Data, want[n])
		}
	}
	entries := w.changes("admin")
	if len(entries) != before+1 || entries[0].Operation != "decode-payloads" || entries[0].By != w.users["operator"].ID || len(entries[0].Fields) != 0 {
		t.Errorf("the client's audit log has %+v", entries)
	}
	var named []string
	for _, e := range w.entries("lead", "/api/v1/audit-log") {
		if e.Operation == "decode-payloads" && e.By == w.users["operator"].ID {
			named = append(named, e.Fields...)
		}
	}
	if slices.Sort(named); !slices.Equal(named, []string{"canary/1", acme}) {
		t.Errorf("the SOC's audit log names %v", named)
	}
}

// However many workflows a page is about, the audit log names each.
func TestThePayloadsOfManyWorkflowsAreAllOnRecord(t *testing.T) {
	w := newWorld(t)
	page, want := struct {
		Payloads []models.Payload `json:"payloads"`
	}{}, []string{}
	for n := range 45 {
		want = append(want, models.NewReference(w.acme.Number, n+1).WorkflowID())
		page.Payloads = append(page.Payloads, w.sealedFor(want[n], "x"))
	}
	w.must(http.StatusOK, w.post("operator", "/api/v1/operator/payloads/decode", page))
	var named []string
	for _, e := range w.entries("lead", "/api/v1/audit-log") {
		if e.Operation == "decode-payloads" {
			named = append(named, e.Fields...)
		}
	}
	slices.Sort(named)
	if slices.Sort(want); !slices.Equal(named, want) {
		t.Errorf("the audit log names %v", named)
	}
}

// Only the configured UI's pages may ask, and a browser sends them no credentials of its own.
func TestOnlyTheUIsPagesMayAsk(t *testing.T) {
	w := newWorld(t)
	const path = "/api/v1/operator/payloads/decode"
	for _, c := range []struct {
		method, path, origin, allowed string
		status                        int
	}{
		{http.MethodOptions, path, "https://temporal.soc.example", "https://temporal.soc.example", http.StatusNoContent},
		{http.MethodPost, path, "https://temporal.soc.example", "https://temporal.soc.example", http.StatusUnauthorized},
		{http.MethodOptions, path, "https://evil.example", "", http.StatusMethodNotAllowed},
		{http.MethodPost, path, "https://evil.example", "", http.StatusUnauthorized},
		{http.MethodOptions, "/api/v1/operator/alarms", "https://temporal.soc.example", "", http.StatusMethodNotAllowed},
	} {
		r := w.request("", c.method, c.path, nil)
		r.Header.Set("Origin", c.origin)
		a := serve(w, r)
		if a.Code != c.status || a.Header().Get("Access-Control-Allow-Origin") != c.allowed || a.Header().Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s %s from %s: %d, %v", c.method, c.path, c.origin, a.Code, a.Header())
		}
	}
}

// serve sends a request that the document does not know.
func serve(w *world, r *http.Request) *httptest.ResponseRecorder {
	a := httptest.NewRecorder()
	w.handler.ServeHTTP(a, r)
	return a
}
