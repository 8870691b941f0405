package models

// GoLiveCheck is one check before a client goes live.
type GoLiveCheck struct {
	Name    string   `json:"name"` // "reachable", "second_person", "verified", "edr", "response_authority"
	Passed  bool     `json:"passed"`
	Details []string `json:"details"` // what is missing
}

func NewGoLiveCheck(check string, missing []string) GoLiveCheck {
	return GoLiveCheck{Name: check, Passed: len(missing) == 0, Details: missing}
}
