package store

import (
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// Deliveries lists the effects of an incident with the contacts' names and the vendors' words, in the order they were
// planned, from after the cursor {PlannedAt, ID}. At most 1,000.
func (tx *Tx) Deliveries(r models.Reference, c Cursor, limit int) ([]notify.Delivery, error) {
	q := tx.about("effects", "incident", r)
	if c != (Cursor{}) {
		q = q.Where("(effects.planned_at, effects.id) > (?, ?)", c.At, c.ID)
	}
	return tx.deliveries(q.Order("effects.planned_at, effects.id").Limit(bounded(limit)), c)
}

// ToldContacts returns the contacts whom messages or calls about an incident were meant for, unless they were taken back or
// rejected.
func (tx *Tx) ToldContacts(r models.Reference) ([]uuid.UUID, error) {
	var told []uuid.UUID
	err := tx.about("effects", "incident", r).
		Where("contact_id is not null and state in ?", []notify.EffectState{notify.EffectIntended, notify.EffectAccepted}).
		Distinct().Pluck("contact_id", &told).Error
	return told, problem("list who was told", err)
}

// ContactDeliveries lists the effects that are meant for a contact, tests and codes too, as Deliveries does, but the
// newest planned first.
func (tx *Tx) ContactDeliveries(contact uuid.UUID, c Cursor, limit int) ([]notify.Delivery, error) {
	q := tx.of("effects").Where("effects.contact_id = ?", contact)
	return tx.deliveries(page(q, "effects.planned_at", "effects.id", c, limit), c)
}

// deliveries reads a page of one client's effects, which begins after the cursor.
func (tx *Tx) deliveries(q *gorm.DB, c Cursor) ([]notify.Delivery, error) {
	if _, err := uuid.Parse(c.ID); err != nil && c != (Cursor{}) {
		return nil, models.InvalidField("/cursor", "is not a cursor of this list")
	}
	var rows []struct {
		Effect effectRow `gorm:"embedded"`
		Name   string
	}
	err := q.Select(`effects.client_id, effects.id, effects.key, effects.kind, effects.incident, effects.purpose,
		effects.revision, effects.occurrence, effects.contact_id, effects.endpoint, effects.state, effects.vendor,
		effects.vendor_id, effects.vendor_state, effects.outcome, effects.acknowledged_by, effects.acknowledged_at, effects.how, effects.reason,
		effects.attempts, effects.planned_at, effects.accepted_at, effects.updated_at, c.name`).
		Joins("left join contacts c on c.client_id = effects.client_id and c.id = effects.contact_id").Find(&rows).Error
	out, keys := make([]notify.Delivery, 0, len(rows)), make([]string, 0, len(rows))
	if err != nil || len(rows) == 0 {
		return out, problem("list deliveries", err)
	}
	for _, row := range rows {
		d := row.Effect.model().Delivery
		d.ContactName = row.Name
		out, keys = append(out, d), append(keys, d.Key)
	}
	words, err := tx.vendorReports(rows[0].Effect.ClientID, keys)
	for n := range out {
		out[n].States = append(out[n].States, words[out[n].Key]...)
	}
	return out, err
}

// vendorReports returns the vendors' reports on effects of a client, by the effects' keys, in the order they came.
func (tx *Tx) vendorReports(client uuid.UUID, keys []string) (map[string][]notify.DeliveryState, error) {
	var rows []effectStateRow
	err := tx.db.Model(&effectStateRow{}).Select("key", "state", "at", "detail").
		Where("client_id = ? and key = any(array(select jsonb_array_elements_text(?::jsonb)))", client, document[[]string]{keys}).
		Order("received_at, at, rank, event_id").Find(&rows).Error
	reports := map[string][]notify.DeliveryState{}
	for _, row := range rows {
		reports[row.Key] = append(reports[row.Key], notify.DeliveryState{State: row.State, At: row.At.UTC(), Detail: row.Detail})
	}
	return reports, problem("list reports of vendors", err)
}

// UnclaimedVendorIDs returns those of a vendor's ids that belong to no effect of any client.
func (tx *Tx) UnclaimedVendorIDs(vendor string, ids []string) (unclaimed []string, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	err = tx.overEveryClient(func(db *gorm.DB) error {
		return db.Raw(`select id from jsonb_array_elements_text(?::jsonb) with ordinality given (id, n)
			where not exists (select from effects where vendor = ? and vendor_id = given.id and vendor_id <> '') order by n`,
			document[[]string]{ids}, vendor).Scan(&unclaimed).Error
	})
	return unclaimed, problem("find vendor's ids", err)
}

// IsEngaged reports whether a call of ours to a phone number is under way, whichever client's contact has the number: a
// call other than the effect but, tried after since, whose end neither the carrier nor we have recorded. Simulated
// calls do not count. Another transaction that asks about the number waits until this one ends.
func (tx *Tx) IsEngaged(phone string, but uuid.UUID, since time.Time) (engaged bool, err error) {
	if err := tx.db.Exec("select pg_advisory_xact_lock(hashtextextended(?, 0))", "call "+phone).Error; err != nil {
		return false, problem("wait for number", err)
	}
	err = tx.overEveryClient(func(db *gorm.DB) error {
		return db.Raw(`select exists (select from effects e join contacts c on c.client_id = e.client_id and c.id = e.contact_id
			where c.phone = ? and e.kind = ? and e.id <> ? and e.attempt_at > ? and e.state in ? and e.vendor <> ?
				and e.outcome = '' and e.vendor_state not in ?)`,
			phone, notify.EffectCall, but, since, []notify.EffectState{notify.EffectIntended, notify.EffectAccepted}, notify.VendorSimulated,
			[]models.CallStatus{models.CallCompleted, models.CallBusy, models.CallFailed, models.CallNoAnswer, models.CallCanceled},
		).Scan(&engaged).Error
	})
	return engaged, problem("look for calls to number", err)
}
