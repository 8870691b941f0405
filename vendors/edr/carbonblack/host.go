package carbonblack

import (
	"context"
	"net/http"
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
	maxHostname = 255
	maxTags     = 100
	maxTag      = 255  // runes
	pageSize    = 200  // devices
	maxFound    = 2000 // devices a name finds, those that are gone and those with a longer name too

	// onlineWithin is how long after its last contact a sensor counts as online. The API has no
	// word for it; a sensor that is up makes contact every few minutes.
	onlineWithin = 15 * time.Minute
)

var deviceID = regexp.MustCompile(`^[1-9][0-9]{0,17}$`)

// Find returns the devices of this name, alone or before a domain, ignoring case and a Windows domain before it,
// without those whose sensor is gone. None is an empty slice, and several are possible: a
// reinstalled computer is a new device.
// Rejected: the name is empty, has wildcards or control characters, or finds more than 2000 devices.
func (t *Tenant) Find(ctx context.Context, hostname string) ([]models.Host, error) {
	op := exchange.Op{Vendor: vendor, Name: "find host"}
	if !plain.Hostname(hostname) || strings.Contains(hostname, `\`) {
		return nil, op.Failed(models.Rejected, "invalid_hostname")
	}
	var named []models.Host
	for read := 0; read < maxFound; {
		page, err := t.search(ctx, op, search{Query: "name:" + escape(hostname), Start: read, Rows: pageSize})
		if err != nil {
			return nil, err
		}
		for _, d := range page.devices {
			if h := d.host(page.at); plain.Named(h.Hostname, hostname) && !d.gone() {
				named = append(named, h)
			}
		}
		read += len(page.devices) // which may be fewer than were asked for
		switch {
		case read >= page.total:
			return named, nil
		case len(page.devices) == 0: // there are more, which it does not show
			return nil, op.Failed(models.Rejected, codeTooMany)
		}
	}
	return nil, op.Failed(models.Rejected, codeTooMany)
}

const codeTooMany = "too_many_hosts"

// State returns the device with the given id as Carbon Black sees it now: normal or isolated, never
// on the way, whatever it was asked for. Rejected: no_such_host.
func (t *Tenant) State(ctx context.Context, id string) (models.Host, error) {
	op := exchange.Op{Vendor: vendor, Name: "read host"}
	if !deviceID.MatchString(id) {
		return models.Host{}, op.Failed(models.Rejected, "invalid_host_id")
	}
	ex := t.send(ctx, http.MethodGet, "/devices/"+id, nil)
	if ex.Status() == http.StatusNotFound {
		f := failure(ex, op)
		f.Code = "no_such_host"
		return models.Host{}, f
	}
	var d device
	if !ex.OK() || ex.Decode(&d) != nil || !d.whole() || d.host(ex.Date(t.now)).ID != id {
		return models.Host{}, failure(ex, op)
	}
	return d.host(ex.Date(t.now)), nil
}

// search is the body of a search. Start counts from 0.
type search struct {
	Query string `json:"query,omitempty"`
	Start int    `json:"start"`
	Rows  int    `json:"rows"`
}

// page is one answer of the search.
type page struct {
	devices []device
	total   int
	at      time.Time
}

func (t *Tenant) search(ctx context.Context, op exchange.Op, s search) (page, error) {
	ex := t.send(ctx, http.MethodPost, "/devices/_search", s)
	var a struct {
		Results *[]device `json:"results"`
		Found   int       `json:"num_found"`
	}
	if !ex.OK() || ex.Decode(&a) != nil || a.Results == nil {
		return page{}, failure(ex, op)
	}
	for _, d := range *a.Results {
		if !d.whole() {
			return page{}, failure(ex, op)
		}
	}
	return page{*a.Results, a.Found, ex.Date(t.now)}, nil
}

// device holds the fields that are read of a device.
type device struct {
	ID          int64   `json:"id"`
	Name        string  `json:"name"`
	Status      string  `json:"status"`
	Quarantined *bool   `json:"quarantined"`
	LastContact string  `json:"last_contact_time"`
	OS          string  `json:"os"`
	OSVersion   string  `json:"os_version"`
	Platform    string  `json:"windows_platform"`
	Groups      []group `json:"groups"`      // the name of asset_group until 2024
	AssetGroups []group `json:"asset_group"` // as the client made them
}

type group struct {
	Name string `json:"name"`
}

// whole reports whether the answer says what is needed of a device.
func (d device) whole() bool { return d.ID > 0 && d.Quarantined != nil }

// gone reports whether the sensor will never answer again.
func (d device) gone() bool {
	return d.Status == "UNINSTALLED" || d.Status == "DEREGISTERED" || d.Status == "DELETED"
}

func (d device) host(now time.Time) models.Host {
	h := models.Host{ID: strconv.FormatInt(d.ID, 10), Hostname: d.hostname(), State: d.state(), Class: d.class()}
	if seen, err := time.Parse(time.RFC3339, d.LastContact); err == nil {
		h.SeenAt = seen.UTC()
		h.Online = !d.gone() && now.Sub(seen) < onlineWithin
	}
	groups := slices.Concat(d.AssetGroups, d.Groups)
	for _, g := range groups[:min(len(groups), maxTags)] {
		if name := models.CleanLine(g.Name, maxTag); name != "" {
			h.Tags = append(h.Tags, name)
		}
	}
	return h
}

// hostname is the name without the domain that may stand before it: CORP\PC-1.
func (d device) hostname() string {
	return models.CleanLine(d.Name[strings.LastIndexByte(d.Name, '\\')+1:], maxHostname)
}

func (d device) state() models.HostState {
	switch {
	case d.gone(): // what it last said of the network is history
		return models.HostUnknown
	case *d.Quarantined:
		return models.HostIsolated
	}
	return models.HostNormal
}

// class is server or workstation where the platform or the system's name says so. Carbon Black does
// not say which servers are domain controllers.
func (d device) class() models.AssetClass {
	switch {
	case strings.HasPrefix(d.Platform, "SERVER_") || strings.Contains(d.OSVersion, "Server"):
		return models.ClassServer
	case strings.HasPrefix(d.Platform, "CLIENT_") || d.OS == "MAC":
		return models.ClassWorkstation
	}
	return ""
}

// escape makes a name one literal of the search's language, which is Lucene's.
func escape(name string) string {
	var b strings.Builder
	for _, r := range name {
		if strings.ContainsRune(`+-&|!(){}[]^"~:/<>= `, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
