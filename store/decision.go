package store

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

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
	Body   string // of the command, canonical JSON
	Seq    int    // of the last event that the store had
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
	if r.Role != nil && r.Person != nil && r.Body != nil && r.Seq != nil {
		d.Said = Said{Role: *r.Role, Person: *r.Person, Body: string(*r.Body), Seq: *r.Seq}
	}
	return d
}

// SaveDecision keeps a decision of the transaction's client. The same request id again changes nothing; with
// another fingerprint, incident, command or user it is Invalid. Forbidden for every audience but Portal, and for
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
		row.Role, row.Person, row.Body, row.Seq = &said.Role, &said.Person, &kept, &said.Seq
	}
	insert := tx.db.Clauses(onceByRequest()).Create(&row)
	if insert.Error != nil || insert.RowsAffected == 1 {
		return problem("save decision", insert.Error)
	}
	row = decisionRow{}
	if err := tx.of("client_decisions").Where("request_id = ?", d.RequestID).Take(&row).Error; err != nil {
		return problem("find decision", err)
	}
	if row.Fingerprint != d.Fingerprint || row.Incident != d.Incident || row.Command != d.Command || row.UserID != d.UserID {
		return reused()
	}
	return nil
}

// Decision returns the decision of a request about an incident. NotFound when there is none.
func (tx *Tx) Decision(requestID string, r models.Reference) (Decision, error) {
	var row decisionRow
	err := tx.about("client_decisions", "incident", r).Where("request_id = ?", requestID).Take(&row).Error
	return row.model(), notFound(problem("read decision", err), "decision")
}
