package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/gorm"

	"github.com/watchfire-mdr/watchfire/models"
)

// Audience is for whom a transaction runs: each is a role of the database with the least rights it needs.
type Audience string

// The audiences. The SOC opens incidents and takes alerts, the portal shows published incidents and takes the
// client's decisions, workers record events and effects, hooks take what vendors report and contacts say.
const (
	SOC    Audience = "soc"
	Portal Audience = "portal"
	Worker Audience = "worker"
	Hooks  Audience = "hooks"
	// logins manages users and tokens, see ForLogins.
	logins Audience = "auth"
)

const (
	// rollbackPatience bounds a rollback, which goes on when its transaction's context has ended.
	rollbackPatience = 5 * time.Second
)

func (a Audience) role() string { return "watchfire_" + string(a) }

// Tx is a transaction of one audience for one client, or for the SOC over all clients. It is valid inside the
// function it was handed to, in that goroutine.
type Tx struct {
	db       *gorm.DB
	audience Audience
	client   uuid.UUID // the zero UUID: every client
	now      time.Time
	codes    Codes
}

// Now is the moment at which the transaction began, by the database's clock: the one clock of everything that several
// processes write down and compare, whose own clocks may differ by hours.
func (tx *Tx) Now() time.Time { return tx.now }

// ForClient runs fn in one transaction that sees and writes the rows of one client, with the rights of an
// audience. It commits when fn returns nil and rolls back when fn returns an error, which is returned as it is,
// or panics. A failed statement ends the transaction: fn must return its error.
func (s *Store) ForClient(ctx context.Context, as Audience, client uuid.UUID, fn func(*Tx) error) error {
	if client == uuid.Nil {
		return errors.New("transaction for a client without its id")
	}
	return s.within(ctx, as.role(), client, false, func(db *gorm.DB, now time.Time) error {
		return fn(&Tx{db: db, audience: as, client: client, now: now, codes: s.codes})
	})
}

// ForSOC runs fn in one transaction of the SOC that sees the rows of every client and writes none.
func (s *Store) ForSOC(ctx context.Context, fn func(*Tx) error) error {
	return s.within(ctx, SOC.role(), uuid.Nil, true, func(db *gorm.DB, now time.Time) error {
		return fn(&Tx{db: db, audience: SOC, now: now, codes: s.codes})
	})
}

// ForLogins runs fn in one transaction that manages the users and tokens of one client, or of the SOC for the zero UUID.
func (s *Store) ForLogins(ctx context.Context, client uuid.UUID, fn func(*Tx) error) error {
	return s.within(ctx, logins.role(), client, false, func(db *gorm.DB, now time.Time) error {
		return fn(&Tx{db: db, audience: logins, client: client, now: now})
	})
}

type readOnlyKey struct{}

// ReadOnly returns a context whose transactions only read: the database refuses whatever would change a row.
func ReadOnly(ctx context.Context) context.Context {
	return context.WithValue(ctx, readOnlyKey{}, true)
}

// Scope runs a function in one transaction, as ForClient and ForSOC do, for an audience and clients that are settled.
// Each call is a transaction of its own.
type Scope func(func(*Tx) error) error

// InClient is the scope of ForClient.
func (s *Store) InClient(ctx context.Context, as Audience, client uuid.UUID) Scope {
	return func(fn func(*Tx) error) error { return s.ForClient(ctx, as, client, fn) }
}

// InEveryClient is the scope of ForSOC.
func (s *Store) InEveryClient(ctx context.Context) Scope {
	return func(fn func(*Tx) error) error { return s.ForSOC(ctx, fn) }
}

// InLogins is the scope of ForLogins.
func (s *Store) InLogins(ctx context.Context, client uuid.UUID) Scope {
	return func(fn func(*Tx) error) error { return s.ForLogins(ctx, client, fn) }
}

// Run runs fn in one transaction of a scope. It returns the result of fn beside an error, too.
func Run[T any](in Scope, fn func(*Tx) (T, error)) (T, error) {
	var result T
	err := in(func(tx *Tx) (err error) {
		result, err = fn(tx)
		return err
	})
	return result, err
}

// within is the one way into a transaction: begin, take the role, name the client. It commits when fn returns nil;
// anything else, a panic too, rolls back.
func (s *Store) within(ctx context.Context, role string, client uuid.UUID, every bool, fn func(db *gorm.DB, now time.Time) error) error {
	var now time.Time
	conn, err := s.start(ctx, func(c *sql.Conn) (err error) {
		now, err = s.begin(ctx, c, roleSettings(role, client, every))
		return err
	})
	if err != nil {
		return problem("begin", err)
	}
	committed := false
	defer func() { release(conn, committed) }()
	db := s.db.Session(&gorm.Session{NewDB: true, Context: ctx})
	db.Statement.ConnPool = conn
	if err := fn(db, now); err != nil {
		return err
	}
	err = commit(ctx, conn)
	committed = err == nil
	return problem("commit", err)
}

// start takes a connection from the pool and makes the first request on it, which may be made twice: when the
// connection turns out to be broken, as all are after the server was restarted, it is dropped and another one tried.
func (s *Store) start(ctx context.Context, first func(*sql.Conn) error) (*sql.Conn, error) {
	const tries = 10
	for n := 1; ; n++ {
		conn, err := s.pool.Conn(ctx)
		broken := errors.Is(err, driver.ErrBadConn) // the pool, too, may run out of sound ones
		if err == nil {
			if err = first(conn); err == nil {
				return conn, nil
			}
			release(conn, false)
			broken = models.KindOf(translate(err)) == models.Unavailable
		}
		if n == tries || !broken || ctx.Err() != nil {
			return nil, err
		}
	}
}

// release ends what is left of a transaction and gives the connection back, or drops it when that fails.
func release(conn *sql.Conn, committed bool) {
	if !committed {
		ctx, cancel := context.WithTimeout(context.Background(), rollbackPatience)
		defer cancel()
		_ = onWire(conn, func(c *pgx.Conn) error {
			if _, err := c.Exec(ctx, "rollback"); err != nil {
				return driver.ErrBadConn // the pool drops the connection, and the server the transaction
			}
			return nil
		})
	}
	_ = conn.Close() // fails when the pool has dropped it already
}

// send runs a batch that may run twice, such as one that only reads, in one round trip: a batch without begin is a transaction of its own. Its first
// statement must take the role. fill queues the statements, for every connection that is tried.
func (s *Store) send(ctx context.Context, fill func(*pgx.Batch)) error {
	conn, err := s.start(ctx, func(c *sql.Conn) error {
		var batch pgx.Batch
		fill(&batch)
		return onWire(c, func(wire *pgx.Conn) error { return wire.SendBatch(ctx, &batch).Close() })
	})
	if err == nil {
		release(conn, true)
	}
	return err
}

// begin opens the transaction, takes the role and reads the clock in one round trip.
func (s *Store) begin(ctx context.Context, conn *sql.Conn, settings []any) (now time.Time, err error) {
	err = onWire(conn, func(c *pgx.Conn) error {
		var batch pgx.Batch
		if ctx.Value(readOnlyKey{}) != nil {
			batch.Queue("begin read only")
		} else {
			batch.Queue("begin")
		}
		batch.Queue(takeRole, settings...).QueryRow(func(row pgx.Row) error { return row.Scan(nil, nil, nil, &now) })
		s.holdUser(&batch)
		return c.SendBatch(ctx, &batch).Close()
	})
	return now.UTC(), err
}

// commit fails also when a statement of the transaction had failed, which the server answers with a rollback.
func commit(ctx context.Context, conn *sql.Conn) error {
	return onWire(conn, func(c *pgx.Conn) error {
		tag, err := c.Exec(ctx, "commit")
		if err == nil && tag.String() != "COMMIT" {
			return pgx.ErrTxCommitRollback
		}
		return err
	})
}

// onWire runs fn on the driver's own connection.
func onWire(conn *sql.Conn, fn func(*pgx.Conn) error) error {
	return conn.Raw(func(wire any) error {
		c, ok := wire.(*stdlib.Conn)
		if !ok {
			return errors.New("the pool is not one of pgx")
		}
		return fn(c.Conn())
	})
}

// takeRole holds until the end of the transaction, however it ends.
const takeRole = `select set_config('role', $1, true), set_config('app.client_id', $2, true), set_config('app.every_client', $3, true), now()`

// The row of whoever the transaction is for, and the clients that they reach. Without such a row they have lost their
// right since they were authenticated.
const (
	holdUser = `select set_config('app.user_id', id::text, true), set_config('app.reach', case when limited then 'some' else 'all' end, true)
		from users where id = $1 and role = $2 and disabled_at is null`
	//nolint:gosec // it is no credential
	holdServiceToken = `select set_config('app.user_id', id::text, true), set_config('app.reach', 'all', true)
		from service_tokens where id = $1 and revoked_at is null and expires_at > now()`
)

// holdUser queues the look at the row of the user that the store acts for. The role is taken before it.
func (s *Store) holdUser(b *pgx.Batch) {
	if s.by.ID == uuid.Nil {
		return
	}
	sql, args := holdUser, []any{s.by.ID, s.by.Role}
	if s.by.Role == models.RoleService {
		sql, args = holdServiceToken, args[:1]
	}
	b.Queue(sql, args...).QueryRow(func(row pgx.Row) error {
		err := row.Scan(nil, nil)
		if errors.Is(err, pgx.ErrNoRows) {
			return models.Errorf(models.Unauthorized, "the user has lost this right")
		}
		return err
	})
}

func roleSettings(role string, client uuid.UUID, every bool) []any {
	id, all := "", "off"
	if client != uuid.Nil {
		id = client.String()
	}
	if every {
		all = "on"
	}
	return []any{role, id, all}
}

// overEveryClient runs fn, which only reads, with the sight of every client, for workers of what they look up there, else
// the SOC's, and takes the transaction's own role again. When fn fails the transaction is lost.
func (tx *Tx) overEveryClient(fn func(*gorm.DB) error) error {
	sees := SOC
	if tx.audience == Worker {
		sees = Worker
	}
	return tx.as(roleSettings(sees.role(), uuid.Nil, true), fn)
}

// asLogins runs fn with the role that manages tokens, about users that the transaction's own role has seen, and takes that
// again.
func (tx *Tx) asLogins(fn func(*gorm.DB) error) error {
	return tx.as(roleSettings(logins.role(), tx.client, false), fn)
}

func (tx *Tx) as(settings []any, fn func(*gorm.DB) error) error {
	become := func(settings []any) error {
		return tx.db.Exec("select set_config('role', ?, true), set_config('app.client_id', ?, true), set_config('app.every_client', ?, true)", settings...).Error
	}
	if err := become(settings); err != nil {
		return err
	}
	if err := fn(tx.db); err != nil {
		return err
	}
	return become(roleSettings(tx.audience.role(), tx.client, tx.client == uuid.Nil))
}

// asSOC runs fn with the SOC's rights on the transaction's own client, and takes the transaction's own role again. When
// fn fails the transaction is lost.
func (tx *Tx) asSOC(fn func() error) error {
	if tx.audience == SOC {
		return fn()
	}
	become := func(role string) error { return tx.db.Exec("select set_config('role', ?, true)", role).Error }
	if err := become(SOC.role()); err != nil {
		return err
	}
	if err := fn(); err != nil {
		return err
	}
	return become(tx.audience.role())
}

// of starts a query on a table. It names the client although row level security does, so that the indexes that
// begin with the client are used.
func (tx *Tx) of(table string) *gorm.DB {
	q := tx.db.Table(table)
	if tx.client != uuid.Nil {
		q = q.Where(table+".client_id = ?", tx.client)
	}
	return q
}

// about starts a query on the rows of an incident. The reference holds its client's number, so the indexes that
// begin with the client serve the SOC too.
func (tx *Tx) about(table, column string, r models.Reference) *gorm.DB {
	q := tx.of(table).Where(table+"."+column+" = ?", r)
	if tx.client == uuid.Nil {
		q = q.Where(table+".client_id = (select id from clients where number = ?)", r.ClientNumber())
	}
	return q
}

// needsClient returns Forbidden in a transaction over all clients.
func (tx *Tx) needsClient() error {
	if tx.client == uuid.Nil {
		return models.Errorf(models.Forbidden, "this is for one client: name it")
	}
	return nil
}
