package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
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

// useLimit uses one of a limit's share, and no row comes back when there is none left. Then the row is locked all the
// same, and unchanged. used_to moves by one Every for each use, and may be AtOnce of them ahead of now.
const useLimit = `insert into limits as l (scope, key, used_to) values ($1, $2, now() + $3 * interval '1 microsecond')
	on conflict (scope, key) do update set used_to = greatest(l.used_to, now()) + $3 * interval '1 microsecond'
	where l.used_to <= now() + ($4 - 1) * $3 * interval '1 microsecond'`

const limitLeft = `select used_to - now() from limits where scope = $1 and key = $2`

// Use uses one of each limit's share, in a transaction of its own, or nothing of any. TooMany when one has none left,
// with the time after which all of them have one again if nobody else asks.
func (s *Store) Use(ctx context.Context, limits ...Limit) error {
	limits = slices.SortedFunc(slices.Values(limits), func(a, b Limit) int { // so that two never wait for each other
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Key, b.Key))
	})
	var spent []Limit
	conn, err := s.start(ctx, func(c *sql.Conn) error {
		spent = nil
		return onWire(c, func(wire *pgx.Conn) error {
			var batch pgx.Batch
			batch.Queue("begin")
			batch.Queue(takeRole, roleSettings(logins.role(), uuid.Nil, false)...)
			s.holdUser(&batch)
			for _, l := range limits {
				batch.Queue(useLimit, l.Scope, l.Key, l.Every.Microseconds(), l.AtOnce).Exec(func(tag pgconn.CommandTag) error {
					if tag.RowsAffected() == 0 {
						spent = append(spent, l)
					}
					return nil
				})
			}
			return wire.SendBatch(ctx, &batch).Close()
		})
	})
	if err != nil {
		return problem("use limits", err)
	}
	committed := false
	defer func() { release(conn, committed) }()
	if len(spent) > 0 {
		return tooMany(ctx, conn, spent)
	}
	err = commit(ctx, conn)
	committed = err == nil
	return problem("use limits", err)
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
