package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// factsAtOnce bounds the facts that one KeptFacts returns.
const factsAtOnce = 200

// KeptFact is a fact that the engine did not take when it was reported.
type KeptFact struct {
	ID       uuid.UUID
	Name     string
	Arg      json.RawMessage
	Workflow string        // the id of the one that takes it
	Missed   time.Duration // since the engine first said that it does not know the workflow; 0: it never did
}

type factRow struct {
	ID        uuid.UUID
	Name      string
	Workflows document[[]string] // the last one takes it; there was more than one once
	Arg       document[json.RawMessage]
	KeptAt    time.Time
	MissedAt  *time.Time
	ToldAt    *time.Time
}

// TableName names the table.
func (factRow) TableName() string { return "kept_facts" }

// KeepFact keeps a fact until it was told to a workflow. The engine not answering must not lose it.
func (s *Store) KeepFact(ctx context.Context, name string, arg any, workflow string) error {
	return s.operate(ctx, "keep fact", func(db *gorm.DB) error {
		return db.Exec("insert into kept_facts (id, name, workflows, arg, kept_at) values (?, ?, ?, ?, clock_timestamp())",
			uuid.New(), name, document[[]string]{[]string{workflow}}, document[any]{arg}).Error
	})
}

// KeptFacts lists facts that were kept and not told yet: those first whose workflow was not missed, the oldest first.
// At most 200.
func (s *Store) KeptFacts(ctx context.Context) ([]KeptFact, error) {
	var rows []factRow
	var now time.Time
	err := s.within(ctx, SOC.role(), uuid.Nil, false, func(db *gorm.DB, at time.Time) error {
		now = at
		return problem("list kept facts", db.Where("told_at is null").Order("missed_at nulls first, kept_at").Limit(factsAtOnce).Find(&rows).Error)
	})
	return each(rows, func(r factRow) KeptFact {
		f := KeptFact{ID: r.ID, Name: r.Name, Arg: r.Arg.V}
		if n := len(r.Workflows.V); n > 0 {
			f.Workflow = r.Workflows.V[n-1]
		}
		if r.MissedAt != nil {
			f.Missed = now.Sub(*r.MissedAt)
		}
		return f
	}), err
}

// NoteMissed says that the engine knows no workflow for a kept fact.
func (s *Store) NoteMissed(ctx context.Context, id uuid.UUID) error {
	return s.operate(ctx, "note a missed fact", func(db *gorm.DB) error {
		return db.Exec("update kept_facts set missed_at = now() where id = ? and missed_at is null", id).Error
	})
}

// NoteTold says that a kept fact was told, or that no workflow can take it any more.
func (s *Store) NoteTold(ctx context.Context, id uuid.UUID) error {
	return s.operate(ctx, "note a told fact", func(db *gorm.DB) error {
		return db.Exec("update kept_facts set told_at = now() where id = ?", id).Error
	})
}
