package simulators

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Rule makes a simulator misbehave. The first rule that matches an operation and still
// has times left applies.
type Rule struct {
	Op          string            `json:"op"`   // the operation, or "*" for every request
	Kind        string            `json:"kind"` // see requestKinds, callbackKinds and mailboxKinds
	Status      int               `json:"status,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Body        string            `json:"body,omitempty"`        // "" answers in the vendor's own error shape
	DelayMS     int               `json:"delay_ms,omitempty"`    // real milliseconds, not scaled by the pace
	Times       int               `json:"times,omitempty"`       // 0 is unlimited
	Probability *float64          `json:"probability,omitempty"` // absent is 1
	Seed        uint64            `json:"seed,omitempty"`        // of the draw, so that a run can be repeated
}

// The kinds of fault on a request.
const (
	faultRefuse      = "refuse"       // the connection is reset, nothing happens
	faultResetBefore = "reset_before" // the same
	faultResetAfter  = "reset_after"  // it happens, then the connection is reset
	faultStatus      = "status"       // an error answer, nothing happens
	faultStatusAfter = "status_after" // it happens, the answer is an error
	faultSlow        = "slow"         // it happens, the answer comes late
	faultLate        = "late"         // it happens late, and so does the answer
	faultTruncate    = "truncate"     // it happens, the answer breaks off
	faultEmpty       = "empty"        // it happens, the answer has no body
	faultExpire      = "expire"       // on op token, at once: all issued tokens are void
)

// The kinds of fault on what a vendor sends to the product.
const (
	faultDrop      = "drop"      // it is never sent
	faultDuplicate = "duplicate" // it is sent twice
	faultDelay     = "delay"     // it is sent late, in order
	faultReorder   = "reorder"   // it is held back until later ones have overtaken it
	faultMissign   = "missign"   // it is signed with a wrong key
)

// The operations through which a vendor speaks to the product.
const (
	opCallback    = "callback"     // status callbacks of calls and texts, event batches of mail
	opVoice       = "voice"        // Twilio asking what to say, and reporting keys
	opInboundText = "inbound_text" // Twilio handing over what a person wrote
)

func requestKinds() []string {
	return []string{faultRefuse, faultResetBefore, faultResetAfter, faultStatus, faultStatusAfter,
		faultSlow, faultLate, faultTruncate, faultEmpty}
}

func callbackKinds() []string {
	return []string{faultDrop, faultDuplicate, faultDelay, faultReorder, faultMissign}
}

// isOutbound reports whether a vendor speaks to the product in this operation.
func isOutbound(op string) bool { return op == opCallback || op == opVoice || op == opInboundText }

// kindsOf are the kinds of fault that make sense for op.
func kindsOf(op string, ops []string) []string {
	switch {
	case isOutbound(op):
		return callbackKinds()
	case slices.Contains(ops, opData):
		return mailboxKinds(op)
	}
	return requestKinds()
}

func (r Rule) delay() time.Duration { return time.Duration(r.DelayMS) * time.Millisecond }

// check reports why the rule makes no sense for a simulator with these operations.
func (r Rule) check(ops []string) error {
	kinds := kindsOf(r.Op, ops)
	switch {
	case r.Op != "*" && !slices.Contains(ops, r.Op):
		return fmt.Errorf("unknown op %q, this simulator has %v", r.Op, ops)
	case r.Op == "token" && r.Kind == faultExpire:
		return nil
	case !slices.Contains(kinds, r.Kind):
		return fmt.Errorf("unknown kind %q for op %q, there are %v", r.Kind, r.Op, kinds)
	case r.Status != 0 && (r.Status < 200 || r.Status > 599):
		return fmt.Errorf("status %d is no answer", r.Status)
	case r.DelayMS < 0 || r.Times < 0:
		return fmt.Errorf("delay_ms and times cannot be negative")
	case r.Probability != nil && (*r.Probability < 0 || *r.Probability > 1):
		return fmt.Errorf("probability must be between 0 and 1")
	}
	return nil
}

type armedRule struct {
	Rule
	left int // uses left; negative is unlimited
	draw *rand.Rand
}

// faults are the rules in force.
type faults struct {
	mu    sync.Mutex
	rules []*armedRule
}

func (f *faults) add(rules []Rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, r := range rules {
		a := &armedRule{Rule: r, left: -1, draw: rand.New(rand.NewPCG(r.Seed, uint64(i)))} //nolint:gosec // G404: a draw that can be repeated is the purpose
		if r.Times > 0 {
			a.left = r.Times
		}
		f.rules = append(f.rules, a)
	}
}

func (f *faults) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
}

// list returns the rules that can still apply, with the times that are left.
func (f *faults) list() []Rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []Rule{}
	for _, a := range f.rules {
		if a.left == 0 {
			continue
		}
		r := a.Rule
		r.Times = max(a.left, 0)
		out = append(out, r)
	}
	return out
}

// take uses up one turn of the first rule for op, if any.
func (f *faults) take(op string) (Rule, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.rules {
		if a.left == 0 || (a.Op != op && (a.Op != "*" || isOutbound(op))) {
			continue
		}
		if a.Probability != nil && a.draw.Float64() >= *a.Probability {
			continue
		}
		if a.left > 0 {
			a.left--
		}
		return a.Rule, true
	}
	return Rule{}, false
}
