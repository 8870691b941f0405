package store

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

type effectRow struct {
	ClientID       uuid.UUID
	Key            string
	ID             uuid.UUID
	Token          string
	Kind           notify.EffectKind
	Incident       *models.Reference
	Purpose        notify.Purpose
	Revision       int
	Occurrence     int
	ContactID      uuid.NullUUID
	Endpoint       string
	Device         string
	Workflow       string
	State          notify.EffectState
	Vendor         string
	VendorID       string
	VendorState    string
	VendorRank     int
	VendorSequence int
	Outcome        string
	AcknowledgedBy uuid.NullUUID
	AcknowledgedAt *time.Time
	How            string
	Reason         string
	Attempts       int
	PlannedAt      time.Time
	AttemptAt      *time.Time
	AcceptedAt     *time.Time
	FailedLookups  int
	LookupFailedAt *time.Time
	WrongReplies   int
	CodeKey        string    // names the key of its code; "": a row of before
	UpdatedAt      time.Time `gorm:"autoUpdateTime:false"`
}

// TableName names the table.
func (effectRow) TableName() string { return "effects" }

// LedgerRow is an effect as the ledger knows it.
type LedgerRow struct {
	notify.Delivery
	Token     string // names the effect in callback addresses; unguessable, 32 hex digits
	Workflow  string // is told of its progress
	ClientID  uuid.UUID
	AttemptAt time.Time // of the last attempt, zero before the first
	ReadAt    time.Time // when the row was read, by the clock of the other times; set for an attempt
	Sequence  int       // the vendor's count of its last word, -1 when it does not count
	SessionID string    // the vendor's id of the one call or message that carries the effect: the first known

	codeKey string
	codes   Codes
}

// SinceAttempt returns how long ago the last attempt was, by one clock.
func (r LedgerRow) SinceAttempt() time.Duration { return r.ReadAt.Sub(r.AttemptAt) }

func (r effectRow) model() LedgerRow {
	return LedgerRow{
		Delivery: notify.Delivery{
			ID: r.ID, Key: r.Key, Kind: r.Kind, Incident: orEmpty(r.Incident), Purpose: r.Purpose, Revision: r.Revision,
			Occurrence: r.Occurrence, Contact: r.ContactID.UUID, Endpoint: r.Endpoint, State: r.State, Vendor: r.Vendor,
			VendorID: r.VendorID, VendorState: r.VendorState, Outcome: r.Outcome, AcknowledgedBy: r.AcknowledgedBy.UUID,
			AcknowledgedAt: orZero(r.AcknowledgedAt),
			How:            r.How, Reason: r.Reason, Attempts: r.Attempts, PlannedAt: r.PlannedAt.UTC(),
			AcceptedAt: orZero(r.AcceptedAt), UpdatedAt: r.UpdatedAt.UTC(), States: []notify.DeliveryState{},
		},
		Token: r.Token, Workflow: r.Workflow, ClientID: r.ClientID, AttemptAt: orZero(r.AttemptAt),
		Sequence: r.VendorSequence, SessionID: r.VendorID, codeKey: r.CodeKey,
	}
}

// Intend writes an effect into the ledger before its first attempt, which is planned for at, and returns its row; the
// same key again returns the row as it is. NotFound: the incident or the contact is not this client's.
func (tx *Tx) Intend(e notify.Effect, at time.Time) (LedgerRow, error) {
	row, err := tx.newEffect(e, at)
	if err != nil {
		return LedgerRow{}, err
	}
	insert := tx.db.Clauses(keepsEffects).Create(&row)
	if insert.Error != nil || insert.RowsAffected == 1 {
		return tx.ledgerRow(row), problem("intend effect", insert.Error)
	}
	return tx.Effect(e.Key)
}

// keepsEffects leaves an effect as it is that is in the ledger already.
var keepsEffects = clause.OnConflict{Columns: []clause.Column{{Name: "client_id"}, {Name: "key"}}, DoNothing: true}

// Begin writes effects into the ledger and claims the first attempt at each that was not in it. It returns the rows of
// all, and by their keys which of them are new. Others stay as they are, also those that were never attempted.
func (tx *Tx) Begin(effects []notify.Effect, at time.Time) (all []LedgerRow, fresh map[string]bool, err error) {
	if len(effects) == 0 {
		return nil, nil, nil
	}
	var rows []effectRow
	ids, keys := map[uuid.UUID]bool{}, make([]string, 0, len(effects))
	for _, e := range effects {
		row, err := tx.newEffect(e, at)
		if err != nil {
			return nil, nil, err
		}
		row.AttemptAt, row.Attempts = &row.PlannedAt, 1
		rows, keys, ids[row.ID] = append(rows, row), append(keys, row.Key), true
	}
	if err := tx.db.Clauses(keepsEffects).Create(&rows).Error; err != nil {
		return nil, nil, problem("begin effects", err)
	}
	var kept []effectRow
	if err := tx.of("effects").Where("key in ?", keys).Order("key").Find(&kept).Error; err != nil {
		return nil, nil, problem("read effects", err)
	}
	fresh = map[string]bool{}
	for _, row := range kept {
		all, fresh[row.Key] = append(all, tx.ledgerRow(row)), ids[row.ID]
	}
	return all, fresh, nil
}

// newEffect returns the row of an effect that is planned for at and was not attempted. NotFound: it is another client's.
func (tx *Tx) newEffect(e notify.Effect, at time.Time) (effectRow, error) {
	if err := tx.needsClient(); err != nil {
		return effectRow{}, err
	}
	if e.ClientID != tx.client {
		return effectRow{}, models.Errorf(models.NotFound, "client not found")
	}
	token := make([]byte, 16)
	if _, err := rand.Read(token); err != nil {
		return effectRow{}, fmt.Errorf("make token: %w", err)
	}
	row := effectRow{
		ClientID: tx.client, Key: e.Key, ID: uuid.New(), Token: hex.EncodeToString(token), Kind: e.Kind,
		Purpose: e.Purpose, Revision: e.Revision, Occurrence: e.Occurrence, Endpoint: e.Endpoint, Device: e.Device, Workflow: e.Workflow,
		ContactID: uuid.NullUUID{UUID: e.Contact, Valid: e.Contact != uuid.Nil}, State: notify.EffectIntended,
		VendorRank: -1, VendorSequence: -1, CodeKey: tx.codeKey(), PlannedAt: at.Truncate(time.Microsecond), UpdatedAt: at.Truncate(time.Microsecond),
	}
	if e.Incident != "" {
		row.Incident = &e.Incident
	}
	if e.Simulated {
		row.Vendor = notify.VendorSimulated
	}
	return row, nil
}

// Attempt is the fence before every attempt: it moves the time of the last attempt from previous (zero before the
// first) to at and counts the attempt. The zero at takes an attempt back that certainly did nothing. False: somebody
// else was first, or the effect is no longer intended. NotFound: there is no such effect.
func (tx *Tx) Attempt(key string, previous, at time.Time) (bool, error) {
	change := map[string]any{"attempt_at": at, "attempts": gorm.Expr("attempts + 1"), "updated_at": at}
	if at.IsZero() {
		change = map[string]any{"attempt_at": nil}
	}
	q := tx.of("effects").Where("key = ? and state = ? and attempt_at is not distinct from ?",
		key, notify.EffectIntended, orNull(previous)).UpdateColumns(change)
	return tx.hasMoved("attempt effect", key, q)
}

// CountFailedLookup counts that the vendor could not be asked about the attempt made at a moment. It returns how often
// that was so, and for how long. An attempt that is not the last one any more counts nothing.
func (tx *Tx) CountFailedLookup(key string, attempt time.Time) (times int, lasting time.Duration, err error) {
	counts := "lookup_failed_at >= attempt_at" // the count is of this attempt
	var rows []effectRow
	err = tx.of("effects").Model(&rows).Clauses(clause.Returning{}).
		Where("key = ? and state = ? and attempt_at = ?", key, notify.EffectIntended, attempt).
		UpdateColumns(map[string]any{
			"failed_lookups":   gorm.Expr("case when " + counts + " then failed_lookups else 0 end + 1"),
			"lookup_failed_at": gorm.Expr("case when "+counts+" then lookup_failed_at else ? end", tx.now),
		}).Error
	if err != nil || len(rows) == 0 {
		return 0, 0, problem("count failed look-up", err)
	}
	return rows[0].FailedLookups, tx.now.Sub(orZero(rows[0].LookupFailedAt)), nil
}

// Accept records that the vendor took an effect, under the vendor's id unless a callback has named one before.
// Accepting again changes nothing. Conflict: it was rejected or canceled.
func (tx *Tx) Accept(key, vendor, vendorID string, at time.Time) error {
	q := tx.of("effects").Where("key = ? and state = ?", key, notify.EffectIntended).UpdateColumns(map[string]any{
		"state": notify.EffectAccepted, "vendor": vendor, "accepted_at": at, "updated_at": at,
		"vendor_id": gorm.Expr("case when vendor_id = '' then ? else vendor_id end", vendorID),
	})
	return tx.requireState("accept effect", key, notify.EffectAccepted, q)
}

// Reject records that an effect will never be done, and why. Rejecting again changes nothing. Conflict: it was accepted
// or canceled.
func (tx *Tx) Reject(key, vendor, reason string, at time.Time) error {
	q := tx.of("effects").Where("key = ? and state = ?", key, notify.EffectIntended).UpdateColumns(map[string]any{
		"state": notify.EffectRejected, "vendor": vendor, "reason": clean(reason), "updated_at": at,
	})
	return tx.requireState("reject effect", key, notify.EffectRejected, q)
}

// Cancel records that an effect is not wanted any more, and why ("" when its own reason is gone). An effect at which an
// attempt was made stays as it is. An unknown key is no error.
func (tx *Tx) Cancel(key, reason string, at time.Time) error {
	if err := tx.needsClient(); err != nil {
		return err
	}
	q := tx.of("effects").Where("key = ? and state = ? and attempt_at is null", key, notify.EffectIntended).
		UpdateColumns(map[string]any{"state": notify.EffectCanceled, "reason": reason, "updated_at": at})
	return problem("cancel effect", q.Error)
}

// hasMoved reports whether an update changed the effect. NotFound: there is no such effect.
func (tx *Tx) hasMoved(op, key string, q *gorm.DB) (bool, error) {
	if q.Error != nil || q.RowsAffected == 1 {
		return q.Error == nil, problem(op, q.Error)
	}
	_, err := tx.Effect(key)
	return false, err
}

// requireState returns nil when the effect is in the state, by this update or one before, and Conflict otherwise.
func (tx *Tx) requireState(op, key string, want notify.EffectState, q *gorm.DB) error {
	if q.Error != nil || q.RowsAffected == 1 {
		return problem(op, q.Error)
	}
	row, err := tx.Effect(key)
	if err == nil && row.State != want {
		return models.Errorf(models.Conflict, "the effect is already %s", row.State)
	}
	return err
}

// Effect returns an effect by its key. NotFound also when it is another client's.
func (tx *Tx) Effect(key string) (LedgerRow, error) { return tx.effect("key = ?", key) }

// EffectByToken returns an effect by the token in a callback's address. NotFound also when it is another client's.
func (tx *Tx) EffectByToken(token string) (LedgerRow, error) { return tx.effect("token = ?", token) }

func (tx *Tx) effect(condition string, value any) (LedgerRow, error) {
	var row effectRow
	err := tx.of("effects").Where(condition, value).Take(&row).Error
	return tx.ledgerRow(row), notFound(problem("read effect", err), "effect")
}

// Adopt takes the vendor's id from a callback: when none is known it becomes the effect's, which the vendor has thereby
// accepted. It returns the row and whether vendorID is the effect's one. NotFound: no such token. Invalid: no vendorID.
func (tx *Tx) Adopt(token, vendor, vendorID string, at time.Time) (LedgerRow, bool, error) {
	if vendorID == "" {
		return LedgerRow{}, false, models.Errorf(models.Invalid, "the vendor's report names no id")
	}
	row, err := tx.EffectByToken(token)
	if err != nil || row.VendorID != "" {
		return row, err == nil && row.Vendor == vendor && row.VendorID == vendorID, err
	}
	q := tx.of("effects").Where("token = ? and vendor_id = ''", token).UpdateColumns(map[string]any{
		"vendor": vendor, "vendor_id": vendorID, "updated_at": at,
		"state":       gorm.Expr("case when state = ? then ? else state end", notify.EffectIntended, notify.EffectAccepted),
		"accepted_at": gorm.Expr("coalesce(accepted_at, ?)", at),
	})
	if q.Error != nil {
		return LedgerRow{}, false, problem("adopt vendor's id", q.Error)
	}
	row, err = tx.EffectByToken(token)
	return row, err == nil && row.Vendor == vendor && row.VendorID == vendorID, err
}

// SetOutcome records the end of an effect in our words. It never overwrites "acknowledged" or "denied", which a person
// said. NotFound: there is no such effect.
func (tx *Tx) SetOutcome(key, outcome string, at time.Time) error {
	said := []notify.CallOutcome{notify.OutcomeAcknowledged, notify.OutcomeDenied}
	q := tx.of("effects").Where("key = ? and outcome not in ?", key, said).
		UpdateColumns(map[string]any{"outcome": outcome, "updated_at": at})
	_, err := tx.hasMoved("record outcome", key, q)
	return err
}

// Acknowledge records that a contact acknowledged an effect, and how: "key press 1". The first one stays. NotFound: the
// effect or the contact is not this client's.
func (tx *Tx) Acknowledge(key string, contact uuid.UUID, how string, at time.Time) error {
	acknowledged := string(notify.OutcomeAcknowledged)
	q := tx.of("effects").Where("key = ? and outcome <> ?", key, acknowledged).UpdateColumns(map[string]any{
		"outcome": acknowledged, "acknowledged_by": contact, "acknowledged_at": at, "how": clean(how), "updated_at": at,
	})
	_, err := tx.hasMoved("acknowledge effect", key, q)
	return err
}
