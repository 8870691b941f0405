package bench

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
)

// poolSize is how many open workflows take commands in turns, on both sides: enough that none gets more in a turn
// than an incident does in its life.
const poolSize = 24

// start starts a workflow of the bare side.
func (a *arena) start(ctx context.Context, id string, workflow any, args ...any) (client.WorkflowRun, error) {
	return a.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: bareQueue, WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
	}, workflow, args...)
}

// ask sends an empty update and waits for its answer.
func (a *arena) ask(ctx context.Context, id string) error {
	h, err := a.temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: id, UpdateName: bareUpdate, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return err
	}
	return h.Get(ctx, nil)
}

// timed is how long f took.
func timed(f func() error) (time.Duration, error) {
	begin := time.Now()
	err := f()
	return time.Since(begin), err
}

func bareOpen(_ context.Context, a *arena, _ load) (operation, error) {
	prefix := a.prefix()
	return operation{do: func(ctx context.Context, n int) (time.Duration, error) {
		return timed(func() error {
			_, err := a.start(ctx, prefix+strconv.Itoa(n), empty)
			return err
		})
	}}, nil
}

func bareCommand(ctx context.Context, a *arena, l load) (operation, error) {
	prefix := a.prefix()
	free, err := pool(ctx, max(poolSize, l.clients), func(ctx context.Context, n int) (string, error) {
		id := prefix + strconv.Itoa(n)
		if _, err := a.start(ctx, id, endless); err != nil {
			return "", err
		}
		return id, a.ask(ctx, id)
	})
	return operation{do: func(ctx context.Context, _ int) (time.Duration, error) {
		id := <-free
		defer func() { free <- id }()
		return timed(func() error { return a.ask(ctx, id) })
	}}, err
}

func bareLifecycle(_ context.Context, a *arena, _ load) (operation, error) {
	prefix := a.prefix()
	return operation{
		do: func(ctx context.Context, n int) (time.Duration, error) {
			return timed(func() error { return a.bareLife(ctx, prefix+strconv.Itoa(n)) })
		},
		history: func(ctx context.Context) (float64, error) { return historyLength(ctx, a.temporal, prefix+"0") },
	}, nil
}

func (a *arena) bareLife(ctx context.Context, id string) error {
	run, err := a.start(ctx, id, life, a.shape)
	if err != nil {
		return err
	}
	for range a.shape.Steps {
		if err := a.ask(ctx, id); err != nil {
			return err
		}
	}
	return run.Get(ctx, nil)
}

func bareHandover(ctx context.Context, a *arena, l load) (operation, error) {
	prefix := a.prefix()
	free, err := pool(ctx, l.expected(), func(ctx context.Context, n int) (string, error) {
		id := prefix + strconv.Itoa(n)
		_, err := a.start(ctx, id, handover)
		return id, err
	})
	asked := map[string]time.Time{}
	var mu sync.Mutex
	return operation{
		do: func(ctx context.Context, _ int) (time.Duration, error) {
			id := <-free
			begin := time.Now()
			mu.Lock()
			asked[id] = begin
			mu.Unlock()
			return timed(func() error { return a.ask(ctx, id) })
		},
		finish: func(ctx context.Context) (each []time.Duration, err error) {
			for id, begin := range asked {
				var at time.Time
				if err := a.temporal.GetWorkflow(ctx, id, "").Get(ctx, &at); err != nil {
					return nil, fmt.Errorf("when the activity began: %w", err)
				}
				each = append(each, at.Sub(begin.Round(0)))
			}
			return each, nil
		},
	}, err
}

// expected is how many operations a load in rounds comes to, with some room.
func (l load) expected() int {
	n := (int(l.during/max(l.pause, time.Millisecond)) + 2) * l.clients
	if l.most > 0 {
		n = min(n, l.most)
	}
	return n
}

// pool makes n workflows, several at a time, and returns their names to be taken.
func pool[T any](ctx context.Context, n int, open func(ctx context.Context, n int) (T, error)) (chan T, error) {
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
