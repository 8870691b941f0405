package stack

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"go.temporal.io/sdk/converter"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/observability"
	"github.com/watchfire-mdr/watchfire/secrets"
)

// The pages of the stack's own UI get payloads opened, and no other page does.
func TestOnlyTheStacksOwnUIIsShownPayloads(t *testing.T) {
	keyset, err := secrets.Generate("")
	if err != nil {
		t.Fatal(err)
	}
	s := &Stack{keys: keys{PayloadKeyset: keyset}}
	p, err := s.payloads()
	if err != nil {
		t.Fatal(err)
	}
	c, err := startCodec(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.server.Close() })
	c.ui.Store(&url.URL{Scheme: "http", Host: "127.0.0.1:8233"})
	sealed, err := converter.WithDataConverterSerializationContext(observability.NewPayloads(mustKeys(t, keyset), observability.SealedPayloads).DataConverter(),
		converter.WorkflowSerializationContext{Namespace: "default", WorkflowID: "incident/SI-1042-0001"}).ToPayload("the report")
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{"payloads": []models.Payload{{Metadata: sealed.GetMetadata(), Data: sealed.GetData()}}})
	if err != nil {
		t.Fatal(err)
	}
	for origin, want := range map[string]int{
		"http://127.0.0.1:8233": http.StatusOK, "http://localhost:8233": http.StatusOK, "http://localhost:8080": http.StatusNotFound,
		"https://evil.example": http.StatusNotFound, "": http.StatusNotFound, "null": http.StatusNotFound,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.address+"/decode", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", origin)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var page struct{ Payloads []models.Payload }
		_ = json.NewDecoder(answer.Body).Decode(&page)
		_ = answer.Body.Close()
		shown := len(page.Payloads) == 1 && string(page.Payloads[0].Data) == `"the report"`
		if answer.StatusCode != want || shown != (want == http.StatusOK) || want == http.StatusOK && answer.Header.Get("Access-Control-Allow-Origin") != origin {
			t.Errorf("%q: %d, shown %v, %v", origin, answer.StatusCode, shown, answer.Header)
		}
	}
}

func mustKeys(t *testing.T, keyset string) *secrets.PayloadKeys {
	t.Helper()
	k, err := secrets.OpenPayloadKeys(keyset, "")
	if err != nil {
		t.Fatal(err)
	}
	return k
}
