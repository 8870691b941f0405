package store

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm/clause"
)

// maxDetail is how many characters of a vendor's text are kept.
const maxDetail = 200

// The tags name the columns, for jsonb_populate_recordset.
type effectStateRow struct {
	ClientID   uuid.UUID `json:"client_id"`
	Vendor     string    `json:"vendor"`
	EventID    string    `json:"event_id"`
	Key        string    `json:"key"`
	State      string    `json:"state"`
	Rank       int       `json:"rank"`
	Detail     string    `json:"detail"`
	At         time.Time `json:"at"`
	ReceivedAt time.Time `json:"received_at"`
}

// TableName names the table.
func (effectStateRow) TableName() string { return "effect_states" }

// VendorReport is one word of a vendor on an effect.
type VendorReport struct {
	EventID  string    // the vendor's, for telling repeats; unique per vendor and client
	Effect   uuid.UUID // the effect's id
	State    string
	Rank     int       // a lower one is stale
	Sequence int       // the vendor's count: only a greater one is news; -1 when it does not count, then a greater rank is
	At       time.Time // when it happened; the zero time when the vendor does not say
	Detail   string    // untrusted
}

// isNewerThan reports whether the report moves an effect forward.
func (w VendorReport) isNewerThan(r *effectRow) bool {
	if w.Sequence < 0 {
		return w.Rank > r.VendorRank
	}
	return w.Sequence > r.VendorSequence && w.Rank >= r.VendorRank
}

// Advance records a vendor's reports in one go: it leaves out repeats, and moves each effect's last word forward, never
// back, as if each report came alone, in their order. It returns the effects whose last word changed, with their new
// state, in the order in which they first did. It ignores reports on effects that are not the client's. It takes three
// statements, however many reports there are, and batches that meet wait for each other.
func (tx *Tx) Advance(vendor string, reports []VendorReport, at time.Time) ([]LedgerRow, error) {
	if err := tx.needsClient(); err != nil {
		return nil, err
	}
	effects, err := tx.lockEffects(reports)
	if err != nil {
		return nil, err
	}
	fresh, err := tx.insertReports(vendor, reports, effects, at)
	if err != nil {
		return nil, err
	}
	var moved []*effectRow
	seen := map[uuid.UUID]bool{}
	for _, w := range fresh {
		row := effects[w.Effect]
		if !w.isNewerThan(row) {
			continue
		}
		row.VendorState, row.VendorRank, row.VendorSequence = short(w.State), w.Rank, max(row.VendorSequence, w.Sequence)
		row.UpdatedAt = at.Truncate(time.Microsecond)
		if !seen[row.ID] {
			seen[row.ID], moved = true, append(moved, row)
		}
	}
	return each(moved, func(r *effectRow) LedgerRow { return tx.ledgerRow(*r) }), tx.saveLastReports(moved)
}

// lockEffects reads the client's effects that reports are about, by their ids, and locks their rows: in one order, so
// that two batches never both wait for each other.
func (tx *Tx) lockEffects(reports []VendorReport) (map[uuid.UUID]*effectRow, error) {
	ids := make([]uuid.UUID, 0, len(reports))
	for _, w := range reports {
		ids = append(ids, w.Effect)
	}
	var rows []*effectRow
	err := tx.of("effects").Where("id in (select jsonb_array_elements_text(?::jsonb)::uuid)", document[[]uuid.UUID]{ids}).
		Order("key").Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Find(&rows).Error
	locked := make(map[uuid.UUID]*effectRow, len(rows))
	for _, row := range rows {
		locked[row.ID] = row
	}
	return locked, problem("lock effects", err)
}

// insertReports keeps the reports on effects and returns those that had not come before.
func (tx *Tx) insertReports(vendor string, reports []VendorReport, effects map[uuid.UUID]*effectRow, at time.Time) ([]VendorReport, error) {
	var rows []effectStateRow
	var about []VendorReport
	repeated := map[string]bool{} // until the database says that it is new
	for _, w := range reports {
		effect, ours := effects[w.Effect]
		if w.EventID = clean(w.EventID); !ours || repeated[w.EventID] {
			continue
		}
		repeated[w.EventID] = true
		about, rows = append(about, w), append(rows, effectStateRow{
			ClientID: tx.client, Vendor: vendor, EventID: w.EventID, Key: effect.Key, State: short(w.State),
			Rank: w.Rank, Detail: short(w.Detail), At: *cmp.Or(orNull(w.At), &at), ReceivedAt: at,
		})
	}
	if len(rows) == 0 {
		return nil, nil
	}
	var ids []string
	err := tx.db.Raw(`insert into effect_states select * from jsonb_populate_recordset(null::effect_states, ?::jsonb)
		order by event_id on conflict (client_id, vendor, event_id) do nothing returning event_id`,
		document[[]effectStateRow]{rows}).Scan(&ids).Error
	for _, id := range ids {
		delete(repeated, id)
	}
	return slices.DeleteFunc(about, func(w VendorReport) bool { return repeated[w.EventID] }), problem("keep reports of vendor", err)
}

// saveLastReports writes the last words of effects whose rows are locked.
func (tx *Tx) saveLastReports(moved []*effectRow) error {
	if len(moved) == 0 {
		return nil
	}
	type lastWord struct {
		Key       string    `json:"key"`
		State     string    `json:"vendor_state"`
		Rank      int       `json:"vendor_rank"`
		Sequence  int       `json:"vendor_sequence"`
		UpdatedAt time.Time `json:"updated_at"`
	}
	last := each(moved, func(r *effectRow) lastWord {
		return lastWord{r.Key, r.VendorState, r.VendorRank, r.VendorSequence, r.UpdatedAt}
	})
	err := tx.db.Exec(`update effects set vendor_state = w.vendor_state, vendor_rank = w.vendor_rank,
			vendor_sequence = w.vendor_sequence, updated_at = w.updated_at
		from jsonb_populate_recordset(null::effects, ?::jsonb) w
		where effects.client_id = ? and effects.key = w.key`, document[[]lastWord]{last}, tx.client).Error
	return problem("save last reports of vendor", err)
}

// short makes a vendor's text storable: clean and at most 200 characters.
func short(s string) string {
	r := []rune(clean(s))
	return string(r[:min(len(r), maxDetail)])
}
