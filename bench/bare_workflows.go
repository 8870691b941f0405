package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// The bare side's names.
const (
	bareQueue  = "bare"
	bareUpdate = "do"
)

// BareWorker runs the bare side's workflows until ctx ends: the least that Temporal can do each operation with.
func BareWorker(ctx context.Context, address, namespace string) error {
	c, err := client.Dial(client.Options{HostPort: address, Namespace: namespace, Logger: silent{}})
	if err != nil {
		return fmt.Errorf("connect to Temporal: %w", err)
	}
	defer c.Close()
	w := worker.New(c, bareQueue, worker.Options{WorkerStopTimeout: time.Second})
	for _, f := range []any{empty, endless, life, handover} {
		w.RegisterWorkflow(f)
	}
	w.RegisterActivity(nothing)
	w.RegisterActivity(begun)
	if err := w.Start(); err != nil {
		return fmt.Errorf("start the bare worker: %w", err)
	}
	defer w.Stop()
	<-ctx.Done()
	return nil
}

// empty does nothing.
func empty(workflow.Context) error { return nil }

// endless answers empty updates for as long as it is let live.
func endless(ctx workflow.Context) error {
	if err := workflow.SetUpdateHandler(ctx, bareUpdate, func(workflow.Context) error { return nil }); err != nil {
		return err
	}
	return workflow.Await(ctx, func() bool { return false })
}

// life has the updates, activities and local activities of a shape.
func life(ctx workflow.Context, s Shape) error {
	next, behind := 0, 0
	err := workflow.SetUpdateHandler(ctx, bareUpdate, func(ctx workflow.Context) error {
		if next >= len(s.Steps) {
			return errors.New("this life is over")
		}
		step := s.Steps[next]
		next++
		behind++
		if err := step.before(ctx); err != nil {
			return err
		}
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer func() { behind-- }()
			if err := step.after(ctx); err != nil {
				workflow.GetLogger(ctx).Error("a step failed", "error", err)
			}
		})
		return nil
	})
	if err != nil {
		return err
	}
	return workflow.Await(ctx, func() bool { return next == len(s.Steps) && behind == 0 && workflow.AllHandlersFinished(ctx) })
}

// before does what a step's answer waits for.
func (s Step) before(ctx workflow.Context) error {
	if err := locals(ctx, s.LocalBefore); err != nil {
		return err
	}
	return inOrder(ctx, s.Before)
}

// after does what a step does behind its answer.
func (s Step) after(ctx workflow.Context) error {
	ctx = remote(ctx)
	var under []workflow.Future
	for range s.Behind {
		under = append(under, workflow.ExecuteActivity(ctx, nothing))
	}
	for _, f := range under {
		if err := f.Get(ctx, nil); err != nil {
			return err
		}
	}
	if err := inOrder(ctx, s.Later); err != nil {
		return err
	}
	return locals(ctx, s.LocalLater)
}

func inOrder(ctx workflow.Context, n int) error {
	ctx = remote(ctx)
	for range n {
		if err := workflow.ExecuteActivity(ctx, nothing).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

func locals(ctx workflow.Context, n int) error {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: 5 * time.Second})
	for range n {
		if err := workflow.ExecuteLocalActivity(ctx, nothing).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

func remote(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 20 * time.Second})
}

// handover waits for one update, starts an activity and returns when that began.
func handover(ctx workflow.Context) (at time.Time, err error) {
	asked := false
	err = workflow.SetUpdateHandler(ctx, bareUpdate, func(workflow.Context) error {
		asked = true
		return nil
	})
	if err != nil {
		return at, err
	}
	if err := workflow.Await(ctx, func() bool { return asked }); err != nil {
		return at, err
	}
	err = workflow.ExecuteActivity(remote(ctx), begun).Get(ctx, &at)
	return at, err
}

func nothing(context.Context) error { return nil }

// begun tells when it began.
func begun(context.Context) (time.Time, error) { return time.Now(), nil }
