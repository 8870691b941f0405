package v1

import (
	"cmp"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/watchfire-mdr/watchfire/models"
)

func (s *server) ListClients(c *gin.Context, params ListClientsParams) {
	ctx, who := callerOf(c)
	page, err := s.desk.Clients(ctx, who.user, pageRequest(params.Cursor, params.Limit))
	s.answer(c, ok(ClientList(page)), err)
}

func (s *server) CreateClient(c *gin.Context, params CreateClientParams) {
	var body ClientDetails
	if !s.decode(c, &body) {
		return
	}
	ctx, who := callerOf(c)
	client, err := s.desk.CreateClient(ctx, who.user, models.Client{
		Number: body.Number, LegalName: body.LegalName, TimeZone: body.TimeZone, Language: body.Language,
		Business: body.BusinessHours, Contract: body.Contract, EDR: body.Edr, Policy: body.Policy,
	}, params.IdempotencyKey)
	s.answer(c, reply{status: http.StatusCreated, body: client, location: fmt.Sprintf("/api/v1/clients/%d", client.Number)}, err)
}

func (s *server) GetClient(c *gin.Context, number ClientNumber) {
	ctx, who := callerOf(c)
	client, err := s.desk.Client(ctx, who.user, number)
	s.answer(c, ok(client), err)
}

func (s *server) GoLive(c *gin.Context, number ClientNumber) {
	var body GoingLive
	if !s.decode(c, &body) {
		return
	}
	ctx, who := callerOf(c)
	client, err := s.desk.GoLiveNow(ctx, who.user, number, body.Despite)
	s.answer(c, ok(client), err)
}

func (s *server) ListAuditLog(c *gin.Context, number ClientNumber, params ListAuditLogParams) {
	ctx, who := callerOf(c)
	page, err := s.desk.AuditLog(ctx, who.user, number, pageRequest(params.Cursor, params.Limit))
	s.answer(c, ok(AuditLog(page)), err)
}

func (s *server) PauseIsolation(c *gin.Context, number ClientNumber) {
	var body SwitchReason
	if !s.decode(c, &body) {
		return
	}
	ctx, who := callerOf(c)
	now, err := s.desk.PauseIsolation(ctx, who.user, number, body.Reason)
	s.answer(c, ok(now), err)
}

func (s *server) ResumeIsolation(c *gin.Context, number ClientNumber) {
	var body SwitchReason
	if !s.decode(c, &body) {
		return
	}
	ctx, who := callerOf(c)
	now, err := s.desk.ResumeIsolation(ctx, who.user, number, body.Reason)
	s.answer(c, ok(now), err)
}

func (s *server) UpdateClient(c *gin.Context, number ClientNumber) {
	var body ClientTerms
	if !s.decode(c, &body) {
		return
	}
	ctx, who := callerOf(c)
	client, err := s.desk.UpdateClient(ctx, who.user, models.Client{
		Number: number, LegalName: body.LegalName, TimeZone: body.TimeZone, Language: body.Language,
		Business: body.BusinessHours, Contract: body.Contract, Policy: body.Policy,
	})
	s.answer(c, ok(client), err)
}

func (s *server) GetPlan(c *gin.Context, number ClientNumber, params GetPlanParams) {
	ctx, who := callerOf(c)
	severity := cmp.Or(params.Severity, models.SeverityCritical)
	p, err := s.desk.Plan(ctx, who.user, number, severity, params.At)
	s.answer(c, ok(p), err)
}

func (s *server) CheckGoLive(c *gin.Context, number ClientNumber) {
	ctx, who := callerOf(c)
	g, err := s.desk.GoLive(ctx, who.user, number)
	s.answer(c, ok(g), err)
}

func (s *server) GetCallerCode(c *gin.Context, number ClientNumber) {
	ctx, who := callerOf(c)
	code, err := s.desk.CallerCode(ctx, who.user, number)
	s.answer(c, ok(code), err)
}

func (s *server) StartFireDrill(c *gin.Context, number ClientNumber, params StartFireDrillParams) {
	var body NewFireDrill
	if !s.decode(c, &body) {
		return
	}
	ctx, who := callerOf(c)
	i, queued, err := s.desk.StartFireDrill(ctx, who.user, viaAPI, number, body.Exercise, params.IdempotencyKey)
	s.answer(c, replyOpened(i, !queued), err)
}
