package v1

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

func (s *server) ListEdrProducts(c *gin.Context) {
	_, who := callerOf(c)
	list, err := s.desk.EDRProducts(who.user)
	s.answer(c, ok(EDRProductList{Items: list}), err)
}

func (s *server) GetEdr(c *gin.Context, number ClientNumber) {
	ctx, who := callerOf(c)
	status, err := s.desk.EDR(ctx, who.user, number)
	s.answer(c, ok(status), err)
}

func (s *server) ListIsolations(c *gin.Context, number ClientNumber) {
	ctx, who := callerOf(c)
	list, err := s.desk.Isolations(ctx, who.user, number)
	s.answer(c, ok(IsolationList{Items: list}), err)
}

func (s *server) RemoveEdrCredentials(c *gin.Context, number ClientNumber) {
	ctx, who := callerOf(c)
	s.answer(c, reply{status: http.StatusNoContent}, s.desk.RemoveEDRCredentials(ctx, who.user, number))
}

func (s *server) SetEdrCredentials(c *gin.Context, number ClientNumber) {
	var body EDRCredentials
	if !s.decode(c, &body) {
		return
	}
	ctx, who := callerOf(c)
	edr, err := s.desk.SetEDRCredentials(ctx, who.user, number, body)
	s.answer(c, ok(edr), err)
}

func (s *server) CheckEdrConnection(c *gin.Context, number ClientNumber) {
	ctx, who := callerOf(c)
	check, err := s.desk.CheckEDRConnection(ctx, who.user, number)
	s.answer(c, ok(check), err)
}
