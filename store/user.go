package store

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"

	"github.com/watchfire-mdr/watchfire/address"
	"github.com/watchfire-mdr/watchfire/models"
)

type userRow struct {
	ID       uuid.UUID
	ClientID uuid.NullUUID
	Name     string
	Email    string
	Role     models.Role
}

// TableName names the table.
func (userRow) TableName() string { return "users" }

func newUserRow(u models.User) userRow {
	return userRow{ID: u.ID, ClientID: orNoClient(u.ClientID), Name: u.Name, Email: u.Email, Role: u.Role}
}

// orNoClient writes the client of a user or token; the SOC's have none.
func orNoClient(client uuid.UUID) uuid.NullUUID {
	return uuid.NullUUID{UUID: client, Valid: client != uuid.Nil}
}

type accountRow struct {
	User       userRow `gorm:"embedded"`
	Limited    bool
	CreatedAt  time.Time
	DisabledAt *time.Time
}

// TableName names the table.
func (accountRow) TableName() string { return "users" }

func (r accountRow) model() models.Account {
	email, before := mailbox(r.User.Email)
	return models.Account{
		User: models.User{
			ID: r.User.ID, ClientID: r.User.ClientID.UUID, Name: r.User.Name, Email: email, EmailBefore: before, Role: r.User.Role, Limited: r.Limited,
		},
		CreatedAt: r.CreatedAt.UTC(), DisabledAt: orZero(r.DisabledAt).UTC(),
	}
}

type reachRow struct {
	ClientID uuid.UUID
	UserID   uuid.UUID
}

// TableName names the table.
func (reachRow) TableName() string { return "user_reach" }

// CreateUser adds a login; the id is chosen when it is zero. Conflict: the client (or the SOC) has a user with
// this address. NotFound: there is no such client. Invalid: the role does not fit the side, or the address is none.
func (s *Store) CreateUser(ctx context.Context, u models.User) (models.User, error) {
	if side := u.Role.Side(); side == "" || (side == models.SideSOC) != (u.ClientID == uuid.Nil) {
		return models.User{}, models.InvalidField("/role", "does not fit: users of the SOC have no client, all others have one")
	}
	if u.ID == uuid.Nil {
		u.ID = uuid.New()
	}
	email, err := address.Mail(u.Email)
	if err != nil {
		return models.User{}, models.InvalidField("/email", "%s", err)
	}
	u.Email = email
	row := newUserRow(u)
	err = s.ForLogins(ctx, u.ClientID, func(tx *Tx) error {
		return notFound(problem("create user", tx.db.Create(&row).Error), "client")
	})
	return u, err
}

// UserByEmail returns the login with an address, in any form and case; client is the zero UUID for the SOC's. NotFound
// when there is none.
func (s *Store) UserByEmail(ctx context.Context, client uuid.UUID, email string) (models.User, error) {
	a, err := Run(s.InLogins(ctx, client), func(tx *Tx) (models.Account, error) { return tx.AccountByEmail(email) })
	return a.User, err
}

// users starts a query on the users of the transaction's client, or of the SOC.
func (tx *Tx) users() *gorm.DB {
	return tx.db.Table("users").Where("client_id is not distinct from ?", orNoClient(tx.client))
}

// lockUsers lets changes of the users of one client, or of the SOC, wait for each other.
func (tx *Tx) lockUsers() error {
	return problem("lock users", tx.db.Exec("select pg_advisory_xact_lock(hashtextextended(?, 0))", "users of "+tx.client.String()).Error)
}

// Accounts lists the users of the transaction's client, or of the SOC, the newest first, from after the cursor
// {CreatedAt, ID}. At most 1,000.
func (tx *Tx) Accounts(c Cursor, limit int) ([]models.Account, error) {
	if _, err := uuid.Parse(c.ID); err != nil && c != (Cursor{}) {
		return nil, models.InvalidField("/cursor", "is not a cursor of this list")
	}
	var rows []accountRow
	if err := page(tx.users(), "created_at", "id", c, limit).Find(&rows).Error; err != nil {
		return nil, problem("list users", err)
	}
	list := each(rows, accountRow.model)
	return list, tx.addReach(list)
}

// Account returns a user of the transaction's client, or of the SOC. NotFound when there is none with this id.
func (tx *Tx) Account(id uuid.UUID) (models.Account, error) { return tx.account("id = ?", id) }

// AccountByEmail returns the user with an address, in any form and case.
func (tx *Tx) AccountByEmail(email string) (models.Account, error) {
	email, _ = mailbox(email)
	return tx.account("lower(email) = lower(?)", email)
}

func (tx *Tx) account(which string, arg any) (models.Account, error) {
	var row accountRow
	if err := tx.users().Where(which, arg).Take(&row).Error; err != nil {
		return models.Account{}, notFound(problem("read user", err), "user")
	}
	one := []models.Account{row.model()}
	err := tx.addReach(one)
	return one[0], err
}

// addReach adds the clients that limited users of a list see.
func (tx *Tx) addReach(list []models.Account) error {
	places := map[uuid.UUID]int{}
	var limited []uuid.UUID
	for n, a := range list {
		if a.Limited {
			places[a.ID], limited = n, append(limited, a.ID)
		}
	}
	if len(limited) == 0 {
		return nil
	}
	var rows []struct {
		UserID uuid.UUID
		Number int
	}
	err := tx.overEveryClient(func(db *gorm.DB) error {
		return db.Table("user_reach r").Select("r.user_id, c.number").Joins("join clients c on c.id = r.client_id").
			Where("r.user_id in ?", limited).Order("c.number").Scan(&rows).Error
	})
	for _, r := range rows {
		a := &list[places[r.UserID]]
		a.Clients = append(a.Clients, r.Number)
	}
	return problem("read reach", err)
}

// Invite adds a user of the transaction's client, or of the SOC, with an invitation that by will see; it chooses the id. A
// user who never accepted gets the new invitation in place of the earlier one, and one who lost every token gets it when by
// is of the SOC. Conflict: there is a user with this address, and they have a token, or are disabled, or have another role,
// or have accepted and by is of the client.
func (tx *Tx) Invite(u models.User, by models.User, t models.Token) (models.Account, error) {
	if err := tx.lockUsers(); err != nil {
		return models.Account{}, err
	}
	known, err := tx.AccountByEmail(u.Email)
	switch {
	case models.KindOf(err) == models.NotFound:
		u.ID, u.ClientID = uuid.New(), tx.client
		row := newUserRow(u)
		if err := tx.db.Create(&row).Error; err != nil {
			return models.Account{}, problem("create user", err)
		}
		if known, err = tx.Account(u.ID); err != nil {
			return known, err
		}
	case err != nil:
		return known, err
	case known.Role != u.Role || !known.DisabledAt.IsZero():
		return known, addressTaken()
	}
	t.UserID, t.Invitation = known.ID, true
	return known, tx.asLogins(func(db *gorm.DB) error {
		var is struct{ Accepted, HasToken bool }
		err := db.Table("users").Select(`accepted_at is not null as accepted,
			exists (select from tokens t where t.user_id = users.id and not t.invitation) as has_token`).Where("id = ?", known.ID).Take(&is).Error
		switch {
		case err != nil:
			return problem("find tokens", err)
		case is.HasToken:
			return addressTaken()
		case is.Accepted && by.Role.Side() == models.SideClient:
			return &models.Error{
				Kind: models.Conflict, Field: "/email",
				Message: "belongs to a user who had a token before: ask the provider, whose operators invite them again",
			}
		}
		if err := db.Where("user_id = ? and invitation", known.ID).Delete(&tokenRow{}).Error; err != nil {
			return problem("revoke invitation", err)
		}
		if err := db.Table("users").Where("id = ?", known.ID).UpdateColumn("invited_by", orNoClient(by.ID)).Error; err != nil {
			return problem("note who invites", err)
		}
		row := newTokenRow(t)
		return problem("create invitation", db.Create(&row).Error)
	})
}

func addressTaken() error {
	return &models.Error{Kind: models.Conflict, Field: "/email", Message: "belongs to a user already: change that user instead"}
}

// UserChange is what a user becomes.
type UserChange struct {
	Role     models.Role
	Disabled bool
	Limited  bool
	Clients  []int // the reach of a limited user: numbers
}

// ChangeUser gives a user of the transaction's client, or of the SOC, another role, state and reach. Whoever is disabled
// loses all tokens, for good. Conflict: the client would be without an enabled admin, or the SOC without an operator.
// NotFound: there is no such user. Invalid: a client of the reach does not exist.
func (tx *Tx) ChangeUser(id uuid.UUID, c UserChange) (before, now models.Account, err error) {
	if err := tx.lockUsers(); err != nil {
		return before, now, err
	}
	if before, err = tx.Account(id); err != nil {
		return before, now, err
	}
	if err := tx.keepOneManager(before, c); err != nil {
		return before, now, err
	}
	set := map[string]any{"role": c.Role, "disabled_at": nil}
	if c.Disabled {
		set["disabled_at"] = gorm.Expr("coalesce(disabled_at, now())")
	}
	if tx.client == uuid.Nil {
		set["limited"] = c.Limited
	}
	if err := tx.users().Where("id = ?", id).UpdateColumns(set).Error; err != nil {
		return before, now, problem("change user", err)
	}
	if err := tx.setReach(id, c.Clients); err != nil {
		return before, now, err
	}
	if c.Disabled {
		err = tx.asLogins(func(db *gorm.DB) error { return db.Where("user_id = ?", id).Delete(&tokenRow{}).Error })
		if err != nil {
			return before, now, problem("revoke tokens", err)
		}
	}
	now, err = tx.Account(id)
	return before, now, err
}

// keepOneManager refuses a change after which nobody could manage the users.
func (tx *Tx) keepOneManager(before models.Account, c UserChange) error {
	manager := models.RoleAdmin
	if tx.client == uuid.Nil {
		manager = models.RoleOperator
	}
	if before.Role != manager || !before.DisabledAt.IsZero() || c.Role == manager && !c.Disabled {
		return nil
	}
	var others int64
	q := tx.users().Where("id <> ? and role = ? and disabled_at is null", before.ID, manager)
	if err := q.Count(&others).Error; err != nil {
		return problem("count managers", err)
	}
	if others == 0 {
		return models.Errorf(models.Conflict, "this is the last enabled %s: make another one first", manager)
	}
	return nil
}

// setReach replaces the clients that a user of the SOC is limited to.
func (tx *Tx) setReach(user uuid.UUID, numbers []int) error {
	if tx.client != uuid.Nil {
		return nil
	}
	if err := tx.db.Where("user_id = ?", user).Delete(&reachRow{}).Error; err != nil {
		return problem("drop reach", err)
	}
	if len(numbers) == 0 {
		return nil
	}
	var rows []reachRow
	err := tx.overEveryClient(func(db *gorm.DB) error {
		return db.Table("clients").Select("id as client_id, ?::uuid as user_id", user).Where("number in ?", numbers).Scan(&rows).Error
	})
	switch {
	case err != nil:
		return problem("find clients", err)
	case len(rows) != len(numbers):
		return models.InvalidField("/clients", "names a client that does not exist, or one twice")
	}
	return problem("set reach", tx.db.Create(&rows).Error)
}

// lostRight counts a user who is known to have lost the right to act in a role for a client: they are disabled, have another
// role, or the client is no longer within their reach. "" stands for whatever role they have.
const lostRight = `select count(*) from users where id = $1 and (disabled_at is not null or role <> coalesce(nullif($2, ''), role)
	or limited and not exists (select from user_reach r where r.user_id = users.id and r.client_id = $3))`

// MayNotAct reports whether a user is known to have lost the right to act in a role, "" for any, for the transaction's client.
func (tx *Tx) MayNotAct(user uuid.UUID, as models.Role) (bool, error) {
	if err := tx.needsClient(); err != nil {
		return false, err
	}
	var found int64
	on := tx.db.Statement
	err := on.ConnPool.QueryRowContext(on.Context, lostRight, user, as, tx.client).Scan(&found)
	return found > 0, problem("look for user", err)
}

// MayNotAct does what Tx.MayNotAct does, for a worker, in one round trip.
func (s *Store) MayNotAct(ctx context.Context, client, user uuid.UUID, as models.Role) (lost bool, err error) {
	err = s.send(ctx, func(b *pgx.Batch) {
		b.Queue(takeRole, roleSettings(Worker.role(), client, false)...)
		b.Queue(lostRight, user, as, client).QueryRow(func(row pgx.Row) error {
			var found int64
			err := row.Scan(&found)
			lost = found > 0
			return err
		})
	})
	return lost, problem("look for user", err)
}

// LostRoles returns those of some users of the transaction's client who are known to have lost the right to act as they did:
// they are disabled, or have another role. Others, such as contacts, are none of them.
func (tx *Tx) LostRoles(users []models.Actor) (lost []models.Actor, err error) {
	if err := tx.needsClient(); err != nil {
		return nil, err
	}
	for _, u := range users {
		id, err := uuid.Parse(u.ID)
		if err != nil {
			continue
		}
		var found int64
		err = tx.db.Table("users").Where("id = ? and client_id = ? and (disabled_at is not null or role <> ?)", id, tx.client, u.Role).Count(&found).Error
		if err != nil {
			return nil, problem("look for user", err)
		}
		if found > 0 {
			lost = append(lost, u)
		}
	}
	return lost, nil
}

// AreOne reports whether one user of the transaction's client may be behind a user and another one of some: who saw
// somebody's invitation may have used it, and so may whoever invited that user. Whom the provider invited stands alone.
// Others of LostRoles do not count.
func (tx *Tx) AreOne(user uuid.UUID, others []models.Actor) (bool, error) {
	lost, err := tx.LostRoles(others)
	if err != nil {
		return false, err
	}
	ids := []uuid.UUID{user}
	for _, other := range others {
		if id, err := uuid.Parse(other.ID); err == nil && !slices.Contains(lost, other) { // others are no users
			ids = append(ids, id)
		}
	}
	if len(ids) == 1 {
		return false, nil
	}
	var found bool
	err = tx.db.Raw(`with recursive behind (of, id, invited_by) as (
			select id, id, invited_by from users where client_id = ? and id in ?
			union select b.of, u.id, u.invited_by from behind b join users u on u.client_id = ? and u.id = b.invited_by)
		select exists (select from behind a join behind b on a.id = b.id where a.of = ? and b.of <> a.of)`,
		tx.client, ids, tx.client, user).Scan(&found).Error
	return found, problem("find who invited whom", err)
}

// UserNames returns the names of users: of the transaction's client, for the SOC also of the SOC. It leaves out others.
func (tx *Tx) UserNames(ids []uuid.UUID) (map[uuid.UUID]string, error) {
	return names(tx.db.Table("users"), ids)
}

// ContactNames returns the names of contacts of the transaction's client, also of removed ones. It leaves out others.
func (tx *Tx) ContactNames(ids []uuid.UUID) (map[uuid.UUID]string, error) {
	return names(tx.of("contacts"), ids)
}

func names(q *gorm.DB, ids []uuid.UUID) (map[uuid.UUID]string, error) {
	found := map[uuid.UUID]string{}
	if len(ids) == 0 {
		return found, nil
	}
	var rows []struct {
		ID   uuid.UUID
		Name string
	}
	err := q.Select("id", "name").Where("id in ?", ids).Find(&rows).Error
	for _, r := range rows {
		found[r.ID] = r.Name
	}
	return found, problem("read names", err)
}
