package simulators

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The operations of the Cortex simulator.
const (
	opCortexIsolate   = "isolate"
	opCortexRelease   = "release"
	opCortexEndpoints = "get_endpoint"
	opCortexAction    = "action_status"
)

const (
	cortexTenant  = "cortex"
	cortexSkew    = 5 * time.Minute // how far a signature's time may be off
	cortexNonce   = 64              // characters
	nothingToDo   = "No endpoint was found for creating the requested action"
	cortexAPIPath = "/public_api/v1"
)

// cortex pretends to be the endpoint part of a Cortex XDR tenant. The persona "uninstalled" is an
// endpoint that Cortex still lists though its agent is gone.
type cortex struct {
	*stage
	temper
	keyID, key string
	fleet      *fleet

	mu     sync.Mutex
	nonces map[string]time.Time // when they were used
}

func newCortex(s *stage) vendor {
	c := &cortex{stage: s, keyID: edrValues["cortex"]["api_key_id"], key: edrValues["cortex"]["api_key"], nonces: map[string]time.Time{}}
	c.personas = fleetPersonas("uninstalled")
	c.fleet = newFleet(s, c.personas)
	c.fleet.actionForm = func(n int) string { return itoa(4700 + n) }
	return c
}

func (c *cortex) name() string { return "cortex" }

func (c *cortex) ops() []string {
	return []string{opCortexEndpoints, opCortexIsolate, opCortexRelease, opCortexAction}
}

func (c *cortex) steerFaults([]Rule)             {}
func (c *cortex) personasChanged(names []string) { c.fleet.personasChanged(names) }

func (c *cortex) effects() any {
	effects := c.fleet.effects()
	effects["violations"] = c.violations.all()
	return effects
}

func (c *cortex) route(r *request) (string, func() answer) {
	op, deed := opUnknown, func() answer {
		c.violations.add(c.now(), opUnknown, r.Method+" is not served on this path")
		return c.refusal(http.StatusNotFound)
	}
	switch r.Method + " " + strings.TrimSuffix(r.URL.Path, "/") {
	case "POST " + cortexAPIPath + "/endpoints/get_endpoint":
		op, deed = opCortexEndpoints, func() answer { return c.getEndpoint(r) }
	case "POST " + cortexAPIPath + "/endpoints/isolate":
		op, deed = opCortexIsolate, func() answer { return c.act(r, opCortexIsolate, orderIsolate) }
	case "POST " + cortexAPIPath + "/endpoints/unisolate":
		op, deed = opCortexRelease, func() answer { return c.act(r, opCortexRelease, orderRelease) }
	case "POST " + cortexAPIPath + "/actions/get_action_status":
		op, deed = opCortexAction, func() answer { return c.actionStatus(r) }
	}
	return op, func() answer {
		if !c.signed(r.Header) {
			return c.refusal(http.StatusUnauthorized)
		}
		return deed()
	}
}

// signed reports a signature made with the key, now, and never seen before.
func (c *cortex) signed(h http.Header) bool {
	nonce, stamp := h.Get("X-Xdr-Nonce"), h.Get("X-Xdr-Timestamp")
	millis, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || h.Get("X-Xdr-Auth-Id") != c.keyID || len(nonce) != cortexNonce {
		return false
	}
	sum := sha256.Sum256([]byte(c.key + nonce + stamp))
	now := c.now()
	if off := now.Sub(time.UnixMilli(millis)).Abs(); off > cortexSkew || h.Get("Authorization") != hex.EncodeToString(sum[:]) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for used, at := range c.nonces {
		if now.Sub(at) > 2*cortexSkew { // its time would be refused by now
			delete(c.nonces, used)
		}
	}
	_, again := c.nonces[nonce]
	c.nonces[nonce] = now
	return !again
}

// refusal is Cortex's error answer for a status.
func (c *cortex) refusal(status int) answer { return c.refuse(status, http.StatusText(status), nil) }

func (c *cortex) refuse(status int, message string, extra any) answer {
	a := jsonAnswer(status, map[string]any{"reply": map[string]any{"err_code": status,
		"err_msg": "An error occurred while processing XDR public API - " + message, "err_extra": extra}})
	if status == http.StatusTooManyRequests {
		a.header.Set("Retry-After", "2")
	}
	return a
}

// reject answers 400 and records what the client should never send.
func (c *cortex) reject(op, message string) answer {
	c.violations.add(c.now(), op, message)
	return c.refuse(http.StatusBadRequest, message, nil)
}
