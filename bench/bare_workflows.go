package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// The task queue and the update of the bare side.
const (
	bareQueue  = "bare"
	bareUpdate = "do"
)

// BareWorker runs the bare side's workflows until ctx ends: the simplest ones with which Temporal can do each
// operation, and the floor. The error says that it cannot connect or start.
func BareWorker(ctx context.Context, s BareSettings) error {
	c, err := client.Dial(client.Options{HostPort: s.Temporal, Namespace: s.Namespace, Logger: silentLogger{}})
	if err != nil {
		return fmt.Errorf("connect to Temporal: %w", err)
	}
	defer c.Close()
	f, err := newFloor(s, c)
	if err != nil {
		return fmt.Errorf("the floor: %w", err)
	}
	defer f.db.Close()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: f.handler(), ReadHeaderTimeout: floorWithin}
	go func() { _ = server.Serve(l) }()
	defer func() { _ = server.Close() }() // its last requests are those of the vendors
	w := worker.New(c, bareQueue, worker.Options{WorkerStopTimeout: time.Second})
	for _, f := range []any{emptyWorkflow, endlessWorkflow, lifeWorkflow, handoverWorkflow, floorWorkflow} {
		w.RegisterWorkflow(f)
	}
	for _, f := range []any{doNothing, tellBegin, f.Reach} {
		w.RegisterActivity(f)
	}
	if err := w.Start(); err != nil {
		return fmt.Errorf("start the bare worker: %w", err)
	}
	defer w.Stop()
	<-ctx.Done()
	return nil
}

// emptyWorkflow does nothing.
func emptyWorkflow(workflow.Context) error { return nil }

// endlessWorkflow answers empty updates and never ends by itself.
func endlessWorkflow(ctx workflow.Context) error {
	if err := workflow.SetUpdateHandler(ctx, bareUpdate, func(workflow.Context) error { return nil }); err != nil {
		return err
	}
	return workflow.Await(ctx, func() bool { return false })
}

// lifeWorkflow runs the updates, activities and local activities of a shape.
func lifeWorkflow(ctx workflow.Context, s Shape) error {
	next, behind := 0, 0
	err := workflow.SetUpdateHandler(ctx, bareUpdate, func(ctx workflow.Context) error {
		if next >= len(s.Steps) {
			return errors.New("the workflow got more updates than its shape has steps")
		}
		step := s.Steps[next]
		next++
		behind++
		if err := step.runBefore(ctx); err != nil {
			return err
		}
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer func() { behind-- }()
			if err := step.runAfter(ctx); err != nil {
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

// runBefore runs the activities that a step's answer waits for.
func (s Step) runBefore(ctx workflow.Context) error {
	if err := runLocals(ctx, s.LocalBefore); err != nil {
		return err
	}
	return runInOrder(ctx, s.Before)
}

// runAfter runs the activities behind a step's answer.
func (s Step) runAfter(ctx workflow.Context) error {
	ctx = withActivityOptions(ctx)
	var under []workflow.Future
	for range s.Behind {
		under = append(under, workflow.ExecuteActivity(ctx, doNothing))
	}
	for _, f := range under {
		if err := f.Get(ctx, nil); err != nil {
			return err
		}
	}
	if err := runInOrder(ctx, s.Later); err != nil {
		return err
	}
	return runLocals(ctx, s.LocalLater)
}

// runInOrder runs n activities, one after the other.
func runInOrder(ctx workflow.Context, n int) error {
	ctx = withActivityOptions(ctx)
	for range n {
		if err := workflow.ExecuteActivity(ctx, doNothing).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

// runLocals runs n local activities, one after the other.
func runLocals(ctx workflow.Context, n int) error {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: 5 * time.Second})
	for range n {
		if err := workflow.ExecuteLocalActivity(ctx, doNothing).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

// withActivityOptions sets the options of the bare side's activities.
func withActivityOptions(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 20 * time.Second})
}

// handoverWorkflow waits for one update, starts an activity and returns the time at which that began.
func handoverWorkflow(ctx workflow.Context) (at time.Time, err error) {
	updated := false
	err = workflow.SetUpdateHandler(ctx, bareUpdate, func(workflow.Context) error {
		updated = true
		return nil
	})
	if err != nil {
		return at, err
	}
	if err := workflow.Await(ctx, func() bool { return updated }); err != nil {
		return at, err
	}
	err = workflow.ExecuteActivity(withActivityOptions(ctx), tellBegin).Get(ctx, &at)
	return at, err
}

// doNothing is an activity of no work.
func doNothing(context.Context) error { return nil }

// tellBegin is an activity that returns when it began.
func tellBegin(context.Context) (time.Time, error) { return time.Now(), nil }
