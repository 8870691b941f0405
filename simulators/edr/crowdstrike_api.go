package edr

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// queryHosts answers the host search.
func (f *crowdStrike) queryHosts(r *stage.Request, cid string) stage.Answer {
	q := r.URL.Query()
	if bad := checkQuery(q, "filter", "limit", "offset", "sort"); bad != "" {
		return f.reject(opQueryHosts, bad)
	}
	limit, offset, err := readHostPage(q)
	if err != nil {
		return f.reject(opQueryHosts, err.Error())
	}
	filter, err := parseFQL(q.Get("filter"))
	if err != nil {
		return f.reject(opQueryHosts, "invalid filter: "+err.Error())
	}
	ids := f.findIDs(cid, filter)
	total := len(ids)
	ids = ids[min(offset, total):min(offset+limit, total)]
	trace := formatUUID(stage.RandomHex(32))
	a := stage.AnswerJSON(http.StatusOK, map[string]any{
		"meta": map[string]any{"query_time": 0.004, "powered_by": "device-api", "trace_id": trace,
			"pagination": map[string]int{"offset": offset, "limit": limit, "total": total}},
		"resources": ids, "errors": []apiError{},
	})
	a.Header.Set("X-Cs-Traceid", trace)
	return a
}

func (f *crowdStrike) findIDs(cid string, filter fqlFilter) []string {
	for _, t := range filter.terms {
		if t.field == "hostname" {
			f.fleet.bringUp(cid, strings.TrimSuffix(t.value, "*"))
		}
	}
	ids := []string{}
	for _, h := range f.fleet.hostsOf(cid) {
		if filter.matches(map[string]string{"hostname": h.name(), "device_id": h.id, "status": falconState(h.state), "platform_name": "Windows"}) {
			ids = append(ids, h.id)
		}
	}
	return ids
}

// fqlFilter are terms of which all must hold or, with or, any.
type fqlFilter struct {
	terms []fqlTerm
	or    bool
}

// fqlTerm is a condition on a field: field:'value', which finds all that begin with the value, to the letter, or
// field:~'value', which finds all with the same words, whatever their case.
type fqlTerm struct {
	field, value string
	text         bool
}

func (f fqlFilter) matches(row map[string]string) bool {
	if f.or {
		return slices.ContainsFunc(f.terms, func(t fqlTerm) bool { return t.matches(row[t.field]) })
	}
	return !slices.ContainsFunc(f.terms, func(t fqlTerm) bool { return !t.matches(row[t.field]) })
}

func (t fqlTerm) matches(value string) bool {
	if !t.text {
		return strings.HasPrefix(value, strings.TrimSuffix(t.value, "*"))
	}
	words := fqlWords(value)
	return !slices.ContainsFunc(fqlWords(t.value), func(w string) bool { return !slices.Contains(words, w) })
}

func fqlWords(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// parseFQL reads terms joined by + or by a comma, not by both. A * may stand at the end of a host name; lists in
// brackets are not simulated.
func parseFQL(filter string) (f fqlFilter, err error) {
	joined := ""
	for rest := filter; rest != ""; {
		field, after, found := strings.Cut(rest, ":")
		if !found || !slices.Contains([]string{"hostname", "device_id", "status", "platform_name"}, field) {
			return f, errors.New("unknown field")
		}
		after, text := strings.CutPrefix(after, "~")
		if after == "" || after[0] != '\'' {
			return f, errors.New("a value must be in single quotes")
		}
		value, length, err := stage.ReadQuoted(after)
		if err != nil || value == "" || strings.Contains(value, "*") && (text || field != "hostname" || strings.Index(value, "*") != len(value)-1) {
			return f, errors.New("the value is not valid")
		}
		f.terms = append(f.terms, fqlTerm{field, value, text})
		if rest = after[length:]; rest == "" {
			break
		}
		join := rest[:1]
		if join != "+" && join != "," || len(rest) == 1 || joined != "" && join != joined {
			return f, errors.New("terms are joined by + or by a comma")
		}
		joined, rest = join, rest[1:]
	}
	f.or = joined == ","
	return f, nil
}

// readDetails answers with the hosts of the given ids; unknown ids become errors.
func (f *crowdStrike) readDetails(r *stage.Request, cid string) stage.Answer {
	ids, bad := readIDs(r)
	if bad != "" {
		return f.reject(opHostDetails, bad)
	}
	resources, errs := []any{}, []apiError{}
	for _, id := range ids {
		h := f.fleet.hostByID(cid, id)
		if h == nil {
			errs = append(errs, apiError{Code: http.StatusNotFound, Message: "no details exist for this id", ID: id})
			continue
		}
		resources = append(resources, f.showDevice(h))
	}
	return f.answerEnvelope(http.StatusOK, resources, errs...)
}

// showDevice writes a host as the API does.
func (f *crowdStrike) showDevice(h *fleetHost) map[string]any {
	kind := map[string]string{"workstation": "Workstation", "server": "Server", "domain_controller": "Domain Controller"}[h.class]
	tags := []string{}
	for _, tag := range h.tags {
		tags = append(tags, "FalconGroupingTags/"+tag)
	}
	return map[string]any{
		"device_id": h.id, "cid": h.tenant, "hostname": h.name(), "status": falconState(h.state),
		"platform_name": "Windows", "platform_id": "0", "os_version": "Windows 11", "product_type_desc": kind,
		"agent_version": "7.10.0", "local_ip": "192.0.2.10", "external_ip": "198.51.100.7",
		"first_seen": h.first.Format(time.RFC3339), "last_seen": h.lastSeen.Format(time.RFC3339),
		"modified_timestamp": h.changes[len(h.changes)-1].At.Format(time.RFC3339), "provision_status": "Provisioned",
		"reduced_functionality_mode": "no", "tags": tags, "groups": []string{},
	}
}

// readOnlineState answers online or offline, and unknown for an unknown id.
func (f *crowdStrike) readOnlineState(r *stage.Request, cid string) stage.Answer {
	ids, bad := readIDs(r)
	if bad != "" {
		return f.reject(opOnlineState, bad)
	}
	resources := []any{}
	for _, id := range ids {
		row := map[string]any{"id": id, "cid": cid, "state": "unknown"}
		if h := f.fleet.hostByID(cid, id); h != nil {
			row["state"], row["last_seen"] = "online", h.lastSeen.Format(time.RFC3339)
			if !h.isOnline() {
				row["state"] = "offline"
			}
		}
		resources = append(resources, row)
	}
	return f.answerEnvelope(http.StatusOK, resources)
}

// act takes a device action. The 202 only means that Falcon accepted it, and carries the errors of
// single hosts.
func (f *crowdStrike) act(r *stage.Request, cid string) stage.Answer {
	var body struct {
		ActionParameters []struct {
			Name  string `json:"name"`
			Value string `json:"value"`
		} `json:"action_parameters"`
		IDs []string `json:"ids"`
	}
	action := r.URL.Query().Get("action_name")
	switch err := stage.DecodeStrict(r.Payload, &body); {
	case checkQuery(r.URL.Query(), "action_name") != "":
		return f.reject(opDeviceAction, "unknown query parameter")
	case action != falconContain && action != falconLift:
		return f.reject(opDeviceAction, "action_name must be contain or lift_containment")
	case !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") || err != nil:
		return f.reject(opDeviceAction, "the body is not valid")
	case len(body.IDs) != 1 || body.IDs[0] == "":
		return f.reject(opDeviceAction, "exactly one id is required")
	}
	for _, p := range body.ActionParameters {
		if p.Name == "" {
			return f.reject(opDeviceAction, "an action parameter has no name")
		}
	}
	id := body.IDs[0]
	refused := f.commandHost(id, cid, action)
	switch {
	case refused == nil:
		return f.answerEnvelope(http.StatusAccepted, []map[string]string{{"id": id, "path": "/devices/entities/devices/v1"}})
	case refused.Code == http.StatusConflict:
		return f.answerEnvelope(http.StatusConflict, []any{}, *refused)
	}
	return f.answerEnvelope(http.StatusAccepted, []any{}, *refused)
}

// readIDs reads the ids of a GET (repeated key) or a POST (JSON body). Bad is the reason why they
// are not valid, "" when they are.
func readIDs(r *stage.Request) (ids []string, bad string) {
	limit := 100
	if r.Method == http.MethodPost {
		var body struct {
			IDs []string `json:"ids"`
		}
		if err := stage.DecodeStrict(r.Payload, &body); err != nil || r.URL.RawQuery != "" {
			return nil, "the body is not valid"
		}
		ids, limit = body.IDs, 5000
	} else {
		if bad := checkQuery(r.URL.Query(), "ids"); bad != "" {
			return nil, bad
		}
		ids = r.URL.Query()["ids"]
	}
	if len(ids) < 1 || len(ids) > limit {
		return nil, "1 to " + strconv.Itoa(limit) + " ids are required"
	}
	return ids, ""
}

// checkQuery returns the reason why a query is not valid, "" when it is.
func checkQuery(q url.Values, known ...string) string {
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if !slices.Contains(known, name) || (len(q[name]) > 1 && name != "ids") {
			return "unknown or repeated query parameter " + name
		}
	}
	return ""
}

func readHostPage(q url.Values) (limit, offset int, err error) {
	limit = 100
	for _, number := range []struct {
		name string
		into *int
	}{{"limit", &limit}, {"offset", &offset}} {
		if !q.Has(number.name) {
			continue
		}
		n, err := strconv.Atoi(q.Get(number.name))
		if err != nil || n < 0 || (number.name == "limit" && (n < 1 || n > 5000)) {
			return 0, 0, errors.New(number.name + " is not valid")
		}
		*number.into = n
	}
	return limit, offset, nil
}
