package crowdstrike

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
	"github.com/watchfire-mdr/watchfire/vendors/internal/plain"
)

const (
	pageSize    = 500  // ids; the API allows 5000
	maxFound    = 2000 // hosts whose name begins as it should
	detailsSize = 200  // hosts read at once; the API allows 5000, which our bound on an answer does not
)

var agentID = regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)

// Find returns the hosts of this name, alone or before a domain, ignoring case. None is an empty slice, and
// several are possible: a reinstalled host has a new id. Online is not asked for; State does.
// Rejected: the name is empty or has wildcards or control characters, or the names of more than 2000
// hosts begin with it.
func (t *Tenant) Find(ctx context.Context, hostname string) ([]models.Host, error) {
	op := exchange.Op{Vendor: vendor, Name: "find host"}
	if !plain.Hostname(hostname) {
		return nil, op.Failed(models.Rejected, "invalid_hostname")
	}
	ids, err := t.search(ctx, op, filter(hostname))
	if err != nil {
		return nil, err
	}
	var named []models.Host
	for some := range slices.Chunk(ids, detailsSize) {
		hosts, err := t.read(ctx, op, some)
		if err != nil {
			return nil, err
		}
		for _, host := range hosts {
			if plain.Named(host.Hostname, hostname) {
				named = append(named, host)
			}
		}
	}
	return named, nil
}

// search returns the ids of all hosts that a filter finds.
func (t *Tenant) search(ctx context.Context, op exchange.Op, filter string) (ids []string, err error) {
	for len(ids) < maxFound {
		query := url.Values{"filter": {filter}, "limit": {strconv.Itoa(pageSize)}, "offset": {strconv.Itoa(len(ids))}, "sort": {"device_id.asc"}}
		ex, err := t.send(ctx, op, http.MethodGet, "/devices/queries/devices/v1?"+query.Encode(), nil)
		if err != nil {
			return nil, err
		}
		page, err := resources[string](ex, op)
		if err != nil {
			return nil, err
		}
		var all struct {
			Meta struct {
				Pagination struct {
					Total int `json:"total"`
				} `json:"pagination"`
			} `json:"meta"`
		}
		if ex.Decode(&all) != nil {
			return nil, failure(ex, op)
		}
		ids = append(ids, page...)
		switch {
		case len(ids) >= all.Meta.Pagination.Total && len(page) < pageSize:
			return ids, nil
		case len(page) == 0: // there are more, which it does not show
			return nil, op.Failed(models.Rejected, codeTooMany)
		}
	}
	return nil, op.Failed(models.Rejected, codeTooMany)
}

const codeTooMany = "too_many_hosts"

// State returns the host with the given id as Falcon sees it now. Online is best effort: false
// also when Falcon did not say. Rejected: no such host.
func (t *Tenant) State(ctx context.Context, id string) (models.Host, error) {
	op := exchange.Op{Vendor: vendor, Name: "read host"}
	if !agentID.MatchString(id) {
		return models.Host{}, op.Failed(models.Rejected, "invalid_host_id")
	}
	hosts, err := t.read(ctx, op, []string{id})
	if failed := (*models.VendorError)(nil); errors.As(err, &failed) && failed.Code == code(http.StatusNotFound) {
		failed.Code = "no_such_host"
	}
	if err != nil {
		return models.Host{}, err
	}
	for _, host := range hosts {
		if host.ID == id {
			host.Online = t.online(ctx, id)
			return host, nil
		}
	}
	return models.Host{}, op.Failed(models.Rejected, "no_such_host")
}

func (t *Tenant) read(ctx context.Context, op exchange.Op, ids []string) ([]models.Host, error) {
	body := map[string][]string{"ids": ids}
	ex, err := t.send(ctx, op, http.MethodPost, "/devices/entities/devices/v2", body)
	if err != nil {
		return nil, err
	}
	devices, err := resources[device](ex, op)
	if err != nil {
		return nil, err
	}
	hosts := make([]models.Host, 0, len(devices))
	for _, d := range devices {
		if !agentID.MatchString(d.ID) {
			return nil, failure(ex, op)
		}
		hosts = append(hosts, d.host())
	}
	return hosts, nil
}

type device struct {
	ID       string   `json:"device_id"`
	Hostname string   `json:"hostname"`
	Status   string   `json:"status"`
	Kind     string   `json:"product_type_desc"`
	Tags     []string `json:"tags"`
	LastSeen string   `json:"last_seen"`
}

func (d device) host() models.Host {
	h := models.Host{ID: d.ID, Hostname: d.Hostname, State: state(d.Status), Class: class(d.Kind)}
	for _, tag := range d.Tags { // "FalconGroupingTags/finance", "SensorGroupingTags/finance"
		if _, own, found := strings.Cut(tag, "/"); found {
			tag = own
		}
		h.Tags = append(h.Tags, tag)
	}
	if at, err := time.Parse(time.RFC3339, d.LastSeen); err == nil {
		h.SeenAt = at
	}
	return h
}

func class(kind string) models.AssetClass {
	switch kind {
	case "Workstation":
		return models.ClassWorkstation
	case "Server":
		return models.ClassServer
	case "Domain Controller":
		return models.ClassDomainController
	}
	return ""
}

// online asks whether the sensor is connected; any failure counts as not known to be.
func (t *Tenant) online(ctx context.Context, id string) bool {
	op := exchange.Op{Vendor: vendor, Name: "read online state"}
	path := "/devices/entities/online-state/v1?" + url.Values{"ids": {id}}.Encode()
	ex, err := t.send(ctx, op, http.MethodGet, path, nil)
	if err != nil {
		return false
	}
	states, err := resources[struct {
		ID    string `json:"id"`
		State string `json:"state"`
	}](ex, op)
	if err != nil {
		return false
	}
	for _, s := range states {
		if s.ID == id {
			return s.State == "online"
		}
	}
	return false
}

// state translates Falcon's status, whose capitals have changed over the years.
func state(status string) models.HostState {
	switch strings.ToLower(status) {
	case "normal":
		return models.HostNormal
	case "containment_pending":
		return models.HostIsolating
	case "contained":
		return models.HostIsolated
	case "lift_containment_pending":
		return models.HostReleasing
	}
	return models.HostUnknown
}

// filter is the query in Falcon's filter language for the names with the words of a name, whatever the case, and for
// those that begin with it, which may mind the case, as given and in the cases it is usually stored in.
func filter(hostname string) string {
	quoted := func(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) }
	terms := []string{"hostname:~" + quoted(hostname) + "'"}
	for _, form := range []string{hostname, strings.ToLower(hostname), strings.ToUpper(hostname)} {
		if term := "hostname:" + quoted(form) + "*'"; !slices.Contains(terms, term) {
			terms = append(terms, term)
		}
	}
	return strings.Join(terms, ",")
}
