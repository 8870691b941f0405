package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

const (
	changesAtOnce = 100 // of which one notice tells
	noticesAtOnce = 100 // that one UntoldContactChanges returns
	openNotices   = 1000
)

type contactChangeRow struct {
	ClientID  uuid.UUID
	ID        uuid.UUID
	At        time.Time
	ContactID uuid.UUID
	Side      models.Side
	Role      models.Role
	Operation string
	Fields    document[[]string]
	Before    *document[notify.Addresses]
	After     *document[notify.Addresses]
	NoticeID  *uuid.UUID
	NoticedAt *time.Time
	ToldAt    *time.Time
}

// TableName names the table.
func (contactChangeRow) TableName() string { return "contact_changes" }

func (r contactChangeRow) model() notify.ContactChange {
	c := notify.ContactChange{ID: r.ID, At: r.At.UTC(), Contact: r.ContactID, Side: r.Side, Role: r.Role, Operation: r.Operation, Fields: r.Fields.V}
	if r.Before != nil {
		c.Before = r.Before.V
	}
	if r.After != nil {
		c.After = r.After.V
	}
	return c
}

// AppendContactChange keeps a change of a contact in the transaction of the change itself, until everybody was told. It
// chooses the id. Forbidden: the side is not the one the transaction runs for.
func (tx *Tx) AppendContactChange(c notify.ContactChange) error {
	if err := tx.needsClient(); err != nil {
		return err
	}
	row := contactChangeRow{
		ClientID: tx.client, ID: uuid.New(), At: tx.now, ContactID: c.Contact, Side: c.Side, Role: c.Role, Operation: c.Operation,
		Fields: document[[]string]{append([]string{}, c.Fields...)}, Before: addresses(c.Before), After: addresses(c.After),
	}
	return problem("append change of contact", tx.db.Create(&row).Error)
}

func addresses(r notify.Addresses) *document[notify.Addresses] {
	if r == (notify.Addresses{}) {
		return nil
	}
	return &document[notify.Addresses]{r}
}

// UntoldContactChanges lists the notices that are due: one per client about what no notice tells of yet, at most one in a
// minute, so that many changes in a row are told together; and those begun ten minutes ago that did not end. At most 100.
func (s *Store) UntoldContactChanges(ctx context.Context) (due []notify.ContactNotice, err error) {
	err = s.within(ctx, SOC.role(), uuid.Nil, true, func(db *gorm.DB, _ time.Time) error {
		return problem("list changes of contacts", db.Raw(`
			select client_id, clients.number, due.id from (
				select client_id, (array_agg(id order by at, id))[1] as id from contact_changes c
					where told_at is null and notice_id is null and not exists (select from contact_changes n
						where n.client_id = c.client_id and n.noticed_at > now() - interval '1 minute')
					group by client_id
				union select client_id, notice_id from contact_changes
					where told_at is null and noticed_at < now() - interval '10 minutes'
				limit ?) due join clients on clients.id = due.client_id`, noticesAtOnce).Scan(&due).Error)
	})
	return due, err
}

// OpenContactNotices lists the notices that have not told everybody, also those that wait to be begun, the oldest change
// first, and when it was read. At most 1,000.
func (s *Store) OpenContactNotices(ctx context.Context) (open []notify.ContactNotice, at time.Time, err error) {
	err = s.within(ctx, SOC.role(), uuid.Nil, true, func(db *gorm.DB, now time.Time) error {
		at = now
		return problem("list open notices", db.Raw(`
			select client_id, number, coalesce(notice_id, (array_agg(c.id order by at, c.id))[1]) as id
				from contact_changes c join clients on clients.id = client_id where told_at is null
				group by client_id, number, notice_id order by min(at), id limit ?`, openNotices).Scan(&open).Error)
	})
	return open, at, err
}

// ClientsNotTold lists the numbers of the clients with a change of a contact that is older than age, and of which not
// everybody was told.
func (s *Store) ClientsNotTold(ctx context.Context, age time.Duration) (numbers []int, err error) {
	err = s.within(ctx, SOC.role(), uuid.Nil, true, func(db *gorm.DB, now time.Time) error {
		return problem("list clients that were not told", db.Raw(`
			select distinct number from contact_changes join clients on clients.id = client_id
				where told_at is null and at < ? order by number`, now.Add(-age)).Scan(&numbers).Error)
	})
	return numbers, err
}

// BeginContactNotice gives the notice the changes that none tells of yet, the oldest first, at most 100, and returns
// them. A notice that has its changes keeps them; one that was told has none.
func (tx *Tx) BeginContactNotice(notice uuid.UUID) ([]notify.ContactChange, error) {
	if err := tx.LockClientSettings(); err != nil { // another notice, or a change under way
		return nil, err
	}
	changes, err := tx.ContactChanges(notice)
	if err != nil || len(changes) > 0 {
		return changes, err
	}
	err = tx.db.Exec(`update contact_changes set notice_id = ?, noticed_at = now() where client_id = ? and id in (
			select id from contact_changes where client_id = ? and notice_id is null and told_at is null order by at, id limit ?)
		and exists (select from contact_changes where client_id = ? and id = ? and notice_id is null)`,
		notice, tx.client, tx.client, changesAtOnce, tx.client, notice).Error
	if err != nil {
		return nil, problem("begin notice", err)
	}
	return tx.ContactChanges(notice)
}

// ContactChanges lists the changes that a notice tells of, the oldest first; none when it was told.
func (tx *Tx) ContactChanges(notice uuid.UUID) ([]notify.ContactChange, error) {
	var rows []contactChangeRow
	err := tx.of("contact_changes").Where("notice_id = ? and told_at is null", notice).Order("at, id").Find(&rows).Error
	return each(rows, contactChangeRow.model), problem("read changes of contacts", err)
}

// EndContactNotice says that everybody was told, and forgets their addresses.
func (tx *Tx) EndContactNotice(notice uuid.UUID) error {
	return problem("end notice", tx.of("contact_changes").Where("notice_id = ? and told_at is null", notice).
		UpdateColumns(map[string]any{"told_at": tx.now, "before": nil, "after": nil}).Error)
}

// Admins lists the enabled admins of the transaction's client, at most 100.
func (tx *Tx) Admins() ([]models.User, error) {
	if err := tx.needsClient(); err != nil {
		return nil, err
	}
	var rows []userRow
	err := tx.of("users").Select("id", "name", "email", "role").Where("role = ? and disabled_at is null", models.RoleAdmin).Order("id").Limit(100).Find(&rows).Error
	return each(rows, func(r userRow) models.User {
		u := models.User{ID: r.ID, ClientID: tx.client, Name: r.Name, Role: r.Role}
		u.Email, u.EmailBefore = mailbox(r.Email)
		return u
	}), problem("list admins", err)
}
