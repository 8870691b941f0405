package store

import (
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
)

// checkRow is a request to try a channel of a contact.
type checkRow struct {
	ClientID    uuid.UUID
	RequestID   string
	Fingerprint string
	BegunAt     *time.Time
}

// TableName names the table.
func (checkRow) TableName() string { return "channel_checks" }

// RequestChannelCheck keeps the request to try a channel of a contact, and returns when the check began, or the zero
// time. The same request id again changes nothing. Invalid: the request id is known with another fingerprint.
func (tx *Tx) RequestChannelCheck(requestID, fingerprint string) (time.Time, error) {
	if err := tx.needsClient(); err != nil {
		return time.Time{}, err
	}
	row := checkRow{ClientID: tx.client, RequestID: requestID, Fingerprint: fingerprint}
	insert := tx.db.Clauses(onceByRequest()).Create(&row)
	if insert.Error != nil || insert.RowsAffected == 1 {
		return time.Time{}, problem("keep check", insert.Error)
	}
	row, err := tx.check(requestID)
	return orZero(row.BegunAt), sameRequest(row.Fingerprint, fingerprint, err)
}

// ChannelCheck reports whether a request to try a channel is known, and when its check began, or the zero time. Invalid:
// the request id is known with another fingerprint.
func (tx *Tx) ChannelCheck(requestID, fingerprint string) (known bool, begun time.Time, err error) {
	row, err := tx.check(requestID)
	if models.KindOf(err) == models.NotFound {
		return false, time.Time{}, nil
	}
	return true, orZero(row.BegunAt), sameRequest(row.Fingerprint, fingerprint, err)
}

// BeginChannelCheck records that a requested check began, unless it had begun before, and returns when it did.
// NotFound: nobody requested it.
func (tx *Tx) BeginChannelCheck(requestID string, at time.Time) (time.Time, error) {
	if err := tx.needsClient(); err != nil {
		return time.Time{}, err
	}
	q := tx.of("channel_checks").Where("request_id = ? and begun_at is null", requestID).UpdateColumns(map[string]any{"begun_at": at})
	if q.Error != nil {
		return time.Time{}, problem("begin check", q.Error)
	}
	row, err := tx.check(requestID)
	return orZero(row.BegunAt), err
}

func (tx *Tx) check(requestID string) (checkRow, error) {
	var row checkRow
	err := tx.of("channel_checks").Where("request_id = ?", requestID).Take(&row).Error
	return row, notFound(problem("find check", err), "check")
}
