package edr

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// The operations of the Cortex simulator.
const (
	opCortexIsolate   = "isolate"
	opCortexRelease   = "release"
	opCortexEndpoints = "get_endpoint"
	opCortexList      = "get_endpoints"
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
	*stage.Stage
	stage.Steering
	keyID, key string
	fleet      *fleet

	mu     sync.Mutex
	nonces map[string]time.Time // when they were used
}

func newCortex(s *stage.Stage) stage.Vendor {
	c := &cortex{Stage: s, keyID: edrValues["cortex"]["api_key_id"], key: edrValues["cortex"]["api_key"], nonces: map[string]time.Time{}}
	c.Personas = newFleetPersonas("uninstalled")
	c.fleet = newFleet(s, c.Personas)
	c.fleet.actionForm = func(n int) string { return strconv.Itoa(4700 + n) }
	return c
}

func (c *cortex) Name() string { return "cortex" }

func (c *cortex) Ops() []string {
	return []string{opCortexEndpoints, opCortexList, opCortexIsolate, opCortexRelease, opCortexAction}
}

func (c *cortex) SteerFaults([]stage.Rule)       {}
func (c *cortex) PersonasChanged(names []string) { c.fleet.personasChanged(names) }

func (c *cortex) Effects() any {
	effects := c.fleet.effects()
	effects["violations"] = c.Violations.All()
	return effects
}

func (c *cortex) Route(r *stage.Request) (string, func() stage.Answer) {
	op, deed := stage.OpUnknown, func() stage.Answer {
		c.Violations.Add(c.Now(), stage.OpUnknown, r.Method+" is not served on this path")
		return c.Refusal(http.StatusNotFound)
	}
	switch r.Method + " " + strings.TrimSuffix(r.URL.Path, "/") {
	case "POST " + cortexAPIPath + "/endpoints/get_endpoint":
		op, deed = opCortexEndpoints, func() stage.Answer { return c.listEndpoints(r) }
	case "POST " + cortexAPIPath + "/endpoints/get_endpoints":
		op, deed = opCortexList, func() stage.Answer { return c.listAll(r) }
	case "POST " + cortexAPIPath + "/endpoints/isolate":
		op, deed = opCortexIsolate, func() stage.Answer { return c.act(r, opCortexIsolate, kindIsolate) }
	case "POST " + cortexAPIPath + "/endpoints/unisolate":
		op, deed = opCortexRelease, func() stage.Answer { return c.act(r, opCortexRelease, kindRelease) }
	case "POST " + cortexAPIPath + "/actions/get_action_status":
		op, deed = opCortexAction, func() stage.Answer { return c.readActionStatus(r) }
	}
	return op, func() stage.Answer {
		if !c.isSigned(r.Header) {
			return c.Refusal(http.StatusUnauthorized)
		}
		return deed()
	}
}

// isSigned reports whether a request has a signature made with the key, now, and for the first time.
func (c *cortex) isSigned(h http.Header) bool {
	nonce, stamp := h.Get("X-Xdr-Nonce"), h.Get("X-Xdr-Timestamp")
	millis, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || h.Get("X-Xdr-Auth-Id") != c.keyID || len(nonce) != cortexNonce {
		return false
	}
	sum := sha256.Sum256([]byte(c.key + nonce + stamp))
	now := c.Now()
	if off := now.Sub(time.UnixMilli(millis)).Abs(); off > cortexSkew || h.Get("Authorization") != hex.EncodeToString(sum[:]) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for used, at := range c.nonces {
		if now.Sub(at) > 2*cortexSkew { // by now its time is too old to be accepted again
			delete(c.nonces, used)
		}
	}
	_, again := c.nonces[nonce]
	c.nonces[nonce] = now
	return !again
}

// Refusal is Cortex's error answer for a status.
func (c *cortex) Refusal(status int) stage.Answer {
	return c.refuse(status, http.StatusText(status), nil)
}

func (c *cortex) refuse(status int, message string, extra any) stage.Answer {
	a := stage.AnswerJSON(status, map[string]any{"reply": map[string]any{"err_code": status,
		"err_msg": "An error occurred while processing XDR public API - " + message, "err_extra": extra}})
	if status == http.StatusTooManyRequests {
		a.Header.Set("Retry-After", "2")
	}
	return a
}

// reject answers 400 and records a violation.
func (c *cortex) reject(op, message string) stage.Answer {
	c.Violations.Add(c.Now(), op, message)
	return c.refuse(http.StatusBadRequest, message, nil)
}
