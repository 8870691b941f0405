package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
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

// Query is a query as it ran, and how many rows it found.
type Query struct {
	SQL  string
	Rows int64
}

type recorder struct {
	logger.Interface
	queries []Query
}

// Trace keeps a query.
func (r *recorder) Trace(_ context.Context, _ time.Time, ran func() (string, int64), _ error) {
	sql, rows := ran()
	r.queries = append(r.queries, Query{sql, rows})
}

// Watched runs fn in the transaction and returns the queries that it made.
func (tx *Tx) Watched(fn func(*Tx) error) ([]Query, error) {
	r := &recorder{Interface: logger.Discard}
	watched := *tx
	watched.db = tx.db.Session(&gorm.Session{Logger: r})
	err := fn(&watched)
	return r.queries, err
}

// As runs fn as any role with any client, or none.
func (s *Store) As(ctx context.Context, role string, client uuid.UUID, fn func(*Tx) error) error {
	return s.within(ctx, role, client, false, func(db *gorm.DB, now time.Time) error { return fn(&Tx{db: db, client: client, now: now}) })
}

// Pooled returns the settings of a pooled connection outside of any transaction.
func (s *Store) Pooled(ctx context.Context) (role, client string, err error) {
	err = s.pool.QueryRowContext(ctx, "select current_user, coalesce(current_setting('app.client_id', true), '')").Scan(&role, &client)
	return role, client, err
}

// Rows returns an empty value of every row struct.
func Rows() []any {
	return []any{
		&clientRow{}, &contactRow{}, &contactChangeRow{}, &approverRow{}, &wrongPINRow{}, &tokenRow{}, &alertRow{}, &payloadRow{}, &receiptRow{},
		&incidentRow{}, &eventRow{}, &revisionRow{}, &decisionRow{}, &markRow{}, &statementRow{}, &effectRow{}, &effectStateRow{}, &codeRow{}, &checkRow{}, &authorityRow{},
		&edrCredentialsRow{}, &switchRow{}, &passRow{}, &checkpointRow{}, &auditRow{}, &commandRow{}, &invitedRow{}, &reachRow{}, &serviceTokenRow{}, &socAuditRow{}, &refusalRow{}, &alarmRow{}, &processRow{}, &leaseRow{}, &factRow{},
		&limitRow{},
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

// limitRow is what Use reads and writes in SQL of its own.
type limitRow struct {
	Scope  string
	Key    string
	UsedTo time.Time
}

// TableName names the table.
func (limitRow) TableName() string { return "limits" }

// invitedRow is an account with what is read and written of its invitation by SQL alone.
type invitedRow struct {
	Account    accountRow `gorm:"embedded"`
	AcceptedAt *time.Time
	InvitedBy  uuid.NullUUID
}

// TableName names the table.
func (invitedRow) TableName() string { return "users" }
