package elastic

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
	"github.com/watchfire-mdr/watchfire/vendors/internal/plain"
)

const maxFound = 50 // hosts of one name, as many as a list of actions can be asked for; two already need a person

// Find returns the hosts with exactly this name, ignoring case. None is an empty slice, and
// several are possible: a reinstalled host has a new agent. Agents that have been unenrolled are
// left out. Rejected: the name is empty or has wildcards or control characters.
func (t *Tenant) Find(ctx context.Context, hostname string) ([]models.Host, error) {
	op := exchange.Op{Vendor: vendor, Name: "find host"}
	if !plain.Hostname(hostname) {
		return nil, op.Failed(models.Rejected, "invalid_hostname")
	}
	query := url.Values{"kuery": {filter(hostname)}, "pageSize": {strconv.Itoa(maxFound)}}
	ex := t.get(ctx, "/api/endpoint/metadata?"+query.Encode())
	var list struct {
		Data *[]document `json:"data"`
	}
	if !ex.OK() || ex.Decode(&list) != nil || list.Data == nil || len(*list.Data) > maxFound {
		return nil, failure(ex, op)
	}
	var named []document
	for _, d := range *list.Data {
		if !strings.EqualFold(d.Metadata.Host.Hostname, hostname) || d.gone() {
			continue
		}
		if !idForm.MatchString(d.Metadata.Agent.ID) {
			return nil, failure(ex, op)
		}
		named = append(named, d)
	}
	return t.standing(ctx, op, named)
}

// standing returns the hosts of the documents with their states, which the actions under way
// decide as much as the documents do.
func (t *Tenant) standing(ctx context.Context, op exchange.Op, named []document) ([]models.Host, error) {
	if len(named) == 0 {
		return nil, nil
	}
	var ids []string
	for _, d := range named {
		ids = append(ids, d.Metadata.Agent.ID)
	}
	actions, err := t.readActions(ctx, op, ids...)
	if err != nil {
		return nil, err
	}
	var hosts []models.Host
	for _, d := range named {
		hosts = append(hosts, d.host(actionsOn(d.Metadata.Agent.ID, actions)))
	}
	return hosts, nil
}

// State returns the host with the given agent id as Kibana sees it now. Rejected: no such host.
func (t *Tenant) State(ctx context.Context, id string) (models.Host, error) {
	v, err := t.look(ctx, id)
	return v.host, err
}

// view is a host, what its document says and the actions on it, newest first.
type view struct {
	host    models.Host
	doc     document
	actions []action
}

func (t *Tenant) look(ctx context.Context, id string) (view, error) {
	op := exchange.Op{Vendor: vendor, Name: "read host"}
	if !idForm.MatchString(id) {
		return view{}, op.Failed(models.Rejected, "invalid_host_id")
	}
	ex := t.get(ctx, "/api/endpoint/metadata/"+id)
	if ex.Status() == http.StatusNotFound {
		f := failure(ex, op)
		f.Code = "no_such_host"
		return view{}, f
	}
	var d document
	if !ex.OK() || ex.Decode(&d) != nil || d.Metadata.Agent.ID != id {
		return view{}, failure(ex, op)
	}
	actions, err := t.readActions(ctx, op, id)
	if err != nil {
		return view{}, err
	}
	actions = actionsOn(id, actions)
	return view{host: d.host(actions), doc: d, actions: actions}, nil
}

// document is the last report of a host's sensor, with Fleet's status of its agent.
type document struct {
	Status   string `json:"host_status"`
	Checkin  string `json:"last_checkin"`
	Metadata struct {
		At    string `json:"@timestamp"`
		Agent struct {
			ID string `json:"id"`
		} `json:"agent"`
		Host struct {
			Hostname string `json:"hostname"`
		} `json:"host"`
		Endpoint struct {
			State struct {
				Isolation *bool `json:"isolation"`
			} `json:"state"`
			Capabilities *[]string `json:"capabilities"` // nil where the sensor does not say
		} `json:"Endpoint"`
	} `json:"metadata"`
}

func (d document) gone() bool { return d.Status == "unenrolled" }

// unable reports a sensor that says what it can do and does not name isolation.
func (d document) unable() bool {
	able := d.Metadata.Endpoint.Capabilities
	return able != nil && !slices.Contains(*able, "isolation")
}

func (d document) host(actions []action) models.Host {
	h := models.Host{
		ID: d.Metadata.Agent.ID, Hostname: d.Metadata.Host.Hostname,
		State: state(d, actions), SeenAt: moment(d.Checkin),
	}
	switch d.Status {
	case "healthy", "unhealthy", "updating":
		h.Online = true
	}
	if h.SeenAt.IsZero() {
		h.SeenAt = moment(d.Metadata.At)
	}
	return h
}

// state is where the host stands: where its sensor says it is, unless an action is under way.
// Two actions under way, one against the other, run in turn and the newer one decides.
func state(d document, actions []action) models.HostState {
	isolated := d.Metadata.Endpoint.State.Isolation
	if isolated == nil || d.gone() {
		return models.HostUnknown
	}
	reached, way := settled(*isolated), false
	open := slices.DeleteFunc(slices.Clone(actions), func(a action) bool { return !a.underWay(d) })
	for _, a := range open {
		way = way || a.isolates() != *isolated
	}
	switch {
	case !way:
		return reached
	case open[0].isolates():
		return models.HostIsolating
	}
	return models.HostReleasing
}

func settled(isolated bool) models.HostState {
	if isolated {
		return models.HostIsolated
	}
	return models.HostNormal
}

// moment reads one of Kibana's times; zero when it cannot.
func moment(s string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}

// filter is the query in Kibana's query language. The field is matched to the letter, so the
// name is asked for as given and in the two cases it is usually stored in.
func filter(hostname string) string {
	var names []string
	for _, name := range []string{hostname, strings.ToLower(hostname), strings.ToUpper(hostname)} {
		name = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return "united.endpoint.host.hostname: (" + strings.Join(names, " or ") + ")"
}
