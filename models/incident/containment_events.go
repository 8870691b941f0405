package incident

import (
	"strings"
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
	p.IsolateSeq = e.Seq
	return nil
}

// ReleaseRequested makes released the desired state of an endpoint.
type ReleaseRequested struct {
	Endpoint string `json:"endpoint"`
	Reason   string `json:"reason"`
	Person   string `json:"person,omitempty"`  // see PersonOf
	ForAll   string `json:"for_all,omitempty"` // the device's name: released also for the other incidents that want it isolated
}

// Type returns "release_requested".
func (*ReleaseRequested) Type() EventType { return "release_requested" }

func (d *ReleaseRequested) apply(i *Incident, e Event) error {
	if err := i.require(e, "", PhaseInvestigating, PhasePublished, PhaseClosureRequested, PhaseClosed); err != nil {
		return err
	}
	p := i.Endpoint(d.Endpoint)
	switch {
	case p == nil, !d.isOfHeld(*p) && (p.Desired != models.DesiredIsolated || i.Phase == PhaseClosed && p.Kept == nil):
		return models.Errorf(models.Conflict, "endpoint %s is not isolated", d.Endpoint)
	case d.ForAll != "" && !strings.EqualFold(d.ForAll, p.Name()):
		return models.InvalidField("/for_all", "must be the name of the device, %s", p.Name())
	}
	p.setDesired(models.DesiredReleased, d.Reason, d.Person, e)
	p.ForAll = d.ForAll != ""
	return nil
}

// isOfHeld reports whether the release is one for all of a device that this incident has let go and others hold.
func (d *ReleaseRequested) isOfHeld(p Endpoint) bool {
	return d.ForAll != "" && p.Permitted == models.DesiredReleased && p.Desired == models.DesiredReleased && len(p.HeldBy) > 0
}

// setDesired changes the desired state of an endpoint. The new state needs a ruling of its own, unless it takes back a
// state that was never permitted. Until it is permitted, the permitted state goes on, with its lease.
func (p *Endpoint) setDesired(desired models.Desired, reason, person string, e Event) {
	p.Desired, p.Generation, p.Reason, p.Since = desired, p.Generation+1, reason, e.At
	p.RequestedBy, p.RequestedAs, p.Approval = e.Actor, person, nil
	p.Problem, p.Drifted, p.HeldBy, p.ForAll, p.Successor = "", false, nil, false, ""
}

// DeviceSucceeded is a person's word that the device which has an endpoint's name now is meant, in place of the one
// that is gone from the EDR. Nothing is known of it and nothing permitted on it yet: it is ruled on anew.
type DeviceSucceeded struct {
	Endpoint string `json:"endpoint"`
	AgentID  string `json:"agent_id"` // the successor's, as the person saw it
}

// Type returns "device_succeeded".
func (*DeviceSucceeded) Type() EventType { return "device_succeeded" }

func (d *DeviceSucceeded) apply(i *Incident, e Event) error {
	if e.Actor.Side != models.SideSOC {
		return models.Errorf(models.Forbidden, "only the SOC may do this")
	}
	p := i.Endpoint(d.Endpoint)
	if p == nil || d.AgentID == "" || p.Successor != d.AgentID {
		return models.Errorf(models.Conflict, "endpoint %s has no such successor", d.Endpoint)
	}
	*p = Endpoint{
		ID: p.ID, Hostname: p.Hostname, Desired: p.Desired, Generation: p.Generation + 1, Observed: models.HostUnknown, Reason: p.Reason,
		RequestedBy: p.RequestedBy, RequestedAs: p.RequestedAs, Since: p.Since, Successions: p.Successions + 1,
	}
	return nil
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
	State   models.HostState `json:"state,omitempty"`
	Online  bool             `json:"online"`
	Problem string           `json:"problem,omitempty"` // class and code of the obstacle
	Late    bool             `json:"late,omitempty"`    // the EDR accepted the action and has not confirmed it for long
	Drift   bool             `json:"drift,omitempty"`   // somebody else changed a state that was as desired
	// HeldBy are the other incidents for which a released device stays isolated.
	HeldBy []models.Reference `json:"held_by,omitempty"`
	// ReleasedBy is the other incident that released the device for all incidents.
	ReleasedBy models.Reference  `json:"released_by,omitempty"`
	Successor  string            `json:"successor,omitempty"` // see Endpoint; the device is gone from the EDR
	Look       int               `json:"look,omitempty"`      // the number of the look at the device that was asked for
	Class      models.AssetClass `json:"class,omitempty"`
	Tags       []string          `json:"tags,omitempty"`
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
		p.Problem, p.Drifted, p.HeldBy, p.Successor = d.Problem, d.Drift, d.HeldBy, d.Successor
	}
	if p.Permitted == models.DesiredIsolated && p.Observed == models.HostIsolated && p.ReviewAt.IsZero() {
		p.ReviewAt = e.At.Add(time.Duration(p.Lease)) // the lease begins
	}
	return nil
}
