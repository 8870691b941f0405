package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/watchfire-mdr/watchfire/api/client"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// The generated client and the server come from one document, so each understands the other.
func TestTheGoClientSpeaksToTheServer(t *testing.T) {
	w := newWorld(t)
	listener := httptest.NewServer(w.handler)
	defer listener.Close()
	c, err := client.NewClientWithResponses(listener.URL, client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+w.tokens["analyst"])
		return nil
	}))
	w.ok(err)
	key := func() string { return w.newKey() }

	title, severity := "By the client", models.SeverityHigh
	opened, err := c.OpenIncidentWithResponse(t.Context(), &client.OpenIncidentParams{IdempotencyKey: key()},
		client.NewIncident{Client: w.acme.Number, Title: &title, Severity: &severity})
	w.ok(err)
	if opened.JSON201 == nil {
		t.Fatalf("%d %s", opened.StatusCode(), opened.Body)
	}
	ref := opened.JSON201.Reference
	summary := "What we know."
	assessed, err := c.AssessWithResponse(t.Context(), ref, &client.AssessParams{IdempotencyKey: key()}, incident.Assess{Summary: &summary})
	w.ok(err)
	if assessed.JSON200 == nil || assessed.JSON200.LastSeq != 2 {
		t.Fatalf("%d %s", assessed.StatusCode(), assessed.Body)
	}
	if _, err := c.PublishWithResponse(t.Context(), ref, &client.PublishParams{IdempotencyKey: key()}, incident.Publish{}); err != nil {
		t.Fatal(err)
	}
	refused, err := c.PublishWithResponse(t.Context(), ref, &client.PublishParams{IdempotencyKey: key()}, incident.Publish{})
	w.ok(err)
	if p := refused.ApplicationProblemJSONDefault; p == nil || p.Status != http.StatusConflict {
		t.Fatalf("%d %s", refused.StatusCode(), refused.Body)
	}
	events, err := c.ListEventsWithResponse(t.Context(), ref, nil)
	w.ok(err)
	if events.JSON200 == nil || len(events.JSON200.Items) != 3 {
		t.Fatalf("%d %s", events.StatusCode(), events.Body)
	}
	if _, ok := events.JSON200.Items[2].Data.(*incident.Published); !ok {
		t.Errorf("the third event is %T", events.JSON200.Items[2].Data)
	}
	list, err := c.ListIncidentsWithResponse(t.Context(), nil)
	w.ok(err)
	if list.JSON200 == nil || len(list.JSON200.Items) != 1 || list.JSON200.Items[0].Title != title {
		t.Fatalf("%d %s", list.StatusCode(), list.Body)
	}
}
