package stage

import (
	"sync"
	"time"
)

// Violation is a request that no correct client would send.
type Violation struct {
	At     time.Time `json:"at"`
	Op     string    `json:"op"`
	Reason string    `json:"reason"`
}

// Violations keep the first thousand violations.
type Violations struct {
	mu   sync.Mutex
	list []Violation
}

// Add notes a request that no correct client would send.
func (v *Violations) Add(at time.Time, op, reason string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.list) < 1000 {
		v.list = append(v.list, Violation{At: at.UTC(), Op: op, Reason: reason})
	}
}

// All returns the violations, the oldest first.
func (v *Violations) All() []Violation {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]Violation{}, v.list...)
}
