package models

// GoLiveCheck is the result of one check before a client goes live.
type GoLiveCheck struct {
	Name    string   `json:"name"` // "reachable", "second_person", "verified", "told", "allowed_numbers", "edr", "response_authority", "approvers"
	Passed  bool     `json:"passed"`
	Details []string `json:"details"` // each names one thing that is missing
}

// NewGoLiveCheck returns a check that is passed when nothing is missing.
func NewGoLiveCheck(check string, missing []string) GoLiveCheck {
	return GoLiveCheck{Name: check, Passed: len(missing) == 0, Details: missing}
}
