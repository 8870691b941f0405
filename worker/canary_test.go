package worker

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
)

// youngEngine knows no version of a worker before it is so old.
type youngEngine struct {
	client.Client
	began   time.Time
	knowsIn time.Duration
	asked   int
}

func (e *youngEngine) ExecuteWorkflow(context.Context, client.StartWorkflowOptions, any, ...any) (client.WorkflowRun, error) {
	e.asked++
	if time.Since(e.began) < e.knowsIn {
		return nil, serviceerror.NewFailedPrecondition("Pinned version 'watchfire:1' is not present in task queue 'incidents' of type 'Workflow'")
	}
	return started{}, nil
}

type started struct{ client.WorkflowRun }

func (started) GetRunID() string { return "the first" }

func TestTheFirstCanaryStartsAsSoonAsItsVersionIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &youngEngine{began: time.Now(), knowsIn: 3 * time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		run, err := StartCanary(ctx, e, "default", uuid.New(), "")
		took := time.Since(e.began)
		if err != nil || run != "the first" || took > e.knowsIn+time.Second || e.asked > 10 {
			t.Errorf("after %s and %d requests: %q, %v", took, e.asked, run, err)
		}
	})
}

func TestACanaryWhoseVersionStaysUnknownIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		e := &youngEngine{began: time.Now(), knowsIn: time.Hour}
		if _, err := StartCanary(ctx, e, "default", uuid.New(), ""); err == nil || !strings.Contains(err.Error(), "is not present") {
			t.Errorf("the canary's error is %v", err)
		}
		if took := time.Since(e.began); took != 30*time.Second {
			t.Errorf("it was given up after %s", took)
		}
	})
}
