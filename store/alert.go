package store

import (
	"bytes"
	"crypto/sha256"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/watchfire-mdr/watchfire/models"
)

// AlertOutcome says what an alert that was taken changed.
type AlertOutcome string

// The outcomes of taking an alert.
const (
	AlertCreated   AlertOutcome = "created"   // a new finding
	AlertUpdated   AlertOutcome = "updated"   // a known finding, changed by its source
	AlertUnchanged AlertOutcome = "unchanged" // a known finding, sent again as it was
)

type alertRow struct {
	ClientID     uuid.UUID
	ID           uuid.UUID
	Source       models.AlertSource
	FindingID    string
	Title        string
	Detail       string
	Severity     models.Severity
	Techniques   document[[]string]
	Indicators   document[[]models.Indicator]
	Hostnames    document[[]string]
	OccurredAt   *time.Time
	ReceivedAt   time.Time
	UpdatedAt    time.Time `gorm:"autoUpdateTime:false"`
	Version      int
	Problem      string
	Incident     *models.Reference
	Truncated    document[map[string]int]
	ReportedBy   uuid.NullUUID
	ServiceToken string
}

// TableName names the table.
func (alertRow) TableName() string { return "alerts" }

type payloadRow struct {
	ClientID   uuid.UUID
	AlertID    uuid.UUID
	Version    int
	Raw        []byte
	SHA256     []byte `gorm:"column:sha256"`
	ReceivedAt time.Time
}

// TableName names the table.
func (payloadRow) TableName() string { return "alert_payloads" }

type receiptRow struct {
	ClientID  uuid.UUID
	RequestID string
	AlertID   uuid.UUID
	Outcome   AlertOutcome
	SHA256    []byte `gorm:"column:sha256"`
}

// TableName names the table.
func (receiptRow) TableName() string { return "alert_receipts" }

func newAlertRow(client uuid.UUID, a models.Alert) alertRow {
	return alertRow{
		ClientID: client, ID: a.ID, Source: a.Source, FindingID: clean(a.FindingID), Title: clean(a.Title),
		Detail: clean(a.Detail), Severity: a.Severity, Techniques: document[[]string]{a.Techniques},
		Indicators: document[[]models.Indicator]{a.Indicators}, Hostnames: document[[]string]{a.Hostnames},
		OccurredAt: orNull(a.OccurredAt), ReceivedAt: a.ReceivedAt, UpdatedAt: a.ReceivedAt, Version: 1,
		Problem: clean(a.Problem), Truncated: document[map[string]int]{a.Truncated},
		ReportedBy: uuid.NullUUID{UUID: a.ReportedBy, Valid: a.ReportedBy != uuid.Nil}, ServiceToken: a.ServiceToken,
	}
}

func (r alertRow) model(clientNumber int) models.Alert {
	a := models.Alert{
		ID: r.ID, ClientID: r.ClientID, Client: clientNumber, Source: r.Source, FindingID: r.FindingID, Title: r.Title,
		Detail: r.Detail, Severity: r.Severity, Techniques: r.Techniques.V, Indicators: r.Indicators.V,
		Hostnames: r.Hostnames.V, OccurredAt: orZero(r.OccurredAt), ReceivedAt: r.ReceivedAt.UTC(),
		UpdatedAt: r.UpdatedAt.UTC(), Version: r.Version, Problem: r.Problem, State: models.AlertNew,
		Truncated: r.Truncated.V, ReportedBy: r.ReportedBy.UUID, ServiceToken: r.ServiceToken,
	}
	if r.Incident != nil {
		a.State, a.Incident = models.AlertLinked, *r.Incident
	}
	return a
}

// ReceiveAlert takes an alert of the transaction's client, which client, source and finding id identify, and keeps
// the bytes it came as. A new finding gets version 1, and an id when that is zero. A known one whose bytes differ
// from its latest version's gets the fields of a and the next version. The same request id again returns the
// outcome it had, with the alert as it is now. Invalid: the request id was used for other bytes, or a has no
// ReceivedAt or FindingID. NotFound: a names another client.
func (tx *Tx) ReceiveAlert(a models.Alert, raw []byte, requestID string) (models.Alert, AlertOutcome, error) {
	if err := tx.checkAlert(a, requestID); err != nil {
		return models.Alert{}, "", err
	}
	if a.ID == uuid.Nil {
		a.ID = uuid.New()
	}
	sum := sha256.Sum256(raw)
	row, outcome := newAlertRow(tx.client, a), AlertCreated
	insert := tx.db.Clauses(clause.OnConflict{
		Columns: []clause.Column{{Name: "client_id"}, {Name: "source"}, {Name: "finding_id"}}, DoNothing: true,
	}).Create(&row)
	err := problem("create alert", insert.Error)
	switch {
	case err != nil:
	case insert.RowsAffected == 1:
		err = tx.keepPayload(row, raw, sum[:], row.ReceivedAt)
	default:
		row, outcome, err = tx.receiveAgain(row, raw, sum[:], requestID)
	}
	if err == nil {
		err = tx.keepReceipt(receiptRow{ClientID: tx.client, RequestID: requestID, AlertID: row.ID, Outcome: outcome, SHA256: sum[:]})
	}
	if err != nil {
		return models.Alert{}, "", err
	}
	number, err := tx.clientNumber(a)
	return row.model(number), outcome, err
}

// checkAlert checks an alert before it is taken.
func (tx *Tx) checkAlert(a models.Alert, requestID string) error {
	if err := tx.needsClient(); err != nil {
		return err
	}
	switch {
	case a.ClientID != uuid.Nil && a.ClientID != tx.client:
		return models.Errorf(models.NotFound, "client not found")
	case requestID == "":
		return models.Errorf(models.Invalid, "an alert needs a request id")
	case a.ReceivedAt.IsZero():
		return models.InvalidField("/received_at", "is required")
	case a.FindingID == "":
		return models.InvalidField("/finding_id", "is required")
	}
	return nil
}

// receiveAgain takes an alert whose finding is known.
func (tx *Tx) receiveAgain(sent alertRow, raw, sum []byte, requestID string) (alertRow, AlertOutcome, error) {
	var row alertRow
	err := tx.of("alerts").Clauses(clause.Locking{Strength: "UPDATE"}).
		Where("source = ? and finding_id = ?", sent.Source, sent.FindingID).Take(&row).Error
	if err != nil {
		return row, "", problem("find alert", err)
	}
	var known []struct { // the latest version and, if there is one, this request's receipt
		Latest  []byte
		Outcome *AlertOutcome
	}
	err = tx.of("alert_payloads").Select("alert_payloads.sha256 as latest, r.outcome").
		Joins("left join alert_receipts r on r.client_id = alert_payloads.client_id and r.alert_id = alert_payloads.alert_id"+
			" and r.request_id = ? and r.sha256 = ?", requestID, sum).
		Where("alert_payloads.alert_id = ? and version = ?", row.ID, row.Version).Find(&known).Error
	switch {
	case err != nil:
		return row, "", problem("find versions", err)
	case len(known) == 1 && known[0].Outcome != nil:
		return row, *known[0].Outcome, nil
	case len(known) == 1 && bytes.Equal(known[0].Latest, sum):
		return row, AlertUnchanged, nil
	}
	row, err = tx.updateAlert(row, sent, raw, sum)
	return row, AlertUpdated, err
}

func (tx *Tx) updateAlert(row, sent alertRow, raw, sum []byte) (alertRow, error) {
	sent.ID, sent.Version, sent.Incident, sent.ReceivedAt = row.ID, row.Version+1, row.Incident, row.ReceivedAt
	sent.ReportedBy, sent.ServiceToken = row.ReportedBy, row.ServiceToken
	err := tx.of("alerts").Where("id = ?", row.ID).Select("title", "detail", "severity", "techniques", "indicators",
		"hostnames", "occurred_at", "updated_at", "version", "problem", "truncated").Updates(&sent).Error
	if err != nil {
		return sent, problem("update alert", err)
	}
	return sent, tx.keepPayload(sent, raw, sum, sent.UpdatedAt)
}

func (tx *Tx) keepPayload(row alertRow, raw, sum []byte, at time.Time) error {
	if raw == nil {
		raw = []byte{}
	}
	return problem("keep payload", tx.db.Create(&payloadRow{
		ClientID: tx.client, AlertID: row.ID, Version: row.Version, Raw: raw, SHA256: sum, ReceivedAt: at,
	}).Error)
}

// keepReceipt remembers an outcome, or finds that it is remembered.
func (tx *Tx) keepReceipt(row receiptRow) error {
	insert := tx.db.Clauses(onceByRequest()).Create(&row)
	if insert.Error != nil || insert.RowsAffected == 1 {
		return problem("keep receipt", insert.Error)
	}
	var known receiptRow
	if err := tx.of("alert_receipts").Where("request_id = ?", row.RequestID).Take(&known).Error; err != nil {
		return problem("find receipt", err)
	}
	if known.AlertID != row.AlertID || !bytes.Equal(known.SHA256, row.SHA256) {
		return reused()
	}
	return nil
}

// clientNumber returns the number of an alert's client, and reads it when the caller did not give it.
func (tx *Tx) clientNumber(a models.Alert) (int, error) {
	if a.Client != 0 {
		return a.Client, nil
	}
	c, err := tx.Client()
	return c.Number, err
}

// numberedAlert is an alert with its client's number.
type numberedAlert struct {
	Row    alertRow `gorm:"embedded"`
	Client int
}

func (r numberedAlert) model() models.Alert { return r.Row.model(r.Client) }

func (tx *Tx) alerts() *gorm.DB {
	return tx.of("alerts").Select("alerts.*, clients.number as client").Joins("join clients on clients.id = alerts.client_id")
}

// Alert returns an alert. NotFound also when it is another client's.
func (tx *Tx) Alert(id uuid.UUID) (models.Alert, error) {
	var row numberedAlert
	err := tx.alerts().Where("alerts.id = ?", id).Take(&row).Error
	return row.model(), notFound(problem("read alert", err), "alert")
}

// AlertPayload returns the bytes an alert's version came as; version 0 is the latest. NotFound when there is none.
func (tx *Tx) AlertPayload(id uuid.UUID, version int) ([]byte, error) {
	var row payloadRow
	q := tx.of("alert_payloads").Where("alert_id = ? and client_id = (select client_id from alerts where id = ?)", id, id)
	if version != 0 {
		q = q.Where("version = ?", version)
	}
	err := q.Order("version desc").Limit(1).Take(&row).Error
	return row.Raw, notFound(problem("read payload", err), "alert")
}

// AlertFilter chooses alerts; zero fields choose all.
type AlertFilter struct {
	State       models.AlertState
	Source      models.AlertSource
	Client      int  // number
	ProblemOnly bool // those that could not be normalised
}

// Alerts lists alerts, the newest received first, from after the cursor {ReceivedAt, ID}. At most 1,000.
func (tx *Tx) Alerts(f AlertFilter, c Cursor, limit int) ([]models.Alert, error) {
	if _, err := uuid.Parse(c.ID); err != nil && c != (Cursor{}) {
		return nil, models.InvalidField("/cursor", "is not a cursor of this list")
	}
	q := tx.alerts()
	switch f.State {
	case models.AlertNew:
		q = q.Where("alerts.incident is null")
	case models.AlertLinked:
		q = q.Where("alerts.incident is not null")
	}
	if f.Source != "" {
		q = q.Where("alerts.source = ?", f.Source)
	}
	if f.Client != 0 {
		q = q.Where("alerts.client_id = (select id from clients where number = ?)", f.Client)
	}
	if f.ProblemOnly {
		q = q.Where("alerts.problem <> ''")
	}
	var rows []numberedAlert
	err := page(q, "alerts.received_at", "alerts.id", c, limit).Find(&rows).Error
	return each(rows, numberedAlert.model), problem("list alerts", err)
}

// Suspicions lists the suspicions that users of the transaction's client reported, the newest first, from after the cursor
// {ReportedAt, ID}. It tells of an incident what the client may know: which one, once it is published, and that it was
// dismissed. At most 1,000.
func (tx *Tx) Suspicions(c Cursor, limit int) ([]models.Suspicion, error) {
	if err := tx.needsClient(); err != nil {
		return nil, err
	}
	if _, err := uuid.Parse(c.ID); err != nil && c != (Cursor{}) {
		return nil, models.InvalidField("/cursor", "is not a cursor of this list")
	}
	var rows []suspicionRow
	if err := page(tx.suspicions(), "alerts.received_at", "alerts.id", c, limit).Find(&rows).Error; err != nil {
		return nil, problem("list suspicions", err)
	}
	return each(rows, suspicionRow.model), nil
}

// Suspicion returns one of the entries of Suspicions. NotFound when there is none with this id.
func (tx *Tx) Suspicion(id uuid.UUID) (models.Suspicion, error) {
	if err := tx.needsClient(); err != nil {
		return models.Suspicion{}, err
	}
	var row suspicionRow
	err := tx.suspicions().Where("alerts.id = ?", id).Take(&row).Error
	return row.model(), notFound(problem("read suspicion", err), "suspicion")
}

type suspicionRow struct {
	ID         uuid.UUID
	Title      string
	ReportedBy uuid.UUID
	Name       string
	ReceivedAt time.Time
	State      models.SuspicionState
	Incident   models.Reference
}

func (r suspicionRow) model() models.Suspicion {
	return models.Suspicion{
		ID: r.ID, Title: r.Title, ReportedBy: r.ReportedBy, ReportedByName: r.Name, ReportedAt: r.ReceivedAt.UTC(), State: r.State, Incident: r.Incident,
	}
}

func (tx *Tx) suspicions() *gorm.DB {
	return tx.of("alerts").Select(`alerts.id, alerts.title, alerts.reported_by, u.name, alerts.received_at,
			case when i.revision >= 1 then ? when i.phase = 'dismissed' then ? else ? end as state,
			case when i.revision >= 1 then i.reference else '' end as incident`,
		models.SuspicionInIncident, models.SuspicionDismissed, models.SuspicionOpen).
		Joins("join users u on u.client_id = alerts.client_id and u.id = alerts.reported_by").
		Joins("left join incidents i on i.client_id = alerts.client_id and i.reference = alerts.incident").
		Where("alerts.source = ?", models.SourceClientReport)
}
