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
	Internal *bool // see incident.Event.IsInternal; null: the type of the event says it
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
		internal := e.IsInternal()
		row := eventRow{ClientID: tx.client, Incident: r, Seq: e.Seq, Type: e.Type, At: e.At, Body: verbatim(body), Internal: &internal}
		row.Hash = linkHash(last, row.Body)
		last, rows = row.Hash, append(rows, row)
	}
	return rows, nil
}

// ErrDiverged says that the store has another history of an incident than the one who records.
var ErrDiverged = models.Errorf(models.Conflict, "the store has other events under these numbers")

type commandRow struct {
	ClientID    uuid.UUID
	Incident    models.Reference
	RequestID   string
	Command     string
	Fingerprint string
	FirstSeq    int
	LastSeq     int
}

// TableName names the table.
func (commandRow) TableName() string { return "incident_commands" }

func (r commandRow) result() incident.CommandResult {
	return incident.CommandResult{RequestID: r.RequestID, Command: r.Command, Fingerprint: r.Fingerprint, FirstSeq: r.FirstSeq, LastSeq: r.LastSeq}
}

// Record appends events to an incident and brings its read tables up to them, and keeps which commands made them.
// Events it has already, byte for byte, are skipped, so a repeat changes nothing. ErrDiverged: it has another event
// under a number, or a command under its request id already. Conflict: an event is missing before the first, an event
// is not legal in the present state, or the incident would close without a decision of the client.
func (tx *Tx) Record(r models.Reference, events []incident.Event, commands ...incident.CommandResult) error {
	if err := tx.needsClient(); err != nil {
		return err
	}
	var row incidentRow
	err := tx.about("incidents", "reference", r).Select("seq", "last_hash", "state").
		Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Take(&row).Error
	if err != nil {
		return notFound(problem("read incident", err), "incident")
	}
	known := 0
	for known < len(events) && events[known].Seq <= row.Seq {
		known++
	}
	if err := tx.requireSame(r, events[:known]); err != nil {
		return err
	}
	if events = events[known:]; len(events) == 0 {
		return nil
	}
	if err := tx.saveCommands(r, row.Seq, commands); err != nil {
		return err
	}
	if err := tx.refuseDecisions(events); err != nil {
		return err
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

// refuseDecisions notes which decisions of the client were refused in events.
func (tx *Tx) refuseDecisions(events []incident.Event) error {
	for _, e := range events {
		d, is := e.Data.(*incident.CommandRejected)
		if !is || !incident.IsDecision(d.By.Side) || d.RequestID == "" {
			continue
		}
		if err := tx.RefuseDecision(d.RequestID, e.Seq); err != nil {
			return err
		}
	}
	return nil
}

// SameEvent reports whether two events are the same to the store, byte for byte.
func SameEvent(a, b incident.Event) bool {
	one, err := encode(a)
	other, problem := encode(b)
	return err == nil && problem == nil && one == other
}

// requireSame returns ErrDiverged when the store has other events under the numbers of these.
func (tx *Tx) requireSame(r models.Reference, events []incident.Event) error {
	if len(events) == 0 {
		return nil
	}
	var rows []eventRow
	first, last := events[0].Seq, events[len(events)-1].Seq
	err := tx.about("events", "incident", r).Where("seq between ? and ?", first, last).Order("seq").Find(&rows).Error
	if err != nil {
		return problem("read events", err)
	}
	for n, e := range events {
		body, err := encode(e)
		if err != nil {
			return err
		}
		if n >= len(rows) || rows[n].Seq != e.Seq || rows[n].Body != verbatim(body) {
			return fmt.Errorf("event %d of %s: %w", e.Seq, r, ErrDiverged)
		}
	}
	return nil
}

// saveCommands keeps the commands whose events follow those that the store has. ErrDiverged: one of them was carried
// out before.
func (tx *Tx) saveCommands(r models.Reference, recorded int, commands []incident.CommandResult) error {
	var rows []commandRow
	for _, c := range commands {
		if c.LastSeq > recorded {
			rows = append(rows, commandRow{tx.client, r, c.RequestID, c.Command, c.Fingerprint, c.FirstSeq, c.LastSeq})
		}
	}
	if len(rows) == 0 {
		return nil
	}
	insert := tx.db.Clauses(clause.OnConflict{DoNothing: true}).Create(&rows)
	if insert.Error == nil && int(insert.RowsAffected) < len(rows) {
		return fmt.Errorf("a command of %s was carried out before: %w", r, ErrDiverged)
	}
	return problem("keep commands", insert.Error)
}

// Commands returns those of the commands with these request ids whose events the store has.
func (tx *Tx) Commands(r models.Reference, requests ...string) ([]incident.CommandResult, error) {
	if len(requests) == 0 {
		return nil, nil
	}
	var rows []commandRow
	err := tx.about("incident_commands", "incident", r).Where("request_id in ?", requests).Order("last_seq").Find(&rows).Error
	results := make([]incident.CommandResult, 0, len(rows))
	for _, row := range rows {
		results = append(results, row.result())
	}
	return results, problem("find commands", err)
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
		"containment", "expedited", "revision", "open_tasks", "seq", "last_hash", "state", "running", "updated_at", "risk_due").
		Updates(&row).Error
	return problem("update incident", err)
}

// Events lists an incident's events after a sequence number, in order, at most 1,000; to the portal those that are not
// the SOC's own business. It is empty also for an incident that does not exist or that the audience may not see.
func (tx *Tx) Events(r models.Reference, afterSeq, limit int) ([]incident.Event, error) {
	rows, err := tx.eventRows(r, afterSeq, limit, "incident", "seq", "body")
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

func (tx *Tx) eventRows(r models.Reference, afterSeq, limit int, columns ...string) ([]eventRow, error) {
	var rows []eventRow
	err := tx.about("events", "incident", r).Select(columns).Where("seq > ?", afterSeq).Order("seq").Limit(bounded(limit)).Find(&rows).Error
	return rows, problem("list events", err)
}

func (r eventRow) event() (incident.Event, error) {
	var e incident.Event
	if err := json.Unmarshal([]byte(r.Body), &e); err != nil {
		return e, fmt.Errorf("event %d of %s cannot be read: %w", r.Seq, r.Incident, err)
	}
	return e, nil
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
	if e.Seq != r.Seq || e.Type != r.Type || !e.At.Truncate(time.Microsecond).Equal(r.At) || r.Internal != nil && *r.Internal != e.IsInternal() {
		return fmt.Errorf("event %d of %s does not match its columns", r.Seq, r.Incident)
	}
	if err := i.Apply(e); err != nil {
		return fmt.Errorf("event %d of %s is not legal: %w", r.Seq, r.Incident, err)
	}
	return nil
}

// verify checks the read table against the state that the events make. published is the incident as it was when its
// latest revision was published.
func (r incidentRow) verify(replayed, published incident.Incident, last []byte) error {
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
	return r.verifyShown(replayed, published)
}

// verifyShown checks the incident as the client sees it.
func (r incidentRow) verifyShown(replayed, published incident.Incident) error {
	if replayed.Revision == 0 && r.Shown == nil && r.ShownTitle == nil && r.ShownSeverity == nil {
		return nil
	}
	expected := replayed
	expected.Severity, expected.Assessment, expected.Tasks = published.Severity, published.Assessment, []incident.Task{}
	listed := func(is *string, as string) bool { return is == nil && as == "" || is != nil && *is == as }
	if r.Shown != nil && listed(r.ShownTitle, expected.Assessment.Title) && listed(r.ShownSeverity, string(expected.Severity)) {
		shown, err := encode(r.Shown.V)
		if err != nil {
			return err
		}
		if wanted, err := encode(expected); err != nil || shown == wanted {
			return err
		}
	}
	return fmt.Errorf("the client is shown something else than the events of %s make", r.Reference)
}
