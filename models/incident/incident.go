package incident

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
)

// Phase says where an incident is in its life.
type Phase string

// The phases of an incident.
const (
	PhaseInvestigating    Phase = "investigating"
	PhasePublished        Phase = "published"
	PhaseClosureRequested Phase = "closure_requested"
	PhaseClosed           Phase = "closed"
	PhaseDismissed        Phase = "dismissed"
)

// Turn says whose move it is.
type Turn string

// The turns.
const (
	TurnSOC    Turn = "soc"
	TurnClient Turn = "client"
	TurnNone   Turn = "none"
)

// Incident is one threat to one client. The workflow carries it and the read tables hold it; both make it from the same
// events with Apply, and from nothing else.
type Incident struct {
	Reference models.Reference `json:"reference"`
	ClientID  uuid.UUID        `json:"client_id"`
	Exercise  models.Exercise  `json:"exercise"`
	Seq       int              `json:"seq"` // of the last event applied

	Phase     Phase           `json:"phase"`
	Turn      Turn            `json:"turn"`
	TurnSince time.Time       `json:"turn_since"`
	Severity  models.Severity `json:"severity"` // as the SOC sees it now
	// PublishedSeverity is the severity of the latest revision, by which the client is called, told and reminded.
	PublishedSeverity models.Severity `json:"published_severity,omitempty"`
	Expedited         bool            `json:"expedited"`
	OutsideContract   bool            `json:"outside_contract,omitzero"` // opened on purpose for a client not live, or outside of its contract

	Alerts       []uuid.UUID                 `json:"alerts"`
	Assessment   Assessment                  `json:"assessment"`
	Revision     int                         `json:"revision"` // the latest published one, 0 before
	ResponseTeam *ResponseTeamRecommendation `json:"response_team,omitempty"`

	Recommendations []Recommendation `json:"recommendations"`
	Endpoints       []Endpoint       `json:"endpoints"`
	Questions       []Question       `json:"questions"`
	Approvals       int              `json:"approvals"` // how many approvals there were, for the next id
	Acknowledged    *Acknowledgement `json:"acknowledged,omitempty"`
	ReadReceipts    []ReadReceipt    `json:"read_receipts"`
	CallRound       int              `json:"call_round"` // the last one started, 0 for none
	CallRoundEnded  time.Time        `json:"call_round_ended,omitzero"`
	Tasks           []Task           `json:"tasks"`
	Reminders       int              `json:"reminders"`
	LastReminder    time.Time        `json:"last_reminder,omitzero"`
	Verification    *Verification    `json:"verification,omitempty"`
	ReportSeq       int              `json:"report_seq,omitzero"`     // Seq of the last material revision, which the client's request to close answers
	AlarmSeq        int              `json:"alarm_seq,omitzero"`      // Seq of the event that raised the published severity to critical
	AlarmRevision   int              `json:"alarm_revision,omitzero"` // that it made
	SettledSeq      int              `json:"settled_seq"`             // Seq of the event that settled a recommendation last
	Closure         *Closure         `json:"closure,omitempty"`
	Feedback        *Feedback        `json:"feedback,omitempty"`

	OpenedAt    time.Time `json:"opened_at"`
	PublishedAt time.Time `json:"published_at,omitzero"`
	ClosedAt    time.Time `json:"closed_at,omitzero"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// Assessment is the SOC's knowledge of the threat: the content of the next report revision.
type Assessment struct {
	Title      string             `json:"title"`
	Summary    string             `json:"summary"`
	Threat     string             `json:"threat"` // its nature, and the risk it poses to this client
	Techniques []string           `json:"techniques,omitzero"`
	Indicators []models.Indicator `json:"indicators,omitzero"`
	Assets     []string           `json:"assets,omitzero"` // affected users, mailboxes, devices
	Timeline   []TimelineEntry    `json:"timeline,omitzero"`
}

// TimelineEntry is one dated fact of the attack.
type TimelineEntry struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// ResponseTeamRecommendation is the explicit recommendation whether to engage an incident response team.
type ResponseTeamRecommendation struct {
	Engage   bool      `json:"engage"`
	Criteria string    `json:"criteria"`
	At       time.Time `json:"at"`
}

// Acknowledgement is proof that a human of the client was reached.
type Acknowledgement struct {
	Severity models.Severity `json:"severity"` // of the revision the client saw then
	By       models.Actor    `json:"by"`
	Channel  string          `json:"channel"` // "voice", "sms", "portal", "api"
	How      string          `json:"how"`     // "key press 1", "reply to text message", "acknowledged"
	At       time.Time       `json:"at"`
}

// ReadReceipt records that somebody has read a revision.
type ReadReceipt struct {
	By       models.Actor `json:"by"`
	Revision int          `json:"revision"`
	At       time.Time    `json:"at"`
}

// Task is work for a person of the SOC that Watchfire could not do by itself.
type Task struct {
	ID     string    `json:"id"`
	Kind   TaskKind  `json:"kind"`
	Effect string    `json:"effect,omitempty"` // key of the effect it is about
	Detail string    `json:"detail"`
	Opened time.Time `json:"opened"`
	Done   bool      `json:"done"`
}

// TaskKind says what a task is about.
type TaskKind string

// The kinds of tasks.
const (
	TaskNobodyReached      TaskKind = "nobody_reached"      // for the lead: all call rounds are used up
	TaskNobodyToReach      TaskKind = "nobody_to_reach"     // no contact matches this severity
	TaskVendorDown         TaskKind = "vendor_down"         // Watchfire goes on trying, and ends the task itself
	TaskRejected           TaskKind = "rejected"            // the vendor will never do it
	TaskConfig             TaskKind = "config"              // our credentials or settings are wrong
	TaskUnconfirmed        TaskKind = "unconfirmed"         // the EDR does not confirm an isolation or a release
	TaskNotDelivered       TaskKind = "not_delivered"       // a message that the vendor accepted never reached its contact
	TaskQuestionUnanswered TaskKind = "question_unanswered" // a question's deadline passed
	TaskDenied             TaskKind = "denied"              // the client or its response authority does not allow an isolation or release
	TaskApprovalWaiting    TaskKind = "approval_waiting"    // an approval waits until the client can see the incident
	TaskApprovalUnanswered TaskKind = "approval_unanswered" // nobody of the client answered an approval in time
	TaskNoApprover         TaskKind = "no_approver"         // nobody can be called who may give an approval on the phone
	TaskDrift              TaskKind = "drift"               // somebody else changed an endpoint's isolation
	TaskRiskExpired        TaskKind = "risk_expired"        // the client has not said what becomes of a risk whose time is over
)

// Verification is the SOC's word on whether the threat is gone.
type Verification struct {
	Gone bool         `json:"gone"`
	Note string       `json:"note"`
	By   models.Actor `json:"by"`
	At   time.Time    `json:"at"`
	Seq  int          `json:"seq"`
}

// Closure is the client's request to close. Decision is the request id of the command, under which the client's
// decision is stored apart from the event log.
type Closure struct {
	By        models.Actor `json:"by"`
	Decision  string       `json:"decision"`
	Outcome   Outcome      `json:"outcome"`
	Note      string       `json:"note"`
	At        time.Time    `json:"at"`
	Confirmed bool         `json:"confirmed"` // again, accepting the risk by name
	// Request is what was asked for before that, from a moment on when it was kept: it counts again when the confirmation
	// does not any more.
	Request     *ClosureRequest `json:"request,omitempty"`
	ConfirmedBy *models.Actor   `json:"confirmed_by,omitempty"`
	Reason      string          `json:"reason,omitempty"` // why the risk is accepted
	// ExpiresAt is until when the closure accepts a risk. Settled is what the client said when that time was over.
	ExpiresAt time.Time       `json:"expires_at,omitzero"`
	Review    *Review         `json:"review,omitempty"`
	Settled   *RiskSettlement `json:"settled,omitempty"`
}

// ClosureRequest is what the client asked for when they requested closure.
type ClosureRequest struct {
	Decision  string    `json:"decision"`
	Outcome   Outcome   `json:"outcome"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// Outcome is the client's word on how an incident ended.
type Outcome string

// The outcomes of an incident.
const (
	OutcomeResolved      Outcome = "resolved"
	OutcomeRiskAccepted  Outcome = "risk_accepted"
	OutcomeFalsePositive Outcome = "false_positive"
)

// Feedback is the client's rating of how the incident was handled.
type Feedback struct {
	Rating  int          `json:"rating"` // 1 (poor) to 5
	Comment string       `json:"comment"`
	By      models.Actor `json:"by"`
	At      time.Time    `json:"at"`
}

// clone returns a copy that shares no memory with i which an event may change. Assessments, rulings and everything else
// that events only replace as a whole are shared.
func (i Incident) clone() Incident {
	i.Recommendations = slices.Clone(i.Recommendations)
	i.Endpoints = slices.Clone(i.Endpoints)
	for n := range i.Endpoints {
		i.Endpoints[n].Approval = i.Endpoints[n].Approval.clone()
	}
	i.Questions = slices.Clone(i.Questions)
	i.ReadReceipts = slices.Clone(i.ReadReceipts)
	i.Tasks = slices.Clone(i.Tasks)
	if i.Closure != nil {
		closure := *i.Closure
		i.Closure = &closure
	}
	return i
}

// IsOver reports whether nothing but feedback, and the client's word on expired risks, can change the incident any more.
func (i Incident) IsOver() bool { return i.Phase == PhaseClosed || i.Phase == PhaseDismissed }

// IsPublished reports whether the client can see the incident.
func (i Incident) IsPublished() bool { return i.Revision > 0 }

// Unsettled returns the ids of recommendations the client has not settled yet, or must settle again because the time of
// an accepted risk is over.
func (i Incident) Unsettled() []string {
	var ids []string
	for _, r := range i.Recommendations {
		if r.Outcome == "" || r.Review != nil {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// OpenTask returns the open task of a kind about an effect ("" matches any), or nil.
func (i Incident) OpenTask(kind TaskKind, effect string) *Task {
	for n := range i.Tasks {
		if t := &i.Tasks[n]; !t.Done && t.Kind == kind && (effect == "" || t.Effect == effect) {
			return t
		}
	}
	return nil
}

// CurrentVerification returns the verification if it is newer than the last settled recommendation and the last material
// revision, else nil: a later act of the client, and news of the SOC, make it stale.
func (i Incident) CurrentVerification() *Verification {
	return i.verificationSince(max(i.SettledSeq, i.ReportSeq))
}

func (i Incident) verificationSince(seq int) *Verification {
	if i.Verification == nil || i.Verification.Seq < seq {
		return nil
	}
	return i.Verification
}

// ReadyToClose returns nil when the client asked for closure and every guard holds, else the first guard that does not.
// The SOC cannot make it nil without the client.
func (i Incident) ReadyToClose() error { return i.readyToClose(i.CurrentVerification()) }

// ReadyToCloseAsBefore is ReadyToClose by the rule of before: a verification counted after a material revision, too. Runs
// and events of before go by it.
func (i Incident) ReadyToCloseAsBefore() error {
	return i.readyToClose(i.verificationSince(i.SettledSeq))
}

func (i Incident) readyToClose(v *Verification) error {
	if i.Phase != PhaseClosureRequested || i.Closure == nil {
		return models.Errorf(models.Conflict, "the client has not requested closure")
	}
	if err := i.closureGuards(); err != nil {
		return err
	}
	if held := i.unreleasedEndpoints(); len(held) > 0 {
		return models.Errorf(models.Conflict, "endpoint %s is not released yet", held[0])
	}
	switch {
	case i.Closure.Confirmed:
		return nil
	case i.Closure.Decision == "":
		return models.Errorf(models.Conflict, "the client confirmed closure before there was news; the client must confirm it anew, or withdraw the request")
	case v == nil:
		return models.Errorf(models.Conflict, "the SOC has not verified yet whether the threat is gone")
	case !v.Gone:
		return models.Errorf(models.Conflict, "verification found the threat still present; the client must confirm closure, accepting the risk")
	}
	return nil
}

// askAboutClosureAgain takes the client's confirmation back, which they gave before they could know of event e: the
// closure is as it was requested, and it is their turn. One that was given before the request was kept leaves no
// decision to close on.
func (i *Incident) askAboutClosureAgain(e Event) {
	if i.Phase != PhaseClosureRequested || !i.Closure.Confirmed {
		return
	}
	c := i.Closure
	c.Confirmed, c.ConfirmedBy, c.Reason, c.Decision = false, nil, "", ""
	if r := c.Request; r != nil {
		c.Decision, c.Outcome, c.ExpiresAt, c.Request = r.Decision, r.Outcome, r.ExpiresAt, nil
	}
	i.setTurn(TurnClient, e.At)
}

// closureGuards returns the first guard that keeps the client from requesting closure, or nil.
func (i Incident) closureGuards() error {
	if u := i.Unsettled(); len(u) > 0 {
		return models.Errorf(models.Conflict, "recommendation %s is not settled: mitigate it, accept its risk or mark it not applicable", u[0])
	}
	for _, e := range i.Endpoints {
		if e.Desired == models.DesiredIsolated && e.Kept == nil {
			return models.Errorf(models.Conflict, "endpoint %s is isolated: release it or keep it isolated on your explicit word", e.ID)
		}
	}
	return nil
}

// unreleasedEndpoints returns the ids of endpoints whose release the EDR has not confirmed and that the client does not
// keep.
func (i Incident) unreleasedEndpoints() []string {
	var ids []string
	for _, e := range i.Endpoints {
		if e.IsHeld() && e.Kept == nil {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// NextReminder returns when the client is to be reminded, and false when no reminder is due at all.
func (i Incident) NextReminder(p models.Policy) (time.Time, bool) {
	if i.Turn != TurnClient || i.IsOver() || i.Exercise.IsFireDrill() {
		return time.Time{}, false
	}
	since := i.TurnSince
	if i.LastReminder.After(since) {
		since = i.LastReminder
	}
	if i.PublishedSeverity != models.SeverityCritical && i.MayRemindAnytime() {
		return since.Add(time.Duration(p.HighAgainAfter)), true
	}
	return since.Add(p.Reminder(i.PublishedSeverity)), true
}

// MayRemindAnytime reports whether the next reminder ignores the client's business hours. Reminders of critical
// incidents do, and the one repeat about a high incident that nobody acknowledged.
func (i Incident) MayRemindAnytime() bool {
	return i.PublishedSeverity == models.SeverityCritical || i.PublishedSeverity == models.SeverityHigh && i.Acknowledged == nil && i.Reminders == 0
}

// NeedsCalls reports whether contacts are to be phoned: the incident is published as critical and nobody has
// acknowledged yet. A fire drill calls everybody, once.
func (i Incident) NeedsCalls() bool {
	if i.Exercise.IsFireDrill() {
		return i.IsPublished() && !i.IsOver() && i.CallRound == 0
	}
	return !i.IsOver() && i.PublishedSeverity == models.SeverityCritical && i.Acknowledged == nil
}

// NextCallRound returns when the next round through all contacts begins.
func (i Incident) NextCallRound(p models.Policy) time.Time {
	switch {
	case i.CallRound == 0:
		return i.PublishedAt
	case i.CallRound < p.Rounds:
		return i.CallRoundEnded.Add(time.Duration(p.RoundEvery))
	default:
		return i.CallRoundEnded.Add(time.Duration(p.SlowRoundEvery))
	}
}
