package store

import (
	"github.com/google/uuid"
	"gorm.io/gorm/clause"
)

type vendorEventRow struct {
	ClientID uuid.UUID
	Vendor   string
	EventID  string
}

// TableName names the table.
func (vendorEventRow) TableName() string { return "vendor_events" }

// SeenVendorEvent records the id of an event a vendor sent and returns whether it had been recorded before.
func (tx *Tx) SeenVendorEvent(vendor, eventID string) (bool, error) {
	if err := tx.needsClient(); err != nil {
		return false, err
	}
	insert := tx.db.Clauses(clause.OnConflict{DoNothing: true}).
		Create(&vendorEventRow{ClientID: tx.client, Vendor: vendor, EventID: eventID})
	return insert.Error == nil && insert.RowsAffected == 0, problem("record vendor event", insert.Error)
}

// KnownVendorID reports whether the vendor's id belongs to an effect of the transaction's client.
func (tx *Tx) KnownVendorID(vendor, vendorID string) (bool, error) {
	var known int64
	err := tx.of("effects").Where("vendor = ? and vendor_id = ? and vendor_id <> ''", vendor, vendorID).Limit(1).Count(&known).Error
	return known > 0, problem("find vendor's id", err)
}
