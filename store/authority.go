package store

import (
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm/clause"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
)

type authorityRow struct {
	ClientID  uuid.UUID
	Version   int
	Body      document[authority.Authority]
	DraftedBy uuid.UUID
	DraftedAt time.Time
	SignedBy  uuid.NullUUID
	SignedAt  *time.Time
	RequestID string
}

// TableName names the table.
func (authorityRow) TableName() string { return "response_authorities" }

func (r authorityRow) model() authority.Authority {
	a := r.Body.V
	a.Version, a.DraftedBy, a.DraftedAt = r.Version, r.DraftedBy, r.DraftedAt.UTC()
	a.SignedBy, a.SignedAt = r.SignedBy.UUID, orZero(r.SignedAt)
	return a
}

// DraftAuthority adds the next version of the client's response authority, which holds once the client signs it. The
// same request id again returns the version it made.
func (tx *Tx) DraftAuthority(a authority.Authority, requestID string) (authority.Authority, error) {
	if err := tx.needsClient(); err != nil {
		return authority.Authority{}, err
	}
	// Drafts hold the client's row first, so that they wait for each other.
	var client clientRow
	if err := tx.db.Select("id").Where("id = ?", tx.client).Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Take(&client).Error; err != nil {
		return authority.Authority{}, notFound(problem("hold client", err), "client")
	}
	var known []authorityRow
	err := tx.of("response_authorities").Where("request_id = ?", requestID).Limit(1).Find(&known).Error
	switch {
	case err != nil:
		return authority.Authority{}, problem("find response authority", err)
	case len(known) > 0:
		return known[0].model(), nil
	}
	var latest int
	err = tx.of("response_authorities").Select("coalesce(max(version), 0)").Scan(&latest).Error
	if err != nil {
		return authority.Authority{}, problem("number response authority", err)
	}
	row := authorityRow{
		ClientID: tx.client, Version: latest + 1, Body: document[authority.Authority]{a}, DraftedBy: a.DraftedBy, DraftedAt: a.DraftedAt, RequestID: requestID,
	}
	return row.model(), problem("draft response authority", tx.db.Create(&row).Error)
}

// SignAuthority lets a user of the client sign a version, in a transaction of the portal. Signing again changes
// nothing. NotFound: no such version. Conflict: a newer one is signed already.
func (tx *Tx) SignAuthority(version int, user uuid.UUID, at time.Time) (authority.Authority, error) {
	present, err := tx.Authority()
	switch {
	case err != nil:
		return authority.Authority{}, err
	case present.Version > version:
		return authority.Authority{}, models.Errorf(models.Conflict, "version %d is already signed", present.Version)
	}
	q := tx.of("response_authorities").Where("version = ? and signed_at is null", version).
		UpdateColumns(map[string]any{"signed_by": user, "signed_at": at})
	if q.Error != nil {
		return authority.Authority{}, problem("sign response authority", q.Error)
	}
	var row authorityRow
	err = tx.of("response_authorities").Omit("request_id").Where("version = ?", version).Take(&row).Error
	return row.model(), notFound(problem("read response authority", err), "response authority")
}

// Authority returns the response authority that holds: the newest signed version, or the zero value when none is.
func (tx *Tx) Authority() (authority.Authority, error) {
	var rows []authorityRow
	err := tx.of("response_authorities").Omit("request_id").Where("signed_at is not null").Order("version desc").Limit(1).Find(&rows).Error
	if err != nil || len(rows) == 0 {
		return authority.Authority{}, problem("read response authority", err)
	}
	return rows[0].model(), nil
}

// Authorities lists all versions, the newest first.
func (tx *Tx) Authorities() ([]authority.Authority, error) {
	var rows []authorityRow
	err := tx.of("response_authorities").Omit("request_id").Order("version desc").Limit(1000).Find(&rows).Error
	return each(rows, authorityRow.model), problem("list response authorities", err)
}
