package store

import (
	"github.com/google/uuid"
	"gorm.io/gorm/clause"

	"github.com/watchfire-mdr/watchfire/models"
)

type contactRow struct {
	ClientID   uuid.UUID
	ID         uuid.UUID
	Name       string
	Role       string
	Email      string
	Phone      string
	Language   string
	CallOrder  int
	Severities document[[]models.Severity]
	Channels   document[[]models.Channel]
	RequestID  string
}

// TableName names the table.
func (contactRow) TableName() string { return "contacts" }

func (r contactRow) model() models.Contact {
	return models.Contact{
		ID: r.ID, ClientID: r.ClientID, Name: r.Name, Role: r.Role, Email: r.Email, Phone: r.Phone,
		Language: r.Language, Order: r.CallOrder, Severities: r.Severities.V, Channels: r.Channels.V,
	}
}

// CreateContact adds a contact of the transaction's client; the id is chosen when it is zero. The same request id
// again returns the contact it made.
func (tx *Tx) CreateContact(c models.Contact, requestID string) (models.Contact, error) {
	if err := tx.needsClient(); err != nil {
		return models.Contact{}, err
	}
	if requestID == "" {
		return models.Contact{}, models.Errorf(models.Invalid, "a contact needs a request id")
	}
	row := contactRow{
		ClientID: tx.client, ID: c.ID, Name: c.Name, Role: c.Role, Email: c.Email, Phone: c.Phone,
		Language: c.Language, CallOrder: c.Order, RequestID: requestID,
		Severities: document[[]models.Severity]{c.Severities}, Channels: document[[]models.Channel]{c.Channels},
	}
	if row.ID == uuid.Nil {
		row.ID = uuid.New()
	}
	insert := tx.db.Clauses(onceByRequest()).Create(&row)
	if insert.Error != nil || insert.RowsAffected == 1 {
		return row.model(), problem("create contact", insert.Error)
	}
	row = contactRow{}
	err := tx.of("contacts").Where("request_id = ?", requestID).Take(&row).Error
	return row.model(), problem("find contact", err)
}

// onceByRequest makes an insert do nothing when its client's request id has been used.
func onceByRequest() clause.OnConflict {
	return clause.OnConflict{Columns: []clause.Column{{Name: "client_id"}, {Name: "request_id"}}, DoNothing: true}
}

// Contacts lists the contacts in calling order.
func (tx *Tx) Contacts() ([]models.Contact, error) {
	var rows []contactRow
	err := tx.of("contacts").Order("client_id, call_order, id").Find(&rows).Error
	return each(rows, contactRow.model), problem("list contacts", err)
}

// Contact returns a contact. NotFound also when it is another client's.
func (tx *Tx) Contact(id uuid.UUID) (models.Contact, error) {
	var row contactRow
	err := tx.of("contacts").Where("id = ?", id).Take(&row).Error
	return row.model(), notFound(problem("read contact", err), "contact")
}
