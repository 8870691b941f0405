package sophos

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
	"github.com/watchfire-mdr/watchfire/vendors/internal/plain"
)

const (
	maxHostname = 255
	maxKey      = 1024  // bytes of a page's key
	pageSize    = "100" // endpoints; the API allows 500, which our bound on an answer does not
	maxPages    = 20    // of endpoints a name finds, those with a longer name too
)

// Find returns the endpoints of this host name, alone or before a domain, ignoring case. Central's own filter
// finds every name that contains it. None is an empty slice, and several are possible: a reinstalled
// endpoint has a new id. Rejected: the name is empty, has wildcards or control characters, or finds
// more than 2000 endpoints.
func (t *Tenant) Find(ctx context.Context, hostname string) ([]models.Host, error) {
	op := exchange.Op{Vendor: vendor, Name: "find host"}
	if !plain.Hostname(hostname) {
		return nil, op.Failed(models.Rejected, "invalid_hostname")
	}
	query := url.Values{"hostnameContains": {hostname}, "pageSize": {pageSize}, "view": {"full"}}
	var named []models.Host
	for range maxPages {
		found, next, err := t.endpoints(ctx, op, query)
		if err != nil {
			return nil, err
		}
		for _, e := range found {
			if plain.Named(e.Hostname, hostname) {
				named = append(named, e.host(e.Isolation.AdminIsolated))
			}
		}
		if next == "" {
			return named, nil
		}
		query.Set("pageFromKey", next)
	}
	return nil, op.Failed(models.Rejected, "too_many_hosts")
}

// State returns the endpoint with the given id as Central sees it now: the setting in force held
// against what the endpoint reports. Rejected: no_such_host.
func (t *Tenant) State(ctx context.Context, id string) (models.Host, error) {
	host, _, err := t.look(ctx, exchange.Op{Vendor: vendor, Name: "read host"}, id)
	return host, err
}

// look reads the endpoint and the setting in force for it.
func (t *Tenant) look(ctx context.Context, op exchange.Op, id string) (models.Host, isolation, error) {
	if !uuid.MatchString(id) {
		return models.Host{}, isolation{}, op.Failed(models.Rejected, "invalid_host_id")
	}
	var e endpoint
	ex, err := t.read(ctx, op, "/endpoints/"+id+"?view=full", &e)
	if err != nil {
		return models.Host{}, isolation{}, err
	}
	var set isolation
	if !strings.EqualFold(e.ID, id) {
		return models.Host{}, set, failure(ex, op)
	}
	if ex, err = t.read(ctx, op, "/endpoints/"+id+"/isolation", &set); err != nil {
		return models.Host{}, set, err
	}
	if set.Enabled == nil {
		return models.Host{}, set, failure(ex, op)
	}
	return e.host(*set.Enabled), set, nil
}

// read gets one thing of one endpoint.
func (t *Tenant) read(ctx context.Context, op exchange.Op, path string, into any) (*exchange.Exchange, error) {
	ex, err := t.send(ctx, op, http.MethodGet, path, nil)
	if err != nil {
		return ex, err
	}
	if !ex.OK() || ex.Decode(into) != nil {
		return ex, unknownHost(failure(ex, op))
	}
	return ex, nil
}

// unknownHost gives a 404 about an endpoint our own name.
func unknownHost(f *models.VendorError) *models.VendorError {
	if f.HTTPStatus == http.StatusNotFound {
		f.Code = "no_such_host"
	}
	return f
}

// endpoints reads one page of endpoints, and the key of the next one, "" on the last.
func (t *Tenant) endpoints(ctx context.Context, op exchange.Op, query url.Values) ([]endpoint, string, error) {
	ex, err := t.send(ctx, op, http.MethodGet, "/endpoints?"+query.Encode(), nil)
	if err != nil {
		return nil, "", err
	}
	var page struct {
		Items *[]endpoint `json:"items"`
		Pages struct {
			NextKey string `json:"nextKey"`
		} `json:"pages"`
	}
	if !ex.OK() || ex.Decode(&page) != nil || page.Items == nil || len(page.Pages.NextKey) > maxKey {
		return nil, "", failure(ex, op)
	}
	for _, e := range *page.Items {
		if !uuid.MatchString(e.ID) {
			return nil, "", failure(ex, op)
		}
	}
	return *page.Items, page.Pages.NextKey, nil
}

// endpoint holds the fields that are read of an endpoint.
type endpoint struct {
	ID         string `json:"id"`
	Type       string `json:"type"` // computer, server, securityVm
	Hostname   string `json:"hostname"`
	LastSeenAt string `json:"lastSeenAt"`
	Online     bool   `json:"online"`
	Isolation  struct {
		Status        string `json:"status"`
		AdminIsolated bool   `json:"adminIsolated"`
		SelfIsolated  bool   `json:"selfIsolated"` // by itself, because of its health
	} `json:"isolation"`
}

// isolation is the setting in force for an endpoint.
type isolation struct {
	Enabled        *bool  `json:"enabled"`
	LastEnabledAt  string `json:"lastEnabledAt"`
	LastDisabledAt string `json:"lastDisabledAt"`
}

// changed is when the setting last changed, zero when Central does not say.
func (i isolation) changed() time.Time {
	on, off := moment(i.LastEnabledAt), moment(i.LastDisabledAt)
	if off.After(on) {
		return off
	}
	return on
}

func (e endpoint) host(enabled bool) models.Host {
	return models.Host{
		ID: e.ID, Hostname: models.CleanLine(e.Hostname, maxHostname), State: e.state(enabled),
		Online: e.Online, Class: class(e.Type), SeenAt: moment(e.LastSeenAt),
	}
}

// state holds what the endpoint reports against the setting in force. An endpoint that isolated itself
// is isolated without a setting, and stays so whatever is set.
func (e endpoint) state(enabled bool) models.HostState {
	byAdmin := e.Isolation.AdminIsolated || !e.Isolation.SelfIsolated
	switch status := e.Isolation.Status; {
	case status == "isolated" && byAdmin == enabled:
		return models.HostIsolated
	case status == "isolated" && byAdmin:
		return models.HostReleasing
	case status == "isolated", status == "notIsolated" && enabled:
		return models.HostIsolating
	case status == "notIsolated":
		return models.HostNormal
	}
	return models.HostUnknown
}

// class translates the type; Central does not say which servers are domain controllers.
func class(kind string) models.AssetClass {
	switch kind {
	case "computer":
		return models.ClassWorkstation
	case "server", "securityVm":
		return models.ClassServer
	}
	return ""
}

// moment reads Central's time stamp, zero when it is not one.
func moment(s string) time.Time {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}

// isUnknownHost reports the error of a host that does not exist.
func isUnknownHost(err error) bool {
	var f *models.VendorError
	return errors.As(err, &f) && f.Code == "no_such_host"
}
