package store

import (
	"fmt"
	"net/mail"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm/clause"

	"github.com/watchfire-mdr/watchfire/address"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

type contactRow struct {
	ClientID         uuid.UUID
	ID               uuid.UUID
	Name             string
	Role             string
	Email            string
	Phone            string
	Language         string
	CallOrder        int
	Severities       document[[]models.Severity]
	Channels         document[[]models.Channel]
	Hours            document[models.Hours]
	HoursForCritical bool
	Verified         document[map[models.Channel]time.Time]
	RemovedAt        *time.Time
	RequestID        string
	Fingerprint      string
	AddressVersion   int `gorm:"->"` // counts the changes of number and address
}

// TableName names the table.
func (contactRow) TableName() string { return "contacts" }

// contactColumns are the columns of a contact's model.
const contactColumns = `contacts.client_id, contacts.id, contacts.name, contacts.role, contacts.email, contacts.phone, contacts.language,
	contacts.call_order, contacts.severities, contacts.channels, contacts.hours, contacts.hours_for_critical, contacts.verified, contacts.removed_at`

func (r contactRow) model() models.Contact {
	email, before := mailbox(r.Email)
	return models.Contact{
		ID: r.ID, ClientID: r.ClientID, Name: r.Name, Role: r.Role, Email: email, EmailBefore: before, Phone: r.Phone,
		Language: r.Language, Order: r.CallOrder, Severities: r.Severities.V, Channels: r.Channels.V,
		Hours: r.Hours.V, HoursForCritical: r.HoursForCritical, Verified: r.Verified.V, RemovedAt: orZero(r.RemovedAt),
	}
}

// mailbox returns a stored mail address in its one form, which SQL cannot make, and as it is stored if that is another.
// A name beside the address, which a user's once could have, is left out. What has no such form is returned as it is:
// nobody can be mailed there.
func mailbox(stored string) (email, before string) {
	bare := stored
	if named, err := mail.ParseAddress(stored); err == nil {
		bare = named.Address
	}
	if email, err := address.Mail(bare); err == nil && email != stored {
		return email, stored
	}
	return stored, ""
}

// fill sets the columns that change with a contact.
func (r *contactRow) fill(c models.Contact) {
	r.Name, r.Role, r.Email, r.Phone = c.Name, c.Role, c.Email, c.Phone
	r.Language, r.CallOrder, r.HoursForCritical = c.Language, c.Order, c.HoursForCritical
	r.Severities, r.Channels = document[[]models.Severity]{c.Severities}, document[[]models.Channel]{c.Channels}
	r.Hours = hours(c.Hours)
}

// hours returns hours as a document, in which no hours are an empty list.
func hours(h models.Hours) document[models.Hours] {
	return document[models.Hours]{append(models.Hours{}, h...)}
}

// verified returns the proven channels that keep reports true for, as a document.
func verified(of map[models.Channel]time.Time, keep func(models.Channel) bool) document[map[models.Channel]time.Time] {
	kept := map[models.Channel]time.Time{}
	for ch, at := range of {
		if keep(ch) {
			kept[ch] = at.UTC()
		}
	}
	return document[map[models.Channel]time.Time]{kept}
}

// CreateContact adds a contact of the transaction's client; the id is chosen when it is zero. The same request id
// again returns the contact it made, as it is now; with another fingerprint it is Invalid.
func (tx *Tx) CreateContact(c models.Contact, requestID, fingerprint string) (models.Contact, error) {
	if err := tx.needsClient(); err != nil {
		return models.Contact{}, err
	}
	if requestID == "" {
		return models.Contact{}, models.Errorf(models.Invalid, "a contact needs a request id")
	}
	row := contactRow{ClientID: tx.client, ID: c.ID, RequestID: requestID, Fingerprint: fingerprint, Verified: verified(c.Verified, c.Has)}
	row.fill(c)
	if row.ID == uuid.Nil {
		row.ID = uuid.New()
	}
	insert := tx.db.Clauses(onceByRequest()).Create(&row)
	if insert.Error != nil || insert.RowsAffected == 1 {
		return row.model(), problem("create contact", insert.Error)
	}
	row = contactRow{}
	err := tx.of("contacts").Select(contactColumns+", fingerprint").Where("request_id = ?", requestID).Take(&row).Error
	return row.model(), sameRequest(row.Fingerprint, fingerprint, problem("find contact", err))
}

// onceByRequest makes an insert do nothing when its client's request id has been used.
func onceByRequest() clause.OnConflict {
	return clause.OnConflict{Columns: []clause.Column{{Name: "client_id"}, {Name: "request_id"}}, DoNothing: true}
}

// UpdateContact replaces a contact, but for its id and its proven channels, and returns it. A channel that is gone, or
// that leads to another address now, is no longer proven and its outstanding code is void. A contact who is reached
// elsewhere now is no approver any more. NotFound: the client has no such contact, or it was removed.
func (tx *Tx) UpdateContact(c models.Contact) (models.Contact, error) {
	row, err := tx.holdContact(c.ID)
	if err != nil {
		return models.Contact{}, err
	}
	before := row.model()
	same := func(ch models.Channel) bool {
		return before.Has(ch) && c.Has(ch) && before.Address(ch) == c.Address(ch)
	}
	row.fill(c)
	row.Verified = verified(before.Verified, same)
	err = tx.of("contacts").Where("id = ?", c.ID).Select("name", "role", "email", "phone", "language", "call_order",
		"severities", "channels", "hours", "hours_for_critical", "verified").Updates(&row).Error
	if err != nil {
		return models.Contact{}, problem("update contact", err)
	}
	if err := tx.dropCodes(c.ID, slices.DeleteFunc(channels(), same)); err != nil {
		return models.Contact{}, err
	}
	return tx.Contact(c.ID)
}

// RemoveContact takes a contact out of the directory; it stays for the records that name it. Removing it again changes
// nothing. NotFound: the client has no such contact.
func (tx *Tx) RemoveContact(id uuid.UUID, at time.Time) error {
	if err := tx.needsClient(); err != nil {
		return err
	}
	q := tx.of("contacts").Where("id = ? and removed_at is null", id).UpdateColumns(map[string]any{"removed_at": at})
	if q.Error != nil {
		return problem("remove contact", q.Error)
	}
	if q.RowsAffected == 0 {
		_, err := tx.Contact(id)
		return err
	}
	return tx.dropCodes(id, channels())
}

// holdContact reads a contact that is not removed and locks its row. Every change of a contact or its codes locks the
// row first, so that changes wait for each other and in one order.
func (tx *Tx) holdContact(id uuid.UUID) (contactRow, error) {
	if err := tx.needsClient(); err != nil {
		return contactRow{}, err
	}
	var row contactRow
	err := tx.of("contacts").Select(contactColumns).Where("id = ? and removed_at is null", id).
		Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Take(&row).Error
	return row, notFound(problem("hold contact", err), "contact")
}

// Contacts lists the contacts that are not removed, in calling order.
func (tx *Tx) Contacts() ([]models.Contact, error) {
	var rows []seenContactRow
	err := tx.seenContacts().Where("removed_at is null").Order("contacts.client_id, call_order, contacts.id").Find(&rows).Error
	return each(rows, seenContactRow.model), problem("list contacts", err)
}

// Contact returns a contact, also one that was removed. NotFound also when it is another client's.
func (tx *Tx) Contact(id uuid.UUID) (models.Contact, error) {
	var row seenContactRow
	err := tx.seenContacts().Where("contacts.id = ?", id).Take(&row).Error
	return row.model(), notFound(problem("read contact", err), "contact")
}

// Directory returns the directory of the transaction's client for the planner, in one statement. NotFound: there is no
// such client.
func (tx *Tx) Directory() (notify.Directory, error) {
	if err := tx.needsClient(); err != nil {
		return notify.Directory{}, err
	}
	var rows []struct {
		Contact  seenContactRow `gorm:"embedded"`
		TimeZone string
		Business document[models.Hours]
	}
	err := tx.db.Table("clients").Select(columnsOfApprover+", clients.time_zone, clients.business").
		Joins("left join contacts on contacts.client_id = clients.id and contacts.removed_at is null").Joins(withApprover).
		Where("clients.id = ?", tx.client).Order("contacts.call_order, contacts.id").Find(&rows).Error
	if err != nil {
		return notify.Directory{}, problem("read directory", err)
	}
	if len(rows) == 0 {
		return notify.Directory{}, models.Errorf(models.NotFound, "client not found")
	}
	zone, err := time.LoadLocation(rows[0].TimeZone)
	if err != nil {
		return notify.Directory{}, fmt.Errorf("the client's time zone: %w", err)
	}
	d := notify.Directory{Zone: zone, Business: rows[0].Business.V, Contacts: []models.Contact{}}
	for _, row := range rows {
		if row.Contact.Contact.ID != uuid.Nil { // else the client has no contact
			d.Contacts = append(d.Contacts, row.Contact.model())
		}
	}
	return d, nil
}
