package v1

import (
	"context"
	"net/http"
	"strconv"

	"github.com/watchfire-mdr/watchfire/desk"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// ListIncidents lists incidents.
func (s *server) ListIncidents(ctx context.Context, r ListIncidentsRequestObject) (ListIncidentsResponseObject, error) {
	ctx, who := called(ctx)
	cursor, err := store.ParseCursor(r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	list, next, err := s.desk.Incidents(ctx, who.user, store.IncidentFilter{
		Phase: r.Params.Phase, Turn: r.Params.Turn, Severity: r.Params.Severity, Client: r.Params.Client,
		Containment: r.Params.Containment, OpenTasks: r.Params.OpenTasks, Drill: r.Params.Drill,
	}, cursor, pageOf(r.Params.Limit))
	return ok(IncidentList{Items: list, Next: next.String()}), err
}

// OpenIncident opens an incident.
func (s *server) OpenIncident(ctx context.Context, r OpenIncidentRequestObject) (OpenIncidentResponseObject, error) {
	ctx, who := called(ctx)
	i, running, err := s.desk.OpenIncident(ctx, who.user, desk.OpenIncidentRequest{
		Client: r.Body.Client, Title: r.Body.Title, Severity: r.Body.Severity, Alerts: r.Body.Alerts, Exercise: r.Body.Exercise,
	}, r.Params.IdempotencyKey)
	if err != nil {
		return nil, err
	}
	return begun(i, running), nil
}

// begun answers with an incident that was opened; now is false when it waits for a worker or the engine.
func begun(i incident.Incident, now bool) reply {
	status := http.StatusCreated
	if !now {
		status = http.StatusAccepted
	}
	return reply{status: status, body: i, location: "/api/v1/incidents/" + string(i.Reference)}
}

// GetIncident reads an incident as the caller may see it.
func (s *server) GetIncident(ctx context.Context, r GetIncidentRequestObject) (GetIncidentResponseObject, error) {
	ctx, who := called(ctx)
	i, err := s.desk.Incident(ctx, who.user, r.Reference)
	return ok(i), err
}

// ListEvents lists an incident's events.
func (s *server) ListEvents(ctx context.Context, r ListEventsRequestObject) (ListEventsResponseObject, error) {
	ctx, who := called(ctx)
	after, err := place(r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	list, people, next, err := s.desk.Events(ctx, who.user, r.Reference, after, pageOf(r.Params.Limit))
	if err != nil {
		return nil, err
	}
	answer := EventList{Items: list, People: people}
	if next > 0 {
		answer.Next = strconv.Itoa(next)
	}
	return ok(answer), nil
}

// ListDeliveries lists what was sent to the outside world.
func (s *server) ListDeliveries(ctx context.Context, r ListDeliveriesRequestObject) (ListDeliveriesResponseObject, error) {
	ctx, who := called(ctx)
	cursor, err := store.ParseCursor(r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	limit := pageOf(r.Params.Limit)
	list, by, err := s.desk.Deliveries(ctx, who.user, r.Reference, cursor, limit+1)
	if err != nil {
		return nil, err
	}
	items, next := deliveryPage(list, limit)
	return ok(DeliveryList{Items: items, Acknowledgement: by, Next: next}), nil
}

// deliveryPage cuts a list that was asked for with one more than limit, and returns the cursor of the next page.
func deliveryPage(list []notify.Delivery, limit int) (items []notify.Delivery, next string) {
	if len(list) <= limit {
		return list, ""
	}
	last := list[limit-1]
	return list[:limit], store.Cursor{At: last.PlannedAt, ID: last.ID.String()}.String()
}

// GetDrillReport reads what a fire drill measured.
func (s *server) GetDrillReport(ctx context.Context, r GetDrillReportRequestObject) (GetDrillReportResponseObject, error) {
	ctx, who := called(ctx)
	report, err := s.desk.DrillReport(ctx, who.user, r.Reference)
	return ok(report), err
}

// ListRevisions lists the published revisions.
func (s *server) ListRevisions(ctx context.Context, r ListRevisionsRequestObject) (ListRevisionsResponseObject, error) {
	ctx, who := called(ctx)
	list, people, err := s.desk.Revisions(ctx, who.user, r.Reference)
	return ok(RevisionList{Items: list, People: people}), err
}

// GetRevision reads one published revision.
func (s *server) GetRevision(ctx context.Context, r GetRevisionRequestObject) (GetRevisionResponseObject, error) {
	ctx, who := called(ctx)
	revision, err := s.desk.Revision(ctx, who.user, r.Reference, r.N)
	return ok(revision), err
}
