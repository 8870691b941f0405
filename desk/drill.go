package desk

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// A client has one fire drill at a time, and so many within a day.
const (
	drillsPerDay = 3
	day          = 24 * time.Hour
)

// deliveriesAtOnce is how many deliveries a report reads in one statement. The store returns at most 1,000.
const deliveriesAtOnce = 500

// StartFireDrill tries how Watchfire reaches the client with a number: it opens a critical incident without alerts and
// publishes it at once. via is the entrance, as for a command. queued is true when no worker answered in time: the
// drill begins when one does. The same key again goes on where an earlier request stopped, and returns the same
// incident. NotFound: the client does not exist. Conflict: another fire drill of the client is under way. TooMany: the
// client had its fire drills of a day. Unavailable: the engine does not answer, and the drill has not begun.
func (d *Desk) StartFireDrill(ctx context.Context, u models.User, via string, number int, exercise models.Exercise, key string,
) (i incident.Incident, queued bool, err error) {
	if err := auth.Allow("start-fire-drill", u.Role); err != nil {
		return i, false, err
	}
	if !exercise.IsFireDrill() {
		return i, false, models.InvalidField("/exercise", "must be one of fire_drill, simulated_fire_drill")
	}
	o := incident.Opened{Title: "Fire drill", Severity: models.SeverityCritical, Alerts: []uuid.UUID{}, Exercise: exercise}
	asked, err := requestFingerprint("start-fire-drill", o)
	if err != nil {
		return i, false, err
	}
	i, running, err := d.openIncident(ctx, u, number, "start-fire-drill", key, asked,
		func(*store.Tx, models.Client) (incident.Opened, error) { return o, nil })
	switch {
	case err != nil:
		return i, false, err
	case i.IsPublished() || i.IsOver(): // an earlier try of this request came this far
		return i, false, nil
	case !running:
		return i, false, engineUnavailable()
	}
	if _, queued, err = d.Command(ctx, u, via, i.Reference, &incident.Expedite{}, key); err != nil {
		return i, false, err
	}
	now, err := d.Incident(ctx, u, i.Reference)
	return now.Incident, queued, err
}

// checkDrills refuses a fire drill that was just opened while another one of its client is under way, or as one too many
// within a day. It undoes the opening, for which other openings of the client wait. A drill that was opened before, by
// the same request, stands.
func checkDrills(tx *store.Tx, opened models.Reference) error {
	drills, err := tx.FireDrills(tx.Now().Add(-day))
	if err != nil || !slices.ContainsFunc(drills, func(i incident.Incident) bool { return i.Reference == opened && i.OpenedAt.Equal(tx.Now()) }) {
		return err
	}
	today := drills[:0]
	for _, i := range drills {
		switch {
		case i.Reference == opened:
		case !i.IsOver():
			return models.Errorf(models.Conflict, "the fire drill %s is under way; wait for its end, or dismiss it", i.Reference)
		default:
			today = append(today, i)
		}
	}
	if len(today) < drillsPerDay {
		return nil
	}
	return &models.Error{
		Kind: models.TooMany, Message: "this client had " + strconv.Itoa(drillsPerDay) + " fire drills within a day; try again later",
		RetryAfter: today[len(today)-drillsPerDay].OpenedAt.Add(day).Sub(tx.Now()),
	}
}

// DrillReport measures a fire drill as far as it has got. NotFound: the user may not see the incident. Conflict: the
// incident is not a fire drill.
func (d *Desk) DrillReport(ctx context.Context, u models.User, ref models.Reference) (incident.DrillReport, error) {
	if err := auth.Allow("get-drill-report", u.Role); err != nil {
		return incident.DrillReport{}, err
	}
	return store.Run(d.inSight(ctx, u), func(tx *store.Tx) (incident.DrillReport, error) {
		i, err := tx.Incident(ref)
		if err != nil {
			return incident.DrillReport{}, err
		}
		if !i.Exercise.IsFireDrill() {
			return incident.DrillReport{}, models.Errorf(models.Conflict, "the incident is not a fire drill")
		}
		deliveries, err := allDeliveries(tx, ref)
		return incident.MeasureDrill(i, deliveries), err
	})
}

// allDeliveries reads the deliveries of an incident, page by page.
func allDeliveries(tx *store.Tx, ref models.Reference) ([]notify.Delivery, error) {
	var all []notify.Delivery
	for c := (store.Cursor{}); ; {
		page, err := tx.Deliveries(ref, c, deliveriesAtOnce)
		all = append(all, page...)
		if err != nil || len(page) < deliveriesAtOnce {
			return all, err
		}
		c = placeOfDelivery(page[len(page)-1])
	}
}
