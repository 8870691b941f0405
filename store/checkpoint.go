package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// Checkpoint is our signature under an incident's event log as it was: of its last event and, by the chain of hashes, of
// every one before.
type Checkpoint struct {
	ClientID  uuid.UUID        `json:"client_id"`
	Incident  models.Reference `json:"incident"`
	Seq       int              `json:"seq"`
	Hash      []byte           `json:"hash"` // of event Seq
	At        time.Time        `json:"at"`
	Signature []byte           `json:"signature"`
}

// Message returns what is signed.
func (c Checkpoint) Message() []byte {
	return []byte(strings.Join([]string{
		"watchfire checkpoint", c.ClientID.String(), string(c.Incident), strconv.Itoa(c.Seq), hex.EncodeToString(c.Hash),
		c.At.UTC().Format(time.RFC3339Nano),
	}, "\n"))
}

type checkpointRow struct {
	ClientID  uuid.UUID
	Incident  models.Reference
	Seq       int
	Hash      []byte
	At        time.Time
	Signature []byte
}

// TableName names the table.
func (checkpointRow) TableName() string { return "checkpoints" }

func (r checkpointRow) model() Checkpoint {
	c := Checkpoint(r)
	c.At = c.At.UTC()
	return c
}

// UnsignedHeads lists the heads of event logs that are not where their last checkpoint is, without signatures, at most
// 1,000, from after an incident (zero values: the beginning). For workers.
func (s *Store) UnsignedHeads(ctx context.Context, after Checkpoint) (heads []Checkpoint, err error) {
	var rows []checkpointRow
	err = s.within(ctx, Worker.role(), uuid.Nil, true, func(db *gorm.DB, _ time.Time) error {
		return problem("list heads of event logs", db.Raw(`select client_id, reference as incident, seq, last_hash as hash, now() as at
			from incidents i where (client_id, reference) > (?, ?) and seq is distinct from (
				select max(c.seq) from checkpoints c where c.client_id = i.client_id and c.incident = i.reference)
			order by client_id, reference limit ?`, after.ClientID, after.Incident, maxPage).Scan(&rows).Error)
	})
	return each(rows, checkpointRow.model), err
}

// SaveCheckpoint keeps a checkpoint of the transaction's client. One that is known stays as it is.
func (tx *Tx) SaveCheckpoint(c Checkpoint) error {
	if err := tx.needsClient(); err != nil {
		return err
	}
	row := checkpointRow(c)
	row.ClientID = tx.client
	return problem("keep checkpoint", tx.db.Clauses(clause.OnConflict{DoNothing: true}).Create(&row).Error)
}

// Checkpoints lists the checkpoints of an incident, in the order of their events.
func (tx *Tx) Checkpoints(r models.Reference) ([]Checkpoint, error) {
	var rows []checkpointRow
	err := tx.about("checkpoints", "incident", r).Order("seq").Find(&rows).Error
	return each(rows, checkpointRow.model), problem("list checkpoints", err)
}

// References lists the references of the client's incidents after one ("": from the first), in their order, at most
// 1,000.
func (tx *Tx) References(after models.Reference) ([]models.Reference, error) {
	if err := tx.needsClient(); err != nil {
		return nil, err
	}
	var all []models.Reference
	err := tx.of("incidents").Where("reference > ?", after).Order("reference").Limit(maxPage).Pluck("reference", &all).Error
	return all, problem("list incidents", err)
}

// VerifyEvents checks that an incident's event log is whole: nothing changed, added or missing, and the incident's
// state follows from the events, and what is there is what checkpoints signed. The error names the first event that is
// wrong, or between which two it is, and IsAltered reports true for it. The caller has checked the signatures.
func (tx *Tx) VerifyEvents(r models.Reference, checkpoints ...Checkpoint) error {
	row, err := tx.incidentRow(r)
	if err != nil {
		return err
	}
	var replayed, published incident.Incident
	var last []byte
	marks := marksOf(checkpoints)
	for replayed.Seq != row.Seq {
		if replayed.Seq > row.Seq { // more was recorded meanwhile, or somebody added it
			if row, err = tx.incidentRow(r); err != nil {
				return err
			}
			if replayed.Seq >= row.Seq {
				break
			}
		}
		rows, err := tx.eventRows(r, replayed.Seq, maxPage)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return altered(fmt.Errorf("event %d of %s is missing", replayed.Seq+1, r))
		}
		for _, e := range rows {
			if err := cmp.Or(e.verify(&replayed, last), marks.verify(e)); err != nil {
				return altered(err)
			}
			last = e.Hash
			if replayed.Revision > published.Revision {
				published = replayed
			}
		}
	}
	if marks.last.Seq > row.Seq {
		return altered(fmt.Errorf("the events %d to %d of %s are gone, which were there at %s", row.Seq+1, marks.last.Seq, r, marks.last.At.Format(time.RFC3339)))
	}
	return altered(row.verify(replayed, published, last))
}

func (tx *Tx) incidentRow(r models.Reference) (row incidentRow, err error) {
	err = tx.about("incidents", "reference", r).Take(&row).Error
	return row, notFound(problem("read incident", err), "incident")
}

// alteredError says how an event log differs from what was written.
type alteredError struct{ error }

func altered(err error) error {
	if err == nil {
		return nil
	}
	return alteredError{err}
}

// IsAltered reports whether an error of VerifyEvents is about what the event log says, not about reading it.
func IsAltered(err error) bool { return errors.As(err, &alteredError{}) }

// marks are checkpoints of one incident.
type marks struct {
	bySeq    map[int]Checkpoint
	last     Checkpoint
	verified int // Seq of the last event that a checkpoint was found to fit
}

func marksOf(checkpoints []Checkpoint) *marks {
	m := &marks{bySeq: map[int]Checkpoint{}}
	for _, c := range checkpoints {
		if m.bySeq[c.Seq] = c; c.Seq > m.last.Seq {
			m.last = c
		}
	}
	return m
}

// verify compares an event with the checkpoint of it, if there is one.
func (m *marks) verify(e eventRow) error {
	c, known := m.bySeq[e.Seq]
	if !known {
		return nil
	}
	if !bytes.Equal(c.Hash, e.Hash) {
		return fmt.Errorf("the events %d to %d of %s are not those of %s: at least one of them was changed, and the chain made anew",
			m.verified+1, e.Seq, e.Incident, c.At.Format(time.RFC3339))
	}
	m.verified = e.Seq
	return nil
}
