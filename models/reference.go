package models

import (
	"fmt"
	"regexp"
	"strconv"
)

// Reference names an incident to people, such as SI-1042-0007: the client's number and the client's
// running number. It is never reused and holds no client name, because it is spoken on the phone.
type Reference string

var referenceForm = regexp.MustCompile(`^SI-([1-9][0-9]{3,8})-([0-9]{4,9})$`)

// NewReference builds the reference of a client's n-th incident.
func NewReference(clientNumber, n int) Reference {
	return Reference(fmt.Sprintf("SI-%04d-%04d", clientNumber, n))
}

// ParseReference checks the form of s. It does not say whether the incident exists.
func ParseReference(s string) (Reference, error) {
	if !referenceForm.MatchString(s) {
		return "", InvalidField("/reference", "is not an incident reference such as SI-1042-0007")
	}
	return Reference(s), nil
}

// ClientNumber returns the number of the client the incident belongs to, or 0 for a malformed reference.
func (r Reference) ClientNumber() int {
	m := referenceForm.FindStringSubmatch(string(r))
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1]) // the pattern allows at most nine digits
	return n
}

// Number returns the incident's number among its client's, or 0 for a malformed reference.
func (r Reference) Number() int {
	m := referenceForm.FindStringSubmatch(string(r))
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[2])
	return n
}

// WorkflowID is the id of the incident's workflow.
func (r Reference) WorkflowID() string { return "incident/" + string(r) }

// EndpointWorkflowID is the id of the workflow that holds one endpoint's containment.
func (r Reference) EndpointWorkflowID(endpoint string) string {
	return fmt.Sprintf("incident/%s/endpoint/%s", r, endpoint)
}
