package store

import (
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/watchfire-mdr/watchfire/models"
)

type approverRow struct {
	ClientID       uuid.UUID
	ContactID      uuid.UUID
	Number         int
	Confirmed      bool
	AddressVersion int
	PIN            *string `gorm:"column:pin"`
	HasPIN         bool
	ByUser         uuid.UUID
	At             time.Time
}

// TableName names the table.
func (approverRow) TableName() string { return "approvers" }

// ConfirmApprover keeps the word of an admin of the client that a contact, as they are reached now, may approve on the
// phone, in a transaction of the portal. pin is a hash of the PIN to ask for, "" for none. The caller holds the client's
// settings. NotFound: the client has no such contact, or it was removed. Forbidden for every audience but Portal.
func (tx *Tx) ConfirmApprover(contact, user uuid.UUID, pin string, at time.Time) (models.Contact, error) {
	row := approverRow{Confirmed: true, ByUser: user, At: at}
	if pin != "" {
		row.PIN, row.HasPIN = &pin, true
	}
	return tx.addApprover(contact, row)
}

// RevokeApprover takes the word of ConfirmApprover back.
func (tx *Tx) RevokeApprover(contact, user uuid.UUID, at time.Time) (models.Contact, error) {
	return tx.addApprover(contact, approverRow{ByUser: user, At: at})
}

func (tx *Tx) addApprover(contact uuid.UUID, row approverRow) (models.Contact, error) {
	if err := tx.needsClient(); err != nil {
		return models.Contact{}, err
	}
	var known seenContactRow
	err := tx.seenContacts().Where("contacts.id = ? and removed_at is null", contact).Take(&known).Error
	if err != nil {
		return models.Contact{}, notFound(problem("read contact", err), "contact")
	}
	row.ClientID, row.ContactID, row.Number, row.AddressVersion = tx.client, contact, known.Number+1, known.Contact.AddressVersion
	if err := tx.db.Create(&row).Error; err != nil {
		return models.Contact{}, problem("keep approver", err)
	}
	return tx.Contact(contact)
}

// seenContactRow is a contact with the newest word on whether they may approve.
type seenContactRow struct {
	Contact          contactRow `gorm:"embedded"`
	Number           int        // of that word, 0 for none
	Confirmed        bool
	ConfirmedVersion int
	HasPIN           bool
	ByUser           uuid.UUID
	ConfirmedAt      *time.Time
}

// columnsOfApprover reads what withApprover joins.
const (
	columnsOfApprover = contactColumns + `, contacts.address_version, approver.number, approver.confirmed, approver.address_version as confirmed_version, approver.has_pin,
		approver.by_user, approver.at as confirmed_at`
	withApprover = `left join lateral (select number, confirmed, address_version, has_pin, by_user, at from approvers a
		where a.client_id = contacts.client_id and a.contact_id = contacts.id order by number desc limit 1) approver on true`
)

// seenContacts starts a query on the contacts.
func (tx *Tx) seenContacts() *gorm.DB {
	return tx.of("contacts").Select(columnsOfApprover).Joins(withApprover)
}

func (r seenContactRow) model() models.Contact {
	c := r.Contact.model()
	if r.Confirmed && r.ConfirmedVersion == r.Contact.AddressVersion && c.RemovedAt.IsZero() {
		c.Approver = &models.Approver{By: r.ByUser, At: orZero(r.ConfirmedAt), PIN: r.HasPIN}
	}
	return c
}

// WasApproverWhenCalled reports whether an admin of the client had said, before one of some calls to a contact began, that
// the contact approves where they are reached now. A call to a number of before is answered by whoever has that.
func (tx *Tx) WasApproverWhenCalled(contact uuid.UUID, calls []string) (was bool, err error) {
	if err := tx.needsClient(); err != nil {
		return false, err
	}
	err = tx.db.Raw(`select exists (select from approvers a
			join contacts c on c.client_id = a.client_id and c.id = a.contact_id and c.address_version = a.address_version
			join effects e on e.client_id = a.client_id and e.contact_id = a.contact_id and e.planned_at >= a.at
			where a.client_id = ? and a.contact_id = ? and a.confirmed and e.key in ?)`,
		tx.client, contact, calls).Scan(&was).Error
	return was, problem("find where a contact was called", err)
}

// ContactsMadeBy returns the contacts whom a user of the SOC made, whose number or address they changed, or whose channel
// they verified, as the audit log has it: they answer nothing that this user asks. Nobody else has such contacts.
func (tx *Tx) ContactsMadeBy(by models.Actor) (map[uuid.UUID]bool, error) {
	user, err := uuid.Parse(by.ID)
	if err != nil || by.Side != models.SideSOC {
		return map[uuid.UUID]bool{}, nil
	}
	var subjects []uuid.UUID
	err = tx.of("audit_log").Distinct().Where(`by_user = ? and (operation in ('create-contact', 'verify-channel', 'confirm-channel')
		or operation = 'update-contact' and (fields @> '["phone"]' or fields @> '["email"]'))`, user).
		Pluck("subject::uuid", &subjects).Error
	made := map[uuid.UUID]bool{}
	for _, id := range subjects {
		made[id] = true
	}
	return made, problem("read who made contacts", err)
}

// NoApprovers are people, see models.PersonOf, who approve nothing on a client's phones, whoever confirmed them.
type NoApprovers struct {
	Disabled   []string // users of the client
	Colleagues []string // users of the SOC
}

// WhyNot says why a contact approves nothing, "" when they are none of these people.
func (n NoApprovers) WhyNot(c models.Contact) string {
	is := func(person string) bool { return models.SamePerson(person, c.Person()) }
	switch {
	case slices.ContainsFunc(n.Colleagues, is): // whoever asked is one of them
		return "the contact is a user of the SOC"
	case slices.ContainsFunc(n.Disabled, is):
		return "the contact is a user of the client who is disabled"
	}
	return ""
}

// Among returns which of some contacts are these people.
func (n NoApprovers) Among(contacts []models.Contact) map[uuid.UUID]bool {
	are := map[uuid.UUID]bool{}
	for _, c := range contacts {
		if n.WhyNot(c) != "" {
			are[c.ID] = true
		}
	}
	return are
}

// NoApprovers returns those of the transaction's client. Forbidden for the SOC, which reads no addresses of users.
func (tx *Tx) NoApprovers() (people NoApprovers, err error) {
	if err := tx.needsClient(); err != nil {
		return people, err
	}
	var rows []userRow
	err = tx.db.Select("email", "client_id").Where("client_id is null or client_id = ? and disabled_at is not null", tx.client).Find(&rows).Error
	for _, r := range rows {
		list := &people.Disabled
		if !r.ClientID.Valid {
			list = &people.Colleagues
		}
		*list = append(*list, models.PersonOf(mailbox(r.Email)))
	}
	return people, problem("read who approves nothing", err)
}

type wrongPINRow struct {
	ClientID  uuid.UUID
	Effect    string
	Try       int
	ContactID uuid.UUID
	At        time.Time
}

// TableName names the table.
func (wrongPINRow) TableName() string { return "wrong_pins" }

// ApproverPIN returns the hash of the PIN that a contact must enter to approve, "" for none, in a transaction of Hooks.
func (tx *Tx) ApproverPIN(contact uuid.UUID) (string, error) {
	if err := tx.db.Exec("select set_config('app.contact_id', ?, true)", contact.String()).Error; err != nil {
		return "", problem("name contact", err)
	}
	var rows []approverRow
	err := tx.of("approvers").Select("pin").Where("contact_id = ?", contact).Order("number desc").Limit(1).Find(&rows).Error
	if err != nil || len(rows) == 0 || rows[0].PIN == nil {
		return "", problem("read PIN", err)
	}
	return *rows[0].PIN, nil
}

// WrongPINs counts the wrong PINs that were entered in a call, and those of a contact in all calls since a moment. Other
// transactions that ask about the contact wait until this one ends.
func (tx *Tx) WrongPINs(contact uuid.UUID, effect string, since time.Time) (inCall, lately int, err error) {
	if err := tx.needsClient(); err != nil {
		return 0, 0, err
	}
	if err := tx.db.Exec("select pg_advisory_xact_lock(hashtextextended(?, 0))", "PIN of "+contact.String()).Error; err != nil {
		return 0, 0, problem("lock PIN", err)
	}
	var count struct{ InCall, Lately int }
	err = tx.of("wrong_pins").Select("count(*) filter (where effect = ?) as in_call, count(*) filter (where at > ?) as lately", effect, since).
		Where("contact_id = ?", contact).Scan(&count).Error
	return count.InCall, count.Lately, problem("count wrong PINs", err)
}

// NoteWrongPIN notes that the try-th PIN of a call was wrong.
func (tx *Tx) NoteWrongPIN(contact uuid.UUID, effect string, try int, at time.Time) error {
	if err := tx.needsClient(); err != nil {
		return err
	}
	return problem("note wrong PIN", tx.db.Create(&wrongPINRow{ClientID: tx.client, Effect: effect, Try: try, ContactID: contact, At: at}).Error)
}
