package edr

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// The operations of the Carbon Black Cloud simulator, beside opDeviceAction.
const (
	opSearchDevices = "search_devices"
	opReadDevice    = "read_device"
)

// carbonBlack pretends to be Carbon Black Cloud's Devices API v6.
type carbonBlack struct {
	*stage.Stage
	stage.Steering
	org, auth string
	fleet     *fleet
}

func newCarbonBlack(s *stage.Stage) stage.Vendor {
	values := edrValues["carbonblack"]
	c := &carbonBlack{Stage: s, org: values["org_key"], auth: values["api_secret"] + "/" + values["api_id"]}
	c.Personas = newFleetPersonas("answers_200", "deregistered")
	c.fleet = newFleet(s, c.Personas)
	c.fleet.hostForm = cbID
	return c
}

// cbID makes a device's id: a number of eight digits.
func cbID(hex32 string) string {
	n, _ := strconv.ParseUint(hex32[:15], 16, 64) // fits: 60 bits
	return strconv.FormatUint(10_000_000+n%90_000_000, 10)
}

func (c *carbonBlack) Name() string { return "carbonblack" }

func (c *carbonBlack) Ops() []string { return []string{opSearchDevices, opReadDevice, opDeviceAction} }

func (c *carbonBlack) SteerFaults([]stage.Rule) {}

func (c *carbonBlack) PersonasChanged(names []string) { c.fleet.personasChanged(names) }

func (c *carbonBlack) Effects() any {
	e := c.fleet.effects()
	e["violations"] = c.Violations.All()
	return e
}

func (c *carbonBlack) Route(r *stage.Request) (string, func() stage.Answer) {
	op, deed := stage.OpUnknown, func() stage.Answer {
		c.Violations.Add(c.Now(), stage.OpUnknown, r.Method+" is not served on this path")
		return c.Refusal(http.StatusNotFound)
	}
	org, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/appservices/v6/orgs/"), "/")
	id, device := strings.CutPrefix(path, "devices/")
	switch {
	case !strings.HasPrefix(r.URL.Path, "/appservices/v6/orgs/"):
	case r.Method == http.MethodPost && path == "devices/_search":
		op, deed = opSearchDevices, func() stage.Answer { return c.searchDevices(r) }
	case r.Method == http.MethodPost && path == "device_actions":
		op, deed = opDeviceAction, func() stage.Answer { return c.act(r) }
	case r.Method == http.MethodGet && device && !strings.Contains(id, "/"):
		op, deed = opReadDevice, func() stage.Answer { return c.readDevice(r, id) }
	}
	return op, func() stage.Answer {
		switch {
		case r.Header.Get("X-Auth-Token") != c.auth:
			return c.Refusal(http.StatusUnauthorized)
		case op != stage.OpUnknown && org != c.org:
			return c.Refusal(http.StatusForbidden)
		}
		return deed()
	}
}

// Refusal is Carbon Black's error answer for a status.
func (c *carbonBlack) Refusal(status int) stage.Answer {
	word := strings.ToUpper(strings.ReplaceAll(http.StatusText(status), " ", "_"))
	a := stage.AnswerJSON(status, map[string]string{"error_code": word, "message": http.StatusText(status)})
	if status == http.StatusTooManyRequests {
		a.Header.Set("Retry-After", "2")
	}
	return a
}

// reject answers 400 and records a violation.
func (c *carbonBlack) reject(op, reason string) stage.Answer {
	c.Violations.Add(c.Now(), op, reason)
	return c.Refusal(http.StatusBadRequest)
}
