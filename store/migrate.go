package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"gorm.io/gorm"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	lockPeriod = 1   // seconds between tries for the migration lock
	lockTries  = 300 // before it gives up on another migrator
)

// Migrate brings the database's schema to the version of this program, as the owner of the database. It may run
// again and in several processes at once: one migrates, the others wait. A schema newer than this program knows is an
// error.
func Migrate(ctx context.Context, ownerURL string) error {
	db, err := openOwner(ownerURL)
	if err != nil {
		return err
	}
	defer db.Close()
	provider, err := migrator(db)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return problem("migrate", err)
	}
	current, target, err := provider.GetVersions(ctx)
	switch {
	case err != nil:
		return problem("migrate", err)
	case current > target:
		return fmt.Errorf("the database's schema is at version %d and this program knows %d: use the newer program", current, target)
	}
	return nil
}

// SchemaCurrent returns nil when the schema has the version of this program, else an error that says what to do.
func (s *Store) SchemaCurrent(ctx context.Context) error {
	want, err := schemaVersion()
	if err != nil {
		return err
	}
	var have int64
	err = s.within(ctx, s.login.own().role(), uuid.Nil, false, func(db *gorm.DB, _ time.Time) error {
		return problem("read schema version", db.Raw("select max(version_id) from goose_db_version where is_applied").Scan(&have).Error)
	})
	if err != nil {
		return err
	}
	if have != want {
		return fmt.Errorf("the database's schema is at version %d, this program needs %d: run watchfire migrate", have, want)
	}
	return nil
}

func openOwner(ownerURL string) (*sql.DB, error) {
	config, err := parse(ownerURL)
	if err != nil {
		return nil, err
	}
	return stdlib.OpenDB(*config), nil
}

func migrator(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	one, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(lockPeriod, lockTries))
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(one), goose.WithDisableGlobalRegistry(true))
}

// schemaVersion is the version of the newest migration this program has.
func schemaVersion() (int64, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(names) == 0 {
		return 0, errors.Join(errors.New("this program has no migrations"), err)
	}
	return goose.NumericComponent(names[len(names)-1])
}
