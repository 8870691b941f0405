package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/watchfire-mdr/watchfire/models"
)

type refusalRow struct {
	ID        uuid.UUID `gorm:"default:gen_random_uuid()"`
	Minute    time.Time
	Status    int
	ByUser    uuid.UUID
	Source    string
	Prefix    string
	Operation string
	Count     int
}

// TableName names the table.
func (refusalRow) TableName() string { return "refusals" }

// NoteRefusals adds to the counts of refused requests.
func (s *Store) NoteRefusals(ctx context.Context, list []models.Refusal) error {
	if len(list) == 0 {
		return nil
	}
	rows := make([]refusalRow, 0, len(list))
	for _, r := range list {
		rows = append(rows, refusalRow{
			ID: uuid.New(), Minute: r.Minute, Status: r.Status, ByUser: r.By, Source: clean(r.Source), Prefix: clean(r.Prefix),
			Operation: r.Operation, Count: r.Count,
		})
	}
	return s.ForLogins(ctx, uuid.Nil, func(tx *Tx) error {
		return problem("note refusals", tx.db.Clauses(clause.OnConflict{
			Columns:   []clause.Column{{Name: "minute"}, {Name: "status"}, {Name: "by_user"}, {Name: "source"}, {Name: "prefix"}, {Name: "operation"}},
			DoUpdates: clause.Assignments(map[string]any{"count": gorm.Expr("refusals.count + excluded.count")}),
		}).Create(&rows).Error)
	})
}

// Refusals lists what NoteRefusals counted with the names of the callers, the newest first, from after the cursor
// {Minute, ID}. At most 1,000.
func (tx *Tx) Refusals(c Cursor, limit int) ([]models.Refusal, error) {
	if _, err := uuid.Parse(c.ID); err != nil && c != (Cursor{}) {
		return nil, models.InvalidField("/cursor", "is not a cursor of this list")
	}
	var rows []struct {
		Row  refusalRow `gorm:"embedded"`
		Name string
	}
	q := tx.db.Table("refusals").Select("refusals.*, coalesce(u.name, s.name, '') as name").
		Joins("left join users u on u.id = refusals.by_user").Joins("left join service_tokens s on s.id = refusals.by_user")
	if err := page(q, "refusals.minute", "refusals.id", c, limit).Find(&rows).Error; err != nil {
		return nil, problem("list refusals", err)
	}
	list := make([]models.Refusal, 0, len(rows))
	for _, r := range rows {
		list = append(list, models.Refusal{
			ID: r.Row.ID, Minute: r.Row.Minute.UTC(), Status: r.Row.Status, By: r.Row.ByUser, ByName: r.Name, Source: r.Row.Source, Prefix: r.Row.Prefix,
			Operation: r.Row.Operation, Count: r.Row.Count,
		})
	}
	return list, nil
}
