package incident

import (
	"fmt"
	"regexp"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

var (
	socRoles     = []models.Role{models.RoleAnalyst, models.RoleLead}
	deciderRoles = []models.Role{models.RoleResponder, models.RoleAdmin}
	clientRoles  = []models.Role{models.RoleViewer, models.RoleResponder, models.RoleAdmin}
	handlerRoles = []models.Role{models.RoleAnalyst, models.RoleLead, models.RoleResponder, models.RoleAdmin}
	attackID     = regexp.MustCompile(`^T[0-9]{4}(\.[0-9]{3})?$`)
	hostName     = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?$`)
)

// Assess records the SOC's knowledge of the threat. Fields left out stay as they are.
type Assess struct {
	Severity   *models.Severity    `json:"severity,omitempty"`
	Title      *string             `json:"title,omitempty"`
	Summary    *string             `json:"summary,omitempty" text:"lines"`
	Threat     *string             `json:"threat,omitempty" text:"lines"`
	Techniques *[]string           `json:"techniques,omitempty"` // ATT&CK ids
	Indicators *[]models.Indicator `json:"indicators,omitempty"`
	Assets     *[]string           `json:"assets,omitempty"`
	Timeline   *[]TimelineEntry    `json:"timeline,omitempty"`
}

// Name returns "assess".
func (*Assess) Name() string         { return "assess" }
func (*Assess) roles() []models.Role { return socRoles }

func (c *Assess) validate(time.Time) error {
	var errs []error
	if c.Severity != nil {
		errs = append(errs, models.CheckOneOf("/severity", *c.Severity, models.Severities()...))
	}
	if c.Title != nil {
		errs = append(errs, models.CheckText("/title", *c.Title, models.MaxTitle, true))
	}
	if c.Summary != nil {
		errs = append(errs, models.CheckText("/summary", *c.Summary, models.MaxText, false))
	}
	if c.Threat != nil {
		errs = append(errs, models.CheckText("/threat", *c.Threat, models.MaxText, false))
	}
	errs = append(errs, c.validateLists())
	return models.FirstError(errs)
}

func (c *Assess) validateLists() error {
	var errs []error
	for n, t := range deref(c.Techniques) {
		if !attackID.MatchString(t) {
			errs = append(errs, models.InvalidField(fmt.Sprintf("/techniques/%d", n), "is not an ATT&CK technique id such as T1059.001"))
		}
	}
	for n, v := range deref(c.Indicators) {
		errs = append(errs, models.CheckText(fmt.Sprintf("/indicators/%d/type", n), v.Type, 32, true),
			models.CheckText(fmt.Sprintf("/indicators/%d/value", n), v.Value, models.MaxLine, true))
	}
	for n, a := range deref(c.Assets) {
		errs = append(errs, models.CheckText(fmt.Sprintf("/assets/%d", n), a, models.MaxLine, true))
	}
	for n, t := range deref(c.Timeline) {
		errs = append(errs, models.CheckText(fmt.Sprintf("/timeline/%d/text", n), t.Text, models.MaxLine, true))
	}
	errs = append(errs, models.CheckCount("/techniques", len(deref(c.Techniques))), models.CheckCount("/indicators", len(deref(c.Indicators))),
		models.CheckCount("/assets", len(deref(c.Assets))), models.CheckCount("/timeline", len(deref(c.Timeline))))
	return models.FirstError(errs)
}

func (c *Assess) events(i Incident, _ CommandContext) []EventData {
	d := &Assessed{Severity: i.Severity, Assessment: i.Assessment}
	setIfGiven(&d.Severity, c.Severity)
	setIfGiven(&d.Assessment.Title, c.Title)
	setIfGiven(&d.Assessment.Summary, c.Summary)
	setIfGiven(&d.Assessment.Threat, c.Threat)
	setIfGiven(&d.Assessment.Techniques, c.Techniques)
	setIfGiven(&d.Assessment.Indicators, c.Indicators)
	setIfGiven(&d.Assessment.Assets, c.Assets)
	setIfGiven(&d.Assessment.Timeline, c.Timeline)
	return []EventData{d}
}

// Publish makes revision 1 visible to the client once the investigation is finished.
type Publish struct{}

// Name returns "publish".
func (*Publish) Name() string                                { return "publish" }
func (*Publish) roles() []models.Role                        { return socRoles }
func (*Publish) validate(time.Time) error                    { return nil }
func (*Publish) events(Incident, CommandContext) []EventData { return []EventData{&Published{}} }

// Expedite publishes before the investigation is finished, because damage or leakage is happening.
type Expedite struct{}

// Name returns "expedite".
func (*Expedite) Name() string             { return "expedite" }
func (*Expedite) roles() []models.Role     { return socRoles }
func (*Expedite) validate(time.Time) error { return nil }
func (*Expedite) events(Incident, CommandContext) []EventData {
	return []EventData{&Published{Expedited: true}}
}

// Revise publishes the present assessment as the next revision.
type Revise struct {
	Change   string `json:"change" text:"lines"`
	Material bool   `json:"material"` // contacts are told
}

// Name returns "revise".
func (*Revise) Name() string         { return "revise" }
func (*Revise) roles() []models.Role { return socRoles }
func (c *Revise) validate(time.Time) error {
	return models.CheckText("/change", c.Change, models.MaxText, true)
}
func (c *Revise) events(Incident, CommandContext) []EventData {
	return []EventData{&Revised{Change: c.Change, Material: c.Material, AsksAgain: c.Material}}
}

// Dismiss ends an investigation that found no threat.
type Dismiss struct {
	Reason string `json:"reason" text:"lines"`
}

// Name returns "dismiss".
func (*Dismiss) Name() string         { return "dismiss" }
func (*Dismiss) roles() []models.Role { return socRoles }
func (c *Dismiss) validate(time.Time) error {
	return models.CheckText("/reason", c.Reason, models.MaxText, true)
}
func (c *Dismiss) events(Incident, CommandContext) []EventData {
	return []EventData{&Dismissed{Reason: c.Reason}}
}

// Comment is a remark to the other side; it hands them the turn.
type Comment struct {
	Text string `json:"text" text:"lines"`
}

// Name returns "comment".
func (*Comment) Name() string         { return "comment" }
func (*Comment) roles() []models.Role { return handlerRoles }
func (c *Comment) validate(time.Time) error {
	return models.CheckText("/text", c.Text, models.MaxText, true)
}
func (c *Comment) events(Incident, CommandContext) []EventData {
	return []EventData{&Commented{Text: c.Text}}
}

// Recommend advises the client to do something.
type Recommend struct {
	Text string `json:"text" text:"lines"`
}

// Name returns "recommend".
func (*Recommend) Name() string         { return "recommend" }
func (*Recommend) roles() []models.Role { return socRoles }
func (c *Recommend) validate(time.Time) error {
	return models.CheckText("/text", c.Text, models.MaxText, true)
}
func (c *Recommend) events(i Incident, _ CommandContext) []EventData {
	return []EventData{&Recommended{ID: fmt.Sprintf("r%d", len(i.Recommendations)+1), Text: c.Text}}
}

// SettleRecommendation ends a recommendation: mitigated with evidence, or its risk accepted with a reason and an expiry
// date by the person who sends the command, or not applicable with a reason.
type SettleRecommendation struct {
	Recommendation string     `json:"recommendation"`
	Outcome        Settlement `json:"outcome"`
	Evidence       string     `json:"evidence,omitempty" text:"lines"`
	Reason         string     `json:"reason,omitempty" text:"lines"`
	ExpiresAt      time.Time  `json:"expires_at,omitzero"`
}

// Name returns "settle-recommendation".
func (*SettleRecommendation) Name() string         { return "settle-recommendation" }
func (*SettleRecommendation) roles() []models.Role { return deciderRoles }
func (*SettleRecommendation) closesRisk()          {}

func (c *SettleRecommendation) validate(at time.Time) error {
	return models.FirstError([]error{
		models.CheckText("/recommendation", c.Recommendation, 16, true),
		checkSettlement(c.Outcome, c.Evidence, c.Reason, c.ExpiresAt, at),
	})
}

func (c *SettleRecommendation) events(Incident, CommandContext) []EventData {
	return []EventData{&RecommendationSettled{Recommendation: c.Recommendation, Outcome: c.Outcome, Evidence: c.Evidence, Reason: c.Reason, ExpiresAt: c.ExpiresAt}}
}

// RecommendResponseTeam says whether to engage an incident response team, with the criteria behind it.
type RecommendResponseTeam struct {
	Engage   bool   `json:"engage"`
	Criteria string `json:"criteria" text:"lines"`
}

// Name returns "recommend-response-team".
func (*RecommendResponseTeam) Name() string         { return "recommend-response-team" }
func (*RecommendResponseTeam) roles() []models.Role { return socRoles }
func (c *RecommendResponseTeam) validate(time.Time) error {
	return models.CheckText("/criteria", c.Criteria, models.MaxText, true)
}
func (c *RecommendResponseTeam) events(Incident, CommandContext) []EventData {
	return []EventData{&ResponseTeamRecommended{Engage: c.Engage, Criteria: c.Criteria}}
}

// Verify is the SOC's word on whether the threat is gone.
type Verify struct {
	Gone bool   `json:"gone"`
	Note string `json:"note" text:"lines"`
}

// Name returns "verify".
func (*Verify) Name() string         { return "verify" }
func (*Verify) roles() []models.Role { return socRoles }
func (c *Verify) validate(time.Time) error {
	return models.CheckText("/note", c.Note, models.MaxText, true)
}
func (c *Verify) events(Incident, CommandContext) []EventData {
	return []EventData{&Verified{Gone: c.Gone, Note: c.Note, AsksAgain: !c.Gone}}
}

// RequestClosure is the client's word that the incident is resolved, or that they accept its risk until a date.
type RequestClosure struct {
	Outcome   Outcome   `json:"outcome"`
	Note      string    `json:"note" text:"lines"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // of an accepted risk
}

// Name returns "request-closure".
func (*RequestClosure) Name() string         { return "request-closure" }
func (*RequestClosure) roles() []models.Role { return deciderRoles }
func (*RequestClosure) closesRisk()          {}

func (c *RequestClosure) validate(at time.Time) error {
	return models.FirstError([]error{
		models.CheckOneOf("/outcome", c.Outcome, OutcomeResolved, OutcomeRiskAccepted, OutcomeFalsePositive),
		models.CheckText("/note", c.Note, models.MaxText, true),
		checkExpiry(c.Outcome == OutcomeRiskAccepted, false, c.ExpiresAt, at),
	})
}

func (c *RequestClosure) events(_ Incident, ask CommandContext) []EventData {
	return []EventData{&ClosureRequested{Decision: ask.RequestID, Outcome: c.Outcome, Note: c.Note, ExpiresAt: c.ExpiresAt}}
}

// ConfirmClosure closes although the threat may still be present; its sender accepts the risk until a date.
type ConfirmClosure struct {
	Reason    string    `json:"reason" text:"lines"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// Name returns "confirm-closure".
func (*ConfirmClosure) Name() string         { return "confirm-closure" }
func (*ConfirmClosure) roles() []models.Role { return deciderRoles }
func (*ConfirmClosure) closesRisk()          {}
func (c *ConfirmClosure) validate(at time.Time) error {
	return models.FirstError([]error{models.CheckText("/reason", c.Reason, models.MaxText, true), checkExpiry(true, false, c.ExpiresAt, at)})
}
func (c *ConfirmClosure) events(i Incident, ask CommandContext) []EventData {
	d := &ClosureConfirmed{Decision: ask.RequestID, Reason: c.Reason, ExpiresAt: c.ExpiresAt}
	if was := i.Closure; was != nil {
		d.Request = was.Request
		if !was.Confirmed && was.Decision != "" {
			d.Request = &ClosureRequest{Decision: was.Decision, Outcome: was.Outcome, ExpiresAt: was.ExpiresAt}
		}
	}
	return []EventData{d}
}

// WithdrawClosure takes the client's request back.
type WithdrawClosure struct {
	Reason string `json:"reason" text:"lines"`
}

// Name returns "withdraw-closure".
func (*WithdrawClosure) Name() string         { return "withdraw-closure" }
func (*WithdrawClosure) roles() []models.Role { return deciderRoles }
func (c *WithdrawClosure) validate(time.Time) error {
	return models.CheckText("/reason", c.Reason, models.MaxText, true)
}
func (c *WithdrawClosure) events(Incident, CommandContext) []EventData {
	return []EventData{&ClosureWithdrawn{Reason: c.Reason}}
}

// GiveFeedback rates how the incident was handled.
type GiveFeedback struct {
	Rating  int    `json:"rating"`
	Comment string `json:"comment,omitempty" text:"lines"`
}

// Name returns "give-feedback".
func (*GiveFeedback) Name() string         { return "give-feedback" }
func (*GiveFeedback) roles() []models.Role { return clientRoles }

func (c *GiveFeedback) validate(time.Time) error {
	if c.Rating < 1 || c.Rating > 5 {
		return models.InvalidField("/rating", "must be 1 to 5")
	}
	return models.CheckText("/comment", c.Comment, models.MaxText, false)
}

func (c *GiveFeedback) events(Incident, CommandContext) []EventData {
	return []EventData{&FeedbackGiven{Rating: c.Rating, Comment: c.Comment}}
}

func deref[T any](p *[]T) []T {
	if p == nil {
		return nil
	}
	return *p
}

func setIfGiven[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}
