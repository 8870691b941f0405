package store

import (
	"context"
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

type tokenRow struct {
	ID        uuid.UUID
	UserID    uuid.UUID
	Hash      []byte
	ExpiresAt *time.Time
}

// TableName names the table.
func (tokenRow) TableName() string { return "tokens" }

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
	row := userRow{
		ID: u.ID, ClientID: uuid.NullUUID{UUID: u.ClientID, Valid: u.ClientID != uuid.Nil},
		Name: u.Name, Email: u.Email, Role: u.Role,
	}
	err = s.within(ctx, roleAuth, uuid.Nil, false, func(db *gorm.DB, _ time.Time) error {
		return notFound(problem("create user", db.Create(&row).Error), "client")
	})
	return u, err
}

// UserByEmail returns the login with an address, in any form and case; client is the zero UUID for the SOC's. NotFound
// when there is none.
func (s *Store) UserByEmail(ctx context.Context, client uuid.UUID, email string) (models.User, error) {
	var row userRow
	email, _ = mailbox(email)
	err := s.within(ctx, roleAuth, uuid.Nil, false, func(db *gorm.DB, _ time.Time) error {
		of := uuid.NullUUID{UUID: client, Valid: client != uuid.Nil}
		return problem("find user", db.Where("client_id is not distinct from ? and lower(email) = lower(?)", of, email).Take(&row).Error)
	})
	u := models.User{ID: row.ID, ClientID: row.ClientID.UUID, Name: row.Name, Role: row.Role}
	u.Email, u.EmailBefore = mailbox(row.Email)
	return u, err
}

// RevokeTokens deletes all bearer tokens of a user. They are invalid at once.
func (s *Store) RevokeTokens(ctx context.Context, user uuid.UUID) error {
	return s.within(ctx, roleAuth, uuid.Nil, false, func(db *gorm.DB, _ time.Time) error {
		return problem("revoke tokens", db.Where("user_id = ?", user).Delete(&tokenRow{}).Error)
	})
}

// CreateToken adds a bearer token of a user; the id is chosen when it is zero. NotFound: there is no such user.
func (s *Store) CreateToken(ctx context.Context, t models.Token) error {
	if t.ID == uuid.Nil {
		t.ID = uuid.New()
	}
	row := tokenRow{ID: t.ID, UserID: t.UserID, Hash: t.Hash, ExpiresAt: orNull(t.ExpiresAt)}
	return s.within(ctx, roleAuth, uuid.Nil, false, func(db *gorm.DB, _ time.Time) error {
		return notFound(problem("create token", db.Create(&row).Error), "user")
	})
}

// Authenticate returns the user whose token has this SHA-256. Unauthorized when there is none, or it has
// expired by the database's clock.
func (s *Store) Authenticate(ctx context.Context, tokenHash []byte) (models.User, error) {
	var u models.User
	var client uuid.NullUUID
	err := problem("authenticate", s.send(ctx, func(b *pgx.Batch) {
		b.Queue(takeRole, roleSettings(roleAuth, uuid.Nil, false)...)
		b.Queue(`select u.id, u.client_id, u.name, u.email, u.role from tokens t join users u on u.id = t.user_id
			where t.hash = $1 and (t.expires_at is null or t.expires_at > now())`, tokenHash).
			QueryRow(func(row pgx.Row) error { return row.Scan(&u.ID, &client, &u.Name, &u.Email, &u.Role) })
	}))
	u.ClientID = client.UUID
	u.Email, u.EmailBefore = mailbox(u.Email)
	if models.KindOf(err) == models.NotFound {
		return models.User{}, models.Errorf(models.Unauthorized, "the token is unknown or has expired")
	}
	return u, err
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
