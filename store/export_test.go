package store

import (
	"context"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// Exec runs a statement as the transaction's audience.
func (tx *Tx) Exec(sql string, args ...any) error {
	return problem("test statement", tx.db.Exec(sql, args...).Error)
}

// Texts returns the first column of a query, run as the transaction's audience.
func (tx *Tx) Texts(sql string, args ...any) ([]string, error) {
	var out []string
	err := tx.db.Raw(sql, args...).Scan(&out).Error
	return out, problem("test query", err)
}

// As runs fn as any role with any client, or none.
func (s *Store) As(ctx context.Context, role string, client uuid.UUID, fn func(*Tx) error) error {
	return s.within(ctx, role, client, false, func(db *gorm.DB) error { return fn(&Tx{db: db, client: client}) })
}

// Pooled returns the settings of a pooled connection outside of any transaction.
func (s *Store) Pooled(ctx context.Context) (role, client string, err error) {
	err = s.pool.QueryRowContext(ctx, "select current_user, coalesce(current_setting('app.client_id', true), '')").Scan(&role, &client)
	return role, client, err
}

// Rows returns an empty value of every row struct.
func Rows() []any {
	return []any{
		&clientRow{}, &contactRow{}, &userRow{}, &tokenRow{}, &alertRow{}, &payloadRow{}, &receiptRow{},
		&incidentRow{}, &eventRow{}, &revisionRow{}, &decisionRow{}, &effectRow{}, &effectStateRow{}, &codeRow{}, &authorityRow{}, &switchRow{}, &passRow{}, switchRow{}, passRow{},
		&edrCredentialsRow{},
	}
}

// MigrateTo is Migrate up to a version.
func MigrateTo(ctx context.Context, ownerURL string, version int64) error {
	db, err := openOwner(ownerURL)
	if err != nil {
		return err
	}
	defer db.Close()
	provider, err := migrator(db)
	if err != nil {
		return err
	}
	_, err = provider.UpTo(ctx, version)
	return err
}
