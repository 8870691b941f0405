package v1

import "github.com/gin-gonic/gin"

func (s *server) DecodePayloads(c *gin.Context) {
	var body PayloadList
	if !s.decode(c, &body) {
		return
	}
	ctx, who := callerOf(c)
	opened, err := s.desk.OpenPayloads(ctx, who.user, body.Payloads)
	s.answer(c, ok(PayloadList{Payloads: opened}), err)
}
