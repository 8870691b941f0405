package workflows_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/workflows"
)

// Whoever reaches Temporal starts our workflows under ids of ours: without an input, with one of another workflow, or
// with what a workflow keeps beside its input. None of them begins with anything.
func TestAWorkflowWhoseInputIsNotItsOwnFailsAtOnce(t *testing.T) {
	state := incident.State{Incident: incident.Incident{Reference: ref}, Policy: models.DefaultPolicy()}
	other := state
	other.Incident.Reference = "SI-1042-0008"
	policyless := state
	policyless.Policy = models.Policy{}
	check := notify.ChannelCheckEffect(acme, 1042, notify.PurposeTest, first, models.ChannelVoice, "r")
	for _, c := range []struct {
		what, id string
		workflow any
		none     any // what a workflow without an input runs on
		others   []any
	}{
		{"an incident", ref.WorkflowID(), workflows.Incident, incident.State{}, []any{other, policyless}},
		{"an endpoint", ref.EndpointWorkflowID("e1"), workflows.Endpoint, incident.EndpointState{},
			[]any{incident.EndpointState{Reference: ref, Endpoint: "e2"}, incident.EndpointState{Reference: "SI-1042-0008", Endpoint: "e1"}}},
		{"a channel check", notify.ChannelCheckWorkflowID(1042, ciso, models.ChannelVoice), workflows.ChannelCheck, notify.ChannelCheckInput{},
			[]any{notify.ChannelCheckInput{Effect: check, Channel: models.ChannelVoice}}},
		{"a notice", "contact-notice/1042/" + first.String(), workflows.ContactNotice, notify.ContactNotice{}, []any{notify.ContactNotice{Number: 1042, ID: ciso}}},
		{"a check of an EDR", models.EDRCheckWorkflowID(1042), workflows.EDRCheck, models.EDRCheckInput{}, nil},
		{"a canary", models.CanaryWorkflowID(first), workflows.Canary, uuid.Nil, []any{ciso}},
	} {
		for n, in := range append(c.others, c.none) {
			var suite testsuite.WorkflowTestSuite
			env := suite.NewTestWorkflowEnvironment()
			env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: c.id, TaskQueue: models.QueueIncidents})
			env.ExecuteWorkflow(c.workflow, in)
			var failure *temporal.ApplicationError
			if err := env.GetWorkflowError(); !errors.As(err, &failure) || failure.Type() != "not-ours" || !failure.NonRetryable() {
				t.Errorf("%s with input %d of another ends with %v", c.what, n+1, err)
			}
		}
	}
}
