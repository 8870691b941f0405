package store

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm/clause"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

type eventRow struct {
	ClientID uuid.UUID
	Incident models.Reference
	Seq      int
	Type     incident.EventType
	At       time.Time
	Body     verbatim
	Hash     []byte
}

// TableName names the table.
func (eventRow) TableName() string { return "events" }

func itoa(n int) string { return strconv.Itoa(n) }

// linkHash returns the hash of an event: over the hash of the event before and the event's stored bytes.
func linkHash(before []byte, body verbatim) []byte {
	h := sha256.New()
	h.Write(before) // never fails
	h.Write([]byte(body))
	return h.Sum(nil)
}

// chain makes the rows of events that follow the event with hash last (nil: the first).
func (tx *Tx) chain(r models.Reference, last []byte, events []incident.Event) ([]eventRow, error) {
	rows := make([]eventRow, 0, len(events))
	for _, e := range events {
		body, err := encode(e)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", e.Seq, err)
		}
		row := eventRow{ClientID: tx.client, Incident: r, Seq: e.Seq, Type: e.Type, At: e.At, Body: verbatim(body)}
		row.Hash = linkHash(last, row.Body)
		last, rows = row.Hash, append(rows, row)
	}
	return rows, nil
}

// Record appends events to an incident and brings its read tables up to them. Events it has already are skipped,
// so a repeat changes nothing. Conflict: an event is missing before the first, an event is not legal in the
// present state, or the incident would close without a decision of the client.
func (tx *Tx) Record(r models.Reference, events []incident.Event) error {
	if err := tx.needsClient(); err != nil {
		return err
	}
	var row incidentRow
	err := tx.about("incidents", "reference", r).Select("seq", "last_hash", "state").
		Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Take(&row).Error
	if err != nil {
		return notFound(problem("read incident", err), "incident")
	}
	for len(events) > 0 && events[0].Seq <= row.Seq {
		events = events[1:]
	}
	if len(events) == 0 {
		return nil
	}
	incident, revisions, err := advance(row.State.V, events)
	if err != nil {
		return err
	}
	added, err := tx.chain(r, row.LastHash, events)
	if err != nil {
		return err
	}
	row.LastHash, row.Running = added[len(added)-1].Hash, true
	row.fill(tx.client, incident)
	return tx.save(row, added, revisions)
}

// advance applies events and returns the incident and the revisions they publish.
func advance(i incident.Incident, events []incident.Event) (incident.Incident, []incident.Revision, error) {
	var revisions []incident.Revision
	for _, e := range events {
		if e.Seq != i.Seq+1 {
			return i, nil, models.Errorf(models.Conflict, "event %d does not follow event %d", e.Seq, i.Seq)
		}
		before := i.Revision
		if err := i.Apply(e); err != nil {
			return i, nil, fmt.Errorf("apply event %d: %w", e.Seq, err)
		}
		if i.Revision > before {
			revisions = append(revisions, incident.NewRevision(i, e))
		}
	}
	return i, revisions, nil
}

func (tx *Tx) save(row incidentRow, events []eventRow, revisions []incident.Revision) error {
	if err := tx.db.Create(&events).Error; err != nil {
		return problem("append events", err)
	}
	if err := tx.saveRevisions(revisions); err != nil {
		return err
	}
	err := tx.of("incidents").Where("reference = ?", row.Reference).Select("title", "severity", "phase", "turn",
		"containment", "expedited", "revision", "open_tasks", "seq", "last_hash", "state", "running", "updated_at").
		Updates(&row).Error
	return problem("update incident", err)
}

// Events lists an incident's events after a sequence number, in order, at most 1,000. It is empty also for an
// incident that does not exist or that the audience may not see.
func (tx *Tx) Events(r models.Reference, afterSeq, limit int) ([]incident.Event, error) {
	rows, err := tx.eventRows(r, afterSeq, limit)
	if err != nil {
		return nil, err
	}
	events := make([]incident.Event, 0, len(rows))
	for _, row := range rows {
		e, err := row.event()
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

func (tx *Tx) eventRows(r models.Reference, afterSeq, limit int) ([]eventRow, error) {
	var rows []eventRow
	err := tx.about("events", "incident", r).Where("seq > ?", afterSeq).Order("seq").Limit(bounded(limit)).Find(&rows).Error
	return rows, problem("list events", err)
}

func (r eventRow) event() (incident.Event, error) {
	var e incident.Event
	if err := json.Unmarshal([]byte(r.Body), &e); err != nil {
		return e, fmt.Errorf("event %d of %s cannot be read: %w", r.Seq, r.Incident, err)
	}
	return e, nil
}

// VerifyEvents checks that an incident's event log is whole: nothing changed, added or missing, and the incident's
// state follows from the events. The error names the first event that is wrong.
func (tx *Tx) VerifyEvents(r models.Reference) error {
	var row incidentRow
	if err := tx.about("incidents", "reference", r).Take(&row).Error; err != nil {
		return notFound(problem("read incident", err), "incident")
	}
	var replayed incident.Incident
	var last []byte
	for replayed.Seq < row.Seq {
		rows, err := tx.eventRows(r, replayed.Seq, maxPage)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return fmt.Errorf("event %d of %s is missing", replayed.Seq+1, r)
		}
		for _, e := range rows {
			if err := e.verify(&replayed, last); err != nil {
				return err
			}
			last = e.Hash
		}
	}
	return row.verify(replayed, last)
}

// verify checks an event against its hash and its place, and applies it.
func (r eventRow) verify(i *incident.Incident, before []byte) error {
	if r.Seq != i.Seq+1 {
		return fmt.Errorf("event %d of %s is missing", i.Seq+1, r.Incident)
	}
	if string(linkHash(before, r.Body)) != string(r.Hash) {
		return fmt.Errorf("event %d of %s does not match its hash", r.Seq, r.Incident)
	}
	e, err := r.event()
	if err != nil {
		return err
	}
	if e.Seq != r.Seq || e.Type != r.Type || !e.At.Truncate(time.Microsecond).Equal(r.At) {
		return fmt.Errorf("event %d of %s does not match its columns", r.Seq, r.Incident)
	}
	if err := i.Apply(e); err != nil {
		return fmt.Errorf("event %d of %s is not legal: %w", r.Seq, r.Incident, err)
	}
	return nil
}

// verify checks the read table against the state that the events make.
func (r incidentRow) verify(replayed incident.Incident, last []byte) error {
	if replayed.Seq != r.Seq || string(last) != string(r.LastHash) {
		return fmt.Errorf("event %d of %s is not the last one recorded", replayed.Seq, r.Reference)
	}
	stored, err := encode(r.State.V)
	if err != nil {
		return err
	}
	expected, err := encode(replayed)
	if err != nil {
		return err
	}
	derived := r
	derived.fill(r.ClientID, replayed)
	if stored != expected || derived.Phase != r.Phase || derived.Turn != r.Turn || derived.Severity != r.Severity ||
		derived.Revision != r.Revision || derived.Containment != r.Containment || derived.Title != r.Title {
		return fmt.Errorf("the state of %s is not what event %d and those before it make of it", r.Reference, r.Seq)
	}
	return nil
}
