package incident

import (
	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
)

// DesiredState is what an incident wants of an endpoint.
type DesiredState struct {
	Desired     models.Desired `json:"desired"`
	Generation  int            `json:"generation"`
	Permitted   bool           `json:"permitted"`              // the EDR may be asked for it; else the device is only looked up
	Detach      bool           `json:"detach,omitempty"`       // the incident is over: look after the endpoint no more
	RetryNumber int            `json:"retry_number,omitempty"` // grows when a person wants it tried again at once
}

// EndpointState is what an endpoint's workflow carries.
type EndpointState struct {
	Reference           models.Reference `json:"reference"`
	ClientID            uuid.UUID        `json:"client_id"`
	Endpoint            string           `json:"endpoint"`
	Hostname            string           `json:"hostname"`
	AgentID             string           `json:"agent_id,omitempty"`
	Policy              models.Policy    `json:"policy"`
	Wanted              DesiredState     `json:"wanted"`               // the newest one
	Permitted           DesiredState     `json:"permitted"`            // the newest one that is permitted; it is pursued
	ConfirmedGeneration int              `json:"confirmed_generation"` // generation the EDR last confirmed
	ActionSent          bool             `json:"action_sent"`          // the EDR was asked to change something, or may have been
	FailedActions       int              `json:"failed_actions"`       // orders of this generation that are over: refused, failed, undone by others
	LastReport          EndpointObserved `json:"last_report"`          // the last report to the incident
}
