package store

import (
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm/clause"

	"github.com/watchfire-mdr/watchfire/models"
)

type switchRow struct {
	ClientID uuid.UUID
	Number   int
	Paused   bool
	Side     models.Side
	ByUser   uuid.UUID
	At       time.Time
	Reason   string
}

// TableName names the table.
func (switchRow) TableName() string { return "isolation_switches" }

func (r switchRow) model() models.IsolationSwitch {
	return models.IsolationSwitch{Paused: r.Paused, Side: r.Side, By: r.ByUser, At: r.At.UTC(), Reason: r.Reason}
}

type passRow struct {
	ClientID   uuid.UUID
	Incident   models.Reference
	Endpoint   string
	Generation int
	At         time.Time
}

// TableName names the table.
func (passRow) TableName() string { return "isolation_passes" }

// IsolationSwitch returns the isolation switch of the client as it stands; the zero value was never switched.
func (tx *Tx) IsolationSwitch() (models.IsolationSwitch, error) {
	row, err := tx.isolationSwitch()
	if row.Number == 0 {
		return models.IsolationSwitch{}, err
	}
	return row.model(), err
}

func (tx *Tx) isolationSwitch() (switchRow, error) {
	var rows []switchRow
	err := tx.of("isolation_switches").Order("number desc").Limit(1).Find(&rows).Error
	if err != nil || len(rows) == 0 {
		return switchRow{}, problem("read isolation switch", err)
	}
	return rows[0], nil
}

// SwitchIsolation pauses or resumes isolations of the client, and returns the switch as it stands now. A switch that
// stands so already does not change.
func (tx *Tx) SwitchIsolation(s models.IsolationSwitch) (models.IsolationSwitch, error) {
	if err := tx.lockIsolations(); err != nil {
		return models.IsolationSwitch{}, err
	}
	present, err := tx.isolationSwitch()
	switch {
	case err != nil:
		return models.IsolationSwitch{}, err
	case present.Paused == s.Paused && present.Number == 0:
		return models.IsolationSwitch{}, nil
	case present.Paused == s.Paused:
		return present.model(), nil
	}
	row := switchRow{
		ClientID: tx.client, Number: present.Number + 1, Paused: s.Paused, Side: s.Side, ByUser: s.By,
		At: s.At.Truncate(time.Microsecond), Reason: clean(s.Reason),
	}
	return row.model(), problem("switch isolation", tx.db.Create(&row).Error)
}

// PassIsolation lets an isolation pass unasked unless limit others passed or were planned since a moment, and reports
// whether it did. An isolation that passed once passes again.
func (tx *Tx) PassIsolation(r models.Reference, endpoint string, generation, limit int, since, now time.Time) (bool, error) {
	if err := tx.lockIsolations(); err != nil {
		return false, err
	}
	pass := passRow{ClientID: tx.client, Incident: r, Endpoint: endpoint, Generation: generation, At: now.Truncate(time.Microsecond)}
	var known []passRow
	err := tx.about("isolation_passes", "incident", r).Where("endpoint = ? and generation = ?", endpoint, generation).Limit(1).Find(&known).Error
	if err != nil || len(known) > 0 {
		return err == nil, problem("find isolation", err)
	}
	var recent int
	err = tx.db.Raw(`select count(*) from (
			select incident, endpoint, generation from isolation_passes where client_id = @client and at > @since
			union
			select incident, endpoint, revision from effects where client_id = @client and kind = 'isolate' and planned_at > @since
			limit @limit) latest`,
		map[string]any{"client": tx.client, "since": since, "limit": limit}).Scan(&recent).Error
	if err != nil || recent >= limit {
		return false, problem("count isolations", err)
	}
	return true, problem("pass isolation", tx.db.Clauses(clause.OnConflict{DoNothing: true}).Create(&pass).Error)
}

// lockIsolations lets transactions that decide on the client's isolations wait for each other.
func (tx *Tx) lockIsolations() error {
	if err := tx.needsClient(); err != nil {
		return err
	}
	return problem("wait for isolations", tx.db.Exec("select pg_advisory_xact_lock(hashtextextended(?, 0))", "isolations of "+tx.client.String()).Error)
}
