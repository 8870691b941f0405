package stage

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Rule makes a simulator misbehave. The first rule that matches an operation and has times left
// applies.
type Rule struct {
	Op          string            `json:"op"`   // the operation, or "*" for every request
	Kind        string            `json:"kind"` // one of the faults below that the operation knows
	Status      int               `json:"status,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Body        string            `json:"body,omitempty"`        // "" answers in the vendor's own error shape
	DelayMS     int               `json:"delay_ms,omitempty"`    // real milliseconds, not scaled by the pace
	Times       int               `json:"times,omitempty"`       // 0 is unlimited
	Holds       string            `json:"holds,omitempty"`       // only for requests whose body holds this text; "" is every one
	Probability *float64          `json:"probability,omitempty"` // absent is 1
	Seed        uint64            `json:"seed,omitempty"`        // of the draw, so that a run can be repeated
}

// The kinds of fault on a request.
const (
	FaultRefuse      = "refuse"       // the vendor resets the connection and does nothing
	FaultResetBefore = "reset_before" // the same
	FaultResetAfter  = "reset_after"  // the vendor performs the operation, then resets the connection
	FaultStatus      = "status"       // the vendor answers an error and does nothing
	FaultStatusAfter = "status_after" // the vendor performs the operation and answers an error
	FaultSlow        = "slow"         // the vendor performs the operation and answers late
	FaultLate        = "late"         // the vendor performs the operation late, and answers after it
	FaultTruncate    = "truncate"     // the vendor performs the operation, its answer breaks off
	FaultEmpty       = "empty"        // the vendor performs the operation, its answer has no body
	FaultExpire      = "expire"       // on op token, at once: the vendor voids all tokens it issued
)

// The kinds of fault on a request of a vendor to the product.
const (
	FaultDrop      = "drop"      // the vendor never sends it
	FaultDuplicate = "duplicate" // the vendor sends it twice
	FaultDelay     = "delay"     // the vendor sends it late, in sequence
	FaultReorder   = "reorder"   // the vendor holds it back until later ones have overtaken it
	FaultMissign   = "missign"   // the vendor signs it with a wrong key
)

// The operations through which a vendor speaks to the product.
const (
	OpCallback    = "callback"     // status callbacks of calls and texts, event batches of mail
	OpVoice       = "voice"        // Twilio asking for a spoken document, and reporting keys
	OpInboundText = "inbound_text" // Twilio handing over a person's text
)

func requestKinds() []string {
	return []string{FaultRefuse, FaultResetBefore, FaultResetAfter, FaultStatus, FaultStatusAfter,
		FaultSlow, FaultLate, FaultTruncate, FaultEmpty}
}

func callbackKinds() []string {
	return []string{FaultDrop, FaultDuplicate, FaultDelay, FaultReorder, FaultMissign}
}

// isOutbound reports whether a vendor speaks to the product in this operation.
func isOutbound(op string) bool { return op == OpCallback || op == OpVoice || op == OpInboundText }

// faultChooser is a vendor whose operations do not fail like requests.
type faultChooser interface {
	// FaultKinds returns the kinds of fault that make sense for op.
	FaultKinds(op string) []string
}

// kindsFor returns the kinds of fault that make sense for an operation of a vendor.
func kindsFor(op string, v Vendor) []string {
	if isOutbound(op) {
		return callbackKinds()
	}
	if c, ok := v.(faultChooser); ok {
		return c.FaultKinds(op)
	}
	return requestKinds()
}

// Delay is the time by which the rule delays something, not scaled by the pace.
func (r Rule) Delay() time.Duration { return time.Duration(r.DelayMS) * time.Millisecond }

// check returns an error when the rule makes no sense for a vendor.
func (r Rule) check(v Vendor) error {
	ops, kinds := v.Ops(), kindsFor(r.Op, v)
	switch {
	case r.Op != "*" && !slices.Contains(ops, r.Op):
		return fmt.Errorf("unknown op %q, this simulator has %v", r.Op, ops)
	case r.Op == OpToken && r.Kind == FaultExpire:
		return nil
	case !slices.Contains(kinds, r.Kind):
		return fmt.Errorf("unknown kind %q for op %q, there are %v", r.Kind, r.Op, kinds)
	case r.Status != 0 && (r.Status < 200 || r.Status > 599):
		return fmt.Errorf("status %d is not an answer, use one from 200 to 599", r.Status)
	case r.Holds != "" && isOutbound(r.Op):
		return fmt.Errorf("holds is about the body of a request to the vendor, and op %q is none", r.Op)
	case r.DelayMS < 0 || r.Times < 0:
		return fmt.Errorf("delay_ms or times is negative, use 0 or more")
	case r.Probability != nil && (*r.Probability < 0 || *r.Probability > 1):
		return fmt.Errorf("the probability is out of range, use one from 0 to 1")
	}
	return nil
}

type armedRule struct {
	Rule
	left int // uses left; negative is unlimited
	draw *rand.Rand
}

// Faults are the rules in force.
type Faults struct {
	mu    sync.Mutex
	rules []*armedRule
}

func (f *Faults) add(rules []Rule) {
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

func (f *Faults) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
}

// list returns the rules that can still apply, with the times that are left.
func (f *Faults) list() []Rule {
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

// UseRule uses up one turn of the first rule that applies to op, which has no body; false when none does.
func (f *Faults) UseRule(op string) (Rule, bool) { return f.useRule(op, nil) }

func (f *Faults) useRule(op string, body []byte) (Rule, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.rules {
		if a.left == 0 || (a.Op != op && (a.Op != "*" || isOutbound(op))) || !bytes.Contains(body, []byte(a.Holds)) {
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
