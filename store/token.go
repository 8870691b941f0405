package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"

	"github.com/watchfire-mdr/watchfire/models"
)

// maxTokens is how many tokens a user, and how many service tokens a client or the SOC, has at most.
const maxTokens = 50

type tokenRow struct {
	ID         uuid.UUID
	UserID     uuid.UUID
	Name       string
	Prefix     string
	Hash       []byte
	Invitation bool
	CreatedAt  time.Time `gorm:"autoCreateTime:false;default:now()"`
	ExpiresAt  *time.Time
	LastUsedAt *time.Time
}

// TableName names the table.
func (tokenRow) TableName() string { return "tokens" }

func newTokenRow(t models.Token) tokenRow {
	if t.ID == uuid.Nil {
		t.ID = uuid.New()
	}
	return tokenRow{
		ID: t.ID, UserID: t.UserID, Name: t.Name, Prefix: t.Prefix, Hash: t.Hash, Invitation: t.Invitation, ExpiresAt: orNull(t.ExpiresAt),
	}
}

func (r tokenRow) model() models.Token {
	return models.Token{
		ID: r.ID, UserID: r.UserID, Name: r.Name, Prefix: r.Prefix, Invitation: r.Invitation, CreatedAt: r.CreatedAt.UTC(),
		ExpiresAt: orZero(r.ExpiresAt).UTC(), LastUsedAt: orZero(r.LastUsedAt).UTC(),
	}
}

type serviceTokenRow struct {
	ClientID   uuid.NullUUID
	ID         uuid.UUID
	Name       string
	Prefix     string
	Hash       []byte // that only those read who authenticate
	Operations document[[]string]
	CreatedBy  uuid.UUID
	CreatedAt  time.Time `gorm:"autoCreateTime:false"`
	ExpiresAt  time.Time
	LastUsedAt *time.Time
	RevokedAt  *time.Time
}

// TableName names the table.
func (serviceTokenRow) TableName() string { return "service_tokens" }

func (r serviceTokenRow) model() models.ServiceToken {
	return models.ServiceToken{
		ID: r.ID, ClientID: r.ClientID.UUID, Name: r.Name, Prefix: r.Prefix, Operations: r.Operations.V, CreatedBy: r.CreatedBy,
		CreatedAt: r.CreatedAt.UTC(), ExpiresAt: r.ExpiresAt.UTC(), LastUsedAt: orZero(r.LastUsedAt).UTC(), RevokedAt: orZero(r.RevokedAt).UTC(),
	}
}

// The valid token with a hash, of a person or a machine; and that it was used, which is noted once a minute at most.
const (
	findToken = `select u.id, u.client_id, u.name, u.email, u.role, u.limited, t.id, t.invitation, null::jsonb,
			coalesce(t.last_used_at <= now() - interval '1 minute', true)
		from tokens t join users u on u.id = t.user_id
		where t.hash = $1 and (t.expires_at is null or t.expires_at > now()) and u.disabled_at is null
		union all select id, client_id, name, '', '` + string(models.RoleService) + `', false, id, false, operations,
			coalesce(last_used_at <= now() - interval '1 minute', true)
		from service_tokens where hash = $1 and revoked_at is null and expires_at > now()`
	noteUse = `update %[1]s set last_used_at = now() where id = (select id from %[1]s where hash = $1
		and coalesce(last_used_at <= now() - interval '1 minute', true) for update skip locked)`
)

// Authenticate returns the user, or the machine, whose token has this SHA-256. Unauthorized when there is none, it has
// expired by the database's clock or was revoked, or the user is disabled.
func (s *Store) Authenticate(ctx context.Context, tokenHash []byte) (models.Principal, error) {
	var p models.Principal
	var client uuid.NullUUID
	var operations []byte
	var isDue bool // to be noted as used
	err := problem("authenticate", s.send(ctx, func(b *pgx.Batch) {
		b.Queue(takeRole, roleSettings(logins.role(), uuid.Nil, false)...)
		b.Queue(findToken, tokenHash).QueryRow(func(row pgx.Row) error {
			return row.Scan(&p.ID, &client, &p.Name, &p.Email, &p.Role, &p.Limited, &p.Token, &p.Invitation, &operations, &isDue)
		})
	}))
	if err == nil && isDue {
		s.noteUse(ctx, tokenHash)
	}
	p.ClientID = client.UUID
	p.Email, p.EmailBefore = mailbox(p.Email)
	switch {
	case models.KindOf(err) == models.NotFound:
		return models.Principal{}, models.Errorf(models.Unauthorized, "the token is unknown or has expired")
	case err == nil && operations != nil:
		if err := json.Unmarshal(operations, &p.Operations); err != nil {
			return models.Principal{}, fmt.Errorf("read operations of a service token: %w", err)
		}
	}
	return p, err
}

// noteUse notes that a token was used. When the database can only read, people still can.
func (s *Store) noteUse(ctx context.Context, tokenHash []byte) {
	_ = s.send(ctx, func(b *pgx.Batch) {
		b.Queue(takeRole, roleSettings(logins.role(), uuid.Nil, false)...)
		b.Queue(fmt.Sprintf(noteUse, "tokens"), tokenHash)
		b.Queue(fmt.Sprintf(noteUse, "service_tokens"), tokenHash)
	})
}

// CreateToken adds a bearer token of a user; the id is chosen when it is zero. NotFound: there is no such user.
func (s *Store) CreateToken(ctx context.Context, t models.Token) error {
	row := newTokenRow(t)
	return s.ForLogins(ctx, uuid.Nil, func(tx *Tx) error { return notFound(tx.createToken(row), "user") })
}

// createToken adds a token. Whoever has one of their own has accepted, for good.
func (tx *Tx) createToken(row tokenRow) error {
	if !row.Invitation {
		accept := tx.db.Table("users").Where("id = ? and accepted_at is null", row.UserID).UpdateColumn("accepted_at", tx.now)
		if accept.Error != nil {
			return problem("accept", accept.Error)
		}
	}
	return problem("create token", tx.db.Create(&row).Error)
}

// Tokens lists the tokens of a user, the newest first.
func (tx *Tx) Tokens(user uuid.UUID) ([]models.Token, error) {
	var rows []tokenRow
	err := tx.db.Where("user_id = ?", user).Order("created_at desc, id").Find(&rows).Error
	return each(rows, tokenRow.model), problem("list tokens", err)
}

// AddToken adds a bearer token of a user and uses up the invitation that pays for it, the zero UUID for none. Conflict: the
// user has a token of this name, or as many as there may be. Unauthorized: the invitation is used up already.
func (tx *Tx) AddToken(t models.Token, invitation uuid.UUID) (models.Token, error) {
	if err := tx.lockUsers(); err != nil {
		return t, err
	}
	if invitation != uuid.Nil {
		used := tx.db.Where("id = ? and invitation", invitation).Delete(&tokenRow{})
		if used.Error != nil {
			return t, problem("use invitation", used.Error)
		}
		if used.RowsAffected == 0 {
			return t, models.Errorf(models.Unauthorized, "the invitation is used up")
		}
	}
	known, err := tx.Tokens(t.UserID)
	switch {
	case err != nil:
		return t, err
	case len(known) >= maxTokens:
		return t, models.Errorf(models.Conflict, "there are %d tokens already: revoke one first", maxTokens)
	case slices.ContainsFunc(known, func(k models.Token) bool { return k.Name == t.Name }):
		return t, &models.Error{Kind: models.Conflict, Field: "/name", Message: "is the name of another token"}
	}
	row := newTokenRow(t)
	row.CreatedAt = tx.now
	return row.model(), tx.createToken(row)
}

// RevokeToken deletes a token of a user: it is invalid at once. NotFound: the user has no such token.
func (tx *Tx) RevokeToken(user, id uuid.UUID) error {
	gone := tx.db.Where("user_id = ? and id = ?", user, id).Delete(&tokenRow{})
	if gone.Error == nil && gone.RowsAffected == 0 {
		return models.Errorf(models.NotFound, "token not found")
	}
	return problem("revoke token", gone.Error)
}

func (tx *Tx) serviceTokens() *gorm.DB {
	return tx.db.Table("service_tokens").Where("client_id is not distinct from ?", orNoClient(tx.client))
}

// ServiceTokens lists the service tokens of the transaction's client, or of the SOC, that are not revoked, the newest
// first.
func (tx *Tx) ServiceTokens() ([]models.ServiceToken, error) {
	var rows []serviceTokenRow
	err := tx.serviceTokens().Omit("hash").Where("revoked_at is null").Order("created_at desc, id").Find(&rows).Error
	return each(rows, serviceTokenRow.model), problem("list service tokens", err)
}

// AddServiceToken adds a service token of the transaction's client, or of the SOC; it chooses the id. Conflict: one of
// this name exists, or as many as there may be.
func (tx *Tx) AddServiceToken(t models.ServiceToken) (models.ServiceToken, error) {
	if err := tx.lockUsers(); err != nil {
		return t, err
	}
	known, err := tx.ServiceTokens()
	switch {
	case err != nil:
		return t, err
	case len(known) >= maxTokens:
		return t, models.Errorf(models.Conflict, "there are %d service tokens already: revoke one first", maxTokens)
	case slices.ContainsFunc(known, func(k models.ServiceToken) bool { return k.Name == t.Name }):
		return t, &models.Error{Kind: models.Conflict, Field: "/name", Message: "is the name of another service token"}
	}
	t.ID, t.ClientID, t.CreatedAt = uuid.New(), tx.client, tx.now
	row := serviceTokenRow{
		ClientID: orNoClient(t.ClientID), ID: t.ID, Name: t.Name, Prefix: t.Prefix, Hash: t.Hash, Operations: document[[]string]{t.Operations},
		CreatedBy: t.CreatedBy, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt,
	}
	return t, problem("create service token", tx.db.Create(&row).Error)
}

// RevokeServiceToken makes a service token of the transaction's client, or of the SOC, invalid at once. NotFound: there is
// none with this id that is not revoked.
func (tx *Tx) RevokeServiceToken(id uuid.UUID) error {
	gone := tx.serviceTokens().Where("id = ? and revoked_at is null", id).UpdateColumn("revoked_at", tx.now)
	if gone.Error == nil && gone.RowsAffected == 0 {
		return models.Errorf(models.NotFound, "service token not found")
	}
	return problem("revoke service token", gone.Error)
}
