package edr

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

const mdeTenant = "mde" // there is one

// microsoftTime is how the API writes a moment.
const microsoftTime = "2006-01-02T15:04:05.0000000Z"

// listMachines answers the search. A device comes into being when its name is asked for.
func (d *mde) listMachines(r *stage.Request) stage.Answer {
	terms, top, skip, err := odata(r.URL.Query(), "computerDnsName", "id", "healthStatus", "osPlatform")
	if err != nil {
		return d.reject(opMDEListMachines, "ODataError", err.Error())
	}
	for _, t := range terms {
		if t.field == "computerDnsName" {
			d.known(t.value)
		}
	}
	rows := []any{}
	for _, h := range d.fleet.all(mdeTenant) {
		machine := d.machine(h)
		if !slices.ContainsFunc(terms, func(t odataTerm) bool { return !t.holds(machine) }) {
			rows = append(rows, machine)
		}
	}
	return d.page("Machines", rows, top, skip)
}

// known returns the devices with this DNS name.
func (d *mde) known(name string) []*fleetHost {
	label, _, _ := strings.Cut(name, ".")
	if d.Personas.Current(label) == "fqdn" {
		name = label
	}
	return d.fleet.named(mdeTenant, name)
}

// getMachine answers by id or by DNS name.
func (d *mde) getMachine(r *stage.Request, key string) stage.Answer {
	if r.URL.RawQuery != "" {
		return d.reject(opMDEGetMachine, "BadRequest", "no query is expected")
	}
	h := d.fleet.byID(mdeTenant, key)
	if h == nil && !(len(key) == 40 && stage.IsHex(key)) {
		if known := d.known(key); len(known) > 0 {
			h = known[0]
		}
	}
	if h == nil || h.persona == "missing" {
		return d.Refusal(http.StatusNotFound)
	}
	return stage.AnswerJSON(http.StatusOK, d.machine(h))
}

// machine is a device as the API shows it: nothing in it tells of isolation.
func (d *mde) machine(h *fleetHost) map[string]any {
	os := "Windows11"
	if h.class != "workstation" {
		os = "WindowsServer2022"
	}
	health := "Active"
	if !h.online() {
		health = "Inactive"
	}
	name := strings.ToLower(h.hostname)
	if h.persona == "fqdn" {
		name += ".corp.example"
	}
	return map[string]any{
		"id": h.id, "computerDnsName": name, "osPlatform": os, "healthStatus": health, "onboardingStatus": "Onboarded",
		"firstSeen": h.first.Format(microsoftTime), "lastSeen": h.lastSeen.Format(microsoftTime),
		"machineTags": append([]string{}, h.tags...), "riskScore": "None", "exposureLevel": "Low", "rbacGroupId": 1,
		"rbacGroupName": "all", "lastIpAddress": "192.0.2.10", "lastExternalIpAddress": "198.51.100.7", "version": "23H2", "aadDeviceId": nil,
	}
}

// page is a collection, cut as asked for.
func (d *mde) page(kind string, rows []any, top, skip int) stage.Answer {
	rows = rows[min(skip, len(rows)):min(skip+top, len(rows))]
	return stage.AnswerJSON(http.StatusOK, map[string]any{
		"@odata.context": "https://api.security.microsoft.com/api/$metadata#" + kind, "value": rows})
}

// odataTerm is one condition of a $filter.
type odataTerm struct {
	field, value string
	prefix       bool // startswith instead of eq
}

func (t odataTerm) holds(row map[string]any) bool {
	value, _ := row[t.field].(string)
	if t.prefix {
		return strings.HasPrefix(value, t.value)
	}
	return value == t.value
}

var (
	odataEquals = regexp.MustCompile(`^([A-Za-z]+) eq '((?:[^']|'')*)'$`)
	odataPrefix = regexp.MustCompile(`^startswith\(([A-Za-z]+),'((?:[^']|'')*)'\)$`)
)

// odata reads a query: conditions joined by "and", $top up to 10,000 and $skip.
func odata(q url.Values, fields ...string) (terms []odataTerm, top, skip int, err error) {
	if bad := unknownQuery(q, "$filter", "$top", "$skip"); bad != "" {
		return nil, 0, 0, errors.New(bad)
	}
	top = 10_000
	for name, into := range map[string]*int{"$top": &top, "$skip": &skip} {
		if !q.Has(name) {
			continue
		}
		if *into, err = strconv.Atoi(q.Get(name)); err != nil || *into < 0 || top < 1 || top > 10_000 {
			return nil, 0, 0, errors.New(name + " is not valid")
		}
	}
	if q.Get("$filter") == "" {
		return nil, top, skip, nil
	}
	for _, text := range strings.Split(q.Get("$filter"), " and ") {
		t := odataTerm{}
		m := odataEquals.FindStringSubmatch(text)
		if m == nil {
			m, t.prefix = odataPrefix.FindStringSubmatch(text), true
		}
		if m == nil || !slices.Contains(fields, m[1]) {
			return nil, 0, 0, errors.New("the filter is not valid")
		}
		t.field, t.value = m[1], strings.ReplaceAll(m[2], "''", "'")
		terms = append(terms, t)
	}
	return terms, top, skip, nil
}

func (d *mde) moment(t time.Time) string { return t.UTC().Format(microsoftTime) }
