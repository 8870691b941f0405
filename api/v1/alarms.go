package v1

import "github.com/gin-gonic/gin"

func (s *server) ListAlarms(c *gin.Context, params ListAlarmsParams) {
	ctx, who := callerOf(c)
	page, err := s.desk.Alarms(ctx, who.user, params.All, pageRequest(params.Cursor, params.Limit))
	s.answer(c, ok(AlarmList(page)), err)
}
