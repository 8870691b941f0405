package store

import (
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm/clause"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// Statement is what a contact pressed during a call, or wrote back: written before a workflow is told, by the role of
// the vendors' callbacks alone, and never changed. No contact acknowledges, approves or denies without it.
type Statement struct {
	Effect   string     // key of the call or text
	Key      notify.Key // pressed, or KeyReply
	Incident models.Reference
	Contact  uuid.UUID
	Seq      int // of the last event that the store had
	At       time.Time
}

type statementRow struct {
	ClientID  uuid.UUID
	Effect    string
	Key       notify.Key
	Incident  models.Reference
	ContactID uuid.UUID
	Seq       int
	At        time.Time
}

// TableName names the table.
func (statementRow) TableName() string { return "contact_statements" }

// SaveStatement keeps a contact's statement. The same key in the same call again counts once for each state of the
// incident. Forbidden for every audience but Hooks. NotFound: the incident or the contact is not this client's.
func (tx *Tx) SaveStatement(s Statement) error {
	if err := tx.needsClient(); err != nil {
		return err
	}
	row := statementRow{ClientID: tx.client, Effect: s.Effect, Key: s.Key, Incident: s.Incident, ContactID: s.Contact, Seq: s.Seq, At: s.At}
	return problem("keep a contact's statement", tx.db.Clauses(clause.OnConflict{DoNothing: true}).Create(&row).Error)
}

// Statements returns the statements of contacts about an incident, in the order in which they came: of those named, or of
// all.
func (tx *Tx) Statements(r models.Reference, contacts ...uuid.UUID) ([]Statement, error) {
	var rows []statementRow
	q := tx.about("contact_statements", "incident", r)
	if len(contacts) > 0 {
		q = q.Where("contact_id in ?", contacts)
	}
	err := q.Order("at, effect, key").Find(&rows).Error
	found := make([]Statement, 0, len(rows))
	for _, row := range rows {
		found = append(found, Statement{
			Effect: row.Effect, Key: row.Key, Incident: row.Incident, Contact: row.ContactID, Seq: row.Seq, At: row.At.UTC(),
		})
	}
	return found, problem("read statements", err)
}
