package v1

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

func (s *server) ListAlerts(c *gin.Context, params ListAlertsParams) {
	ctx, who := callerOf(c)
	page, err := s.desk.Alerts(ctx, who.user, store.AlertFilter{
		State: params.State, Source: params.Source, Client: params.Client, ProblemOnly: params.Problem,
	}, pageRequest(params.Cursor, params.Limit))
	s.answer(c, ok(AlertList(page)), err)
}

func (s *server) ReceiveAlert(c *gin.Context, params ReceiveAlertParams) {
	var body NewAlert
	if !s.decode(c, &body) {
		return
	}
	ctx, who := callerOf(c)
	a, outcome, err := s.desk.ReceiveAlert(ctx, who.user, models.Alert{
		Client: body.Client, Source: body.Source, FindingID: body.FindingID, Title: body.Title, Detail: body.Detail, Severity: body.Severity,
		Techniques: body.Techniques, Indicators: body.Indicators, Hostnames: body.Hostnames, OccurredAt: body.OccurredAt.UTC(),
	}, who.body, params.IdempotencyKey)
	s.answer(c, replyReceived(a, outcome), err)
}

func (s *server) ReceiveOcsf(c *gin.Context, params ReceiveOcsfParams) {
	ctx, who := callerOf(c)
	a, outcome, err := s.desk.ReceiveOCSF(ctx, who.user, params.Client, params.Source, who.body, params.IdempotencyKey)
	s.answer(c, replyReceived(a, outcome), err)
}

func replyReceived(a models.Alert, outcome store.AlertOutcome) reply {
	status := http.StatusOK
	if outcome == store.AlertCreated {
		status = http.StatusCreated
	}
	return reply{status: status, body: ReceivedAlert{Outcome: ReceivedAlertOutcome(outcome), Alert: a}}
}

func (s *server) GetAlert(c *gin.Context, id AlertID) {
	ctx, who := callerOf(c)
	a, err := s.desk.Alert(ctx, who.user, id)
	s.answer(c, ok(a), err)
}

func (s *server) GetAlertRaw(c *gin.Context, id AlertID, params GetAlertRawParams) {
	ctx, who := callerOf(c)
	raw, err := s.desk.AlertPayload(ctx, who.user, id, params.Version)
	s.answer(c, reply{status: http.StatusOK, raw: raw}, err)
}
