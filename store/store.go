// Package store keeps Watchfire's data in PostgreSQL: clients and their users, alerts, the event log of
// incidents with the read tables that follow from it, the clients' decisions, and the ledger of external
// effects.
//
// All SQL lives here, and no other room imports gorm. The rules of what is legal live in models. The database
// holds tenancy: every statement for a client runs in a transaction that has taken a role for its audience and
// named its client, and row level security lets it see and write nothing else.
// Errors for people are models.Error; no error text holds SQL, addresses or values.
package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/watchfire-mdr/watchfire/models"
)

const (
	defaultConns = 20
	connIdle     = 5 * time.Minute
	// abandoned is the idle time after which the server ends a transaction whose process has stopped asking.
	abandoned = time.Minute
)

// Options tune a Store.
type Options struct {
	MaxConns int   // connections to the database at most; 0 means 20
	Login    Login // the one that the address must hold; "" means the operator's
	Codes    Codes // nil: codes follow from the database alone, and there is no caller code
}

// Store is a connection pool to Watchfire's database under the application's login. Its methods may be used
// from several goroutines. ForClient and ForSOC are the ways to a client's data.
type Store struct {
	db         *gorm.DB
	pool       *sql.DB
	login      Login
	codes      Codes
	statements *statements
	by         models.User // see By; the zero User: Watchfire itself
}

// By returns the store as a user may use it. Each transaction begins with a look at the user's own row: it is refused as
// Unauthorized once the user is disabled, or has another role, and the SOC's role sees the clients of the user's reach
// alone. A machine is held to its service token in the same way.
func (s *Store) By(u models.User) *Store {
	acting := *s
	acting.by = u
	return &acting
}

// Open connects under a login made by EnsureLogin. It is an error when row level security would not hold the login: a
// superuser, one with BYPASSRLS, or one that may act as the tables' owner. It is one, too, when the login may become an
// audience that o.Login has no use for.
func Open(ctx context.Context, databaseURL string, o Options) (*Store, error) {
	config, err := parse(databaseURL)
	if err != nil {
		return nil, err
	}
	s := &Store{login: cmp.Or(o.Login, LoginOperator), codes: o.Codes, statements: &statements{}}
	config.Tracer = s.statements
	config.RuntimeParams["idle_in_transaction_session_timeout"] = fmt.Sprint(abandoned.Milliseconds())
	s.pool = stdlib.OpenDB(*config)
	limit := o.MaxConns
	if limit <= 0 {
		limit = defaultConns
	}
	s.pool.SetMaxOpenConns(limit)
	s.pool.SetMaxIdleConns(limit)
	s.pool.SetConnMaxIdleTime(connIdle)
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), s.pool.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	if err := checkLoginIsBound(ctx, s.pool); err != nil {
		return err
	}
	if err := s.checkLoginIsNarrow(ctx); err != nil {
		return err
	}
	var err error
	s.db, err = gorm.Open(postgres.New(postgres.Config{Conn: s.pool}), &gorm.Config{
		SkipDefaultTransaction: true, // every statement already runs in one
		Logger:                 logger.Discard,
		QueryFields:            true, // names columns, because roles may read columns and not tables
		DisableAutomaticPing:   true,
	})
	return err
}

// parse reads a connection string. Its errors do not repeat it: it holds a password.
func parse(databaseURL string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, errors.New("the database's address is not a PostgreSQL connection string")
	}
	config.RuntimeParams["application_name"] = "watchfire"
	config.RuntimeParams["timezone"] = "UTC"
	return config, nil
}

// checkLoginIsBound returns an error for a login that could read past row level security.
func checkLoginIsBound(ctx context.Context, pool *sql.DB) error {
	var unbound, owner bool
	err := pool.QueryRowContext(ctx, `select r.rolsuper or r.rolbypassrls,
		exists (select from pg_class c where c.relnamespace = 'public'::regnamespace and c.relname = 'incidents'
			and pg_has_role(c.relowner, 'member'))
		from pg_roles r where r.rolname = session_user`).Scan(&unbound, &owner)
	switch {
	case err != nil:
		return problem("check login", err)
	case unbound:
		return errors.New("the login is a superuser or bypasses row level security: use the application's own login")
	case owner:
		return errors.New("the login owns the tables: use the application's own login")
	}
	return nil
}

// Close ends all connections.
func (s *Store) Close() error { return s.pool.Close() }

// Ping reports whether the database answers, as Unavailable when it does not.
func (s *Store) Ping(ctx context.Context) error {
	return problem("ping database", s.pool.PingContext(ctx))
}

// Statements returns how many SQL statements the store has run so far, begin and commit among them.
func (s *Store) Statements() int64 { return s.statements.Load() }
