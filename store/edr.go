package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/watchfire-mdr/watchfire/models"
)

// EDRCredentials are the credentials of a client's EDR as they are kept: sealed.
type EDRCredentials struct {
	Vendor    string
	BaseURL   string            // for people; the one in Sealed is used
	Open      map[string]string // the values that are no secrets, as with BaseURL; nil: not known
	Sealed    []byte
	DataKey   []byte    // of Sealed, sealed itself
	UpdatedAt time.Time // tells one version from the next
	UpdatedBy uuid.UUID
}

type edrCredentialsRow struct {
	ClientID   uuid.UUID
	Vendor     string
	BaseURL    string
	OpenValues *document[map[string]string]
	Sealed     []byte
	DataKey    []byte
	UpdatedAt  time.Time `gorm:"autoUpdateTime:false"`
	UpdatedBy  uuid.UUID
}

// TableName names the table.
func (edrCredentialsRow) TableName() string { return "edr_credentials" }

func (r edrCredentialsRow) model() EDRCredentials {
	c := EDRCredentials{
		Vendor: r.Vendor, BaseURL: r.BaseURL, Sealed: r.Sealed, DataKey: r.DataKey, UpdatedAt: r.UpdatedAt.UTC(), UpdatedBy: r.UpdatedBy,
	}
	if r.OpenValues != nil {
		c.Open = r.OpenValues.V
	}
	return c
}

// SetEDRCredentials keeps the credentials of the client's EDR of a vendor, in place of any before, also of other
// vendors, and makes that EDR the client's. For the SOC, which cannot read them back. NotFound: no such client.
func (tx *Tx) SetEDRCredentials(c EDRCredentials, e models.EDR) error {
	if err := tx.needsClient(); err != nil {
		return err
	}
	if err := tx.setEDR(e); err != nil {
		return err
	}
	open := &document[map[string]string]{c.Open}
	row := edrCredentialsRow{
		ClientID: tx.client, Vendor: c.Vendor, BaseURL: c.BaseURL, OpenValues: open, Sealed: c.Sealed, DataKey: c.DataKey,
		UpdatedAt: c.UpdatedAt, UpdatedBy: c.UpdatedBy,
	}
	err := tx.db.Clauses(clause.OnConflict{
		Columns: []clause.Column{{Name: "client_id"}, {Name: "vendor"}},
		// Values, not what was excluded: to read that one has to have the right to read the columns.
		DoUpdates: clause.Assignments(map[string]any{
			"base_url": c.BaseURL, "open_values": open, "sealed": c.Sealed, "data_key": c.DataKey, "updated_at": c.UpdatedAt, "updated_by": c.UpdatedBy,
		}),
	}).Create(&row).Error
	return problem("keep EDR credentials", err)
}

// setEDR makes an EDR the client's, or none, and drops the credentials of every other. Transactions that do so wait for
// each other. NotFound: no such client.
func (tx *Tx) setEDR(e models.EDR) error {
	q := tx.db.Table("clients").Where("id = ?", tx.client).UpdateColumns(map[string]any{"edr": document[models.EDR]{e}})
	switch {
	case q.Error != nil:
		return problem("set client's EDR", q.Error)
	case q.RowsAffected == 0:
		return models.Errorf(models.NotFound, "client not found")
	}
	return problem("drop EDR credentials", tx.of("edr_credentials").Where("vendor <> ?", e.Vendor).Delete(&edrCredentialsRow{}).Error)
}

// RemoveEDR leaves the client without an EDR, and drops the credentials that are kept. Removing it again changes
// nothing. NotFound: no such client.
func (tx *Tx) RemoveEDR() error {
	if err := tx.needsClient(); err != nil {
		return err
	}
	return tx.setEDR(models.EDR{})
}

// EDRStatus returns our knowledge of the client's EDR. The portal reads the product, the last check and the time the
// credentials were set, and nothing else of them. NotFound: no such client.
func (tx *Tx) EDRStatus() (models.EDRStatus, error) {
	if err := tx.needsClient(); err != nil {
		return models.EDRStatus{}, err
	}
	var client clientRow
	err := tx.db.Select("edr", "edr_check").Where("id = ?", tx.client).Take(&client).Error
	if err != nil {
		return models.EDRStatus{}, notFound(problem("read client's EDR", err), "client")
	}
	columns := []string{"updated_at"}
	if tx.audience != Portal {
		columns = append(columns, "base_url", "open_values", "updated_by")
	}
	var rows []edrCredentialsRow
	s := models.EDRStatus{EDR: client.EDR.V}
	if err := tx.of("edr_credentials").Select(columns).Where("vendor = ?", s.Vendor).Limit(1).Find(&rows).Error; err != nil {
		return models.EDRStatus{}, problem("read EDR credentials", err)
	}
	if len(rows) > 0 {
		c := rows[0].model()
		s.BaseURL, s.Values, s.SetAt, s.SetBy = c.BaseURL, c.Open, c.UpdatedAt, c.UpdatedBy
	}
	if last := client.EDRCheck; last != nil && last.V.Vendor == s.Vendor {
		s.Check, s.Changed = &last.V, !last.V.SetAt.Equal(s.SetAt)
	}
	return s, nil
}

// SaveEDRCheck keeps the result of a check of the client's EDR connection, in place of the one before. For the SOC.
func (tx *Tx) SaveEDRCheck(c models.EDRCheck) error {
	if err := tx.needsClient(); err != nil {
		return err
	}
	q := tx.db.Table("clients").Where("id = ?", tx.client).UpdateColumns(map[string]any{"edr_check": document[models.EDRCheck]{c}})
	return problem("keep check of EDR", q.Error)
}

// EDRCredentials returns the credentials of the client's EDR of a vendor. For workers. NotFound: none are kept.
func (tx *Tx) EDRCredentials(vendor string) (EDRCredentials, error) {
	var row edrCredentialsRow
	err := tx.of("edr_credentials").Where("vendor = ?", vendor).Take(&row).Error
	return row.model(), notFound(problem("read EDR credentials", err), "EDR credentials")
}

// AllEDRCredentials returns all credentials that are kept of the client. For workers.
func (tx *Tx) AllEDRCredentials() ([]EDRCredentials, error) {
	var rows []edrCredentialsRow
	err := tx.of("edr_credentials").Order("client_id, vendor").Find(&rows).Error
	return each(rows, edrCredentialsRow.model), problem("list EDR credentials", err)
}

// SetEDRDataKey replaces the sealed data key of credentials by the same one, sealed anew, unless they were changed
// since setAt. It reports whether it did.
func (tx *Tx) SetEDRDataKey(vendor string, setAt time.Time, key []byte) (bool, error) {
	if err := tx.needsClient(); err != nil {
		return false, err
	}
	q := tx.of("edr_credentials").Where("vendor = ? and updated_at = ?", vendor, setAt).UpdateColumns(map[string]any{"data_key": key})
	return q.RowsAffected == 1, problem("set data key", q.Error)
}

// HasEDRCredentials reports whether credentials of any client are kept.
func (s *Store) HasEDRCredentials(ctx context.Context) (has bool, err error) {
	err = s.within(ctx, s.login.own().role(), uuid.Nil, true, func(db *gorm.DB, _ time.Time) error {
		return problem("look for EDR credentials", db.Raw("select exists (select vendor from edr_credentials)").Scan(&has).Error)
	})
	return has, err
}
