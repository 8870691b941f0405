package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"

	"github.com/watchfire-mdr/watchfire/models"
)

// Limit is how often something may be asked for: AtOnce times, and then once in each Every. A share that was not used
// for a while is there again, up to AtOnce.
type Limit struct {
	Scope  string // what is limited
	Key    string // whose share it is, made of ids
	AtOnce int
	Every  time.Duration
	Words  string // to whom it is too much, and of what; a sentence for a person
}

// useLimits uses one of each limit's share, and a limit comes back that had one left. The row of one that had none is
// locked all the same, and unchanged. used_to moves by one Every for each use, and may be AtOnce of them ahead of now.
const useLimits = `insert into limits as l (scope, key, used_to)
	select scope, key, now() + every * interval '1 microsecond'
		from unnest($1::text[], $2::text[], $3::bigint[]) with ordinality a (scope, key, every, n) order by n
	on conflict (scope, key) do update set used_to = greatest(l.used_to, now()) + (excluded.used_to - now())
	where l.used_to <= now() + (excluded.used_to - now()) * (select most - 1 from unnest($1::text[], $2::text[], $4::bigint[]) a (scope, key, most)
		where a.scope = l.scope and a.key = l.key)
	returning scope, key`

const limitLeft = `select used_to - now() from limits where scope = $1 and key = $2`

// Use uses one of each limit's share, in a transaction of its own, or nothing of any. TooMany when one has none left,
// with the time after which all of them have one again if nobody else asks.
func (s *Store) Use(ctx context.Context, limits ...Limit) error {
	return problem("use limits", s.useAfter(ctx, func(b *pgx.Batch) {
		b.Queue(takeRole, roleSettings(logins.role(), uuid.Nil, false)...)
		s.holdUser(b)
	}, func() (bool, error) { return true, nil }, limits))
}

// useAfter does what Use does in a transaction that begins with what first queues: the role, and what is to be read
// before. It keeps what it used when wanted says so after that.
func (s *Store) useAfter(ctx context.Context, first func(*pgx.Batch), wanted func() (bool, error), limits []Limit) error {
	limits = slices.SortedFunc(slices.Values(limits), func(a, b Limit) int { // so that two never wait for each other
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Key, b.Key))
	})
	var scopes, keys []string
	var every, most []int64
	for _, l := range limits {
		scopes, keys, every, most = append(scopes, l.Scope), append(keys, l.Key), append(every, l.Every.Microseconds()), append(most, int64(l.AtOnce))
	}
	spent := limits
	conn, err := s.start(ctx, func(c *sql.Conn) error {
		return onWire(c, func(wire *pgx.Conn) error {
			var batch pgx.Batch
			batch.Queue("begin")
			first(&batch)
			batch.Queue(takeRole, roleSettings(logins.role(), uuid.Nil, false)...)
			batch.Queue(useLimits, scopes, keys, every, most).Query(func(rows pgx.Rows) error {
				spent = slices.Clone(limits)
				var scope, key string
				_, err := pgx.ForEachRow(rows, []any{&scope, &key}, func() error {
					spent = slices.DeleteFunc(spent, func(l Limit) bool { return l.Scope == scope && l.Key == key })
					return nil
				})
				return err
			})
			return wire.SendBatch(ctx, &batch).Close()
		})
	})
	if err != nil {
		return err
	}
	committed := false
	defer func() { release(conn, committed) }()
	if is, err := wanted(); !is || err != nil {
		return err
	}
	if len(spent) > 0 {
		return tooMany(ctx, conn, spent)
	}
	err = commit(ctx, conn)
	committed = err == nil
	return err
}

// DropFullLimits drops what is known of shares that are whole again, which is as if nobody had used them.
func (s *Store) DropFullLimits(ctx context.Context) error {
	return s.within(ctx, logins.role(), uuid.Nil, false, func(db *gorm.DB, _ time.Time) error {
		return problem("drop limits", db.Exec("delete from limits where used_to < now()").Error)
	})
}

// tooMany returns the error for limits without a share left, whose rows the transaction holds.
func tooMany(ctx context.Context, conn *sql.Conn, spent []Limit) error {
	refused := &models.Error{Kind: models.TooMany}
	err := onWire(conn, func(wire *pgx.Conn) error {
		for _, l := range spent {
			var ahead time.Duration
			if err := wire.QueryRow(ctx, limitLeft, l.Scope, l.Key).Scan(&ahead); err != nil {
				return err
			}
			if wait := ahead - time.Duration(l.AtOnce-1)*l.Every; wait > refused.RetryAfter {
				refused.RetryAfter, refused.Message = wait, l.Words
			}
		}
		return nil
	})
	if err != nil {
		return problem("read limits", err)
	}
	return refused
}
