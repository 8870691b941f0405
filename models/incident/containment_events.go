package incident

import (
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// IsolationRequested makes isolated the desired state of an endpoint. A host name that the incident knows is requested
// again with the next generation; a new one becomes a new endpoint.
type IsolationRequested struct {
	Endpoint string `json:"endpoint"`
	Hostname string `json:"hostname"`
	Reason   string `json:"reason"`
}

// Type returns "isolation_requested".
func (*IsolationRequested) Type() EventType { return "isolation_requested" }

func (d *IsolationRequested) apply(i *Incident, e Event) error {
	if err := i.require(e, models.SideSOC, PhaseInvestigating, PhasePublished, PhaseClosureRequested); err != nil {
		return err
	}
	if i.Exercise.IsDrill() {
		return models.Errorf(models.Conflict, "a drill never isolates a real endpoint")
	}
	p := i.Endpoint(d.Endpoint)
	if p == nil {
		i.Endpoints = append(i.Endpoints, Endpoint{
			ID: d.Endpoint, Hostname: d.Hostname, Observed: models.HostUnknown, Desired: models.DesiredReleased,
		})
		p = &i.Endpoints[len(i.Endpoints)-1]
	}
	if p.Desired == models.DesiredIsolated {
		return models.Errorf(models.Conflict, "isolation of %s is already requested; complete its task to retry", p.ID)
	}
	p.setDesired(models.DesiredIsolated, d.Reason, "", e)
	return nil
}

// ReleaseRequested makes released the desired state of an endpoint.
type ReleaseRequested struct {
	Endpoint string `json:"endpoint"`
	Reason   string `json:"reason"`
	Person   string `json:"person,omitempty"` // see PersonOf
}

// Type returns "release_requested".
func (*ReleaseRequested) Type() EventType { return "release_requested" }

func (d *ReleaseRequested) apply(i *Incident, e Event) error {
	if err := i.require(e, "", PhaseInvestigating, PhasePublished, PhaseClosureRequested); err != nil {
		return err
	}
	p := i.Endpoint(d.Endpoint)
	if p == nil || p.Desired != models.DesiredIsolated {
		return models.Errorf(models.Conflict, "endpoint %s is not isolated", d.Endpoint)
	}
	p.setDesired(models.DesiredReleased, d.Reason, d.Person, e)
	return nil
}

// setDesired changes the desired state of an endpoint. The new state needs a ruling of its own, unless it takes back a
// state that was never permitted. Until it is permitted, the permitted state goes on, with its lease.
func (p *Endpoint) setDesired(desired models.Desired, reason, person string, e Event) {
	p.Desired, p.Generation, p.Reason, p.Since = desired, p.Generation+1, reason, e.At
	p.RequestedBy, p.RequestedAs, p.Approval = e.Actor, person, nil
	p.Problem, p.Drifted = "", false
}

// EndpointKept is the client's explicit word that an endpoint stays isolated after closure.
type EndpointKept struct {
	Endpoint string `json:"endpoint"`
	Reason   string `json:"reason"`
}

// Type returns "endpoint_kept".
func (*EndpointKept) Type() EventType { return "endpoint_kept" }

func (d *EndpointKept) apply(i *Incident, e Event) error {
	if err := i.require(e, models.SideClient, PhasePublished, PhaseClosureRequested); err != nil {
		return err
	}
	p := i.Endpoint(d.Endpoint)
	if p == nil || !p.IsHeld() {
		return models.Errorf(models.Conflict, "endpoint %s is not isolated", d.Endpoint)
	}
	p.Kept = &Kept{By: e.Actor, Reason: d.Reason, At: e.At}
	return nil
}

// EndpointObserved is the EDR's own word on an endpoint.
type EndpointObserved struct {
	Endpoint   string `json:"endpoint"`
	Generation int    `json:"generation"` // of the desired state at that time
	AgentID    string `json:"agent_id,omitempty"`
	DeviceName string `json:"device_name,omitempty"` // the EDR's own name of the device
	// State is "" when it could not be read and nothing was changed since, HostUnknown when something may have been
	// changed.
	State   models.HostState  `json:"state,omitempty"`
	Online  bool              `json:"online"`
	Problem string            `json:"problem,omitempty"` // class and code of the obstacle
	Late    bool              `json:"late,omitempty"`    // the EDR accepted the action and has not confirmed it for long
	Drift   bool              `json:"drift,omitempty"`   // somebody else changed a state that was as desired
	Class   models.AssetClass `json:"class,omitempty"`
	Tags    []string          `json:"tags,omitempty"`
	// MayBeController and TagsUnknown as in Asset.
	MayBeController bool `json:"may_be_controller,omitempty"`
	TagsUnknown     bool `json:"tags_unknown,omitempty"`
}

// Type returns "endpoint_observed".
func (*EndpointObserved) Type() EventType { return "endpoint_observed" }

func (d *EndpointObserved) apply(i *Incident, e Event) error {
	if e.Actor.Side != models.SideSystem {
		return models.Errorf(models.Forbidden, "only the EDR may report the state of an endpoint")
	}
	p := i.Endpoint(d.Endpoint)
	if p == nil {
		return models.Errorf(models.Conflict, "endpoint %s not found", d.Endpoint)
	}
	switch d.State {
	case "": // the state could not be read, and nothing was changed
	case models.HostUnknown:
		p.Observed = d.State
	default:
		p.Observed, p.Online, p.ObservedAt = d.State, d.Online, e.At
	}
	if d.AgentID != "" {
		p.AgentID = d.AgentID
	}
	if d.DeviceName != "" {
		p.DeviceName = d.DeviceName
	}
	if d.Class != "" || len(d.Tags) > 0 || d.TagsUnknown {
		p.Class, p.Tags, p.MayBeController, p.TagsUnknown = d.Class, d.Tags, d.MayBeController, d.TagsUnknown
	}
	if d.Generation == p.Generation {
		p.Problem, p.Drifted = d.Problem, d.Drift
	}
	if p.Permitted == models.DesiredIsolated && p.Observed == models.HostIsolated && p.ReviewAt.IsZero() {
		p.ReviewAt = e.At.Add(time.Duration(p.Lease)) // the lease begins
	}
	return nil
}
