package trend

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
	"github.com/watchfire-mdr/watchfire/vendors/internal/plain"
)

const maxHostname = 255

var agentGUID = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// Find returns the endpoints of this name, alone or before a domain, ignoring case. None is an empty slice, and
// several are possible: a reinstalled endpoint has a new agent. Their state is the inventory's, in
// which actions under way do not show; State asks for those. Vision One's filter knows whole names
// only, and the reference does not say whether it minds the case, so the whole inventory is read.
// Rejected: the name is empty, has wildcards, quotes, or anything a header cannot carry, or the
// inventory has more than 10,000 endpoints.
func (t *Tenant) Find(ctx context.Context, hostname string) ([]models.Host, error) {
	op := exchange.Op{Vendor: vendor, Name: "find host"}
	if !searchable(hostname) {
		return nil, op.Failed(models.Rejected, "invalid_hostname")
	}
	named, known, err := t.inventory(ctx, op, hostname, "")
	if !known && err == nil { // the inventory may be behind
		named, _, err = t.inventory(ctx, op, hostname, spellings(hostname))
	}
	return named, err
}

// inventory returns the endpoints with an agent and a name, of those that a filter lets through, and whether it has any
// of that name at all.
func (t *Tenant) inventory(ctx context.Context, op exchange.Op, hostname, filter string) (named []models.Host, known bool, err error) {
	found, err := all[endpoint](ctx, t, op, "/endpointSecurity/endpoints", url.Values{"top": {"1000"}}, filter, "too_many_hosts")
	if err != nil {
		return nil, false, err
	}
	for _, e := range found {
		if !plain.Named(e.Name, hostname) {
			continue
		}
		known = true
		switch {
		case e.AgentGUID == "": // seen on the network
		case !agentGUID.MatchString(e.AgentGUID):
			return nil, false, op.Failed(models.Transient, "invalid_answer")
		default:
			named = append(named, e.host())
		}
	}
	return named, known, nil
}

// spellings is the filter for a name as given and in the two cases it is usually stored in.
func spellings(hostname string) string {
	names := []string{hostname, strings.ToLower(hostname), strings.ToUpper(hostname)}
	return "endpointName eq '" + strings.Join(slices.Compact(names), "' or endpointName eq '") + "'"
}

// State returns the endpoint with the given id as Vision One sees it now: the state in the inventory,
// unless a task to isolate or restore it is not finished. Rejected: no_such_host.
func (t *Tenant) State(ctx context.Context, id string) (models.Host, error) {
	host, _, err := t.look(ctx, exchange.Op{Vendor: vendor, Name: "read host"}, id)
	return host, err
}

// look reads the endpoint and the newest unfinished task on it, nil when there is none. The task is read first: one that
// ends between the two requests still shows as under way, where otherwise the endpoint would look as it was before.
func (t *Tenant) look(ctx context.Context, op exchange.Op, id string) (models.Host, *task, error) {
	if !agentGUID.MatchString(id) {
		return models.Host{}, nil, op.Failed(models.Rejected, "invalid_host_id")
	}
	under, err := t.unfinished(ctx, op, id)
	if err != nil {
		return models.Host{}, nil, err
	}
	ex := t.send(ctx, http.MethodGet, "/endpointSecurity/endpoints/"+id, "", nil)
	var e endpoint
	switch {
	case ex.Status() == http.StatusNotFound:
		f := failure(ex, op)
		f.Code = "no_such_host"
		return models.Host{}, nil, f
	case !ex.OK(), ex.Decode(&e) != nil, !strings.EqualFold(e.AgentGUID, id):
		return models.Host{}, nil, failure(ex, op)
	}
	host := e.host()
	if under != nil {
		host.State = under.way()
	}
	return host, under, nil
}

// endpoint holds the fields that are read of an endpoint of the inventory.
type endpoint struct {
	AgentGUID       string `json:"agentGuid"`
	Name            string `json:"endpointName"`
	Type            string `json:"type"`            // desktop, server
	IsolationStatus string `json:"isolationStatus"` // on, off, unknown
	Sensor          struct {
		Connectivity string `json:"connectivity"` // connected, disconnected
		Connected    string `json:"lastConnectedDateTime"`
	} `json:"edrSensor"`
	Agent struct {
		Status    string `json:"status"` // on, off, unknown
		Connected string `json:"lastConnectedDateTime"`
	} `json:"eppAgent"`
}

func (e endpoint) host() models.Host {
	seen := moment(e.Sensor.Connected)
	if agent := moment(e.Agent.Connected); agent.After(seen) {
		seen = agent
	}
	h := models.Host{
		ID: e.AgentGUID, Hostname: models.CleanLine(e.Name, maxHostname), State: models.HostUnknown,
		Online: e.Sensor.Connectivity == "connected" || e.Agent.Status == "on", SeenAt: seen,
	}
	switch e.IsolationStatus {
	case "on":
		h.State = models.HostIsolated
	case "off":
		h.State = models.HostNormal
	}
	switch e.Type { // which servers are domain controllers it does not say
	case "desktop":
		h.Class = models.ClassWorkstation
	case "server":
		h.Class = models.ClassServer
	}
	return h
}

// moment reads a time stamp, which Vision One writes in UTC with or without saying so; zero when it
// is not one.
func moment(s string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05"} {
		if at, err := time.Parse(layout, s); err == nil {
			return at.UTC()
		}
	}
	return time.Time{}
}

// searchable reports a name that a filter in a header can carry as a literal: there is no documented
// way to write a quote in one.
func searchable(hostname string) bool {
	return plain.Hostname(hostname) && !strings.ContainsAny(hostname, `'\`) &&
		!strings.ContainsFunc(hostname, func(r rune) bool { return r > '~' })
}
