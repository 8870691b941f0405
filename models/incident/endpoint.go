package incident

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
)

// Endpoint is a device of an incident: the state desired of it and the state the EDR itself reports.
type Endpoint struct {
	ID         string            `json:"id"`                    // "e1", "e2", … within the incident
	Hostname   string            `json:"hostname"`              // as it was requested
	DeviceName string            `json:"device_name,omitempty"` // as the EDR knows it; "" until it was found there
	AgentID    string            `json:"agent_id,omitempty"`    // the EDR's id, once resolved to exactly one
	Desired    models.Desired    `json:"desired"`               // desired now, permitted or not
	Generation int               `json:"generation"`            // grows with every change of Desired
	Permitted  models.Desired    `json:"permitted,omitempty"`   // permitted last, so an action towards it may have been sent; "" for none yet
	Observed   models.HostState  `json:"observed"`
	Online     bool              `json:"online"`
	Problem    string            `json:"problem,omitempty"`
	Kept       *Kept             `json:"kept,omitempty"`
	Reason     string            `json:"reason"`
	Class      models.AssetClass `json:"class,omitempty"`
	Tags       []string          `json:"tags,omitempty"`
	// MayBeController and TagsUnknown as in Asset.
	MayBeController bool            `json:"may_be_controller,omitempty"`
	TagsUnknown     bool            `json:"tags_unknown,omitempty"`
	RequestedBy     models.Actor    `json:"requested_by"`           // who set Desired
	RequestedAs     string          `json:"requested_as,omitempty"` // see PersonOf
	Approval        *Approval       `json:"approval,omitempty"`     // of Desired; nil until the response authority has ruled
	ReviewAt        time.Time       `json:"review_at,omitzero"`     // when the client is asked to extend or release
	ReviewDue       time.Time       `json:"review_due,omitzero"`    // when the client was asked, until they answer
	Lease           models.Duration `json:"lease,omitzero"`         // how long an isolation lasts before it is reviewed
	IsolateSeq      int             `json:"isolate_seq,omitzero"`   // Seq of the event that asked for the last isolation
	LeaseSeq        int             `json:"lease_seq,omitzero"`     // Seq of the event that permitted the present state
	Drifted         bool            `json:"drifted,omitzero"`       // somebody changed it behind our back
	// HeldBy are the other incidents that want the device isolated: it stays isolated for them although this incident has
	// let it go.
	HeldBy []models.Reference `json:"held_by,omitempty"`
	ForAll bool               `json:"for_all,omitzero"` // the release is one for every incident of the client
	// Successor is the EDR's id of another device that has the name now, while the device itself is gone from the EDR: it
	// was set up anew under its old name, or is a different one.
	Successor   string    `json:"successor,omitempty"`
	Successions int       `json:"successions,omitzero"` // how often a person took the successor for the device
	Since       time.Time `json:"since"`                // when Desired was set
	ObservedAt  time.Time `json:"observed_at,omitzero"` // when the EDR last said something
}

// EndpointID names an endpoint of any incident.
type EndpointID struct {
	Incident models.Reference `json:"incident"`
	Endpoint string           `json:"endpoint"`
}

// Name returns the device's name: the EDR's own name once it is known.
func (p Endpoint) Name() string { return cmp.Or(p.DeviceName, p.Hostname) }

// Asset returns the endpoint as the response authority sees it.
func (p Endpoint) Asset() authority.Asset {
	return authority.Asset{
		Hostname: p.Hostname, DeviceName: p.DeviceName, Class: p.Class, Tags: p.Tags,
		MayBeController: p.MayBeController, TagsUnknown: p.TagsUnknown,
	}
}

// Kept is the client's explicit word that an endpoint stays isolated after closure.
type Kept struct {
	By     models.Actor `json:"by"`
	Reason string       `json:"reason"`
	At     time.Time    `json:"at"`
}

// Containment is the isolation of an incident's endpoints taken together.
type Containment string

// The containment states.
const (
	ContainmentNone      Containment = "none"
	ContainmentRequested Containment = "requested"
	ContainmentPartial   Containment = "partial"
	ContainmentContained Containment = "contained"
	ContainmentReleasing Containment = "releasing"
	ContainmentReleased  Containment = "released"
	ContainmentFailed    Containment = "failed"
)

// IsPermitted reports whether the EDR may be sent an action towards the desired state.
func (p Endpoint) IsPermitted() bool { return p.Desired == p.permittedState() }

// PermittedBefore returns the state that was permitted last, while the opposite one waits for that; the zero value when
// none ever was.
func (p Endpoint) PermittedBefore() DesiredState {
	if p.IsPermitted() || p.Permitted == "" {
		return DesiredState{}
	}
	return DesiredState{Desired: p.Permitted, Generation: p.Generation - 1, Permitted: true}
}

// permittedState returns the state that was permitted last: released, when none ever was.
func (p Endpoint) permittedState() models.Desired {
	if p.Permitted == models.DesiredIsolated {
		return models.DesiredIsolated
	}
	return models.DesiredReleased
}

// IsHeld reports whether the endpoint is isolated for this incident, or may be: its isolation was permitted, and since
// then neither has the EDR confirmed its release nor was it left to other incidents.
func (p Endpoint) IsHeld() bool {
	released := p.Observed == models.HostNormal || len(p.HeldBy) > 0
	return p.Permitted == models.DesiredIsolated || p.Permitted == models.DesiredReleased && !released
}

// permit permits the desired state and ends the lease of the state before.
func (p *Endpoint) permit(lease models.Duration, seq int) {
	p.Permitted, p.Lease, p.LeaseSeq, p.Kept = p.Desired, lease, seq, nil
	p.ReviewAt, p.ReviewDue = time.Time{}, time.Time{}
}

// Containment derives the incident's containment from its endpoints: confirmed means the EDR said so. Endpoints that
// were never permitted to be isolated, and are not to be isolated any more, do not count.
func (i Incident) Containment() Containment {
	var wanted, isolated, releasing, failed, count int
	for _, e := range i.Endpoints {
		if e.Permitted == "" && e.Desired == models.DesiredReleased {
			continue
		}
		count++
		switch {
		case e.Problem != "":
			failed++
		case e.Desired == models.DesiredReleased && e.IsHeld():
			releasing++
		}
		if e.Desired == models.DesiredIsolated {
			wanted++
			if e.Observed == models.HostIsolated {
				isolated++
			}
		}
	}
	switch {
	case count == 0:
		return ContainmentNone
	case failed > 0:
		return ContainmentFailed
	case wanted > 0 && isolated == wanted:
		return ContainmentContained
	case isolated > 0:
		return ContainmentPartial
	case wanted > 0:
		return ContainmentRequested
	case releasing > 0:
		return ContainmentReleasing
	default:
		return ContainmentReleased
	}
}

// Endpoint returns the endpoint with the given id, or nil.
func (i *Incident) Endpoint(id string) *Endpoint {
	for n := range i.Endpoints {
		if i.Endpoints[n].ID == id {
			return &i.Endpoints[n]
		}
	}
	return nil
}

// endpointByHostname returns the endpoint with the given host name, whatever its case, or nil.
func (i *Incident) endpointByHostname(name string) *Endpoint {
	for n := range i.Endpoints {
		if strings.EqualFold(i.Endpoints[n].Hostname, name) {
			return &i.Endpoints[n]
		}
	}
	return nil
}

// EndpointOfApproval returns the endpoint whose desired state needs the approval with an id, or nil.
func (i *Incident) EndpointOfApproval(id string) *Endpoint {
	n := slices.IndexFunc(i.Endpoints, func(e Endpoint) bool { return e.Approval != nil && e.Approval.ID == id })
	if n < 0 {
		return nil
	}
	return &i.Endpoints[n]
}

// EndpointOfAgent returns the endpoint that is the EDR's agent with an id, or nil.
func (i *Incident) EndpointOfAgent(id string) *Endpoint {
	n := slices.IndexFunc(i.Endpoints, func(e Endpoint) bool { return e.AgentID == id })
	if n < 0 {
		return nil
	}
	return &i.Endpoints[n]
}

// Isolation is a device that is isolated for an incident, or on its way there or back.
type Isolation struct {
	Incident    models.Reference `json:"incident"`
	Phase       Phase            `json:"phase"` // of the incident
	Endpoint    string           `json:"endpoint"`
	Hostname    string           `json:"hostname"`
	DeviceName  string           `json:"device_name,omitempty"`
	AgentID     string           `json:"agent_id,omitempty"`
	Desired     models.Desired   `json:"desired"`
	Observed    models.HostState `json:"observed"`
	Since       time.Time        `json:"since,omitzero"` // when the EDR took the isolation; zero: it has not
	RequestedBy models.Actor     `json:"requested_by"`   // who set Desired
	ReviewAt    time.Time        `json:"review_at,omitzero"`
	ReviewDue   time.Time        `json:"review_due,omitzero"`
	Kept        *Kept            `json:"kept,omitempty"`
}

// Isolations lists the incident's devices that are isolated, or on their way there or back, also when it is over. Since
// is not set.
func (i Incident) Isolations() []Isolation {
	var all []Isolation
	for _, p := range i.Endpoints {
		if !p.IsHeld() && (p.Desired != models.DesiredIsolated || i.IsOver()) {
			continue
		}
		all = append(all, Isolation{
			Incident: i.Reference, Phase: i.Phase, Endpoint: p.ID, Hostname: p.Hostname, DeviceName: p.DeviceName, AgentID: p.AgentID,
			Desired: p.Desired, Observed: p.Observed, RequestedBy: p.RequestedBy, ReviewAt: p.ReviewAt, ReviewDue: p.ReviewDue, Kept: p.Kept,
		})
	}
	return all
}
