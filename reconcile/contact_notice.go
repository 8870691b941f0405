package reconcile

import (
	"context"
	"errors"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/watchfire-mdr/watchfire/models"
)

// TellOfContacts starts the notices about changes of contacts of which nobody was told. A notice that runs is left alone.
func (r *Reconciler) TellOfContacts(ctx context.Context) error {
	due, err := r.Store.UntoldContactChanges(ctx)
	if err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	var problems []error
	for _, n := range due {
		_, err := r.Temporal.ExecuteWorkflow(starting, client.StartWorkflowOptions{
			ID: n.WorkflowID(), TaskQueue: models.QueueIncidents, StaticSummary: "tell of changed contacts",
			WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
			WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		}, models.ContactNoticeWorkflow, n)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", n.WorkflowID(), err))
		}
		if starting.Err() != nil {
			break
		}
	}
	return errors.Join(problems...)
}
