package workflows

import (
	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// errNotOurs is the type of the failure of a workflow whose input is not its own.
const errNotOurs = "not-ours"

// requireOwn fails a workflow at once whose input names another one, or none. The codec refuses an input that was not
// sealed for the workflow, but an input that is left out is nothing to refuse: whoever reaches Temporal could put a
// workflow without one in the place of a terminated one, where it would do nothing, and nobody would miss the first.
// One that failed is missed, and started again.
func requireOwn(ctx workflow.Context, names string) error {
	if names == workflow.GetInfo(ctx).WorkflowExecution.ID {
		return nil
	}
	return notOurs()
}

func notOurs() error {
	return temporal.NewNonRetryableApplicationError("the input is not this workflow's", errNotOurs, nil)
}

// requireClient is requireOwn for an input that names no workflow, but a client.
func requireClient(client uuid.UUID) error {
	if client == uuid.Nil {
		return notOurs()
	}
	return nil
}
