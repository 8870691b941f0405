package v1

import (
	"context"
	"net/http"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// ListAlerts lists alerts.
func (s *server) ListAlerts(ctx context.Context, r ListAlertsRequestObject) (ListAlertsResponseObject, error) {
	ctx, who := called(ctx)
	cursor, err := store.ParseCursor(r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	limit := pageOf(r.Params.Limit)
	list, err := s.desk.Alerts(ctx, who.user, store.AlertFilter{
		State: r.Params.State, Source: r.Params.Source, Client: r.Params.Client, ProblemOnly: r.Params.Problem,
	}, cursor, limit+1)
	if err != nil {
		return nil, err
	}
	answer := AlertList{Items: list}
	if len(list) > limit {
		last := list[limit-1]
		answer.Items = list[:limit]
		answer.Next = store.Cursor{At: last.ReceivedAt, ID: last.ID.String()}.String()
	}
	return ok(answer), nil
}

// ReceiveAlert takes an alert in our own shape.
func (s *server) ReceiveAlert(ctx context.Context, r ReceiveAlertRequestObject) (ReceiveAlertResponseObject, error) {
	ctx, who := called(ctx)
	b := r.Body
	a, outcome, err := s.desk.ReceiveAlert(ctx, who.user, models.Alert{
		Client: b.Client, Source: b.Source, FindingID: b.FindingID, Title: b.Title, Detail: b.Detail, Severity: b.Severity,
		Techniques: b.Techniques, Indicators: b.Indicators, Hostnames: b.Hostnames, OccurredAt: b.OccurredAt.UTC(),
	}, who.body, r.Params.IdempotencyKey)
	return received(a, outcome), err
}

// ReceiveOcsf takes an OCSF event.
func (s *server) ReceiveOcsf(ctx context.Context, r ReceiveOcsfRequestObject) (ReceiveOcsfResponseObject, error) {
	ctx, who := called(ctx)
	a, outcome, err := s.desk.ReceiveOCSF(ctx, who.user, r.Params.Client, r.Params.Source, who.body, r.Params.IdempotencyKey)
	return received(a, outcome), err
}

func received(a models.Alert, outcome store.AlertOutcome) reply {
	status := http.StatusOK
	if outcome == store.AlertCreated {
		status = http.StatusCreated
	}
	return reply{status: status, body: ReceivedAlert{Outcome: ReceivedAlertOutcome(outcome), Alert: a}}
}

// GetAlert reads an alert.
func (s *server) GetAlert(ctx context.Context, r GetAlertRequestObject) (GetAlertResponseObject, error) {
	ctx, who := called(ctx)
	a, err := s.desk.Alert(ctx, who.user, r.ID)
	return ok(a), err
}

// GetAlertRaw reads an alert's body as it came.
func (s *server) GetAlertRaw(ctx context.Context, r GetAlertRawRequestObject) (GetAlertRawResponseObject, error) {
	ctx, who := called(ctx)
	raw, err := s.desk.AlertPayload(ctx, who.user, r.ID, r.Params.Version)
	return reply{status: http.StatusOK, raw: raw}, err
}
