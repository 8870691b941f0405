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
	ID        uuid.UUID
	Name      string
	Arg       json.RawMessage
	Workflows []string      // the first one that has not ended takes it
	Age       time.Duration // since it was kept
}

// KeepFact keeps a fact until it was told to one of some workflows. The engine not answering must not lose it.
func (s *Store) KeepFact(ctx context.Context, name string, arg any, workflows ...string) error {
	return s.operate(ctx, "keep fact", func(db *gorm.DB) error {
		return db.Exec("insert into kept_facts (id, name, workflows, arg, kept_at) values (?, ?, ?, ?, clock_timestamp())",
			uuid.New(), name, document[[]string]{workflows}, document[any]{arg}).Error
	})
}

// KeptFacts lists facts that were kept and not told yet, the oldest first. At most 200.
func (s *Store) KeptFacts(ctx context.Context) ([]KeptFact, error) {
	var rows []struct {
		ID        uuid.UUID
		Name      string
		Arg       document[json.RawMessage]
		Workflows document[[]string]
		Age       float64 // seconds
	}
	err := s.operate(ctx, "list kept facts", func(db *gorm.DB) error {
		return db.Raw(`select id, name, arg, workflows, extract(epoch from now() - kept_at)::float8 as age
			from kept_facts where told_at is null order by kept_at limit ?`, factsAtOnce).Scan(&rows).Error
	})
	list := make([]KeptFact, 0, len(rows))
	for _, r := range rows {
		list = append(list, KeptFact{ID: r.ID, Name: r.Name, Arg: r.Arg.V, Workflows: r.Workflows.V, Age: seconds(r.Age)})
	}
	return list, err
}

// NoteTold says that a kept fact was told, or that no workflow can take it any more.
func (s *Store) NoteTold(ctx context.Context, id uuid.UUID) error {
	return s.operate(ctx, "note a told fact", func(db *gorm.DB) error {
		return db.Exec("update kept_facts set told_at = now() where id = ?", id).Error
	})
}
