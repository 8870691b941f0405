package desk

import (
	"context"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// Alarms lists the operator's alarms, the newest first: the open ones or, with all, also those that ended.
func (d *Desk) Alarms(ctx context.Context, u models.User, all bool, p PageRequest) (Page[models.Alarm], error) {
	if err := auth.Allow("list-alarms", u.Role); err != nil {
		return Page[models.Alarm]{}, err
	}
	after, err := store.ParseCursor(p.Cursor)
	if err != nil {
		return Page[models.Alarm]{}, err
	}
	list, err := d.store.By(u).Alarms(ctx, !all, after, p.Limit+1)
	return cutPage(list, p.Limit, func(a models.Alarm) string { return store.Cursor{At: a.Since, ID: a.ID.String()}.String() }), err
}
