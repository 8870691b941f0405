package sentinelone

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
	"github.com/watchfire-mdr/watchfire/vendors/internal/plain"
)

const (
	maxHostname = 255
	maxTags     = 100
	maxTag      = 255   // runes
	maxCursor   = 4096  // bytes
	pageSize    = "100" // agents; the API allows 1000, which our bound on an answer does not
	maxPages    = 20    // of agents a name finds, those that are gone and those with a longer name too
)

var agentID = regexp.MustCompile(`^[0-9]{15,20}$`)

// Find returns the agents of this computer name, alone or before a domain, ignoring case, without those that were
// uninstalled or decommissioned. None is an empty slice, and several are possible: a reinstalled
// computer has a new agent.
// Rejected: the name is empty, has wildcards or control characters, or finds more than 2000 agents.
func (t *Tenant) Find(ctx context.Context, hostname string) ([]models.Host, error) {
	op := exchange.Op{Vendor: vendor, Name: "find host"}
	if !plain.Hostname(hostname) {
		return nil, op.Failed(models.Rejected, "invalid_hostname")
	}
	query := url.Values{"computerName__like": {hostname}, "limit": {pageSize}}
	var named []models.Host
	for range maxPages {
		found, next, err := t.agents(ctx, op, query)
		if err != nil {
			return nil, err
		}
		for _, a := range found {
			if plain.Named(a.ComputerName, hostname) && !a.IsUninstalled && !a.IsDecommissioned {
				named = append(named, a.host())
			}
		}
		if next == "" {
			return named, nil
		}
		query.Set("cursor", next)
	}
	return nil, op.Failed(models.Rejected, "too_many_hosts")
}

// State returns the agent with the given id as SentinelOne sees it now. Rejected: no_such_host.
func (t *Tenant) State(ctx context.Context, id string) (models.Host, error) {
	op := exchange.Op{Vendor: vendor, Name: "read host"}
	if !agentID.MatchString(id) {
		return models.Host{}, op.Failed(models.Rejected, "invalid_host_id")
	}
	found, _, err := t.agents(ctx, op, url.Values{"ids": {id}, "limit": {pageSize}})
	if err != nil {
		return models.Host{}, err
	}
	for _, a := range found {
		if a.ID == id {
			return a.host(), nil
		}
	}
	return models.Host{}, op.Failed(models.Rejected, "no_such_host")
}

// agents reads one page of agents, and the cursor of the next one, "" on the last.
func (t *Tenant) agents(ctx context.Context, op exchange.Op, query url.Values) ([]agent, string, error) {
	ex := t.send(ctx, http.MethodGet, "/agents?"+query.Encode(), nil)
	found, next, err := read[[]agent](ex, op)
	if err != nil {
		return nil, "", err
	}
	if len(next) > maxCursor {
		return nil, "", failure(ex, op)
	}
	for _, a := range found {
		if !agentID.MatchString(a.ID) {
			return nil, "", failure(ex, op)
		}
	}
	return found, next, nil
}

// agent holds the fields that are read of an agent.
type agent struct {
	ID               string `json:"id"`
	ComputerName     string `json:"computerName"`
	NetworkStatus    string `json:"networkStatus"`
	MachineType      string `json:"machineType"`
	LastActiveDate   string `json:"lastActiveDate"`
	IsActive         bool   `json:"isActive"` // connected to the console
	IsUninstalled    bool   `json:"isUninstalled"`
	IsDecommissioned bool   `json:"isDecommissioned"`
	Tags             struct {
		SentinelOne []tag `json:"sentinelone"`
	} `json:"tags"`
}

type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func (a agent) host() models.Host {
	h := models.Host{
		ID: a.ID, Hostname: models.CleanLine(a.ComputerName, maxHostname), State: state(a.NetworkStatus),
		Online: a.IsActive, Class: class(a.MachineType),
	}
	if a.IsUninstalled { // what it last said of the network is history
		h.State, h.Online = models.HostUnknown, false
	}
	if seen, err := time.Parse(time.RFC3339, a.LastActiveDate); err == nil {
		h.SeenAt = seen.UTC()
	}
	for _, tag := range a.Tags.SentinelOne[:min(len(a.Tags.SentinelOne), maxTags)] {
		if text := tag.text(); text != "" {
			h.Tags = append(h.Tags, text)
		}
	}
	return h
}

// text is a tag as the console writes it: the key, and the value if it has one.
func (t tag) text() string {
	if t.Value == "" {
		return models.CleanLine(t.Key, maxTag)
	}
	return models.CleanLine(t.Key+":"+t.Value, maxTag)
}

func state(networkStatus string) models.HostState {
	switch networkStatus {
	case "connected":
		return models.HostNormal
	case "disconnecting":
		return models.HostIsolating
	case "disconnected":
		return models.HostIsolated
	case "connecting":
		return models.HostReleasing
	}
	return models.HostUnknown
}

// class translates the machine type; SentinelOne does not say which servers are domain controllers.
func class(machineType string) models.AssetClass {
	switch machineType {
	case "desktop", "laptop":
		return models.ClassWorkstation
	case "server":
		return models.ClassServer
	}
	return ""
}
