package desk

import (
	"cmp"
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// ReceiveAlert takes an alert of the client a.Client, with the body it came in. An alert that is larger than its bounds
// is cut, and Truncated says so. Client, source and finding id identify an alert; the same key again gives the same
// outcome. NotFound: the client does not exist. TooMany: the client's share is used up, and nothing was kept.
func (d *Desk) ReceiveAlert(ctx context.Context, u models.User, a models.Alert, raw []byte, key string) (models.Alert, store.AlertOutcome, error) {
	a.FindingID = boundFindingID(a.FindingID)
	return d.receiveAlert(ctx, u, boundAlert(a), raw, key)
}

// receiveAlert takes an alert within its bounds.
func (d *Desk) receiveAlert(ctx context.Context, u models.User, a models.Alert, raw []byte, key string) (models.Alert, store.AlertOutcome, error) {
	if err := auth.Allow("receive-alert", u.Role); err != nil {
		return models.Alert{}, "", err
	}
	if err := cmp.Or(requireText("/title", a.Title), requireText("/finding_id", a.FindingID)); err != nil {
		return models.Alert{}, "", err
	}
	if a.Source == models.SourceClientReport {
		return models.Alert{}, "", models.InvalidField("/source", "is of suspicions, which users of the client report themselves")
	}
	if u.Role == models.RoleService {
		if u.ClientID != uuid.Nil && a.Source != models.SourceIntegration {
			return models.Alert{}, "", models.InvalidField("/source", "must be integration: the token is a client's")
		}
		a.ServiceToken = u.Name
	}
	id, err := d.clientID(ctx, u, a.Client)
	if err != nil {
		return models.Alert{}, "", withPointer("/client", err)
	}
	source := "soc"
	if u.ClientID != uuid.Nil {
		source = "client"
	}
	if err := d.store.By(u).Use(ctx, ofAlerts.limit("alerts", id.String()+" "+source, "more alerts of this client came than are taken; nothing was kept")); err != nil {
		return models.Alert{}, "", err
	}
	a.ReportedBy = u.ID
	return d.takeAlert(ctx, u, a, raw, requestID(u, "receive-alert", key))
}

// takeAlert puts an alert into the SOC's queue.
func (d *Desk) takeAlert(ctx context.Context, u models.User, a models.Alert, raw []byte, request string) (models.Alert, store.AlertOutcome, error) {
	var outcome store.AlertOutcome
	err := d.inQueue(ctx, u, a.Client)(func(tx *store.Tx) (err error) {
		a.ReceivedAt = tx.Now()
		if a.OccurredAt.IsZero() {
			a.OccurredAt = a.ReceivedAt
		}
		a.OccurredAt = a.OccurredAt.Truncate(time.Microsecond) // as the database keeps it
		a, outcome, err = tx.ReceiveAlert(a, raw, request)
		return err
	})
	return a, outcome, withPointer("/client", err)
}

// ReceiveOCSF takes one OCSF event as an alert. An event that is not a readable Detection Finding becomes an alert with
// a Problem. raw must be a JSON object.
func (d *Desk) ReceiveOCSF(ctx context.Context, u models.User, number int, source models.AlertSource, raw []byte, key string,
) (models.Alert, store.AlertOutcome, error) {
	a := ReadOCSF(raw)
	a.Client, a.Source = number, source
	return d.receiveAlert(ctx, u, a, raw, key)
}

// Alert returns an alert. For the SOC.
func (d *Desk) Alert(ctx context.Context, u models.User, id uuid.UUID) (models.Alert, error) {
	if err := auth.Allow("get-alert", u.Role); err != nil {
		return models.Alert{}, err
	}
	return store.Run(d.inSight(ctx, u), func(tx *store.Tx) (models.Alert, error) { return tx.Alert(id) })
}

// AlertPayload returns the body a version of an alert came in; version 0 is the latest. For the SOC.
func (d *Desk) AlertPayload(ctx context.Context, u models.User, id uuid.UUID, version int) ([]byte, error) {
	if err := auth.Allow("get-alert-raw", u.Role); err != nil {
		return nil, err
	}
	return store.Run(d.inSight(ctx, u), func(tx *store.Tx) ([]byte, error) { return tx.AlertPayload(id, version) })
}

// Alerts lists alerts, the latest received first. For the SOC.
func (d *Desk) Alerts(ctx context.Context, u models.User, f store.AlertFilter, p PageRequest) (Page[models.Alert], error) {
	if err := auth.Allow("list-alerts", u.Role); err != nil {
		return Page[models.Alert]{}, err
	}
	return readPage(d.inSight(ctx, u), p,
		func(tx *store.Tx, after store.Cursor, limit int) ([]models.Alert, error) {
			return tx.Alerts(f, after, limit)
		},
		func(a models.Alert) string { return store.Cursor{At: a.ReceivedAt, ID: a.ID.String()}.String() })
}
