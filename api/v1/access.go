package v1

import (
	"cmp"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

const (
	// theSOC stands for the number of a client where the desk means users and tokens of the SOC itself.
	theSOC = 0
	// tokenDays is how many days a token lasts when the request does not say.
	tokenDays = 90
)

func (s *server) ListSocUsers(c *gin.Context, params ListSocUsersParams) {
	s.listUsers(c, theSOC, params.Cursor, params.Limit)
}

func (s *server) ListClientUsers(c *gin.Context, number ClientNumber, params ListClientUsersParams) {
	s.listUsers(c, number, params.Cursor, params.Limit)
}

func (s *server) listUsers(c *gin.Context, number int, cursor string, limit int) {
	ctx, who := callerOf(c)
	page, err := s.desk.Users(ctx, who.user, number, pageRequest(cursor, limit))
	s.answer(c, ok(UserList(page)), err)
}

func (s *server) InviteSocUser(c *gin.Context) {
	var body NewSOCUser
	if s.decode(c, &body) {
		s.inviteUser(c, theSOC, models.User{Name: body.Name, Email: body.Email, Role: body.Role})
	}
}

func (s *server) InviteClientUser(c *gin.Context, number ClientNumber) {
	var body NewClientUser
	if s.decode(c, &body) {
		s.inviteUser(c, number, models.User{Name: body.Name, Email: body.Email, Role: body.Role})
	}
}

func (s *server) inviteUser(c *gin.Context, number int, invited models.User) {
	ctx, who := callerOf(c)
	a, secret, expires, err := s.desk.InviteUser(ctx, who.user, number, invited)
	s.answer(c, reply{status: http.StatusCreated, body: InvitedUser{User: a, Invitation: secret, ExpiresAt: expires}}, err)
}

func (s *server) UpdateSocUser(c *gin.Context, id AccessID) {
	var body SOCUserState
	if s.decode(c, &body) {
		s.changeUser(c, theSOC, id, store.UserChange{Role: body.Role, Disabled: body.Disabled, Limited: body.Limited, Clients: body.Clients})
	}
}

func (s *server) UpdateClientUser(c *gin.Context, number ClientNumber, id AccessID) {
	var body ClientUserState
	if s.decode(c, &body) {
		s.changeUser(c, number, id, store.UserChange{Role: body.Role, Disabled: body.Disabled})
	}
}

func (s *server) changeUser(c *gin.Context, number int, id uuid.UUID, change store.UserChange) {
	ctx, who := callerOf(c)
	a, err := s.desk.ChangeUser(ctx, who.user, number, id, change)
	s.answer(c, ok(a), err)
}

func (s *server) ListTokens(c *gin.Context) {
	ctx, who := callerOf(c)
	list, err := s.desk.Tokens(ctx, who.user)
	s.answer(c, ok(TokenList{Items: list}), err)
}

func (s *server) CreateToken(c *gin.Context) {
	var body NewToken
	if !s.decode(c, &body) {
		return
	}
	ctx, who := callerOf(c)
	t, secret, err := s.desk.CreateToken(ctx, who.principal, body.Name, cmp.Or(body.Days, tokenDays))
	s.answer(c, reply{status: http.StatusCreated, body: CreatedToken{Secret: secret, Token: t}}, err)
}

func (s *server) RevokeToken(c *gin.Context, id AccessID) {
	ctx, who := callerOf(c)
	err := s.desk.RevokeToken(ctx, who.user, id)
	s.answer(c, reply{status: http.StatusNoContent}, err)
}

func (s *server) ListSocServiceTokens(c *gin.Context) { s.listServiceTokens(c, theSOC) }

func (s *server) ListClientServiceTokens(c *gin.Context, number ClientNumber) {
	s.listServiceTokens(c, number)
}

func (s *server) listServiceTokens(c *gin.Context, number int) {
	ctx, who := callerOf(c)
	list, err := s.desk.ServiceTokens(ctx, who.user, number)
	s.answer(c, ok(ServiceTokenList{Items: list}), err)
}

func (s *server) CreateSocServiceToken(c *gin.Context) { s.createServiceToken(c, theSOC) }

func (s *server) CreateClientServiceToken(c *gin.Context, number ClientNumber) {
	s.createServiceToken(c, number)
}

func (s *server) createServiceToken(c *gin.Context, number int) {
	var body NewServiceToken
	if !s.decode(c, &body) {
		return
	}
	operations := make([]string, 0, len(body.Operations))
	for _, name := range body.Operations {
		operations = append(operations, string(name))
	}
	ctx, who := callerOf(c)
	t, secret, err := s.desk.CreateServiceToken(ctx, who.user, number, body.Name, operations, cmp.Or(body.Days, tokenDays))
	s.answer(c, reply{status: http.StatusCreated, body: CreatedServiceToken{Secret: secret, Token: t}}, err)
}

func (s *server) RevokeSocServiceToken(c *gin.Context, id AccessID) {
	s.revokeServiceToken(c, theSOC, id)
}

func (s *server) RevokeClientServiceToken(c *gin.Context, number ClientNumber, id AccessID) {
	s.revokeServiceToken(c, number, id)
}

func (s *server) revokeServiceToken(c *gin.Context, number int, id uuid.UUID) {
	ctx, who := callerOf(c)
	err := s.desk.RevokeServiceToken(ctx, who.user, number, id)
	s.answer(c, reply{status: http.StatusNoContent}, err)
}

func (s *server) ListSocAuditLog(c *gin.Context, params ListSocAuditLogParams) {
	ctx, who := callerOf(c)
	page, err := s.desk.SOCAuditLog(ctx, who.user, pageRequest(params.Cursor, params.Limit))
	s.answer(c, ok(AuditLog(page)), err)
}

func (s *server) ListRefusals(c *gin.Context, params ListRefusalsParams) {
	ctx, who := callerOf(c)
	page, err := s.desk.RefusedRequests(ctx, who.user, pageRequest(params.Cursor, params.Limit))
	s.answer(c, ok(RefusalList(page)), err)
}

func (s *server) ListSuspicions(c *gin.Context, number ClientNumber, params ListSuspicionsParams) {
	ctx, who := callerOf(c)
	page, err := s.desk.Suspicions(ctx, who.user, number, pageRequest(params.Cursor, params.Limit))
	s.answer(c, ok(SuspicionList(page)), err)
}

func (s *server) ReportSuspicion(c *gin.Context, number ClientNumber, params ReportSuspicionParams) {
	var body NewSuspicion
	if !s.decode(c, &body) {
		return
	}
	ctx, who := callerOf(c)
	suspicion, err := s.desk.ReportSuspicion(ctx, who.user, number, models.Alert{
		Title: body.Title, Detail: body.Text, Hostnames: body.Hostnames, Indicators: body.Indicators,
	}, who.body, params.IdempotencyKey)
	s.answer(c, reply{status: http.StatusCreated, body: suspicion}, err)
}
