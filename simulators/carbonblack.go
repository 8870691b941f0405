package simulators

import (
	"net/http"
	"strconv"
	"strings"
)

// The operations of the Carbon Black Cloud simulator; its orders are opDeviceAction.
const (
	opSearchDevices = "search_devices"
	opReadDevice    = "read_device"
)

// carbonBlack pretends to be Carbon Black Cloud's Devices API v6.
type carbonBlack struct {
	*stage
	temper
	org, auth string
	fleet     *fleet
}

func newCarbonBlack(s *stage) vendor {
	values := edrValues["carbonblack"]
	c := &carbonBlack{stage: s, org: values["org_key"], auth: values["api_secret"] + "/" + values["api_id"]}
	c.personas = fleetPersonas("answers_200", "deregistered")
	c.fleet = newFleet(s, c.personas)
	c.fleet.hostForm = cbID
	return c
}

// cbID is a device's id: a number of eight digits.
func cbID(hex32 string) string {
	n, _ := strconv.ParseUint(hex32[:15], 16, 64) // fits: 60 bits
	return strconv.FormatUint(10_000_000+n%90_000_000, 10)
}

func (c *carbonBlack) name() string { return "carbonblack" }

func (c *carbonBlack) ops() []string { return []string{opSearchDevices, opReadDevice, opDeviceAction} }

func (c *carbonBlack) steerFaults([]Rule) {}

func (c *carbonBlack) personasChanged(names []string) { c.fleet.personasChanged(names) }

func (c *carbonBlack) effects() any {
	e := c.fleet.effects()
	e["violations"] = c.violations.all()
	return e
}

func (c *carbonBlack) route(r *request) (string, func() answer) {
	op, deed := opUnknown, func() answer {
		c.violations.add(c.now(), opUnknown, r.Method+" is not served on this path")
		return c.refusal(http.StatusNotFound)
	}
	org, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/appservices/v6/orgs/"), "/")
	id, device := strings.CutPrefix(path, "devices/")
	switch {
	case !strings.HasPrefix(r.URL.Path, "/appservices/v6/orgs/"):
	case r.Method == http.MethodPost && path == "devices/_search":
		op, deed = opSearchDevices, func() answer { return c.search(r) }
	case r.Method == http.MethodPost && path == "device_actions":
		op, deed = opDeviceAction, func() answer { return c.act(r) }
	case r.Method == http.MethodGet && device && !strings.Contains(id, "/"):
		op, deed = opReadDevice, func() answer { return c.device(r, id) }
	}
	return op, func() answer {
		switch {
		case r.Header.Get("X-Auth-Token") != c.auth:
			return c.refusal(http.StatusUnauthorized)
		case op != opUnknown && org != c.org:
			return c.refusal(http.StatusForbidden)
		}
		return deed()
	}
}

// refusal is Carbon Black's error answer for a status.
func (c *carbonBlack) refusal(status int) answer {
	word := strings.ToUpper(strings.ReplaceAll(http.StatusText(status), " ", "_"))
	a := jsonAnswer(status, map[string]string{"error_code": word, "message": http.StatusText(status)})
	if status == http.StatusTooManyRequests {
		a.header.Set("Retry-After", "2")
	}
	return a
}

// reject answers 400 and records what the client should never send.
func (c *carbonBlack) reject(op, reason string) answer {
	c.violations.add(c.now(), op, reason)
	return c.refusal(http.StatusBadRequest)
}
