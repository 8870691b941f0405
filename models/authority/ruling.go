package authority

import (
	"fmt"

	"github.com/watchfire-mdr/watchfire/models"
)

// Ruling is a decision and the rule that made it.
type Ruling struct {
	Decision Decision `json:"decision"`
	Rule     string   `json:"rule"`    // the name of the rule, or words that stand in for one
	Version  int      `json:"version"` // of the response authority, 0 when none is signed
	Persons  int      `json:"persons"` // how many must agree when it is asked
}

// RestrictedBySwitch returns the ruling on an isolation under the client's isolation switch: a paused switch permits
// none.
func (r Ruling) RestrictedBySwitch(s models.IsolationSwitch) Ruling {
	if s.Paused {
		r.Decision, r.Rule = DecideNever, "isolation is paused: "+s.Reason
	}
	return r
}

// IsAutomatic reports whether the ruling lets an action be sent that nobody of the client agreed to.
func (r Ruling) IsAutomatic() bool { return r.Decision.isAutomatic() }

// RestrictedByLimit returns the ruling on an automatic isolation after as many as the policy permits: the client is
// asked.
func (r Ruling) RestrictedByLimit(p models.Policy) Ruling {
	r.Decision = DecideAsk
	r.Rule += fmt.Sprintf(" (asked: %d isolations within %s are the limit)", p.IsolationLimit(), models.IsolationWindow)
	return r
}
