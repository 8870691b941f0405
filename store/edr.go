package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm/clause"

	"github.com/watchfire-mdr/watchfire/models"
)

// EDRCredentials are what a client's EDR is reached with, as they are kept: sealed.
type EDRCredentials struct {
	Vendor    string
	BaseURL   string // for people; what is used is sealed
	Sealed    []byte
	DataKey   []byte    // of Sealed, sealed itself
	UpdatedAt time.Time // tells one version from the next
	UpdatedBy uuid.UUID
}

type edrCredentialsRow struct {
	ClientID  uuid.UUID
	Vendor    string
	BaseURL   string
	Sealed    []byte
	DataKey   []byte
	UpdatedAt time.Time `gorm:"autoUpdateTime:false"`
	UpdatedBy uuid.UUID
}

// TableName names the table.
func (edrCredentialsRow) TableName() string { return "edr_credentials" }

func (r edrCredentialsRow) model() EDRCredentials {
	return EDRCredentials{
		Vendor: r.Vendor, BaseURL: r.BaseURL, Sealed: r.Sealed, DataKey: r.DataKey, UpdatedAt: r.UpdatedAt.UTC(), UpdatedBy: r.UpdatedBy,
	}
}

// SetEDRCredentials keeps the credentials of the client's EDR of a vendor, in place of any before, and makes that EDR
// the client's. For the SOC, which cannot read them back. NotFound: no such client.
func (tx *Tx) SetEDRCredentials(c EDRCredentials, e models.EDR) error {
	if err := tx.needsClient(); err != nil {
		return err
	}
	q := tx.db.Table("clients").Where("id = ?", tx.client).UpdateColumns(map[string]any{"edr": document[models.EDR]{e}})
	switch {
	case q.Error != nil:
		return problem("set client's EDR", q.Error)
	case q.RowsAffected == 0:
		return models.Errorf(models.NotFound, "there is no such client")
	}
	row := edrCredentialsRow{
		ClientID: tx.client, Vendor: c.Vendor, BaseURL: c.BaseURL, Sealed: c.Sealed, DataKey: c.DataKey, UpdatedAt: c.UpdatedAt, UpdatedBy: c.UpdatedBy,
	}
	err := tx.db.Clauses(clause.OnConflict{
		Columns: []clause.Column{{Name: "client_id"}, {Name: "vendor"}},
		// Values, not what was excluded: to read that one has to have the right to read the columns.
		DoUpdates: clause.Assignments(map[string]any{
			"base_url": c.BaseURL, "sealed": c.Sealed, "data_key": c.DataKey, "updated_at": c.UpdatedAt, "updated_by": c.UpdatedBy,
		}),
	}).Create(&row).Error
	return problem("keep EDR credentials", err)
}

// EDRCredentials returns the credentials of the client's EDR of a vendor. For workers. NotFound: none are kept.
func (tx *Tx) EDRCredentials(vendor string) (EDRCredentials, error) {
	var row edrCredentialsRow
	err := tx.of("edr_credentials").Where("vendor = ?", vendor).Take(&row).Error
	return row.model(), notFound(problem("read EDR credentials", err), "EDR credentials")
}

// EDRCredentialsSetAt returns when the credentials of the client's EDR of a vendor were entered, or the zero time.
func (tx *Tx) EDRCredentialsSetAt(vendor string) (time.Time, error) {
	var at []time.Time
	err := tx.of("edr_credentials").Where("vendor = ?", vendor).Pluck("updated_at", &at).Error
	if err != nil || len(at) == 0 {
		return time.Time{}, problem("read EDR credentials", err)
	}
	return at[0].UTC(), nil
}

// AllEDRCredentials returns all credentials that are kept of the client, also of EDRs it has no more. For workers.
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

// KeepsEDRCredentials reports whether credentials of any client are kept.
func (s *Store) KeepsEDRCredentials(ctx context.Context) (kept bool, err error) {
	err = s.ForSOC(ctx, func(tx *Tx) error {
		var vendors []string
		err := tx.of("edr_credentials").Limit(1).Pluck("vendor", &vendors).Error
		kept = len(vendors) > 0
		return problem("look for EDR credentials", err)
	})
	return kept, err
}

// HoldsEndpoints reports whether an incident of the client has a device that is isolated, or on its way there or back.
func (tx *Tx) HoldsEndpoints() (bool, error) {
	var held bool
	err := tx.of("incidents").Select("count(*) > 0").
		Where("containment in ? and phase not in ?", []models.Containment{
			models.ContainmentRequested, models.ContainmentPartial, models.ContainmentContained, models.ContainmentReleasing, models.ContainmentFailed,
		}, []models.Phase{models.PhaseClosed, models.PhaseDismissed}).Scan(&held).Error
	return held, problem("look for isolated endpoints", err)
}
