package models

import (
	"errors"
	"fmt"
	"regexp"
	"time"
)

var (
	soc      = []Role{RoleAnalyst, RoleLead}
	decider  = []Role{RoleResponder, RoleAdmin}
	anyone   = []Role{RoleViewer, RoleResponder, RoleAdmin}
	both     = []Role{RoleAnalyst, RoleLead, RoleResponder, RoleAdmin}
	attackID = regexp.MustCompile(`^T[0-9]{4}(\.[0-9]{3})?$`)
	hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?$`)
)

// Assess records what the SOC knows. Fields left out stay as they are.
type Assess struct {
	Severity   *Severity        `json:"severity,omitempty"`
	Title      *string          `json:"title,omitempty"`
	Summary    *string          `json:"summary,omitempty"`
	Threat     *string          `json:"threat,omitempty"`
	Techniques *[]string        `json:"techniques,omitempty"` // ATT&CK ids
	Indicators *[]Indicator     `json:"indicators,omitempty"`
	Assets     *[]string        `json:"assets,omitempty"`
	Timeline   *[]TimelineEntry `json:"timeline,omitempty"`
}

// Name returns "assess".
func (*Assess) Name() string  { return "assess" }
func (*Assess) roles() []Role { return soc }

func (c *Assess) validate(time.Time) error {
	var errs []error
	if c.Severity != nil {
		errs = append(errs, oneOf("/severity", *c.Severity, Severities()...))
	}
	if c.Title != nil {
		errs = append(errs, text("/title", *c.Title, maxTitle, true))
	}
	if c.Summary != nil {
		errs = append(errs, text("/summary", *c.Summary, maxText, false))
	}
	if c.Threat != nil {
		errs = append(errs, text("/threat", *c.Threat, maxText, false))
	}
	errs = append(errs, c.validateLists())
	return first(errs)
}

func (c *Assess) validateLists() error {
	var errs []error
	for n, t := range deref(c.Techniques) {
		if !attackID.MatchString(t) {
			errs = append(errs, InvalidField(fmt.Sprintf("/techniques/%d", n), "is not an ATT&CK technique id such as T1059.001"))
		}
	}
	for n, v := range deref(c.Indicators) {
		errs = append(errs, text(fmt.Sprintf("/indicators/%d/type", n), v.Type, 32, true),
			text(fmt.Sprintf("/indicators/%d/value", n), v.Value, maxLine, true))
	}
	for n, a := range deref(c.Assets) {
		errs = append(errs, text(fmt.Sprintf("/assets/%d", n), a, maxLine, true))
	}
	for n, t := range deref(c.Timeline) {
		errs = append(errs, text(fmt.Sprintf("/timeline/%d/text", n), t.Text, maxLine, true))
	}
	errs = append(errs, items("/techniques", len(deref(c.Techniques))), items("/indicators", len(deref(c.Indicators))),
		items("/assets", len(deref(c.Assets))), items("/timeline", len(deref(c.Timeline))))
	return first(errs)
}

func (c *Assess) events(i Incident, _ Ask) []EventData {
	d := &Assessed{Severity: i.Severity, Assessment: i.Assessment}
	set(&d.Severity, c.Severity)
	set(&d.Assessment.Title, c.Title)
	set(&d.Assessment.Summary, c.Summary)
	set(&d.Assessment.Threat, c.Threat)
	set(&d.Assessment.Techniques, c.Techniques)
	set(&d.Assessment.Indicators, c.Indicators)
	set(&d.Assessment.Assets, c.Assets)
	set(&d.Assessment.Timeline, c.Timeline)
	return []EventData{d}
}

// Publish makes revision 1 visible to the client once the investigation is finished.
type Publish struct{}

// Name returns "publish".
func (*Publish) Name() string                     { return "publish" }
func (*Publish) roles() []Role                    { return soc }
func (*Publish) validate(time.Time) error         { return nil }
func (*Publish) events(Incident, Ask) []EventData { return []EventData{&Published{}} }

// Expedite publishes now with what is known, because damage or leakage is happening.
type Expedite struct{}

// Name returns "expedite".
func (*Expedite) Name() string                     { return "expedite" }
func (*Expedite) roles() []Role                    { return soc }
func (*Expedite) validate(time.Time) error         { return nil }
func (*Expedite) events(Incident, Ask) []EventData { return []EventData{&Published{Expedited: true}} }

// Revise publishes the present assessment as the next revision.
type Revise struct {
	Change   string `json:"change"`
	Material bool   `json:"material"` // contacts are mailed
}

// Name returns "revise".
func (*Revise) Name() string               { return "revise" }
func (*Revise) roles() []Role              { return soc }
func (c *Revise) validate(time.Time) error { return text("/change", c.Change, maxText, true) }
func (c *Revise) events(Incident, Ask) []EventData {
	return []EventData{&Revised{Change: c.Change, Material: c.Material}}
}

// Dismiss ends an investigation that found no threat.
type Dismiss struct {
	Reason string `json:"reason"`
}

// Name returns "dismiss".
func (*Dismiss) Name() string               { return "dismiss" }
func (*Dismiss) roles() []Role              { return soc }
func (c *Dismiss) validate(time.Time) error { return text("/reason", c.Reason, maxText, true) }
func (c *Dismiss) events(Incident, Ask) []EventData {
	return []EventData{&Dismissed{Reason: c.Reason}}
}

// Comment is a remark to the other side; it hands them the turn.
type Comment struct {
	Text string `json:"text"`
}

// Name returns "comment".
func (*Comment) Name() string               { return "comment" }
func (*Comment) roles() []Role              { return both }
func (c *Comment) validate(time.Time) error { return text("/text", c.Text, maxText, true) }
func (c *Comment) events(Incident, Ask) []EventData {
	return []EventData{&Commented{Text: c.Text}}
}

// Recommend advises the client to do something.
type Recommend struct {
	Text string `json:"text"`
}

// Name returns "recommend".
func (*Recommend) Name() string               { return "recommend" }
func (*Recommend) roles() []Role              { return soc }
func (c *Recommend) validate(time.Time) error { return text("/text", c.Text, maxText, true) }
func (c *Recommend) events(i Incident, _ Ask) []EventData {
	return []EventData{&Recommended{ID: fmt.Sprintf("r%d", len(i.Recommendations)+1), Text: c.Text}}
}

// Settle ends a recommendation: mitigated with evidence, or its risk accepted with a reason and an expiry
// date by the person who gives the command, or not applicable with a reason.
type Settle struct {
	Recommendation string     `json:"recommendation"`
	Outcome        Settlement `json:"outcome"`
	Evidence       string     `json:"evidence,omitempty"`
	Reason         string     `json:"reason,omitempty"`
	ExpiresAt      time.Time  `json:"expires_at,omitzero"`
}

// Name returns "settle".
func (*Settle) Name() string  { return "settle" }
func (*Settle) roles() []Role { return decider }

func (c *Settle) validate(at time.Time) error {
	return first([]error{
		text("/recommendation", c.Recommendation, 16, true),
		oneOf("/outcome", c.Outcome, Mitigated, RiskAccepted, NotApplicable),
		text("/evidence", c.Evidence, maxText, c.Outcome == Mitigated),
		text("/reason", c.Reason, maxText, c.Outcome != Mitigated),
		c.validateExpiry(at),
	})
}

func (c *Settle) validateExpiry(at time.Time) error {
	switch {
	case c.Outcome != RiskAccepted && !c.ExpiresAt.IsZero():
		return InvalidField("/expires_at", "belongs to an accepted risk only")
	case c.Outcome == RiskAccepted && !c.ExpiresAt.After(at):
		return InvalidField("/expires_at", "must be in the future")
	case c.Outcome == RiskAccepted && c.ExpiresAt.Sub(at) > MaxRiskAcceptance:
		return InvalidField("/expires_at", "must be at most 365 days ahead")
	}
	return nil
}

func (c *Settle) events(Incident, Ask) []EventData {
	return []EventData{&Settled{Recommendation: c.Recommendation, Outcome: c.Outcome, Evidence: c.Evidence, Reason: c.Reason, ExpiresAt: c.ExpiresAt}}
}

// AdviseTeam says whether to engage an incident response team, with the criteria behind it.
type AdviseTeam struct {
	Engage   bool   `json:"engage"`
	Criteria string `json:"criteria"`
}

// Name returns "advise-team".
func (*AdviseTeam) Name() string               { return "advise-team" }
func (*AdviseTeam) roles() []Role              { return soc }
func (c *AdviseTeam) validate(time.Time) error { return text("/criteria", c.Criteria, maxText, true) }
func (c *AdviseTeam) events(Incident, Ask) []EventData {
	return []EventData{&TeamAdvised{Engage: c.Engage, Criteria: c.Criteria}}
}

// Verify is the SOC's word on whether the threat is gone.
type Verify struct {
	Gone bool   `json:"gone"`
	Note string `json:"note"`
}

// Name returns "verify".
func (*Verify) Name() string               { return "verify" }
func (*Verify) roles() []Role              { return soc }
func (c *Verify) validate(time.Time) error { return text("/note", c.Note, maxText, true) }
func (c *Verify) events(Incident, Ask) []EventData {
	return []EventData{&Verified{Gone: c.Gone, Note: c.Note}}
}

// RequestClosure is the client's word that the incident is resolved.
type RequestClosure struct {
	Outcome Outcome `json:"outcome"`
	Note    string  `json:"note"`
}

// Name returns "request-closure".
func (*RequestClosure) Name() string  { return "request-closure" }
func (*RequestClosure) roles() []Role { return decider }

func (c *RequestClosure) validate(time.Time) error {
	return first([]error{
		oneOf("/outcome", c.Outcome, OutcomeResolved, OutcomeRiskAccepted, OutcomeFalsePositive),
		text("/note", c.Note, maxText, true),
	})
}

func (c *RequestClosure) events(_ Incident, ask Ask) []EventData {
	return []EventData{&ClosureRequested{Decision: ask.RequestID, Outcome: c.Outcome, Note: c.Note}}
}

// ConfirmClosure closes although the threat may still be present; whoever gives it accepts the risk.
type ConfirmClosure struct {
	Reason string `json:"reason"`
}

// Name returns "confirm-closure".
func (*ConfirmClosure) Name() string               { return "confirm-closure" }
func (*ConfirmClosure) roles() []Role              { return decider }
func (c *ConfirmClosure) validate(time.Time) error { return text("/reason", c.Reason, maxText, true) }
func (c *ConfirmClosure) events(_ Incident, ask Ask) []EventData {
	return []EventData{&ClosureConfirmed{Decision: ask.RequestID, Reason: c.Reason}}
}

// WithdrawClosure takes the client's request back.
type WithdrawClosure struct {
	Reason string `json:"reason"`
}

// Name returns "withdraw-closure".
func (*WithdrawClosure) Name() string               { return "withdraw-closure" }
func (*WithdrawClosure) roles() []Role              { return decider }
func (c *WithdrawClosure) validate(time.Time) error { return text("/reason", c.Reason, maxText, true) }
func (c *WithdrawClosure) events(Incident, Ask) []EventData {
	return []EventData{&ClosureWithdrawn{Reason: c.Reason}}
}

// GiveFeedback rates how the incident was handled.
type GiveFeedback struct {
	Rating  int    `json:"rating"`
	Comment string `json:"comment,omitempty"`
}

// Name returns "give-feedback".
func (*GiveFeedback) Name() string  { return "give-feedback" }
func (*GiveFeedback) roles() []Role { return anyone }

func (c *GiveFeedback) validate(time.Time) error {
	if c.Rating < 1 || c.Rating > 5 {
		return InvalidField("/rating", "must be 1 to 5")
	}
	return text("/comment", c.Comment, maxText, false)
}

func (c *GiveFeedback) events(Incident, Ask) []EventData {
	return []EventData{&FeedbackGiven{Rating: c.Rating, Comment: c.Comment}}
}

func first(errs []error) error {
	for _, err := range errs {
		var e *Error
		if errors.As(err, &e) {
			return e
		}
	}
	return nil
}

func deref[T any](p *[]T) []T {
	if p == nil {
		return nil
	}
	return *p
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}
