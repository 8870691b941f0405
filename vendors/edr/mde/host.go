package mde

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
	"github.com/watchfire-mdr/watchfire/vendors/internal/plain"
)

const page = 1000 // rows asked for at once; the service allows 10,000

var machineID = regexp.MustCompile(`^[0-9a-fA-F]{40}$`)

// Find returns the devices with exactly this name, ignoring case. Defender knows devices by their
// full DNS name, so a name without a dot also finds the device whose first label it is. None is
// an empty slice, and several are possible. Rejected: the name is empty or has wildcards or
// control characters, or more devices begin with it than can be looked through.
func (t *Tenant) Find(ctx context.Context, hostname string) ([]models.Host, error) {
	op := exchange.Op{Vendor: vendor, Name: "find host"}
	if !plain.Hostname(hostname) {
		return nil, op.Failed(models.Rejected, "invalid_hostname")
	}
	query := url.Values{"$filter": {"startswith(computerDnsName," + literal(strings.ToLower(hostname)) + ")"}, "$top": {"1000"}}
	machines, err := list[machine](ctx, t, op, "/api/machines", query)
	if err != nil {
		return nil, err
	}
	if len(machines) >= page {
		return nil, op.Failed(models.Rejected, "too_many_hosts")
	}
	var hosts []models.Host
	for _, m := range machines {
		if !m.named(hostname) {
			continue
		}
		if !machineID.MatchString(m.ID) {
			return nil, op.Failed(op.Uncertain(), "invalid_answer")
		}
		host, err := t.standing(ctx, op, m)
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, host)
	}
	return hosts, nil
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
	Tags     []string `json:"machineTags"`
}

func (m machine) named(hostname string) bool {
	label, _, _ := strings.Cut(m.Name, ".")
	return strings.EqualFold(m.Name, hostname) || strings.EqualFold(label, hostname)
}

// standing adds to the device what its actions say.
func (t *Tenant) standing(ctx context.Context, op exchange.Op, m machine) (models.Host, error) {
	actions, err := t.actions(ctx, op, m.ID)
	if err != nil {
		return models.Host{}, err
	}
	h := models.Host{
		ID: m.ID, Hostname: m.Name, State: actions.state(), Online: m.Health == "Active",
		Class: class(m.OS), Tags: m.Tags,
	}
	if at, err := time.Parse(time.RFC3339, m.LastSeen); err == nil {
		h.SeenAt = at
	}
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
