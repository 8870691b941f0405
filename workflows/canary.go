package workflows

import (
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
)

// canaryAnswer is how long the one activity of a canary may wait and run.
const canaryAnswer = 40 * time.Second

// Canary does the least that an incident does, one activity that writes to the store, to prove that a worker does its
// work.
func Canary(ctx workflow.Context, process uuid.UUID) error {
	if err := requireOwn(ctx, models.CanaryWorkflowID(process)); err != nil {
		return err
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 5 * time.Second, ScheduleToCloseTimeout: canaryAnswer, Summary: "note that the worker works",
	})
	return finished(ctx, workflow.ExecuteActivity(ctx, records.NoteCanary, process))
}
