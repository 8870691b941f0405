package store

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

type incidentRow struct {
	ClientID        uuid.UUID        `gorm:"primaryKey"`
	Reference       models.Reference `gorm:"primaryKey"`
	Title           string
	Severity        models.Severity
	Phase           incident.Phase
	Turn            incident.Turn
	Containment     incident.Containment
	Drill           bool
	Expedited       bool
	Revision        int
	OpenTasks       int
	Seq             int
	LastHash        []byte
	State           document[incident.Incident]
	Shown           *document[incident.Incident] `gorm:"->"` // as the client sees it, by a trigger; null before the first revision
	ShownTitle      *string                      `gorm:"->"` // what the client's list shows of that
	ShownSeverity   *string                      `gorm:"->"`
	RequestID       string
	Fingerprint     string
	Running         bool
	Ended           bool
	RiskDue         *time.Time
	OutsideContract bool
	OpenedAt        time.Time
	UpdatedAt       time.Time `gorm:"autoUpdateTime:false"`
}

// TableName names the table.
func (incidentRow) TableName() string { return "incidents" }

// fill sets the columns that follow from the incident.
func (r *incidentRow) fill(client uuid.UUID, i incident.Incident) {
	r.ClientID, r.Reference, r.State.V = client, i.Reference, i
	r.Title, r.Severity, r.Phase, r.Turn = clean(i.Assessment.Title), i.Severity, i.Phase, i.Turn
	r.Containment, r.Drill, r.Expedited = i.Containment(), i.Exercise.IsDrill(), i.Expedited
	r.Revision, r.Seq, r.OpenedAt, r.UpdatedAt = i.Revision, i.Seq, i.OpenedAt, i.UpdatedAt
	r.OutsideContract = i.OutsideContract
	r.RiskDue = orNull(i.RiskDue())
	r.OpenTasks = 0
	for _, t := range i.Tasks {
		if !t.Done {
			r.OpenTasks++
		}
	}
}

// IncidentRow is an incident as a list shows it.
type IncidentRow struct {
	Reference       models.Reference     `json:"reference"`
	ClientID        uuid.UUID            `json:"client_id"`
	Client          int                  `json:"client" gorm:"-"` // the client's number
	Title           string               `json:"title"`
	Severity        models.Severity      `json:"severity"`
	Phase           incident.Phase       `json:"phase"`
	Turn            incident.Turn        `json:"turn"`
	Containment     incident.Containment `json:"containment"`
	Drill           bool                 `json:"drill"`
	Expedited       bool                 `json:"expedited"`
	OutsideContract bool                 `json:"outside_contract,omitzero"`
	OpenTasks       int                  `json:"open_tasks"`
	OpenedAt        time.Time            `json:"opened_at"`
	UpdatedAt       time.Time            `json:"updated_at"`
}

// IncidentFilter chooses incidents; zero fields choose all.
type IncidentFilter struct {
	Phase         incident.Phase
	Turn          incident.Turn
	Severity      models.Severity
	Containment   incident.Containment
	Client        int   // number
	OpenTasks     *bool // with open tasks, or without; to the portal none has any
	Drill         *bool
	PublishedOnly bool
}

// OpenIncident begins an incident of the transaction's client: it allocates the client's next reference, records
// event 1 and links the alerts. The reference of o must be empty. The same request id again returns the incident it
// opened, as it is now. Invalid: there is no request id, or it is known with another fingerprint. NotFound: an alert
// is not this client's, Field says which. Conflict: an alert belongs to another incident.
func (tx *Tx) OpenIncident(o incident.Opened, by models.Actor, at time.Time, requestID, fingerprint string) (incident.Incident, error) {
	if err := tx.checkOpening(o, requestID); err != nil {
		return incident.Incident{}, err
	}
	number, err := tx.nextIncident()
	if err != nil {
		return incident.Incident{}, err
	}
	o.ClientID, o.Reference = tx.client, models.NewReference(number.Number, number.LastIncident)
	if o.Alerts == nil {
		o.Alerts = []uuid.UUID{}
	}
	var i incident.Incident
	e := incident.NewEvent(i, at, by, &o)
	if err := i.Apply(e); err != nil {
		return incident.Incident{}, err
	}
	opened, err := tx.chain(i.Reference, nil, []incident.Event{e})
	if err != nil {
		return incident.Incident{}, err
	}
	row := incidentRow{RequestID: requestID, Fingerprint: fingerprint, LastHash: opened[0].Hash}
	row.fill(tx.client, i)
	insert := tx.db.Clauses(onceByRequest()).Create(&row)
	if insert.Error != nil {
		return incident.Incident{}, problem("open incident", insert.Error)
	}
	if insert.RowsAffected == 0 {
		return tx.openedBefore(requestID, fingerprint)
	}
	if err := tx.db.Create(&opened).Error; err != nil {
		return incident.Incident{}, problem("record opening", err)
	}
	return i, tx.link(i.Reference, o.Alerts)
}

// RestoreIncident puts an incident back of which the database, an older copy, has nothing: with its first event, under
// the reference that it had. Its client's later references follow it. The alerts that the database has are its again.
// The request that opened it is not known any more. NotFound: the database does not have the client either. Conflict:
// there is an incident of that reference.
func (tx *Tx) RestoreIncident(opening incident.Event) error {
	var i incident.Incident
	if err := i.Apply(opening); err != nil {
		return err
	}
	var client, number int
	if _, err := fmt.Sscanf(string(i.Reference), "SI-%d-%d", &client, &number); err != nil {
		return models.Errorf(models.Invalid, "%s is no reference", i.Reference)
	}
	q := tx.db.Exec("update clients set last_incident = greatest(last_incident, ?) where id = ? and number = ?", number, tx.client, client)
	if q.Error != nil || q.RowsAffected == 0 {
		return cmp.Or(problem("count incidents", q.Error), error(models.Errorf(models.NotFound, "client not found")))
	}
	opened, err := tx.chain(i.Reference, nil, []incident.Event{opening})
	if err != nil {
		return err
	}
	row := incidentRow{RequestID: "restored " + string(i.Reference), LastHash: opened[0].Hash, Running: true}
	row.fill(tx.client, i)
	if err := tx.db.Create(&row).Error; err != nil {
		return problem("restore incident", err)
	}
	if err := tx.db.Create(&opened).Error; err != nil {
		return problem("restore the opening", err)
	}
	if len(i.Alerts) == 0 {
		return nil
	}
	return problem("link alerts", tx.of("alerts").Where("id in ? and incident is null", i.Alerts).UpdateColumn("incident", i.Reference).Error)
}

// checkOpening checks the input of OpenIncident.
func (tx *Tx) checkOpening(o incident.Opened, requestID string) error {
	if err := tx.needsClient(); err != nil {
		return err
	}
	switch {
	case o.ClientID != uuid.Nil && o.ClientID != tx.client:
		return models.Errorf(models.NotFound, "client not found")
	case o.Reference != "":
		return models.InvalidField("/reference", "must be empty: the store gives it")
	case requestID == "":
		return models.Errorf(models.Invalid, "an incident needs a request id")
	}
	return nil
}

type incidentNumber struct{ Number, LastIncident int }

// nextIncident counts the client's incidents. The client's row stays locked until the transaction ends, so
// numbers are given without gaps, one opening after the other.
func (tx *Tx) nextIncident() (incidentNumber, error) {
	var n incidentNumber
	q := tx.db.Raw("update clients set last_incident = last_incident + 1 where id = ? returning number, last_incident", tx.client).Scan(&n)
	if q.Error == nil && q.RowsAffected == 0 {
		return n, models.Errorf(models.NotFound, "client not found")
	}
	return n, problem("count incidents", q.Error)
}

// SkipReferences counts on while the client's next reference is taken outside of this database, and returns how many
// references are left out. isTaken holds what the caller found out beforehand, because the client's row stays locked
// until the transaction ends. unknown is the next reference when isTaken does not say, "" otherwise: the caller gives
// up the transaction, finds out, and tries again.
func (tx *Tx) SkipReferences(isTaken map[models.Reference]bool) (skipped int, unknown models.Reference, err error) {
	if err := tx.needsClient(); err != nil {
		return 0, "", err
	}
	var last incidentNumber
	q := tx.db.Raw("select number, last_incident from clients where id = ? for no key update", tx.client).Scan(&last)
	if q.Error != nil {
		return 0, "", problem("find the next reference", q.Error)
	}
	for {
		next := models.NewReference(last.Number, last.LastIncident+skipped+1)
		taken, known := isTaken[next]
		switch {
		case !known:
			return 0, next, nil
		case taken:
			skipped++
			continue
		case skipped > 0:
			err = tx.db.Exec("update clients set last_incident = last_incident + ? where id = ?", skipped, tx.client).Error
		}
		return skipped, "", problem("leave references out", err)
	}
}

// FireDrills lists the fire drills of the transaction's client that are under way or were opened after a moment, the
// oldest first.
func (tx *Tx) FireDrills(after time.Time) ([]incident.Incident, error) {
	if err := tx.needsClient(); err != nil {
		return nil, err
	}
	var rows []incidentRow
	err := tx.of("incidents").Where("drill and state->>'exercise' in ?", []models.Exercise{models.ExerciseFireDrill, models.ExerciseSimulatedFireDrill}).
		Where("phase not in ? or opened_at > ?", []incident.Phase{incident.PhaseClosed, incident.PhaseDismissed}, after).
		Order("opened_at, reference").Find(&rows).Error
	return each(rows, func(r incidentRow) incident.Incident { return r.State.V }), problem("list fire drills", err)
}

// openedBefore gives back a number that was not needed and returns the incident a request opened.
func (tx *Tx) openedBefore(requestID, fingerprint string) (incident.Incident, error) {
	if err := tx.db.Exec("update clients set last_incident = last_incident - 1 where id = ?", tx.client).Error; err != nil {
		return incident.Incident{}, problem("give number back", err)
	}
	return tx.OpenedBy(requestID, fingerprint)
}

// OpenedBy returns the incident that a request opened, as it is now. NotFound: it opened none. Invalid: the request is
// known with another fingerprint.
func (tx *Tx) OpenedBy(requestID, fingerprint string) (incident.Incident, error) {
	if err := tx.needsClient(); err != nil {
		return incident.Incident{}, err
	}
	var row incidentRow
	err := tx.of("incidents").Where("request_id = ?", requestID).Take(&row).Error
	if err == nil && row.Fingerprint != fingerprint {
		return incident.Incident{}, reused()
	}
	return row.State.V, notFound(problem("find incident", err), "incident")
}

// link gives alerts to an incident.
func (tx *Tx) link(r models.Reference, alerts []uuid.UUID) error {
	if len(alerts) == 0 {
		return nil
	}
	q := tx.of("alerts").Where("id in ? and incident is null", alerts).UpdateColumn("incident", r)
	if q.Error != nil || int(q.RowsAffected) == len(alerts) {
		return problem("link alerts", q.Error)
	}
	var known []alertRow
	if err := tx.of("alerts").Where("id in ?", alerts).Find(&known).Error; err != nil {
		return problem("find alerts", err)
	}
	for n, id := range alerts {
		at := slices.IndexFunc(known, func(a alertRow) bool { return a.ID == id })
		switch {
		case at < 0:
			return &models.Error{Kind: models.NotFound, Field: "/alerts/" + itoa(n), Message: "alert not found"}
		case known[at].Incident == nil || *known[at].Incident != r:
			return &models.Error{Kind: models.Conflict, Field: "/alerts/" + itoa(n), Message: "belongs to another incident"}
		}
	}
	return nil // one was named twice
}

// Incident returns an incident: to the portal with the severity and the assessment of the latest revision, and without
// the SOC's tasks. NotFound also when it is another client's, or not published and the audience is the portal.
func (tx *Tx) Incident(r models.Reference) (incident.Incident, error) {
	var row incidentRow
	err := tx.about("incidents", "reference", r).Select(tx.state()).Take(&row).Error
	return row.State.V, notFound(problem("read incident", err), "incident")
}

// state names the column with the incident as the audience may see it.
func (tx *Tx) state() string {
	if tx.audience == Portal {
		return "shown as state"
	}
	return "state"
}

// asShown reads an incident of a list as the client sees it.
const asShown = `reference, client_id, shown_title as title, shown_severity as severity,
	phase, turn, containment, drill, expedited, outside_contract, 0 as open_tasks, opened_at, updated_at`

// Incidents lists incidents, the last opened first, from after the cursor {OpenedAt, Reference}. At most 1,000. The
// portal gets title and severity as last published, and no count of the SOC's tasks.
func (tx *Tx) Incidents(f IncidentFilter, c Cursor, limit int) ([]IncidentRow, error) {
	q, severity := tx.of("incidents"), "severity"
	if tx.audience == Portal {
		severity = "shown_severity"
		q = q.Select(asShown)
	}
	for _, is := range []struct{ column, value string }{
		{"phase", string(f.Phase)}, {"turn", string(f.Turn)}, {"containment", string(f.Containment)}, {severity, string(f.Severity)},
	} {
		if is.value != "" {
			q = q.Where(is.column+" = ?", is.value)
		}
	}
	tasks := "open_tasks > 0"
	if tx.audience == Portal {
		tasks = "false"
	}
	for _, is := range []struct {
		condition string
		wanted    *bool
	}{{tasks, f.OpenTasks}, {"drill", f.Drill}} {
		switch {
		case is.wanted == nil:
		case *is.wanted:
			q = q.Where(is.condition)
		default:
			q = q.Where("not (" + is.condition + ")")
		}
	}
	if f.Client != 0 {
		q = q.Where("incidents.client_id = (select id from clients where number = ?)", f.Client)
	}
	if f.PublishedOnly {
		q = q.Where("revision >= 1")
	}
	rows := []IncidentRow{}
	err := page(q, "opened_at", "reference", c, limit).Find(&rows).Error
	for n := range rows {
		r := &rows[n]
		r.Client, r.OpenedAt, r.UpdatedAt = r.Reference.ClientNumber(), r.OpenedAt.UTC(), r.UpdatedAt.UTC()
	}
	return rows, problem("list incidents", err)
}
