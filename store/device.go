package store

import (
	"cmp"
	"slices"
	"time"

	"gorm.io/gorm"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// LockDevice makes the transactions that decide about one device of the client wait for each other.
func (tx *Tx) LockDevice(device string) error {
	if err := tx.needsClient(); err != nil {
		return err
	}
	key := "device " + tx.client.String() + " " + device
	return problem("wait for device", tx.db.Exec("select pg_advisory_xact_lock(hashtextextended(?, 0))", key).Error)
}

// ofDevice starts a query on the isolations and releases of the device of an effect, of every incident of the client.
// An older row that names no device counts when it is about the same endpoint.
func (tx *Tx) ofDevice(e notify.Effect) *gorm.DB {
	return tx.of("effects").Where("kind in ?", []notify.EffectKind{notify.EffectIsolate, notify.EffectRelease}).
		Where("(device = ? or device = '' and incident = ? and endpoint = ?)", e.Device, e.Incident, e.Endpoint)
}

// opposite returns the kind of the action that undoes an isolation or a release.
func opposite(k notify.EffectKind) notify.EffectKind {
	if k == notify.EffectIsolate {
		return notify.EffectRelease
	}
	return notify.EffectIsolate
}

// UnsettledOpposites returns the actions on the effect's device that would undo it and whose outcome is not known: an
// attempt stands without an answer.
func (tx *Tx) UnsettledOpposites(e notify.Effect) ([]LedgerRow, error) {
	var rows []effectRow
	err := tx.ofDevice(e).Where("kind = ? and state = ? and attempt_at is not null", opposite(e.Kind), notify.EffectIntended).
		Order("attempt_at").Find(&rows).Error
	unsettled := each(rows, tx.ledgerRow)
	for n := range unsettled {
		unsettled[n].ReadAt = tx.Now()
	}
	return unsettled, problem("find unsettled actions", err)
}

// HasLaterAction reports whether the effect's endpoint has an action of a later desired state.
func (tx *Tx) HasLaterAction(e notify.Effect) (bool, error) {
	var rows []effectRow
	err := tx.ofDevice(e).Select("key").Where("incident = ? and endpoint = ? and revision > ?", e.Incident, e.Endpoint, e.Revision).
		Limit(1).Find(&rows).Error
	return len(rows) > 0, problem("find later action", err)
}

// CancelEarlierActions cancels the actions of earlier desired states of the effect's endpoint that are planned and have
// no attempt under way: they are never tried again.
func (tx *Tx) CancelEarlierActions(e notify.Effect) error {
	q := tx.ofDevice(e).Where("incident = ? and endpoint = ? and revision < ? and state = ? and attempt_at is null", e.Incident, e.Endpoint, e.Revision, notify.EffectIntended).
		UpdateColumns(map[string]any{"state": notify.EffectCanceled, "reason": notify.ReasonSuperseded, "updated_at": tx.Now()})
	return problem("cancel earlier actions", q.Error)
}

// IsolatedBy returns the endpoints of other incidents that want the effect's device isolated: their last action is an
// isolation that was accepted, or is on its way, or one is permitted and about to be sent.
func (tx *Tx) IsolatedBy(e notify.Effect) ([]incident.EndpointID, error) {
	var rows []effectRow
	last := tx.ofDevice(e).Select("distinct on (incident, endpoint) incident, endpoint, kind, state").
		Where("incident <> ?", e.Incident).Order("incident, endpoint, revision desc, occurrence desc")
	err := tx.db.Table("(?) as last", last).Select("incident", "endpoint").Where("kind = ? and state in ?", notify.EffectIsolate, []notify.EffectState{notify.EffectAccepted, notify.EffectIntended}).
		Find(&rows).Error
	if err != nil {
		return nil, problem("find other isolations", err)
	}
	all := each(rows, func(r effectRow) incident.EndpointID {
		return incident.EndpointID{Incident: orEmpty(r.Incident), Endpoint: r.Endpoint}
	})
	permitted, err := tx.permittedIsolations(e)
	all = append(all, permitted...)
	slices.SortFunc(all, func(a, b incident.EndpointID) int {
		return cmp.Or(cmp.Compare(a.Incident, b.Incident), cmp.Compare(a.Endpoint, b.Endpoint))
	})
	return slices.Compact(all), err
}

// permittedIsolations returns the endpoints of other incidents that are the effect's device and may be isolated.
func (tx *Tx) permittedIsolations(e notify.Effect) (all []incident.EndpointID, err error) {
	var rows []incidentRow
	err = tx.of("incidents").Select("reference", "state").
		Where("reference <> ? and containment not in ?", e.Incident, []incident.Containment{incident.ContainmentNone, incident.ContainmentReleased}).
		Where("state->'endpoints' @> ?", document[[]map[string]string]{[]map[string]string{{"agent_id": e.Device, "permitted": string(models.DesiredIsolated)}}}).
		Find(&rows).Error
	for _, r := range rows {
		for _, p := range r.State.V.Endpoints {
			if p.AgentID == e.Device && p.Permitted == models.DesiredIsolated {
				all = append(all, incident.EndpointID{Incident: r.Reference, Endpoint: p.ID})
			}
		}
	}
	return all, problem("find permitted isolations", err)
}

// OppositeActionSent reports whether the last action on the device before this one, of any incident, would undo it and
// may have reached the EDR. Other actions of the same desired state do not count.
func (tx *Tx) OppositeActionSent(row LedgerRow, device string) (bool, error) {
	e := notify.Effect{Kind: row.Kind, Incident: row.Incident, Endpoint: row.Endpoint, Device: device}
	var rows []effectRow
	err := tx.ofDevice(e).Select("kind").
		Where("not (incident = ? and endpoint = ? and revision >= ?) and planned_at <= ?", e.Incident, e.Endpoint, row.Revision, row.PlannedAt).
		Where("state = ? or attempt_at is not null and state in ?", notify.EffectAccepted, []notify.EffectState{notify.EffectIntended, notify.EffectCanceled}).
		Order("planned_at desc, revision desc").Limit(1).Find(&rows).Error
	return len(rows) > 0 && rows[0].Kind == opposite(e.Kind), problem("find opposite action", err)
}

// GiveUpAction cancels an action whose outcome stayed unknown since its attempt at a moment, so that it is never tried
// again. It does nothing when the action was settled or tried meanwhile.
func (tx *Tx) GiveUpAction(key string, attemptAt time.Time) error {
	q := tx.of("effects").Where("key = ? and state = ? and attempt_at = ?", key, notify.EffectIntended, attemptAt).
		UpdateColumns(map[string]any{"state": notify.EffectCanceled, "reason": notify.ReasonSuperseded, "updated_at": tx.Now()})
	return problem("give up action", q.Error)
}

// Isolations lists the devices of the client that are isolated, or on their way there or back, by incident, whatever
// the phase of the incident.
func (tx *Tx) Isolations() ([]incident.Isolation, error) {
	if err := tx.needsClient(); err != nil {
		return nil, err
	}
	var rows []incidentRow
	err := tx.of("incidents").Select("reference", tx.state()).
		Where("containment not in ?", []incident.Containment{incident.ContainmentNone, incident.ContainmentReleased}).
		Order("reference").Find(&rows).Error
	if err != nil {
		return nil, problem("list isolations", err)
	}
	all := []incident.Isolation{}
	for _, r := range rows {
		all = append(all, r.State.V.Isolations()...)
	}
	return all, tx.addIsolatedSince(all)
}

// addIsolatedSince adds when the EDR took each isolation.
func (tx *Tx) addIsolatedSince(all []incident.Isolation) error {
	if len(all) == 0 {
		return nil
	}
	references := each(all, func(i incident.Isolation) models.Reference { return i.Incident })
	var rows []effectRow
	err := tx.of("effects").Select("incident", "endpoint", "accepted_at").
		Where("kind = ? and state = ? and incident in ?", notify.EffectIsolate, notify.EffectAccepted, references).
		Order("accepted_at").Find(&rows).Error
	for _, r := range rows { // the last one counts
		for n := range all {
			if all[n].Incident == orEmpty(r.Incident) && all[n].Endpoint == r.Endpoint {
				all[n].Since = orZero(r.AcceptedAt)
			}
		}
	}
	return problem("read isolations", err)
}
