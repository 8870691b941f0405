package v1

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

const defaultLimit = 50

// pageOf returns how many entries a caller wants.
func pageOf(limit int) int {
	if limit == 0 {
		return defaultLimit
	}
	return limit
}

// place reads the cursor of a list that is ordered by a number; "" is its start.
func place(cursor string) (int, error) {
	if cursor == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(cursor)
	if err != nil || n < 0 || n > 1<<30 {
		return 0, models.InvalidField("/cursor", "is not a cursor of this list")
	}
	return n, nil
}

// ListClients lists clients.
func (s *server) ListClients(ctx context.Context, r ListClientsRequestObject) (ListClientsResponseObject, error) {
	ctx, who := called(ctx)
	after, err := place(r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	limit := pageOf(r.Params.Limit)
	list, err := s.desk.Clients(ctx, who.user, after, limit+1)
	if err != nil {
		return nil, err
	}
	answer := ClientList{Items: list}
	if len(list) > limit {
		answer.Items = list[:limit]
		answer.Next = strconv.Itoa(list[limit-1].Number)
	}
	return ok(answer), nil
}

// CreateClient takes on a client.
func (s *server) CreateClient(ctx context.Context, r CreateClientRequestObject) (CreateClientResponseObject, error) {
	ctx, who := called(ctx)
	c, err := s.desk.CreateClient(ctx, who.user, models.Client{
		Number: r.Body.Number, LegalName: r.Body.LegalName, TimeZone: r.Body.TimeZone, Language: r.Body.Language,
		Business: r.Body.BusinessHours, Contract: r.Body.Contract, EDR: r.Body.Edr, Policy: r.Body.Policy,
	}, r.Params.IdempotencyKey)
	if err != nil {
		return nil, err
	}
	return reply{status: http.StatusCreated, body: c, location: fmt.Sprintf("/api/v1/clients/%d", c.Number)}, nil
}

// GetClient reads a client.
func (s *server) GetClient(ctx context.Context, r GetClientRequestObject) (GetClientResponseObject, error) {
	ctx, who := called(ctx)
	c, err := s.desk.Client(ctx, who.user, r.Number)
	return ok(c), err
}

// ListAuditLog lists who changed what a client is set up with.
func (s *server) ListAuditLog(ctx context.Context, r ListAuditLogRequestObject) (ListAuditLogResponseObject, error) {
	ctx, who := called(ctx)
	cursor, err := store.ParseCursor(r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	list, next, err := s.desk.AuditLog(ctx, who.user, r.Number, cursor, pageOf(r.Params.Limit))
	return ok(AuditLog{Items: list, Next: next.String()}), err
}

// PauseIsolation lets no device of a client be isolated.
func (s *server) PauseIsolation(ctx context.Context, r PauseIsolationRequestObject) (PauseIsolationResponseObject, error) {
	ctx, who := called(ctx)
	now, err := s.desk.PauseIsolation(ctx, who.user, r.Number, r.Body.Reason)
	return ok(now), err
}

// ResumeIsolation lets a client's devices be isolated again.
func (s *server) ResumeIsolation(ctx context.Context, r ResumeIsolationRequestObject) (ResumeIsolationResponseObject, error) {
	ctx, who := called(ctx)
	now, err := s.desk.ResumeIsolation(ctx, who.user, r.Number, r.Body.Reason)
	return ok(now), err
}

// UpdateClient replaces what was agreed with a client.
func (s *server) UpdateClient(ctx context.Context, r UpdateClientRequestObject) (UpdateClientResponseObject, error) {
	ctx, who := called(ctx)
	c, err := s.desk.UpdateClient(ctx, who.user, models.Client{
		Number: r.Number, LegalName: r.Body.LegalName, TimeZone: r.Body.TimeZone, Language: r.Body.Language,
		Business: r.Body.BusinessHours, Contract: r.Body.Contract, Policy: r.Body.Policy,
	})
	return ok(c), err
}

// GetPlan previews who is reached.
func (s *server) GetPlan(ctx context.Context, r GetPlanRequestObject) (GetPlanResponseObject, error) {
	ctx, who := called(ctx)
	severity := cmp.Or(r.Params.Severity, models.SeverityCritical)
	p, err := s.desk.Plan(ctx, who.user, r.Number, severity, r.Params.At)
	return ok(p), err
}

// CheckGoLive checks whether the client can be reached.
func (s *server) CheckGoLive(ctx context.Context, r CheckGoLiveRequestObject) (CheckGoLiveResponseObject, error) {
	ctx, who := called(ctx)
	g, err := s.desk.GoLive(ctx, who.user, r.Number)
	return ok(g), err
}

// GetCallerCode reads the code that proves a call is ours.
func (s *server) GetCallerCode(ctx context.Context, r GetCallerCodeRequestObject) (GetCallerCodeResponseObject, error) {
	ctx, who := called(ctx)
	c, err := s.desk.CallerCode(ctx, who.user, r.Number)
	return ok(c), err
}

// StartFireDrill tries how the client is reached.
func (s *server) StartFireDrill(ctx context.Context, r StartFireDrillRequestObject) (StartFireDrillResponseObject, error) {
	ctx, who := called(ctx)
	i, queued, err := s.desk.StartFireDrill(ctx, who.user, via, r.Number, r.Body.Exercise, r.Params.IdempotencyKey)
	if err != nil {
		return nil, err
	}
	return begun(i, !queued), nil
}
