package elastic

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
	"github.com/watchfire-mdr/watchfire/vendors/internal/plain"
)

const (
	pageSize = 100 // documents, the most that Kibana allows by its latest reference
	maxPages = 20  // of documents of one name, with those of agents that are gone

	spelled = 5 // letters of a name that are asked for in either case; * stands for the others
)

// Find returns the hosts of this name, alone or before a domain, ignoring case. None is an empty slice, and
// several are possible: a reinstalled host has a new agent. Agents that have been unenrolled are
// left out, and the state of several hosts of exactly this name is not asked for. Rejected: the name
// is empty or has wildcards or control characters, or finds more than 2000 documents.
func (t *Tenant) Find(ctx context.Context, hostname string) ([]models.Host, error) {
	op := exchange.Op{Vendor: vendor, Name: "find host"}
	if !plain.Hostname(hostname) {
		return nil, op.Failed(models.Rejected, "invalid_hostname")
	}
	named, err := t.documents(ctx, op, hostname)
	if err != nil {
		return nil, err
	}
	var hosts []models.Host
	var exact []int
	for i, d := range named {
		h := d.host(nil)
		h.State = models.HostUnknown
		if hosts = append(hosts, h); strings.EqualFold(h.Hostname, hostname) {
			exact = append(exact, i)
		}
	}
	if len(exact) != 1 {
		return hosts, nil
	}
	only := named[exact[0]]
	actions, err := t.readActions(ctx, op, only.Metadata.Agent.ID)
	if err != nil {
		return nil, err
	}
	hosts[exact[0]] = only.host(actionsOn(only.Metadata.Agent.ID, actions))
	return hosts, nil
}

// documents reads all documents of living agents of a name. Kibana counts pages from 0, though its
// latest reference says from 1: a page that comes twice does no harm.
func (t *Tenant) documents(ctx context.Context, op exchange.Op, hostname string) ([]document, error) {
	query := url.Values{"kuery": {filter(hostname)}, "pageSize": {strconv.Itoa(pageSize)}}
	seen := map[string]bool{}
	var named []document
	for page := range maxPages {
		if page > 0 {
			query.Set("page", strconv.Itoa(page))
		}
		ex := t.get(ctx, "/api/endpoint/metadata?"+query.Encode())
		var list struct {
			Data  *[]document `json:"data"`
			Total *int        `json:"total"`
		}
		if !ex.OK() || ex.Decode(&list) != nil || list.Data == nil || list.Total == nil {
			return nil, failure(ex, op)
		}
		for _, d := range *list.Data {
			if !idForm.MatchString(d.Metadata.Agent.ID) {
				return nil, failure(ex, op)
			}
			if !seen[d.Metadata.Agent.ID] && plain.Named(d.Metadata.Host.Hostname, hostname) && !d.gone() {
				named = append(named, d)
			}
			seen[d.Metadata.Agent.ID] = true
		}
		if len(seen) >= *list.Total {
			return named, nil
		}
	}
	return nil, op.Failed(models.Rejected, "too_many_hosts")
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

// filter is the query in Kibana's query language for a name as it is given, and alone or before a domain whatever its
// case. The field is matched to the letter: the first letters are asked for in both cases, and * stands for the others
// and for all that would have to be escaped.
func filter(hostname string) string {
	names := []string{""}
	letters := 0
	for _, r := range hostname {
		var forms []string
		switch lower, upper := unicode.ToLower(r), unicode.ToUpper(r); {
		case lower < utf8.RuneSelf && upper < utf8.RuneSelf && lower != upper && letters < spelled:
			letters++
			forms = []string{string(r), string(lower + upper - r)}
		case '0' <= r && r <= '9', r == '-', r == '_', r == '.':
			forms = []string{string(r)}
		default:
			forms = []string{"*"}
		}
		var longer []string
		for _, form := range forms {
			for _, name := range names {
				if form != "*" || !strings.HasSuffix(name, "*") {
					name += form
				}
				longer = append(longer, name)
			}
		}
		names = longer
	}
	patterns := []string{`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(hostname) + `"`}
	for _, name := range names {
		if slices.Contains([]string{"and", "or", "not", "true", "false", "null"}, strings.ToLower(name)) {
			patterns = append(patterns, name+"*") // alone it is a word of the language
			continue
		}
		patterns = append(patterns, name, name+".*")
	}
	return "united.endpoint.host.hostname: (" + strings.Join(patterns, " or ") + ")"
}
