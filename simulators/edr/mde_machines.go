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

const mdeTenant = "mde" // there is one tenant

// microsoftTime is the API's form of a time.
const microsoftTime = "2006-01-02T15:04:05.0000000Z"

// listMachines answers the search for devices. A filter by name brings the device into being. Names are in small
// letters, as Defender keeps them, and matched to the letter.
func (d *mde) listMachines(r *stage.Request) stage.Answer {
	terms, top, skip, err := parseOData(r.URL.Query(), "computerDnsName", "id", "healthStatus", "osPlatform")
	if err != nil {
		return d.reject(opMDEListMachines, "ODataError", err.Error())
	}
	for _, t := range terms {
		if t.field == "computerDnsName" {
			d.fleet.bringUp(mdeTenant, t.value)
		}
	}
	rows := []any{}
	for _, h := range d.fleet.hostsOf(mdeTenant) {
		machine := d.showMachine(h)
		if !slices.ContainsFunc(terms, func(t odataTerm) bool { return !t.isMetBy(machine) }) {
			rows = append(rows, machine)
		}
	}
	return d.answerPage("Machines", rows, top, skip)
}

// getMachine answers by id or by DNS name.
func (d *mde) getMachine(r *stage.Request, key string) stage.Answer {
	if r.URL.RawQuery != "" {
		return d.reject(opMDEGetMachine, "BadRequest", "no query is expected")
	}
	h := d.fleet.hostByID(mdeTenant, key)
	if h == nil && !(len(key) == 40 && stage.IsHex(key)) {
		d.fleet.bringUp(mdeTenant, key)
		for _, known := range d.fleet.hostsOf(mdeTenant) {
			if h == nil && strings.EqualFold(known.name(), key) {
				h = known
			}
		}
	}
	if h == nil || h.persona == "missing" {
		return d.Refusal(http.StatusNotFound)
	}
	return stage.AnswerJSON(http.StatusOK, d.showMachine(h))
}

// showMachine writes a device as the API does: nothing in it tells of isolation.
func (d *mde) showMachine(h *fleetHost) map[string]any {
	os := "Windows11"
	if h.class != "workstation" {
		os = "WindowsServer2022"
	}
	health := "Active"
	if !h.isOnline() {
		health = "Inactive"
	}
	boarding := "Onboarded"
	if h.gone { // Defender still sees it on the network
		boarding = "CanBeOnboarded"
	}
	return map[string]any{
		"id": h.id, "computerDnsName": strings.ToLower(h.name()), "osPlatform": os, "healthStatus": health, "onboardingStatus": boarding,
		"firstSeen": h.first.Format(microsoftTime), "lastSeen": h.lastSeen.Format(microsoftTime),
		"machineTags": append([]string{}, h.tags...), "riskScore": "None", "exposureLevel": "Low", "rbacGroupId": 1,
		"rbacGroupName": "all", "lastIpAddress": "192.0.2.10", "lastExternalIpAddress": "198.51.100.7", "version": "23H2", "aadDeviceId": nil,
	}
}

// answerPage answers with a part of a collection.
func (d *mde) answerPage(kind string, rows []any, top, skip int) stage.Answer {
	rows = rows[min(skip, len(rows)):min(skip+top, len(rows))]
	return stage.AnswerJSON(http.StatusOK, map[string]any{
		"@odata.context": "https://api.security.microsoft.com/api/$metadata#" + kind, "value": rows})
}

// odataTerm is one condition of a $filter.
type odataTerm struct {
	field, value string
	prefix       bool // startswith instead of eq
}

func (t odataTerm) isMetBy(row map[string]any) bool {
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

// parseOData reads a query: conditions joined by "and", $top up to 10,000 and $skip.
func parseOData(q url.Values, fields ...string) (terms []odataTerm, top, skip int, err error) {
	if bad := checkQuery(q, "$filter", "$top", "$skip"); bad != "" {
		return nil, 0, 0, errors.New(bad)
	}
	top = 10_000
	for _, number := range []struct {
		name string
		into *int
	}{{"$top", &top}, {"$skip", &skip}} {
		if !q.Has(number.name) {
			continue
		}
		if *number.into, err = strconv.Atoi(q.Get(number.name)); err != nil || *number.into < 0 || top < 1 || top > 10_000 {
			return nil, 0, 0, errors.New(number.name + " is not valid")
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

func (d *mde) formatMoment(t time.Time) string { return t.UTC().Format(microsoftTime) }
