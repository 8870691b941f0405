package v1

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// viaAPI tells the incident that a command came through the API.
const viaAPI = "api"

// registerCommands adds a route for each command. The generated server leaves them out: their routes, bodies and
// answers follow from the command's name alone.
func (s *server) registerCommands(r gin.IRouter) {
	for n, command := range incident.Commands() {
		r.POST("/api/v1/incidents/:reference/"+command.Name(), s.sendCommand(func() incident.Command { return incident.Commands()[n] }))
	}
}

// sendCommand reads a request's body into an empty command and hands it to the desk.
func (s *server) sendCommand(empty func() incident.Command) gin.HandlerFunc {
	return func(c *gin.Context) {
		command := empty()
		key, err := idempotencyKey(c)
		if err != nil {
			s.refuseUnreadable(c, err)
			return
		}
		if !s.decode(c, command) {
			return
		}
		ctx, who := callerOf(c)
		result, queued, err := s.desk.Command(ctx, who.user, viaAPI, models.Reference(c.Param("reference")), command, key)
		if queued {
			s.answer(c, reply{status: http.StatusAccepted, body: result}, err)
			return
		}
		s.answer(c, ok(result), err)
	}
}
