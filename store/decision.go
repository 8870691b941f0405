package store

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm/clause"

	"github.com/watchfire-mdr/watchfire/models"
)

// Decision is what a user of the client asked of an incident, kept apart from the event log: written before the
// workflow is asked, by the portal's role alone, and never changed. Nobody speaks for the client without it.
type Decision struct {
	RequestID   string
	Incident    models.Reference
	Command     string // the command's name, such as "request-closure"
	UserID      uuid.UUID
	Fingerprint string // see incident.Fingerprint
	At          time.Time
	Said        Said // empty in a row of before it was kept, or of an event that a restore recovered
}

// Said is what a decision says, and who says it.
type Said struct {
	Role   models.Role
	Person string // see models.PersonOf
	Via    string // the entrance
	Body   string // of the command, canonical JSON
	Seq    int    // of the last event that the store had when it was said last
}

type decisionRow struct {
	ClientID    uuid.UUID
	RequestID   string
	Incident    models.Reference
	Command     string
	UserID      uuid.UUID
	Fingerprint string
	Role        *models.Role
	Person      *string
	Via         *string
	Body        *verbatim
	Seq         *int
	At          time.Time
}

// TableName names the table.
func (decisionRow) TableName() string { return "client_decisions" }

func (r decisionRow) model() Decision {
	d := Decision{
		RequestID: r.RequestID, Incident: r.Incident, Command: r.Command, UserID: r.UserID, Fingerprint: r.Fingerprint, At: r.At.UTC(),
	}
	if r.Role != nil && r.Person != nil && r.Via != nil && r.Body != nil && r.Seq != nil {
		d.Said = Said{Role: *r.Role, Person: *r.Person, Via: *r.Via, Body: string(*r.Body), Seq: *r.Seq}
	}
	return d
}

type markRow struct {
	ClientID  uuid.UUID
	RequestID string
	Said      bool
	Seq       int
	At        time.Time
}

// TableName names the table.
func (markRow) TableName() string { return "decision_marks" }

// SaveDecision keeps a decision of the transaction's client. The same request id again means that it is said again; with
// another fingerprint, incident, command, user or role it is Invalid. Forbidden for every audience but Portal, and for
// an incident the portal does not see. NotFound: the user is not the client's.
func (tx *Tx) SaveDecision(d Decision) error {
	if err := tx.needsClient(); err != nil {
		return err
	}
	row := decisionRow{
		ClientID: tx.client, RequestID: d.RequestID, Incident: d.Incident, Command: d.Command, UserID: d.UserID,
		Fingerprint: d.Fingerprint, At: d.At,
	}
	if said := d.Said; said != (Said{}) {
		body, err := encode(json.RawMessage(said.Body))
		if err != nil {
			return err
		}
		kept := verbatim(body)
		row.Role, row.Person, row.Via, row.Body, row.Seq = &said.Role, &said.Person, &said.Via, &kept, &said.Seq
	}
	insert := tx.db.Clauses(onceByRequest()).Create(&row)
	if insert.Error != nil || insert.RowsAffected == 1 {
		return problem("save decision", insert.Error)
	}
	known, stands, err := tx.Decision(d.RequestID, d.Incident)
	said, isRepeat := known.Said, known.Fingerprint == d.Fingerprint && known.Command == d.Command && known.UserID == d.UserID
	switch {
	case models.KindOf(err) == models.NotFound: // it is about another incident
		return reused()
	case err != nil:
		return err
	case isRepeat && d.Said == (Said{}): // an event that a restore recovers
		return nil
	case !isRepeat || said != (Said{}) && (said.Role != d.Said.Role || !models.SamePerson(said.Person, d.Said.Person) || said.Via != d.Said.Via):
		return reused()
	case stands && said.Seq >= d.Said.Seq:
		return nil
	}
	return tx.markDecision(d.RequestID, true, d.Said.Seq)
}

// RefuseDecision notes that a decision was refused. It is worth nothing until its sender says it again. A request that is
// no decision is left alone.
func (tx *Tx) RefuseDecision(requestID string, seq int) error {
	if err := tx.needsClient(); err != nil {
		return err
	}
	var known int64
	if err := tx.of("client_decisions").Where("request_id = ?", requestID).Count(&known).Error; err != nil || known == 0 {
		return problem("find decision", err)
	}
	return tx.markDecision(requestID, false, seq)
}

func (tx *Tx) markDecision(requestID string, said bool, seq int) error {
	row := markRow{ClientID: tx.client, RequestID: requestID, Said: said, Seq: seq, At: tx.now}
	return problem("mark decision", tx.db.Clauses(clause.OnConflict{DoNothing: true}).Create(&row).Error)
}

// Decision returns the decision of a request about an incident, and whether it stands: it does not while its last word is
// a refusal. NotFound when there is none.
func (tx *Tx) Decision(requestID string, r models.Reference) (d Decision, stands bool, err error) {
	var row decisionRow
	if err := tx.about("client_decisions", "incident", r).Where("request_id = ?", requestID).Take(&row).Error; err != nil {
		return Decision{}, false, notFound(problem("read decision", err), "decision")
	}
	d = row.model()
	var marks []markRow
	if err := tx.of("decision_marks").Where("request_id = ?", requestID).Order("at desc").Limit(1).Find(&marks).Error; err != nil {
		return d, false, problem("read decision", err)
	}
	if len(marks) == 0 {
		return d, true, nil
	}
	if marks[0].Said && d.Said != (Said{}) {
		d.Said.Seq = marks[0].Seq
	}
	return d, marks[0].Said, nil
}
