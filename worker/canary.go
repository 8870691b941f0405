package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/watchfire-mdr/watchfire/models"
)

// CanaryEvery is the pause between two canary workflows of a worker, and the longest that one of them may take.
const CanaryEvery = time.Minute

// StartCanary starts the canary workflow of a worker process and removes the history of the one before, so that no more
// than two are kept. before is what the last call returned, "" at first. The canary is for workers of this version,
// current or not: one of an earlier version may not know it. After the start of a process it waits until Temporal knows
// this version, as long as ctx lasts.
func StartCanary(ctx context.Context, c client.Client, namespace string, process uuid.UUID, before string) (string, error) {
	id := models.CanaryWorkflowID(process)
	run, err := executeKnown(ctx, c, client.StartWorkflowOptions{
		ID: id, TaskQueue: models.QueueIncidents, WorkflowExecutionTimeout: CanaryEvery, WorkflowTaskTimeout: models.WorkflowTaskTimeout,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING,
		VersioningOverride:       &client.PinnedVersioningOverride{Version: version()},
		StaticSummary:            "a worker's canary",
	}, process)
	if err != nil {
		return before, fmt.Errorf("start the canary: %w", err)
	}
	if before == "" {
		return run.GetRunID(), nil
	}
	_, err = c.WorkflowService().DeleteWorkflowExecution(ctx, &workflowservice.DeleteWorkflowExecutionRequest{
		Namespace: namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: before},
	})
	if err != nil {
		return run.GetRunID(), fmt.Errorf("remove the last canary: %w", err)
	}
	return run.GetRunID(), nil
}

// askAgainEvery is the pause in which Temporal may come to know a version; it remembers for a second that it does not.
const askAgainEvery = 500 * time.Millisecond

// executeKnown starts a canary workflow as soon as Temporal knows the version that it is pinned to.
func executeKnown(ctx context.Context, c client.Client, o client.StartWorkflowOptions, process uuid.UUID) (client.WorkflowRun, error) {
	for {
		run, err := c.ExecuteWorkflow(ctx, o, models.CanaryWorkflow, process)
		var unknown *serviceerror.FailedPrecondition
		if !errors.As(err, &unknown) {
			return run, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(askAgainEvery):
		}
	}
}
