package cortex

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
	"github.com/watchfire-mdr/watchfire/vendors/internal/plain"
)

const (
	pageSize = 100      // endpoints, Cortex's own limit
	maxPages = 10       // of endpoints that are asked for by name or id
	maxList  = 16 << 20 // bytes of the list of all endpoints, some 40,000
)

// Find returns the endpoints of this name, alone or before a domain, ignoring case. None is an empty slice, and
// several are possible: a reinstalled host has a new id. Endpoints whose agent was uninstalled
// are left out. Cortex's filter knows whole names only, and the reference does not say whether it
// minds the case, so the list of all endpoints is read. Rejected: the name is empty or has wildcards
// or control characters; the list is longer than 16 MiB, or more than 100 endpoints have the name.
func (t *Tenant) Find(ctx context.Context, hostname string) ([]models.Host, error) {
	op := exchange.Op{Vendor: vendor, Name: "find host"}
	if !plain.Hostname(hostname) {
		return nil, op.Failed(models.Rejected, "invalid_hostname")
	}
	ids, known, err := t.listed(ctx, op, hostname)
	if err != nil {
		return nil, err
	}
	var found []endpoint
	switch {
	case !known: // the list may be behind
		found, err = t.search(ctx, op, where("hostname", spellings(hostname)...))
	case len(ids) > pageSize:
		return nil, op.Failed(models.Rejected, "too_many_hosts")
	case len(ids) > 0:
		found, err = t.search(ctx, op, where("endpoint_id_list", ids...))
	}
	if err != nil {
		return nil, err
	}
	var hosts []models.Host
	for _, e := range found {
		if plain.Named(e.Name, hostname) && !e.uninstalled() {
			hosts = append(hosts, e.host())
		}
	}
	return hosts, nil
}

// listed returns the ids of the living endpoints of a name from the list of all endpoints, and whether the list has
// any, living or not.
func (t *Tenant) listed(ctx context.Context, op exchange.Op, hostname string) (ids []string, known bool, err error) {
	ex := t.sendFor(ctx, "/endpoints/get_endpoints", struct{}{}, maxList)
	var list struct {
		Reply *[]struct {
			ID     string `json:"agent_id"`
			Name   string `json:"host_name"`
			Status string `json:"agent_status"`
		} `json:"reply"`
	}
	switch {
	case ex.OK() && ex.Cut():
		return nil, false, op.Failed(models.Rejected, "too_many_hosts")
	case !ex.OK() || ex.Decode(&list) != nil || list.Reply == nil:
		return nil, false, failure(ex, op)
	}
	for _, e := range *list.Reply {
		if !hostIDForm.MatchString(e.ID) {
			return nil, false, failure(ex, op)
		}
		if !plain.Named(e.Name, hostname) {
			continue
		}
		known = true
		if !strings.EqualFold(e.Status, uninstalled) {
			ids = append(ids, e.ID)
		}
	}
	return ids, known, nil
}

// search returns all endpoints that Cortex's own filter finds. A page may have fewer than were asked for.
func (t *Tenant) search(ctx context.Context, op exchange.Op, s search) (found []endpoint, err error) {
	for range maxPages {
		some, total, err := t.endpoints(ctx, op, s)
		if err != nil {
			return nil, err
		}
		if found = append(found, some...); len(found) >= total {
			return found, nil
		}
		if len(some) == 0 { // there are more, which it does not show
			break
		}
		s.From, s.To = len(found), len(found)+pageSize
	}
	return nil, op.Failed(models.Rejected, "too_many_hosts")
}

// State returns the endpoint with the given id as Cortex sees it now. Rejected: no such host.
func (t *Tenant) State(ctx context.Context, id string) (models.Host, error) {
	e, err := t.look(ctx, id)
	if err != nil {
		return models.Host{}, err
	}
	return e.host(), nil
}

func (t *Tenant) look(ctx context.Context, id string) (endpoint, error) {
	op := exchange.Op{Vendor: vendor, Name: "read host"}
	if !hostIDForm.MatchString(id) {
		return endpoint{}, op.Failed(models.Rejected, "invalid_host_id")
	}
	found, _, err := t.endpoints(ctx, op, where("endpoint_id_list", id))
	if err != nil {
		return endpoint{}, err
	}
	for _, e := range found {
		if e.ID == id {
			return e, nil
		}
	}
	return endpoint{}, op.Failed(models.Rejected, "no_such_host")
}

// search is the request for endpoints. Without a filter it means all of them.
type search struct {
	Filters []condition `json:"filters,omitempty"`
	From    int         `json:"search_from"`
	To      int         `json:"search_to"`
}

type condition struct {
	Field    string   `json:"field"`
	Operator string   `json:"operator"`
	Value    []string `json:"value"`
}

func where(field string, values ...string) search {
	return search{Filters: []condition{{field, "in", values}}, To: pageSize}
}

// endpoints reads one page of endpoints, and how many there are on all pages.
func (t *Tenant) endpoints(ctx context.Context, op exchange.Op, s search) (page []endpoint, total int, err error) {
	ex := t.send(ctx, "/endpoints/get_endpoint", s)
	var answer struct {
		Reply struct {
			Total     int         `json:"total_count"`
			Endpoints *[]endpoint `json:"endpoints"`
		} `json:"reply"`
	}
	if !ex.OK() || ex.Decode(&answer) != nil || answer.Reply.Endpoints == nil {
		return nil, 0, failure(ex, op)
	}
	for _, e := range *answer.Reply.Endpoints {
		if !hostIDForm.MatchString(e.ID) {
			return nil, 0, failure(ex, op)
		}
	}
	return *answer.Reply.Endpoints, answer.Reply.Total, nil
}

// endpoint is an agent as Cortex lists it.
type endpoint struct {
	ID        string `json:"endpoint_id"`
	Name      string `json:"endpoint_name"`
	Type      string `json:"endpoint_type"`
	Status    string `json:"endpoint_status"`
	Isolation string `json:"is_isolated"` // null for agents that cannot be isolated
	SeenAt    int64  `json:"last_seen"`   // milliseconds since 1970
	Tags      tags   `json:"tags"`
}

func (e endpoint) host() models.Host {
	h := models.Host{
		ID: e.ID, Hostname: e.Name, State: e.state(), Online: strings.EqualFold(e.Status, "CONNECTED"),
		Class: e.class(), Tags: e.Tags,
	}
	if e.SeenAt > 0 {
		h.SeenAt = time.UnixMilli(e.SeenAt).UTC()
	}
	return h
}

// uninstalled is the status of an agent that is gone.
const uninstalled = "UNINSTALLED"

func (e endpoint) uninstalled() bool { return strings.EqualFold(e.Status, uninstalled) }

func (e endpoint) state() models.HostState {
	if e.uninstalled() {
		return models.HostUnknown // what Cortex lists is from before
	}
	switch e.Isolation {
	case "AGENT_UNISOLATED":
		return models.HostNormal
	case "AGENT_PENDING_ISOLATION":
		return models.HostIsolating
	case "AGENT_ISOLATED":
		return models.HostIsolated
	case "AGENT_PENDING_ISOLATION_CANCELLATION":
		return models.HostReleasing
	}
	return models.HostUnknown
}

func (e endpoint) class() models.AssetClass {
	switch e.Type {
	case "AGENT_TYPE_WORKSTATION":
		return models.ClassWorkstation
	case "AGENT_TYPE_SERVER":
		return models.ClassServer
	}
	return ""
}

// tags are those set in the console and those set on the endpoint. Older tenants have none, in
// forms of their own, which count as none.
type tags []string

// UnmarshalJSON reads both lists.
func (t *tags) UnmarshalJSON(raw []byte) error {
	var lists struct {
		Server   []string `json:"server_tags"`
		Endpoint []string `json:"endpoint_tags"`
	}
	if json.Unmarshal(raw, &lists) == nil {
		*t = append(lists.Server, lists.Endpoint...)
	}
	return nil
}

// spellings are the name as given and in the two cases it is usually stored in: the reference does
// not say whether a filter minds the case.
func spellings(hostname string) []string {
	names := []string{hostname}
	for _, name := range []string{strings.ToLower(hostname), strings.ToUpper(hostname)} {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
