package incident

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
)

// Endpoint is a device of an incident: what is wanted of it and what the EDR itself says it is.
type Endpoint struct {
	ID         string            `json:"id"`                    // "e1", "e2", … within the incident
	Hostname   string            `json:"hostname"`              // as it was asked for
	DeviceName string            `json:"device_name,omitempty"` // as the EDR knows it; "" until it was found there
	AgentID    string            `json:"agent_id,omitempty"`    // the EDR's id, once resolved to exactly one
	Desired    models.Desired    `json:"desired"`               // what is wanted now, permitted or not
	Generation int               `json:"generation"`            // grows with every change of Desired
	Permitted  models.Desired    `json:"permitted,omitempty"`   // what was last permitted, and so may have been ordered; "" for nothing yet
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
	RequestedBy     models.Actor    `json:"requested_by"`           // the owner of what is wanted
	RequestedAs     string          `json:"requested_as,omitempty"` // see PersonOf
	Approval        *Approval       `json:"approval,omitempty"`     // of what is wanted now; nil until it is ruled on
	ReviewAt        time.Time       `json:"review_at,omitzero"`     // when the client is asked to extend or release
	ReviewDue       time.Time       `json:"review_due,omitzero"`    // when they were asked and have not answered
	Lease           models.Duration `json:"lease,omitzero"`         // how long an isolation lasts before it is reviewed
	Drifted         bool            `json:"drifted,omitzero"`       // somebody changed it behind our back
	Since           time.Time       `json:"since"`                  // when Desired was set
	ObservedAt      time.Time       `json:"observed_at,omitzero"`   // when the EDR last said something
}

// Name is what the device is called: the EDR's own name once it is known.
func (p Endpoint) Name() string { return cmp.Or(p.DeviceName, p.Hostname) }

// Asset is the endpoint as the response authority sees it.
func (p Endpoint) Asset() authority.Asset {
	return authority.Asset{
		Hostname: p.Hostname, DeviceName: p.DeviceName, Class: p.Class, Tags: p.Tags,
		MayBeController: p.MayBeController, TagsUnknown: p.TagsUnknown,
	}
}

// Kept is the client's explicit word to leave an endpoint isolated after closure.
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

// IsPermitted reports whether the EDR may be asked for what is wanted of the endpoint now.
func (p Endpoint) IsPermitted() bool { return p.Desired == p.permittedState() }

// permittedState returns what was last permitted of the endpoint: released, when nothing ever was.
func (p Endpoint) permittedState() models.Desired {
	if p.Permitted == models.DesiredIsolated {
		return models.DesiredIsolated
	}
	return models.DesiredReleased
}

// IsHeld reports whether the endpoint is isolated on our order, or may be: its isolation was permitted, and the EDR has
// not confirmed its release since.
func (p Endpoint) IsHeld() bool {
	return p.Permitted == models.DesiredIsolated || p.Permitted == models.DesiredReleased && p.Observed != models.HostNormal
}

// permit lets the EDR be asked for what is wanted.
func (p *Endpoint) permit(lease models.Duration) {
	p.Permitted, p.Lease, p.Kept = p.Desired, lease, nil
	p.ReviewAt, p.ReviewDue = time.Time{}, time.Time{}
}

// Containment derives the incident's containment from its endpoints: confirmed means the EDR said so. Endpoints that
// were never permitted to be isolated, and are wanted isolated no more, do not count.
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

// EndpointOfApproval returns the endpoint whose present wish has the approval with an id, or nil.
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
