package store

import (
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/watchfire-mdr/watchfire/models"
)

type auditRow struct {
	ClientID  uuid.UUID
	At        time.Time
	ID        uuid.UUID
	ByUser    uuid.UUID
	Side      models.Side
	Operation string
	Subject   string
	Fields    document[[]string]
}

// TableName names the table.
func (auditRow) TableName() string { return "audit_log" }

func (r auditRow) model() models.AuditEntry {
	return models.AuditEntry{
		ID: r.ID, At: r.At.UTC(), By: r.ByUser, Side: r.Side, Operation: r.Operation, Subject: r.Subject, Fields: r.Fields.V,
	}
}

// LockClientSettings lets transactions that change the client's settings wait for each other, until the transaction
// ends: the settings that one reads before and after its change differ by nothing else.
func (tx *Tx) LockClientSettings() error {
	if err := tx.needsClient(); err != nil {
		return err
	}
	return problem("lock settings", tx.db.Exec("select pg_advisory_xact_lock(hashtextextended(?, 0))", "changes of "+tx.client.String()).Error)
}

type socAuditRow struct {
	At        time.Time
	ID        uuid.UUID
	ByUser    uuid.UUID
	Operation string
	Subject   string
	Fields    document[[]string]
}

// TableName names the table.
func (socAuditRow) TableName() string { return "soc_audit_log" }

func (r socAuditRow) model() models.AuditEntry {
	return models.AuditEntry{
		ID: r.ID, At: r.At.UTC(), By: r.ByUser, Side: models.SideSOC, Operation: r.Operation, Subject: r.Subject, Fields: r.Fields.V,
	}
}

// AppendAudit records who changed one of the client's settings, in the transaction of the change itself; it chooses the
// id. The entry is never changed or removed. A change of the SOC's users and tokens belongs to no client and has a log of
// its own. Forbidden: the side is not the one the transaction runs for.
func (tx *Tx) AppendAudit(c models.AuditEntry) error {
	if tx.audience == logins && tx.client == uuid.Nil {
		row := socAuditRow{
			At: c.At.Truncate(time.Microsecond), ID: uuid.New(), ByUser: c.By, Operation: c.Operation, Subject: c.Subject,
			Fields: document[[]string]{append([]string{}, c.Fields...)},
		}
		return problem("append audit entry", tx.db.Create(&row).Error)
	}
	if err := tx.needsClient(); err != nil {
		return err
	}
	row := auditRow{
		ClientID: tx.client, At: c.At.Truncate(time.Microsecond), ID: uuid.New(), ByUser: c.By, Side: c.Side,
		Operation: c.Operation, Subject: c.Subject, Fields: document[[]string]{append([]string{}, c.Fields...)},
	}
	return problem("append audit entry", tx.db.Create(&row).Error)
}

// AuditLog lists what AppendAudit kept of the client with the names of the people, also those of the SOC, the newest
// first, from after the cursor {At, ID}. At most 1,000.
func (tx *Tx) AuditLog(c Cursor, limit int) ([]models.AuditEntry, error) {
	if err := tx.needsClient(); err != nil {
		return nil, err
	}
	if _, err := uuid.Parse(c.ID); err != nil && c != (Cursor{}) {
		return nil, models.InvalidField("/cursor", "is not a cursor of this list")
	}
	var rows []auditRow
	if err := page(tx.of("audit_log"), "at", "id", c, limit).Find(&rows).Error; err != nil {
		return nil, problem("list audit log", err)
	}
	list, people := each(rows, auditRow.model), make([]uuid.UUID, 0, len(rows))
	for _, row := range rows {
		people = append(people, row.ByUser)
	}
	var names map[uuid.UUID]string
	err := tx.overEveryClient(func(*gorm.DB) (err error) { // the portal does not see the SOC's people
		names, err = tx.UserNames(people)
		return err
	})
	for n := range list {
		list[n].ByName = names[list[n].By]
	}
	return list, problem("read names", err)
}

// SOCAuditLog lists the changes of the SOC's users and tokens with the names of the people, the newest first, from after
// the cursor {At, ID}. At most 1,000.
func (tx *Tx) SOCAuditLog(c Cursor, limit int) ([]models.AuditEntry, error) {
	if _, err := uuid.Parse(c.ID); err != nil && c != (Cursor{}) {
		return nil, models.InvalidField("/cursor", "is not a cursor of this list")
	}
	var rows []socAuditRow
	if err := page(tx.db.Table("soc_audit_log"), "at", "id", c, limit).Find(&rows).Error; err != nil {
		return nil, problem("list audit log", err)
	}
	list, people := each(rows, socAuditRow.model), make([]uuid.UUID, 0, len(rows))
	for _, row := range rows {
		people = append(people, row.ByUser)
	}
	names, err := tx.UserNames(people)
	for n := range list {
		list[n].ByName = names[list[n].By]
	}
	return list, err
}
