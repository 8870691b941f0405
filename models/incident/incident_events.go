package incident

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
)

// Opened begins an incident.
type Opened struct {
	Reference models.Reference `json:"reference"`
	ClientID  uuid.UUID        `json:"client_id"`
	Title     string           `json:"title"`
	Severity  models.Severity  `json:"severity"`
	Alerts    []uuid.UUID      `json:"alerts"`
	Exercise  models.Exercise  `json:"exercise"`
	// OutsideContract is why a lead opened it for a client who is not live, or is outside of its contract; "" for others.
	OutsideContract string `json:"outside_contract,omitempty"`
}

// Type returns "opened".
func (*Opened) Type() EventType { return "opened" }

// isInternal returns true: the event holds the title that the investigation began with.
func (*Opened) isInternal() bool { return true }

func (d *Opened) apply(i *Incident, e Event) error {
	if e.Actor.Side == models.SideClient {
		return models.Errorf(models.Forbidden, "only the SOC opens incidents")
	}
	if !d.Severity.IsValid() || d.Title == "" {
		return models.Errorf(models.Conflict, "an incident needs a title and a severity")
	}
	*i = Incident{
		Reference: d.Reference, ClientID: d.ClientID, Exercise: cmp.Or(d.Exercise, models.ExerciseNone), Severity: d.Severity, Alerts: d.Alerts, OutsideContract: d.OutsideContract != "",
		Assessment: Assessment{Title: d.Title}, Phase: PhaseInvestigating, OpenedAt: e.At,
		Recommendations: []Recommendation{}, Endpoints: []Endpoint{}, Questions: []Question{}, ReadReceipts: []ReadReceipt{}, Tasks: []Task{},
	}
	i.setTurn(TurnSOC, e.At)
	return nil
}

// Assessed replaces the assessment. The client sees it with the next revision.
type Assessed struct {
	Severity   models.Severity `json:"severity"`
	Assessment Assessment      `json:"assessment"`
}

// Type returns "assessed".
func (*Assessed) Type() EventType { return "assessed" }

func (*Assessed) isInternal() bool { return true }

func (d *Assessed) apply(i *Incident, e Event) error {
	if err := i.require(e, models.SideSOC, PhaseInvestigating, PhasePublished, PhaseClosureRequested); err != nil {
		return err
	}
	i.Severity, i.Assessment = d.Severity, d.Assessment
	return nil
}

// Published makes revision 1 of the report visible to the client.
type Published struct {
	Expedited bool `json:"expedited"` // before the investigation is finished, because damage is happening now
}

// Type returns "published".
func (*Published) Type() EventType { return "published" }

func (d *Published) apply(i *Incident, e Event) error {
	if err := i.require(e, models.SideSOC, PhaseInvestigating); err != nil {
		return err
	}
	if !d.Expedited && i.Assessment.Summary == "" {
		return models.Errorf(models.Conflict, "the report has no summary yet: assess the incident, or expedite it")
	}
	i.Phase, i.Revision, i.Expedited, i.PublishedAt = PhasePublished, 1, d.Expedited, e.At
	i.PublishedSeverity = i.Severity
	i.askWaitingApprovals(e)
	i.setTurn(TurnClient, e.At)
	return nil
}

// Revised makes the next revision of the report visible to the client.
type Revised struct {
	Change   string `json:"change"`
	Material bool   `json:"material"` // contacts are told about it
	// AsksAgain: what was verified and confirmed before a material revision counts no more. Before such an event said so, it
	// did.
	AsksAgain bool `json:"asks_again,omitempty"`
}

// Type returns "revised".
func (*Revised) Type() EventType { return "revised" }

func (d *Revised) apply(i *Incident, e Event) error {
	if err := i.require(e, models.SideSOC, PhasePublished, PhaseClosureRequested); err != nil {
		return err
	}
	i.Revision++
	if i.Severity == models.SeverityCritical && i.PublishedSeverity != models.SeverityCritical {
		i.AlarmSeq, i.AlarmRevision = e.Seq, i.Revision
	}
	i.PublishedSeverity = i.Severity
	if i.Severity == models.SeverityCritical && i.Acknowledged != nil && i.Acknowledged.Severity != models.SeverityCritical {
		i.Acknowledged = nil // it was of something less severe: somebody must acknowledge again
	}
	if d.Material {
		i.ReportSeq = e.Seq
	}
	if i.Phase == PhasePublished && d.Material {
		i.setTurn(TurnClient, e.At)
	}
	if d.AsksAgain {
		if i.Phase == PhaseClosureRequested && i.Verification != nil && i.Verification.Gone { // it is to be verified anew
			i.setTurn(TurnSOC, e.At)
		}
		i.askAboutClosureAgain(e)
	}
	return nil
}

// Dismissed ends an investigation that found no threat, or a fire drill, which nobody needs to close.
type Dismissed struct {
	Reason string `json:"reason"`
}

// Type returns "dismissed".
func (*Dismissed) Type() EventType { return "dismissed" }

func (d *Dismissed) apply(i *Incident, e Event) error {
	if i.Exercise.IsFireDrill() && e.Actor.Side != models.SideClient {
		return i.endDrill(e)
	}
	if err := i.require(e, models.SideSOC, PhaseInvestigating); err != nil {
		return err
	}
	for _, p := range i.Endpoints {
		if p.Desired == models.DesiredIsolated || p.IsHeld() {
			return models.Errorf(models.Conflict, "endpoint %s is isolated or being released", p.ID)
		}
	}
	i.Phase, i.ClosedAt = PhaseDismissed, e.At
	i.setTurn(TurnNone, e.At)
	return nil
}

// endDrill ends a fire drill in whatever phase it is.
func (i *Incident) endDrill(e Event) error {
	if i.IsOver() {
		return models.Errorf(models.Conflict, "the drill is over")
	}
	i.Phase, i.ClosedAt = PhaseDismissed, e.At
	i.setTurn(TurnNone, e.At)
	return nil
}

// Commented is a remark of one side to the other.
type Commented struct {
	Text string `json:"text"`
}

// Type returns "commented".
func (*Commented) Type() EventType { return "commented" }

func (d *Commented) apply(i *Incident, e Event) error {
	if err := i.require(e, "", PhasePublished, PhaseClosureRequested); err != nil {
		return err
	}
	if i.Phase == PhasePublished {
		i.setTurn(otherTurn(e.Actor.Side), e.At)
	}
	return nil
}

func otherTurn(s models.Side) Turn {
	if s == models.SideClient {
		return TurnSOC
	}
	return TurnClient
}

// Recommended advises the client to do something.
type Recommended struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

// Type returns "recommended".
func (*Recommended) Type() EventType { return "recommended" }

func (d *Recommended) apply(i *Incident, e Event) error {
	if err := i.require(e, models.SideSOC, PhaseInvestigating, PhasePublished, PhaseClosureRequested); err != nil {
		return err
	}
	i.Recommendations = append(i.Recommendations, Recommendation{ID: d.ID, Text: d.Text, At: e.At, Seq: e.Seq})
	if i.Phase != PhaseInvestigating {
		i.setTurn(TurnClient, e.At)
	}
	return nil
}

// RecommendationSettled records how the client settled a recommendation.
type RecommendationSettled struct {
	Recommendation string     `json:"recommendation"`
	Outcome        Settlement `json:"outcome"`
	Evidence       string     `json:"evidence,omitempty"`
	Reason         string     `json:"reason,omitempty"`
	ExpiresAt      time.Time  `json:"expires_at,omitzero"`
}

// Type returns "recommendation_settled".
func (*RecommendationSettled) Type() EventType { return "recommendation_settled" }

func (d *RecommendationSettled) apply(i *Incident, e Event) error {
	r := i.recommendation(d.Recommendation)
	phases := []Phase{PhasePublished, PhaseClosureRequested}
	if r != nil && r.Review != nil {
		phases = append(phases, PhaseClosed)
	}
	if err := i.require(e, models.SideClient, phases...); err != nil {
		return err
	}
	if r == nil {
		return models.Errorf(models.Conflict, "recommendation %s not found", d.Recommendation)
	}
	r.Outcome, r.Evidence, r.Reason, r.ExpiresAt = d.Outcome, d.Evidence, d.Reason, d.ExpiresAt
	r.SettledBy, r.SettledAt, r.Review = &e.Actor, e.At, nil
	if i.IsOver() {
		i.endReviewTurn(e)
		return nil
	}
	i.SettledSeq = e.Seq
	if len(i.Unsettled()) == 0 {
		i.setTurn(TurnSOC, e.At)
	}
	return nil
}

// ResponseTeamRecommended says whether the client should engage an incident response team, and why.
type ResponseTeamRecommended struct {
	Engage   bool   `json:"engage"`
	Criteria string `json:"criteria"`
}

// Type returns "response_team_recommended".
func (*ResponseTeamRecommended) Type() EventType { return "response_team_recommended" }

func (d *ResponseTeamRecommended) apply(i *Incident, e Event) error {
	if err := i.require(e, models.SideSOC, PhaseInvestigating, PhasePublished, PhaseClosureRequested); err != nil {
		return err
	}
	i.ResponseTeam = &ResponseTeamRecommendation{Engage: d.Engage, Criteria: d.Criteria, At: e.At}
	return nil
}

// Verified is the SOC's word on whether the threat is gone.
type Verified struct {
	Gone bool   `json:"gone"`
	Note string `json:"note"`
	// AsksAgain: what the client confirmed before the word that the threat is still present counts no more. Before such an
	// event said so, it did.
	AsksAgain bool `json:"asks_again,omitempty"`
}

// Type returns "verified".
func (*Verified) Type() EventType { return "verified" }

func (d *Verified) apply(i *Incident, e Event) error {
	if err := i.require(e, models.SideSOC, PhasePublished, PhaseClosureRequested); err != nil {
		return err
	}
	i.Verification = &Verification{Gone: d.Gone, Note: d.Note, By: e.Actor, At: e.At, Seq: e.Seq}
	i.setTurn(TurnClient, e.At)
	if d.AsksAgain {
		i.askAboutClosureAgain(e)
	}
	return nil
}

// ClosureRequested is the client's word that the incident is resolved.
type ClosureRequested struct {
	Decision  string    `json:"decision"` // request id under which the client's decision is stored
	Outcome   Outcome   `json:"outcome"`
	Note      string    `json:"note"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // of an accepted risk
}

// Type returns "closure_requested".
func (*ClosureRequested) Type() EventType { return "closure_requested" }

func (d *ClosureRequested) apply(i *Incident, e Event) error {
	if err := i.require(e, models.SideClient, PhasePublished); err != nil {
		return err
	}
	if err := i.closureGuards(); err != nil {
		return err
	}
	i.Phase = PhaseClosureRequested
	i.Closure = &Closure{By: e.Actor, Decision: d.Decision, Outcome: d.Outcome, Note: d.Note, At: e.At, ExpiresAt: d.ExpiresAt}
	i.setTurn(TurnSOC, e.At)
	if v := i.verificationSince(i.SettledSeq); v != nil && !v.Gone {
		i.setTurn(TurnClient, e.At)
	}
	return nil
}

// ClosureConfirmed is the client's word to close although the threat may still be present: its sender accepts the risk,
// and that is the incident's outcome. One of before has no expiry date and leaves the outcome as it was asked for.
type ClosureConfirmed struct {
	Decision  string    `json:"decision"`
	Reason    string    `json:"reason"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// Request is what was asked for before, see Closure.
	Request *ClosureRequest `json:"request,omitempty"`
}

// Type returns "closure_confirmed".
func (*ClosureConfirmed) Type() EventType { return "closure_confirmed" }

func (d *ClosureConfirmed) apply(i *Incident, e Event) error {
	if err := i.require(e, models.SideClient, PhaseClosureRequested); err != nil {
		return err
	}
	i.Closure.Confirmed, i.Closure.ConfirmedBy, i.Closure.Reason, i.Closure.Decision = true, &e.Actor, d.Reason, d.Decision
	i.Closure.Request = d.Request
	if !d.ExpiresAt.IsZero() {
		i.Closure.Outcome, i.Closure.ExpiresAt = OutcomeRiskAccepted, d.ExpiresAt
	}
	return nil
}

// ClosureWithdrawn takes the client's request back.
type ClosureWithdrawn struct {
	Reason string `json:"reason"`
}

// Type returns "closure_withdrawn".
func (*ClosureWithdrawn) Type() EventType { return "closure_withdrawn" }

func (d *ClosureWithdrawn) apply(i *Incident, e Event) error {
	if err := i.require(e, models.SideClient, PhaseClosureRequested); err != nil {
		return err
	}
	i.Phase, i.Closure = PhasePublished, nil
	i.setTurn(TurnSOC, e.At)
	return nil
}

// Closed ends a published incident on the client's decision. Its actor is the client's user who decided.
type Closed struct {
	Decision string `json:"decision"`
}

// Type returns "closed".
func (*Closed) Type() EventType { return "closed" }

func (d *Closed) apply(i *Incident, e Event) error {
	if err := i.require(e, models.SideClient, PhaseClosureRequested); err != nil {
		return err
	}
	if err := i.ReadyToCloseAsBefore(); err != nil { // the workflow goes by ReadyToClose
		return err
	}
	if d.Decision == "" || d.Decision != i.Closure.Decision {
		return models.Errorf(models.Conflict, "decision of the client for this closure not found")
	}
	i.Phase, i.ClosedAt = PhaseClosed, e.At
	i.setTurn(TurnNone, e.At)
	return nil
}

// FeedbackGiven is the client's rating.
type FeedbackGiven struct {
	Rating  int    `json:"rating"`
	Comment string `json:"comment"`
}

// Type returns "feedback_given".
func (*FeedbackGiven) Type() EventType { return "feedback_given" }

func (d *FeedbackGiven) apply(i *Incident, e Event) error {
	if err := i.require(e, models.SideClient, PhaseClosed); err != nil {
		return err
	}
	i.Feedback = &Feedback{Rating: d.Rating, Comment: d.Comment, By: e.Actor, At: e.At}
	return nil
}

// CommandRejected records the rejection of a command that came as a signal, whose sender nobody could answer. By is the
// sender, RequestID the name of the command in the answer they got when it was queued.
type CommandRejected struct {
	Command   string       `json:"command"`
	Reason    string       `json:"reason"`
	RequestID string       `json:"request_id,omitempty"`
	By        models.Actor `json:"by,omitzero"`
}

// Type returns "command_rejected".
func (*CommandRejected) Type() EventType { return "command_rejected" }

// isInternal returns false for commands of the client's own people.
func (d *CommandRejected) isInternal() bool { return d.By.Side != models.SideClient }

func (d *CommandRejected) apply(*Incident, Event) error { return nil }

// require checks the side of an event's actor ("" allows both) and the incident's phase.
func (i *Incident) require(e Event, side models.Side, phases ...Phase) error {
	if side != "" && e.Actor.Side != side {
		return models.Errorf(models.Forbidden, "only the %s may do this", sideName(side))
	}
	if !slices.Contains(phases, i.Phase) {
		return models.Errorf(models.Conflict, "the incident is %s", phaseName(i.Phase))
	}
	return nil
}

func sideName(s models.Side) string {
	switch s {
	case models.SideSOC:
		return "SOC"
	case models.SideClient:
		return "client"
	default:
		return "system"
	}
}

func phaseName(p Phase) string {
	switch p {
	case PhaseInvestigating:
		return "still under investigation and not published"
	case PhasePublished:
		return "published already"
	case PhaseClosureRequested:
		return "waiting for its closure, which the client requested"
	case PhaseClosed:
		return "closed"
	case PhaseDismissed:
		return "dismissed"
	default:
		return "not open"
	}
}

func (i *Incident) setTurn(t Turn, at time.Time) {
	if i.Turn != t {
		i.Turn, i.TurnSince = t, at
	}
}
