package stage

import (
	"encoding/json"
	"net/http"
)

// Vendor is one simulated service.
type Vendor interface {
	Name() string
	Ops() []string // the operations that fault rules may name
	// Route names the operation of a request and returns the deed, which performs the operation and
	// answers. The deed of an unknown path answers in the vendor's own error shape.
	Route(r *Request) (op string, deed func() Answer)
	// Refusal returns the vendor's own error answer with this status.
	Refusal(status int) Answer
	SteerFaults(rules []Rule) // tells the vendor of new rules before they apply
	FaultRules() *Faults
	SteeredPersonas() *Personas
	PersonasChanged(keys []string) // tells the vendor after the personas of these keys changed
	Effects() any                  // everything that requests really did, for GET /_sim/effects
}

// Steering holds the instructions to one vendor, and the violations it saw.
type Steering struct {
	Personas   *Personas
	Faults     Faults
	Violations Violations
}

// FaultRules returns the rules in force.
func (s *Steering) FaultRules() *Faults { return &s.Faults }

// SteeredPersonas returns the personas of everybody at the other end of this vendor.
func (s *Steering) SteeredPersonas() *Personas { return s.Personas }

// The operations that several vendors share.
const (
	OpUnknown = "unknown" // a path that the vendor does not serve
	OpToken   = "token"   // a login that issues an access token
)

// Request is a request with its body already read.
type Request struct {
	*http.Request
	Payload []byte
}

// Answer is a vendor's answer to a request.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// AnswerJSON makes an answer of v in JSON.
func AnswerJSON(status int, v any) Answer {
	body, err := json.Marshal(v)
	if err != nil {
		return Answer{Status: http.StatusInternalServerError, Header: http.Header{}}
	}
	return Answer{Status: status, Body: body, Header: http.Header{"Content-Type": {"application/json"}}}
}
