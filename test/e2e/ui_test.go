package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// The pages of the development stack's Temporal UI are told where payloads are opened, and get them opened there.
func TestTheUIOfTheDevelopmentStackShowsPayloads(t *testing.T) {
	s := newScene(t, 2)
	s.open(models.SeverityLow)
	s.assess()
	ask := func(method, address string, body []byte, out any) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, address, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", system.Temporal.UIURL)
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		if err := json.NewDecoder(answer.Body).Decode(out); err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s answers %d, %v", address, answer.StatusCode, err)
		}
	}
	var settings struct{ Codec struct{ Endpoint string } }
	ask(http.MethodGet, system.Temporal.UIURL+"/api/v1/settings", nil, &settings)

	var page struct {
		Payloads []models.Payload `json:"payloads"`
	}
	for _, e := range readHistory(t, plainTemporal(t), s.ref.WorkflowID()).GetEvents() {
		if a := e.GetWorkflowExecutionUpdateAcceptedEventAttributes(); a.GetAcceptedRequest().GetInput().GetName() == (*incident.Assess)(nil).Name() {
			sealed := a.GetAcceptedRequest().GetInput().GetArgs().GetPayloads()[0]
			page.Payloads = append(page.Payloads, models.Payload{Metadata: sealed.GetMetadata(), Data: sealed.GetData()})
		}
	}
	body, err := json.Marshal(page)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(body), "summary-canary-7731") {
		t.Fatal("the history is not sealed")
	}
	ask(http.MethodPost, settings.Codec.Endpoint+"/decode", body, &page)
	if len(page.Payloads) != 1 || !strings.Contains(string(page.Payloads[0].Data), "summary-canary-7731") {
		t.Errorf("the UI is shown %+v", page.Payloads)
	}
}
