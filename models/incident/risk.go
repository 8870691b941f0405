package incident

import (
	"slices"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// RiskOfClosure names the risk that a closure accepts. That of a recommendation has the recommendation's id.
const RiskOfClosure = "closure"

// Review is the question that came back to the client because the time is over for which they accepted a risk. It is
// open until they settle the risk again.
type Review struct {
	Asked   int       `json:"asked"` // how often
	AskedAt time.Time `json:"asked_at"`
	Seq     int       `json:"seq"` // of the event that asked first
}

// RiskSettlement is how the client settled the risk of a closure when its time was over.
type RiskSettlement struct {
	Outcome   Settlement   `json:"outcome"`
	Evidence  string       `json:"evidence,omitempty"`
	Reason    string       `json:"reason,omitempty"`
	ExpiresAt time.Time    `json:"expires_at,omitzero"` // of a risk that is accepted again
	By        models.Actor `json:"by"`
	At        time.Time    `json:"at"`
}

// AcceptedRisk is a risk that the client accepts until a moment.
type AcceptedRisk struct {
	ID     string // of the recommendation, or RiskOfClosure
	Until  time.Time
	By     models.Actor // who accepted it last
	Review *Review      // open since then
}

// AcceptedRisks lists the risks that the client accepts: of recommendations, and of the closure once the incident is
// closed.
func (i Incident) AcceptedRisks() (all []AcceptedRisk) {
	for _, r := range i.Recommendations {
		if r.Outcome == RiskAccepted && !r.ExpiresAt.IsZero() && r.SettledBy != nil {
			all = append(all, AcceptedRisk{ID: r.ID, Until: r.ExpiresAt, By: *r.SettledBy, Review: r.Review})
		}
	}
	if i.Phase == PhaseClosed && i.Closure != nil {
		if risk := i.Closure.risk(); risk != nil {
			all = append(all, *risk)
		}
	}
	return all
}

// risk returns the risk that a closure accepts, or nil. One from before such a closure had an expiry date lasts as long
// as a risk may be accepted at most.
func (c Closure) risk() *AcceptedRisk {
	r := AcceptedRisk{ID: RiskOfClosure, Until: c.ExpiresAt, By: c.By, Review: c.Review}
	if c.ConfirmedBy != nil {
		r.By = *c.ConfirmedBy
	}
	switch {
	case c.Outcome != OutcomeRiskAccepted, c.Settled != nil && c.Settled.Outcome != RiskAccepted:
		return nil
	case c.Settled != nil:
		r.Until, r.By = c.Settled.ExpiresAt, c.Settled.By
	case c.ExpiresAt.IsZero():
		r.Until = c.At.Add(MaxRiskAcceptance)
	}
	return &r
}

// NextRisk returns the accepted risk that the client is asked about next, and when: at its expiry, then as reminders
// of the incident's severity go. False when the client accepts none.
func (i Incident) NextRisk(p models.Policy) (next AcceptedRisk, at time.Time, ok bool) {
	for _, r := range i.AcceptedRisks() {
		due := r.Until
		if r.Review != nil {
			due = r.Review.AskedAt.Add(p.Reminder(i.PublishedSeverity))
		}
		if !ok || due.Before(at) {
			next, at, ok = r, due, true
		}
	}
	return next, at, ok
}

// RiskDue returns the first expiry of the risks that the client accepts in a closed incident; zero when there is none.
func (i Incident) RiskDue() (first time.Time) {
	if !i.IsOver() {
		return first
	}
	for _, r := range i.AcceptedRisks() {
		if first.IsZero() || r.Until.Before(first) {
			first = r.Until
		}
	}
	return first
}

// HasExpiredRisk reports whether the time of an accepted risk is over at a moment, or the client was asked about one
// and has not answered.
func (i Incident) HasExpiredRisk(at time.Time) bool {
	return slices.ContainsFunc(i.AcceptedRisks(), func(r AcceptedRisk) bool { return r.Review != nil || !r.Until.After(at) })
}

// isAskedAboutRisks reports whether the client was asked about an accepted risk whose time is over.
func (i Incident) isAskedAboutRisks() bool {
	return slices.ContainsFunc(i.AcceptedRisks(), func(r AcceptedRisk) bool { return r.Review != nil })
}

// RiskExpired records that the time of an accepted risk is over, and that the client is asked about it, again with each
// reminder.
type RiskExpired struct {
	Risk   string `json:"risk"`
	Number int    `json:"number"` // how often the client was asked, with this one
}

// Type returns "risk_expired".
func (*RiskExpired) Type() EventType { return "risk_expired" }

func (d *RiskExpired) apply(i *Incident, e Event) error {
	if err := systemOnly(e); err != nil {
		return err
	}
	if err := i.require(e, "", PhasePublished, PhaseClosureRequested, PhaseClosed); err != nil {
		return err
	}
	risks := i.AcceptedRisks()
	n := slices.IndexFunc(risks, func(r AcceptedRisk) bool { return r.ID == d.Risk && !r.Until.After(e.At) })
	if n < 0 {
		return models.Errorf(models.Conflict, "expired risk %s not found", d.Risk)
	}
	review := &Review{Asked: d.Number, AskedAt: e.At, Seq: e.Seq}
	if before := risks[n].Review; before != nil {
		review.Seq = before.Seq
	}
	if d.Risk == RiskOfClosure {
		i.Closure.Review = review
	} else {
		i.recommendation(d.Risk).Review = review
	}
	i.setTurn(TurnClient, e.At)
	return nil
}

// RiskSettled records how the client settled the risk of a closure whose time is over.
type RiskSettled struct {
	Outcome   Settlement `json:"outcome"`
	Evidence  string     `json:"evidence,omitempty"`
	Reason    string     `json:"reason,omitempty"`
	ExpiresAt time.Time  `json:"expires_at,omitzero"`
}

// Type returns "risk_settled".
func (*RiskSettled) Type() EventType { return "risk_settled" }

func (d *RiskSettled) apply(i *Incident, e Event) error {
	if err := i.require(e, models.SideClient, PhaseClosed); err != nil {
		return err
	}
	if i.Closure.Review == nil {
		return models.Errorf(models.Conflict, "nobody asks about the risk of the closure at present")
	}
	i.Closure.Review = nil
	i.Closure.Settled = &RiskSettlement{Outcome: d.Outcome, Evidence: d.Evidence, Reason: d.Reason, ExpiresAt: d.ExpiresAt, By: e.Actor, At: e.At}
	i.endReviewTurn(e)
	return nil
}

// endReviewTurn takes the turn from the client of a closed incident who was asked about expired risks, and has settled
// all of them.
func (i *Incident) endReviewTurn(e Event) {
	if i.IsOver() && !i.isAskedAboutRisks() {
		i.setTurn(TurnNone, e.At)
	}
}

// recommendation returns the recommendation with an id, or nil.
func (i *Incident) recommendation(id string) *Recommendation {
	n := slices.IndexFunc(i.Recommendations, func(r Recommendation) bool { return r.ID == id })
	if n < 0 {
		return nil
	}
	return &i.Recommendations[n]
}

// SettleRisk settles the risk that the closure accepted, when its time is over: accepted again with a reason and an
// expiry date, or mitigated with evidence, or not applicable any more with a reason.
type SettleRisk struct {
	Outcome   Settlement `json:"outcome"`
	Evidence  string     `json:"evidence,omitempty" text:"lines"`
	Reason    string     `json:"reason,omitempty" text:"lines"`
	ExpiresAt time.Time  `json:"expires_at,omitzero"`
}

// Name returns "settle-risk".
func (*SettleRisk) Name() string         { return "settle-risk" }
func (*SettleRisk) roles() []models.Role { return deciderRoles }
func (*SettleRisk) closesRisk()          {}

func (c *SettleRisk) validate(at time.Time) error {
	return checkSettlement(c.Outcome, c.Evidence, c.Reason, c.ExpiresAt, at)
}

func (c *SettleRisk) events(Incident, CommandContext) []EventData {
	return []EventData{&RiskSettled{Outcome: c.Outcome, Evidence: c.Evidence, Reason: c.Reason, ExpiresAt: c.ExpiresAt}}
}

// checkSettlement checks how a recommendation or an expired risk is settled.
func checkSettlement(outcome Settlement, evidence, reason string, expires, at time.Time) error {
	return models.FirstError([]error{
		models.CheckOneOf("/outcome", outcome, Mitigated, RiskAccepted, NotApplicable),
		models.CheckText("/evidence", evidence, models.MaxText, outcome == Mitigated),
		models.CheckText("/reason", reason, models.MaxText, outcome != Mitigated),
		checkExpiry(outcome == RiskAccepted, true, expires, at),
	})
}

// checkExpiry checks the expiry date of a risk, which belongs to an accepted one alone, and is required there or not.
func checkExpiry(accepted, required bool, expires, at time.Time) error {
	switch {
	case expires.IsZero() && !(accepted && required):
		return nil
	case !accepted:
		return models.InvalidField("/expires_at", "belongs to an accepted risk only")
	case !expires.After(at):
		return models.InvalidField("/expires_at", "must be in the future")
	case expires.Sub(at) > MaxRiskAcceptance:
		return models.InvalidField("/expires_at", "must be at most 365 days ahead")
	}
	return nil
}

// CheckNew returns what a command lacks that is demanded of everybody who sends one now. One that was sent before it was
// demanded is still carried out.
func CheckNew(c Command) error {
	required := models.InvalidField("/expires_at", "is required: a risk is accepted until a date")
	switch c := c.(type) {
	case *RequestClosure:
		if c.Outcome == OutcomeRiskAccepted && c.ExpiresAt.IsZero() {
			return required
		}
	case *ConfirmClosure:
		if c.ExpiresAt.IsZero() {
			return required
		}
	}
	return nil
}
