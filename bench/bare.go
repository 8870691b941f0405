package bench

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
)

// poolSize is the number of open workflows that take commands in turns, on both sides: enough that none gets more
// commands in a turn than an incident gets in its life.
const poolSize = 24

// startWorkflow starts a workflow of the bare side.
func (a *arena) startWorkflow(ctx context.Context, id string, workflow any, args ...any) (client.WorkflowRun, error) {
	return a.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: bareQueue, WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
	}, workflow, args...)
}

// sendUpdate sends an empty update to a workflow of the bare side and waits for its answer.
func (a *arena) sendUpdate(ctx context.Context, id string) error {
	return sendBareUpdate(ctx, a.temporal, id)
}

func sendBareUpdate(ctx context.Context, c client.Client, id string) error {
	h, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: id, UpdateName: bareUpdate, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return err
	}
	return h.Get(ctx, nil)
}

// measure runs f and returns how long it took.
func measure(f func() error) (time.Duration, error) {
	begin := time.Now()
	err := f()
	return time.Since(begin), err
}

// bareOpen starts empty workflows.
func bareOpen(_ context.Context, a *arena, _ load) (operation, error) {
	prefix := a.newPrefix()
	return operation{do: func(ctx context.Context, n int) (time.Duration, error) {
		return measure(func() error {
			_, err := a.startWorkflow(ctx, prefix+strconv.Itoa(n), emptyWorkflow)
			return err
		})
	}}, nil
}

// bareCommand sends empty updates to open workflows.
func bareCommand(ctx context.Context, a *arena, l load) (operation, error) {
	prefix := a.newPrefix()
	free, err := fillPool(ctx, max(poolSize, l.clients), func(ctx context.Context, n int) (string, error) {
		id := prefix + strconv.Itoa(n)
		if _, err := a.startWorkflow(ctx, id, endlessWorkflow); err != nil {
			return "", err
		}
		return id, a.sendUpdate(ctx, id)
	})
	return operation{do: func(ctx context.Context, _ int) (time.Duration, error) {
		id := <-free
		defer func() { free <- id }()
		return measure(func() error { return a.sendUpdate(ctx, id) })
	}}, err
}

// bareLifecycle runs workflows of the shape of an incident's life.
func bareLifecycle(_ context.Context, a *arena, _ load) (operation, error) {
	prefix := a.newPrefix()
	return operation{
		do: func(ctx context.Context, n int) (time.Duration, error) {
			return measure(func() error { return a.bareLife(ctx, prefix+strconv.Itoa(n)) })
		},
		history: func(ctx context.Context) (float64, error) { return historyLength(ctx, a.temporal, prefix+"0") },
	}, nil
}

// bareLife runs one such workflow to its end.
func (a *arena) bareLife(ctx context.Context, id string) error {
	run, err := a.startWorkflow(ctx, id, lifeWorkflow, a.shape)
	if err != nil {
		return err
	}
	for range a.shape.Steps {
		if err := a.sendUpdate(ctx, id); err != nil {
			return err
		}
	}
	return run.Get(ctx, nil)
}

// bareHandover sends an update to waiting workflows and measures until their activities begin.
func bareHandover(ctx context.Context, a *arena, l load) (operation, error) {
	prefix := a.newPrefix()
	free, err := fillPool(ctx, l.expected(), func(ctx context.Context, n int) (string, error) {
		id := prefix + strconv.Itoa(n)
		_, err := a.startWorkflow(ctx, id, handoverWorkflow)
		return id, err
	})
	var sent requests[string]
	return operation{
		do: func(ctx context.Context, _ int) (time.Duration, error) {
			id := <-free
			return sent.send(id, func() error { return a.sendUpdate(ctx, id) })
		},
		finish: func(ctx context.Context) (each []time.Duration, err error) {
			for _, id := range slices.Sorted(maps.Keys(sent.at)) {
				var at time.Time
				if err := a.temporal.GetWorkflow(ctx, id, "").Get(ctx, &at); err != nil {
					return nil, fmt.Errorf("%s did not tell when its activity began: %w", id, err)
				}
				each = append(each, at.Sub(sent.at[id].Round(0)))
			}
			return each, nil
		},
	}, err
}

// expected returns how many operations a load in rounds comes to, with some room.
func (l load) expected() int {
	n := (int(l.during/max(l.pause, time.Millisecond)) + 2) * l.clients
	if l.most > 0 {
		n = min(n, l.most)
	}
	return n
}

// fillPool opens n workflows, several at a time, and returns a channel that hands out each of them.
func fillPool[T any](ctx context.Context, n int, open func(ctx context.Context, n int) (T, error)) (chan T, error) {
	free := make(chan T, n)
	t := load{clients: 16, during: time.Minute, most: n}.run(ctx, func(ctx context.Context, n int) (time.Duration, error) {
		one, err := open(ctx, n)
		if err == nil {
			free <- one
		}
		return 0, err
	})
	if len(t.failed) > 0 {
		return nil, fmt.Errorf("open %d workflows: %w", n, t.failed[0])
	}
	return free, nil
}
