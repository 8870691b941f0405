package desk

import (
	"context"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// ReportSuspicion takes what a user of the client with a number finds suspicious as an alert: a has its title, detail,
// indicators and host names, and raw the bytes it came as. The same key again gives the same answer. NotFound also when
// the client is not the user's. TooMany: a share of the user or the client is used up, and nothing was kept.
func (d *Desk) ReportSuspicion(ctx context.Context, u models.User, number int, a models.Alert, raw []byte, key string) (models.Suspicion, error) {
	if err := auth.Allow("report-suspicion", u.Role); err != nil {
		return models.Suspicion{}, err
	}
	if err := requireText("/title", a.Title); err != nil {
		return models.Suspicion{}, err
	}
	if err := d.use(ctx, u, number, "report-suspicion"); err != nil {
		return models.Suspicion{}, err
	}
	request := requestID(u, "report-suspicion", key)
	a.Client, a.Source, a.FindingID, a.ReportedBy = number, models.SourceClientReport, "suspicion/"+request, u.ID
	a.Severity = models.SeverityMedium // an analyst will know
	a, _, err := d.takeAlert(ctx, u, boundAlert(a), raw, request)
	if err != nil {
		return models.Suspicion{}, err
	}
	return store.Run(d.inQueue(ctx, u, number), func(tx *store.Tx) (models.Suspicion, error) { return tx.Suspicion(a.ID) })
}

// Suspicions lists the suspicions that users of the client with a number reported, the newest first, with what became of
// them as far as the client may know. NotFound also when the client is not the user's.
func (d *Desk) Suspicions(ctx context.Context, u models.User, number int, p PageRequest) (Page[models.Suspicion], error) {
	if err := auth.Allow("list-suspicions", u.Role); err != nil {
		return Page[models.Suspicion]{}, err
	}
	return readPage(d.inQueue(ctx, u, number), p, (*store.Tx).Suspicions,
		func(r models.Suspicion) string { return store.Cursor{At: r.ReportedAt, ID: r.ID.String()}.String() })
}
