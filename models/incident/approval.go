package incident

import (
	"slices"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
)

// Approval is the permission that the desired state of an endpoint needs before the EDR is sent an action: the ruling
// of the response authority and, if the ruling says so, the consent of one or two persons of the client.
//
//	state     recognised by                entered by
//	waiting   IsOpen and Asked is 0        ContainmentRuled before the incident is published
//	asked     IsAnswerable                 ContainmentRuled with "ask" or "ask_then_auto", Published, a new ruling after
//	                                       it had expired
//	expired   Expired                      ApprovalExpired; ContainmentRuled at NextAskAt asks again
//	granted   Granted                      ContainmentRuled with "auto", a release that the client itself requested, enough
//	                                       ApprovalGiven, ApprovalExpired where the client's rule allows it; after people
//	                                       granted it the next ContainmentRuled permits the state
//	denied    Denied                       ApprovalDenied, ContainmentRuled with "never" or in a drill; final
//
// A new desired state of the endpoint (IsolationRequested, ReleaseRequested) starts over with an approval of its own.
type Approval struct {
	ID         string           `json:"id"` // "a1", "a2", … within the incident
	Ruling     authority.Ruling `json:"ruling"`
	Asked      int              `json:"asked,omitzero"` // how often people were asked
	AskedAt    time.Time        `json:"asked_at,omitzero"`
	AskedSeq   int              `json:"asked_seq,omitzero"`   // Seq of the event that asked last
	ExpiresAt  time.Time        `json:"expires_at,omitzero"`  // nobody may answer from then on, until it is asked for again
	Expired    bool             `json:"expired,omitzero"`     // nobody answered in time
	NextAskAt  time.Time        `json:"next_ask_at,omitzero"` // when it is asked for again, after it expired
	Given      []Consent        `json:"given,omitempty"`
	Granted    bool             `json:"granted"`
	How        string           `json:"how,omitempty"` // how it was granted or denied: "by rule", "approved", "nobody answered", …
	Denied     *Consent         `json:"denied,omitempty"`
	ApproveFor models.Duration  `json:"approve_for,omitzero"` // how long people have to answer
}

// Consent is the answer of one person to an approval.
type Consent struct {
	By     models.Actor `json:"by"`
	Person string       `json:"person,omitempty"` // see PersonOf: the same human as user and as contact
	Via    string       `json:"via"`              // "portal", "api", "voice"
	Reason string       `json:"reason,omitempty"`
	At     time.Time    `json:"at"`
}

// hasAgreed reports whether somebody, or the same human under another name, has approved.
func (a *Approval) hasAgreed(by models.Actor, person string) bool {
	return slices.ContainsFunc(a.Given, func(c Consent) bool { return c.By.ID == by.ID || models.SamePerson(c.Person, person) })
}

// void takes the consents of some people away, who may not act any more.
func (a *Approval) void(of []models.Actor) {
	a.Given = slices.DeleteFunc(a.Given, func(c Consent) bool { return slices.Contains(of, c.By) })
}

// clone returns a copy that shares no list with a.
func (a *Approval) clone() *Approval {
	if a == nil {
		return nil
	}
	c := *a
	c.Given = slices.Clone(a.Given)
	return &c
}

// IsOpen reports whether the approval waits for people: it is neither granted nor denied.
func (a *Approval) IsOpen() bool { return a != nil && !a.Granted && a.Denied == nil }

// IsAnswerable reports whether people are being asked now.
func (a *Approval) IsAnswerable() bool { return a.IsOpen() && a.Asked > 0 && !a.Expired }

// addConsent adds one person's consent. A person counts once. Where two persons must agree, it must be possible to tell
// them apart.
func (a *Approval) addConsent(c Consent) error {
	if a.hasAgreed(c.By, c.Person) {
		return models.Errorf(models.Conflict, "you have already approved; a second person must approve, too")
	}
	if a.Ruling.Persons > 1 && c.Person == "" {
		return models.Errorf(models.Conflict, "two persons must approve, and this one has no mail address that tells them from the other; add one to the contact or user")
	}
	a.Given = append(a.Given, c)
	if a.hasEnoughConsents() {
		a.Granted, a.How = true, "approved"
	}
	return nil
}

// hasEnoughConsents reports whether as many persons have agreed as must. Where two must agree, only persons count who
// can be told apart: one of the consents may be from a time when one person was enough.
func (a *Approval) hasEnoughConsents() bool {
	count := 0
	for _, c := range a.Given {
		if c.Person != "" || a.Ruling.Persons < 2 {
			count++
		}
	}
	return count >= max(a.Ruling.Persons, 1)
}

// ContainmentRuled is the ruling of the response authority on the desired state of an endpoint: when the state is set,
// when people have granted it, and before they are asked again. The last ruling counts.
type ContainmentRuled struct {
	Endpoint   string           `json:"endpoint"`
	Generation int              `json:"generation"`
	Approval   string           `json:"approval"`
	AgentID    string           `json:"agent_id,omitempty"` // the one device it is about
	Asset      authority.Asset  `json:"asset"`
	Ruling     authority.Ruling `json:"ruling"`
	ApproveFor models.Duration  `json:"approve_for"`
	Lease      models.Duration  `json:"lease"`
}

// Type returns "containment_ruled".
func (*ContainmentRuled) Type() EventType { return "containment_ruled" }

func (d *ContainmentRuled) apply(i *Incident, e Event) error {
	if err := systemOnly(e); err != nil {
		return err
	}
	p, err := i.knownEndpoint(d.Endpoint)
	if err != nil {
		return err
	}
	if d.Generation != p.Generation || !p.NeedsRuling() || p.Approval != nil && p.Approval.ID != d.Approval {
		return models.Errorf(models.Conflict, "endpoint %s already has a ruling", d.Endpoint)
	}
	isFirst := p.Approval == nil
	if isFirst {
		i.Approvals++
		p.Approval = &Approval{ID: d.Approval}
	}
	a := p.Approval
	a.Ruling, a.ApproveFor = d.Ruling, d.ApproveFor
	own := p.Desired == models.DesiredReleased && p.RequestedBy.Side == models.SideClient
	if isFirst && own { // the request is the client's own word; a person who cannot be told from another is asked again
		_ = a.addConsent(Consent{By: p.RequestedBy, Person: p.RequestedAs, Via: viaRequest, At: e.At})
	}
	switch {
	case i.Exercise.IsDrill(), d.Ruling.Decision == authority.DecideNever && !own:
		p.deny(&Consent{By: e.Actor, Reason: d.Ruling.Rule, At: e.At})
	case a.isSatisfied():
		a.Granted = true
		p.permit(d.Lease, e.Seq)
	default: // also when the consents do not suffice any more
		a.Granted, a.How = false, ""
		a.askWhenPublished(i.IsPublished(), e)
	}
	return nil
}

// NeedsRuling reports whether the response authority has to rule on the endpoint: on a new desired state, before a
// granted approval permits it, and before people are asked again after an approval expired.
func (p Endpoint) NeedsRuling() bool {
	return !p.IsPermitted() && (p.Approval == nil || p.Approval.Granted || p.Approval.Expired)
}

// isSatisfied reports whether the consents so far satisfy the present ruling.
func (a *Approval) isSatisfied() bool {
	alone := a.Ruling.Persons < 2
	switch {
	case a.hasEnoughConsents():
		return true
	case a.Ruling.Decision == authority.DecideAuto && alone:
		a.How = "by rule"
		return true
	}
	return a.Granted && a.How == nobodyAnswered && a.Ruling.Decision == authority.DecideAskThenAuto && alone
}

// viaRequest marks the consent that is part of the client's own request.
const viaRequest = "request"

const nobodyAnswered = "nobody answered, as the rule allows"

// askWhenPublished asks people now if the client can see the incident; otherwise they are asked when it is published.
func (a *Approval) askWhenPublished(published bool, by Event) {
	if published {
		a.ask(by)
	}
}

func (a *Approval) ask(by Event) {
	a.Asked++
	a.AskedAt, a.AskedSeq = by.At, by.Seq
	a.ExpiresAt, a.Expired, a.NextAskAt = by.At.Add(time.Duration(a.ApproveFor)), false, time.Time{}
}

// askWaitingApprovals asks for the approvals that waited until the client could see the incident.
func (i *Incident) askWaitingApprovals(by Event) {
	for _, p := range i.Endpoints {
		if p.Approval.IsOpen() && p.Approval.Asked == 0 {
			p.Approval.ask(by)
		}
	}
}

// deny takes the desired state back: the state that was permitted last is desired again, and needs nobody's consent.
func (p *Endpoint) deny(by *Consent) {
	p.Approval.Granted, p.Approval.Denied, p.Approval.How = false, by, "denied"
	p.Generation++
	p.Desired, p.Problem = p.permittedState(), ""
}

// openApproval returns the endpoint whose approval waits for people.
func (i *Incident) openApproval(id string) (*Endpoint, error) {
	n := slices.IndexFunc(i.Endpoints, func(p Endpoint) bool { return p.Approval.IsOpen() && p.Approval.ID == id })
	if n < 0 {
		return nil, models.Errorf(models.Conflict, "open approval %s not found", id)
	}
	return &i.Endpoints[n], nil
}

// answerableApproval returns the endpoint whose approval event e of the client answers, or why it may not.
func (i *Incident) answerableApproval(e Event, id string) (*Endpoint, error) {
	if err := i.require(e, models.SideClient, PhaseInvestigating, PhasePublished, PhaseClosureRequested, PhaseClosed); err != nil {
		return nil, err
	}
	p, err := i.openApproval(id)
	if err == nil && !p.Approval.IsAnswerable() {
		err = expired(id)
	}
	return p, err
}

func expired(approval string) error {
	return models.Errorf(models.Conflict, "approval %s has expired; it will be asked for again", approval)
}

// ApprovalGiven is one person's consent to isolate or release an endpoint.
type ApprovalGiven struct {
	Approval string         `json:"approval"`
	Person   string         `json:"person,omitempty"`
	Via      string         `json:"via"`
	Voided   []models.Actor `json:"voided,omitempty"` // whose earlier consents count no more: they may not act any more
}

// Type returns "approval_given".
func (*ApprovalGiven) Type() EventType { return "approval_given" }

func (d *ApprovalGiven) apply(i *Incident, e Event) error {
	p, err := i.answerableApproval(e, d.Approval)
	if err != nil {
		return err
	}
	if !e.At.Before(p.Approval.ExpiresAt) {
		return expired(d.Approval)
	}
	p.Approval.void(d.Voided)
	return p.Approval.addConsent(Consent{By: e.Actor, Person: d.Person, Via: d.Via, At: e.At})
}

// ApprovalDenied is one person's denial to isolate or release an endpoint. One denial is enough.
type ApprovalDenied struct {
	Approval string `json:"approval"`
	Person   string `json:"person,omitempty"`
	Via      string `json:"via"`
	Reason   string `json:"reason,omitempty"`
}

// Type returns "approval_denied".
func (*ApprovalDenied) Type() EventType { return "approval_denied" }

func (d *ApprovalDenied) apply(i *Incident, e Event) error {
	p, err := i.answerableApproval(e, d.Approval)
	if err != nil {
		return err
	}
	p.deny(&Consent{By: e.Actor, Person: d.Person, Via: d.Via, Reason: d.Reason, At: e.At})
	return nil
}

// ApprovalExpired records that nobody answered in time or, with AllCalled, although every contact who can be called
// was. In the second case the approval is granted if the client's rule allows that; otherwise people are asked again
// later.
type ApprovalExpired struct {
	Approval  string    `json:"approval"`
	AllCalled bool      `json:"all_called"`           // every contact who can be called was
	NextAskAt time.Time `json:"next_ask_at,omitzero"` // when it is asked for again
}

// Type returns "approval_expired".
func (*ApprovalExpired) Type() EventType { return "approval_expired" }

func (d *ApprovalExpired) apply(i *Incident, e Event) error {
	if err := systemOnly(e); err != nil {
		return err
	}
	p, err := i.openApproval(d.Approval)
	if err != nil {
		return err
	}
	a := p.Approval
	if d.AllCalled && a.Ruling.Decision == authority.DecideAskThenAuto && a.Ruling.Persons < 2 {
		a.Granted, a.How = true, nobodyAnswered
		return nil
	}
	a.ExpiresAt, a.Expired, a.NextAskAt = e.At, true, d.NextAskAt
	a.Given = slices.DeleteFunc(a.Given, func(c Consent) bool { return c.Via != viaRequest })
	return nil
}

// LeaseDue asks the client to extend an isolation that has lasted its time, or to release the endpoint.
type LeaseDue struct {
	Endpoint string `json:"endpoint"`
}

// Type returns "lease_due".
func (*LeaseDue) Type() EventType { return "lease_due" }

func (d *LeaseDue) apply(i *Incident, e Event) error {
	if err := systemOnly(e); err != nil {
		return err
	}
	p, err := i.knownEndpoint(d.Endpoint)
	if err != nil {
		return err
	}
	if p.ReviewAt.IsZero() {
		return models.Errorf(models.Conflict, "endpoint %s is not isolated", d.Endpoint)
	}
	p.ReviewDue, p.ReviewAt = e.At, e.At.Add(time.Duration(p.Lease))
	if i.Phase == PhasePublished {
		i.setTurn(TurnClient, e.At)
	}
	return nil
}

// LeaseExtended is the client's word that an endpoint stays isolated for another lease. A device that is kept at
// closure is in the hands of both sides.
type LeaseExtended struct {
	Endpoint string `json:"endpoint"`
	Reason   string `json:"reason"`
}

// Type returns "lease_extended".
func (*LeaseExtended) Type() EventType { return "lease_extended" }

func (d *LeaseExtended) apply(i *Incident, e Event) error {
	if e.Actor.Side == models.SideSOC && i.Phase != PhaseClosed {
		return models.Errorf(models.Conflict, "only the client may extend the isolation while the incident is open")
	}
	if err := i.require(e, "", PhasePublished, PhaseClosureRequested, PhaseClosed); err != nil {
		return err
	}
	p, err := i.knownEndpoint(d.Endpoint)
	if err != nil {
		return err
	}
	if p.ReviewAt.IsZero() || i.Phase == PhaseClosed && p.Kept == nil {
		return models.Errorf(models.Conflict, "endpoint %s is not isolated", d.Endpoint)
	}
	p.ReviewDue, p.ReviewAt = time.Time{}, e.At.Add(time.Duration(p.Lease))
	return nil
}

// knownEndpoint returns the endpoint with an id, or Conflict.
func (i *Incident) knownEndpoint(id string) (*Endpoint, error) {
	p := i.Endpoint(id)
	if p == nil {
		return nil, models.Errorf(models.Conflict, "endpoint %s not found", id)
	}
	return p, nil
}
