package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

type revisionRow struct {
	ClientID    uuid.UUID
	Incident    models.Reference
	Number      int
	PublishedAt time.Time
	Body        verbatim
}

// TableName names the table.
func (revisionRow) TableName() string { return "report_revisions" }

func (r revisionRow) model() (incident.Revision, error) {
	var v incident.Revision
	if err := json.Unmarshal([]byte(r.Body), &v); err != nil {
		return v, fmt.Errorf("revision %d of %s cannot be read: %w", r.Number, r.Incident, err)
	}
	return v, nil
}

// saveRevisions keeps revisions; Record calls it for the events that publish them.
func (tx *Tx) saveRevisions(revisions []incident.Revision) error {
	for _, v := range revisions {
		body, err := encode(v)
		if err != nil {
			return fmt.Errorf("revision %d: %w", v.Number, err)
		}
		row := revisionRow{ClientID: tx.client, Incident: v.Incident, Number: v.Number, PublishedAt: v.PublishedAt, Body: verbatim(body)}
		if err := tx.db.Create(&row).Error; err != nil {
			return problem("keep revision", err)
		}
	}
	return nil
}

// Revisions lists the revisions of an incident's report, the oldest first. It is empty also for an incident that
// does not exist or that the audience may not see.
func (tx *Tx) Revisions(r models.Reference) ([]incident.Revision, error) {
	var rows []revisionRow
	if err := tx.about("report_revisions", "incident", r).Select("incident", "number", "body").Order("number").Find(&rows).Error; err != nil {
		return nil, problem("list revisions", err)
	}
	revisions := make([]incident.Revision, 0, len(rows))
	for _, row := range rows {
		v, err := row.model()
		if err != nil {
			return nil, err
		}
		revisions = append(revisions, v)
	}
	return revisions, nil
}

// Revision returns the n-th revision of an incident's report. NotFound: there is none.
func (tx *Tx) Revision(r models.Reference, n int) (incident.Revision, error) {
	var row revisionRow
	if err := tx.about("report_revisions", "incident", r).Select("incident", "number", "body").Where("report_revisions.number = ?", n).Take(&row).Error; err != nil {
		return incident.Revision{}, notFound(problem("read revision", err), "revision")
	}
	return row.model()
}
