package models

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// IsolationWindow is the time over which a client's isolations are counted.
const IsolationWindow = 10 * time.Minute

// IsolationSwitch says whether a client's devices may be isolated at all, and who said so. The zero value: they may.
type IsolationSwitch struct {
	Paused bool      `json:"paused"`
	Side   Side      `json:"side,omitempty"` // of who switched it
	By     uuid.UUID `json:"by,omitzero"`
	At     time.Time `json:"at,omitzero"`
	Reason string    `json:"reason,omitempty"`
}

// Check says what is wrong with a switch.
func (s IsolationSwitch) Check() error { return CheckText("/reason", s.Reason, 300, true) }

// Hold is the ruling on an isolation while the switch stands so: nothing is isolated while it is paused.
func (s IsolationSwitch) Hold(r Ruling) Ruling {
	if s.Paused {
		r.Decision, r.Rule = DecideNever, "isolation is paused: "+s.Reason
	}
	return r
}

// IsAutomatic reports whether the ruling lets something be done that nobody of the client agreed to.
func (r Ruling) IsAutomatic() bool {
	return r.Decision == DecideAuto || r.Decision == DecideAskThenAuto
}

// Exceeded is the ruling on an isolation that would be done unasked, when as many as the policy permits were just ordered:
// it is asked.
func (p Policy) Exceeded(r Ruling) Ruling {
	r.Decision = DecideAsk
	r.Rule += fmt.Sprintf(" (asked: %d isolations within %s are the limit)", p.IsolationLimit(), IsolationWindow)
	return r
}

// IsolationLimit is how many devices are isolated within IsolationWindow before each further one is asked.
func (p Policy) IsolationLimit() int {
	if p.IsolationsPer10Min == 0 {
		return DefaultPolicy().IsolationsPer10Min
	}
	return p.IsolationsPer10Min
}
