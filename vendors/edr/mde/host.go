package mde

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
	"github.com/watchfire-mdr/watchfire/vendors/internal/plain"
)

const (
	page     = 1000 // rows asked for at once; the service allows 10,000
	maxPages = 10   // of devices whose name begins as it should
)

var machineID = regexp.MustCompile(`^[0-9a-fA-F]{40}$`)

// Find returns the onboarded devices of this name, alone or before a domain, ignoring case. Defender knows
// devices by their DNS name, in small letters. None is an empty slice, and several are possible; the
// state of several devices of exactly this name is not asked for. Rejected: the name is empty or has
// wildcards or control characters, or the names of more than 10,000 devices begin with it.
func (t *Tenant) Find(ctx context.Context, hostname string) ([]models.Host, error) {
	op := exchange.Op{Vendor: vendor, Name: "find host"}
	if !plain.Hostname(hostname) {
		return nil, op.Failed(models.Rejected, "invalid_hostname")
	}
	machines, err := t.machines(ctx, op, hostname)
	if err != nil {
		return nil, err
	}
	var hosts []models.Host
	var exact []int
	for i, m := range machines {
		if hosts = append(hosts, m.host()); strings.EqualFold(m.Name, hostname) {
			exact = append(exact, i)
		}
	}
	if len(exact) != 1 {
		return hosts, nil
	}
	if hosts[exact[0]], err = t.standing(ctx, op, machines[exact[0]]); err != nil {
		return nil, err
	}
	return hosts, nil
}

// machines reads all onboarded devices of a name.
func (t *Tenant) machines(ctx context.Context, op exchange.Op, hostname string) (named []machine, err error) {
	query := url.Values{"$filter": {"startswith(computerDnsName," + literal(strings.ToLower(hostname)) + ")"}, "$top": {strconv.Itoa(page)}}
	read := 0
	for range maxPages {
		some, more, err := list[machine](ctx, t, op, "/api/machines", query)
		if err != nil {
			return nil, err
		}
		for _, m := range some {
			if !machineID.MatchString(m.ID) {
				return nil, op.Failed(op.Uncertain(), "invalid_answer")
			}
			if plain.Named(m.Name, hostname) && m.onboarded() {
				named = append(named, m)
			}
		}
		if len(some) < page && !more {
			return named, nil
		}
		read += len(some)
		query.Set("$skip", strconv.Itoa(read))
	}
	return nil, op.Failed(models.Rejected, "too_many_hosts")
}

// State returns the device with the given id as Defender sees it now: its isolation follows from
// its newest finished isolate or release and what is pending. Online means that the sensor has
// reported within the last days. Rejected: no such host.
func (t *Tenant) State(ctx context.Context, id string) (models.Host, error) {
	op := exchange.Op{Vendor: vendor, Name: "read host"}
	if !machineID.MatchString(id) {
		return models.Host{}, op.Failed(models.Rejected, "invalid_host_id")
	}
	ex, err := t.send(ctx, op, http.MethodGet, "/api/machines/"+id, nil)
	if err != nil {
		return models.Host{}, err
	}
	var m machine
	if !ex.OK() || ex.Decode(&m) != nil {
		f := failure(ex, op)
		if ex.Status() == http.StatusNotFound {
			f.Code = "no_such_host"
		}
		return models.Host{}, f
	}
	if !strings.EqualFold(m.ID, id) {
		return models.Host{}, failure(ex, op)
	}
	return t.standing(ctx, op, m)
}

// machine is a device as the API shows it.
type machine struct {
	ID       string   `json:"id"`
	Name     string   `json:"computerDnsName"`
	LastSeen string   `json:"lastSeen"`
	OS       string   `json:"osPlatform"`
	Health   string   `json:"healthStatus"`
	Boarding string   `json:"onboardingStatus"`
	Tags     []string `json:"machineTags"`
}

// onboarded reports whether the device has a sensor. Others were only seen on the network.
func (m machine) onboarded() bool {
	return m.Boarding == "" || strings.EqualFold(m.Boarding, "Onboarded")
}

// host is what the device says of itself, which is nothing of its isolation.
func (m machine) host() models.Host {
	h := models.Host{ID: m.ID, Hostname: m.Name, State: models.HostUnknown, Online: m.Health == "Active", Class: class(m.OS), Tags: m.Tags}
	if at, err := time.Parse(time.RFC3339, m.LastSeen); err == nil {
		h.SeenAt = at
	}
	return h
}

// standing adds to the device what its actions say.
func (t *Tenant) standing(ctx context.Context, op exchange.Op, m machine) (models.Host, error) {
	actions, err := t.actions(ctx, op, m.ID)
	if err != nil {
		return models.Host{}, err
	}
	h := m.host()
	h.State = actions.state()
	return h, nil
}

// class reads the class from the name of the operating system: "WindowsServer2022", "Windows11".
func class(os string) models.AssetClass {
	switch {
	case strings.HasPrefix(os, "WindowsServer"):
		return models.ClassServer
	case strings.HasPrefix(os, "Windows"), os == "macOS":
		return models.ClassWorkstation
	}
	return ""
}

// literal is s in OData: in single quotes, which are doubled inside.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
