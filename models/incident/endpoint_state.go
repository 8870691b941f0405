package incident

import (
	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
)

// DesiredState is the state that an incident desires of an endpoint, as it signals it to the endpoint's workflow.
type DesiredState struct {
	Desired     models.Desired `json:"desired"`
	Generation  int            `json:"generation"`
	Permitted   bool           `json:"permitted"`              // the EDR may be sent an action; else the device is only looked up
	Detach      bool           `json:"detach,omitempty"`       // the incident is over: the workflow ends
	RetryNumber int            `json:"retry_number,omitempty"` // grows when a person wants it tried again at once
	ForAll      bool           `json:"for_all,omitempty"`      // the release is one for every incident of the client
	Successions int            `json:"successions,omitempty"`  // grows when another device takes the place of the one that is gone
	Look        int            `json:"look,omitempty"`         // grows when the device is to be looked at once more
}

// EndpointState is all that an endpoint's workflow carries.
type EndpointState struct {
	Reference           models.Reference `json:"reference"`
	ClientID            uuid.UUID        `json:"client_id"`
	Endpoint            string           `json:"endpoint"`
	Hostname            string           `json:"hostname"`
	AgentID             string           `json:"agent_id,omitempty"`
	Policy              models.Policy    `json:"policy"`
	Wanted              DesiredState     `json:"wanted"`               // the newest one
	Permitted           DesiredState     `json:"permitted"`            // the newest permitted one, which the workflow pursues
	ConfirmedGeneration int              `json:"confirmed_generation"` // the generation that the EDR confirmed last
	ActionSent          bool             `json:"action_sent"`          // an action was sent, or may have been
	FailedActions       int              `json:"failed_actions"`       // actions of this generation that came to nothing: rejected, failed, undone by others
	LastReport          EndpointObserved `json:"last_report"`          // to the incident
	HeldBy              []EndpointID     `json:"held_by,omitempty"`    // of other incidents, for which a released device stays isolated
	Looks               int              `json:"looks,omitempty"`      // at the device since its release was confirmed
	Looked              int              `json:"looked,omitempty"`     // the number of the last look that was asked for and done
	ToldAgain           int              `json:"told_again,omitempty"` // the number of the last look that made everything be reported anew
	LookAfter           models.Duration  `json:"look_after,omitempty"` // the pause that a look which failed asks for before the next
}

// WorkflowID returns the id of the endpoint's workflow.
func (s EndpointState) WorkflowID() string { return s.Reference.EndpointWorkflowID(s.Endpoint) }
