package desk

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// maxRefusals is how many callers are told apart between two writes. The others are counted as one.
const maxRefusals = 100

// Refusals counts refused requests in memory, so that whoever is refused costs the database one row a minute at most.
type Refusals struct {
	mu     sync.Mutex
	counts map[models.Refusal]int
}

// Note counts a refused request. Its Minute is the time of it.
func (r *Refusals) Note(one models.Refusal) {
	one.Minute = one.Minute.UTC().Truncate(time.Minute)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[models.Refusal]int{}
	}
	if _, known := r.counts[one]; !known && len(r.counts) >= maxRefusals {
		one = models.Refusal{Minute: one.Minute, Status: one.Status, Source: "others"}
	}
	r.counts[one]++
}

// drain returns what was counted since the last call.
func (r *Refusals) drain() []models.Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]models.Refusal, 0, len(r.counts))
	for one, count := range r.counts {
		one.Count = count
		list = append(list, one)
	}
	r.counts = nil
	return list
}

// NoteRefusal counts a request that was refused with 401 or 403.
func (d *Desk) NoteRefusal(r models.Refusal) { d.refusals.Note(r) }

// WriteRefusals writes what NoteRefusal counted. When the database does not take it, it is lost but for the log.
func (d *Desk) WriteRefusals(ctx context.Context) {
	list := d.refusals.drain()
	if err := d.store.NoteRefusals(ctx, list); err != nil {
		d.log.ErrorContext(ctx, "refusals were not kept", "callers", len(list), "error", err.Error())
	}
}

// RefusedRequests lists the refused requests, by the minute, the newest first. For the SOC.
func (d *Desk) RefusedRequests(ctx context.Context, u models.User, p PageRequest) (Page[models.Refusal], error) {
	if err := allowEveryClient("list-refusals", u); err != nil {
		return Page[models.Refusal]{}, err
	}
	return readPage(d.store.By(u).InLogins(ctx, uuid.Nil), p, (*store.Tx).Refusals,
		func(r models.Refusal) string { return store.Cursor{At: r.Minute, ID: r.ID.String()}.String() })
}

// SOCAuditLog lists the changes of the SOC's users and tokens, the newest first. For the SOC.
func (d *Desk) SOCAuditLog(ctx context.Context, u models.User, p PageRequest) (Page[models.AuditEntry], error) {
	if err := allowEveryClient("list-soc-audit-log", u); err != nil {
		return Page[models.AuditEntry]{}, err
	}
	return readPage(d.store.By(u).InLogins(ctx, uuid.Nil), p, (*store.Tx).SOCAuditLog,
		func(e models.AuditEntry) string { return store.Cursor{At: e.At, ID: e.ID.String()}.String() })
}
