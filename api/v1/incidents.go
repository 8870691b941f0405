package v1

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/watchfire-mdr/watchfire/desk"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

func (s *server) ListIncidents(c *gin.Context, params ListIncidentsParams) {
	ctx, who := callerOf(c)
	page, err := s.desk.Incidents(ctx, who.user, store.IncidentFilter{
		Phase: params.Phase, Turn: params.Turn, Severity: params.Severity, Client: params.Client,
		Containment: params.Containment, OpenTasks: params.OpenTasks, Drill: params.Drill,
	}, pageRequest(params.Cursor, params.Limit))
	s.answer(c, ok(IncidentList(page)), err)
}

func (s *server) OpenIncident(c *gin.Context, params OpenIncidentParams) {
	var body NewIncident
	if !s.decode(c, &body) {
		return
	}
	ctx, who := callerOf(c)
	i, running, err := s.desk.OpenIncident(ctx, who.user, desk.OpenIncidentRequest{
		Client: body.Client, Title: body.Title, Severity: body.Severity, Alerts: body.Alerts, Exercise: body.Exercise,
		OutsideContract: body.OutsideContract,
	}, params.IdempotencyKey)
	s.answer(c, replyOpened(i, running), err)
}

// replyOpened is the reply for an opened incident. running is false while the incident waits for a worker or the
// engine.
func replyOpened(i incident.Incident, running bool) reply {
	status := http.StatusCreated
	if !running {
		status = http.StatusAccepted
	}
	return reply{status: status, body: i, location: "/api/v1/incidents/" + string(i.Reference)}
}

func (s *server) GetIncident(c *gin.Context, reference Reference) {
	ctx, who := callerOf(c)
	i, err := s.desk.Incident(ctx, who.user, reference)
	s.answer(c, ok(i), err)
}

func (s *server) ListEvents(c *gin.Context, reference Reference, params ListEventsParams) {
	ctx, who := callerOf(c)
	page, err := s.desk.Events(ctx, who.user, reference, pageRequest(params.Cursor, params.Limit))
	s.answer(c, ok(EventList{Items: page.Items, People: page.People, Next: page.Next}), err)
}

func (s *server) ListDeliveries(c *gin.Context, reference Reference, params ListDeliveriesParams) {
	ctx, who := callerOf(c)
	page, err := s.desk.Deliveries(ctx, who.user, reference, pageRequest(params.Cursor, params.Limit))
	s.answer(c, ok(DeliveryList{Items: page.Items, Acknowledgement: page.Acknowledgement, Next: page.Next}), err)
}

func (s *server) GetDrillReport(c *gin.Context, reference Reference) {
	ctx, who := callerOf(c)
	report, err := s.desk.DrillReport(ctx, who.user, reference)
	s.answer(c, ok(report), err)
}

func (s *server) ListRevisions(c *gin.Context, reference Reference) {
	ctx, who := callerOf(c)
	list, people, err := s.desk.Revisions(ctx, who.user, reference)
	s.answer(c, ok(RevisionList{Items: list, People: people}), err)
}

func (s *server) GetRevision(c *gin.Context, reference Reference, n int) {
	ctx, who := callerOf(c)
	revision, err := s.desk.Revision(ctx, who.user, reference, n)
	s.answer(c, ok(revision), err)
}
