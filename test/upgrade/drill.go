package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"

	"github.com/watchfire-mdr/watchfire/devstack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/worker"
)

// drill upgrades live incidents from one binary to another, and takes the upgrade back.
func drill(ctx context.Context, dir, earlier, present string, v variant) error {
	say("starting a stack of the earlier version")
	w, err := startWorld(ctx, dir, earlier, present)
	if err != nil {
		return err
	}
	defer w.stop()
	if w.before, err = w.current(ctx); err != nil {
		return err
	}
	w.build = strconv.Itoa(v.version())
	w.takesOver = w.build != w.before
	all, err := w.beginBefore(ctx)
	if err != nil {
		return err
	}
	if err := w.migrateBeneath(ctx, all); err != nil {
		return err
	}
	if all, err = w.switchOver(ctx, all); err != nil {
		return err
	}
	if err := w.finish(ctx, all); err != nil {
		return err
	}
	if err := w.checkNoneWentBack(ctx, all); err != nil {
		return err
	}
	return w.takeBack(ctx)
}

// current returns the build id that Temporal gives tasks to; "" means workers without a version.
func (w *world) current(ctx context.Context) (string, error) {
	d, err := w.engine.WorkerDeploymentClient().GetHandle(worker.Deployment).Describe(ctx, client.WorkerDeploymentDescribeOptions{})
	var none *serviceerror.NotFound
	if errors.As(err, &none) {
		return "", nil
	}
	if err != nil || d.Info.RoutingConfig.CurrentVersion == nil {
		return "", err
	}
	return d.Info.RoutingConfig.CurrentVersion.BuildID, nil
}

// beginBefore opens incidents under the earlier version and leaves each at another step.
func (w *world) beginBefore(ctx context.Context) (all []*life, err error) {
	for n, kind := range []string{"full", "full", "full", "full", "full", "approved", "approved", "dismissed"} {
		l, err := w.begin(ctx, kind, n)
		if err != nil {
			return nil, err
		}
		all = append(all, l)
		steps := map[string]int{"full": 4 * (n % 5), "approved": 1 + 3*(n%2), "dismissed": 1}[kind]
		if err := l.advance(ctx, steps); err != nil {
			return nil, err
		}
		say("%s (%s) is open, %d of %d steps done", l.ref, l.name, l.done, len(l.steps))
	}
	return all, nil
}

// migrateBeneath brings the database to the present schema while the earlier processes go on working.
func (w *world) migrateBeneath(ctx context.Context, all []*life) error {
	if err := migrate(ctx, w.present, w.OwnerURL()); err != nil {
		return err
	}
	if err := w.EnsureLogins(ctx); err != nil {
		return err
	}
	if err := advanceEach(ctx, all); err != nil {
		return fmt.Errorf("the earlier version on the present schema: %w", err)
	}
	say("the present migrations are applied; the earlier API and worker took one more step of every incident")
	return nil
}

func advanceEach(ctx context.Context, all []*life) error {
	for _, l := range all {
		if err := l.advance(ctx, 1); err != nil {
			return err
		}
	}
	return nil
}

// switchOver replaces the API, whose rows the present workers ask for, starts a worker of the present version beside the
// earlier one, opens more incidents, and restarts each worker. It returns all incidents.
func (w *world) switchOver(ctx context.Context, all []*life) ([]*life, error) {
	w.API.Stop()
	w.Use(w.present)
	if err := w.StartAPI(ctx); err != nil {
		return nil, err
	}
	if err := advanceEach(ctx, all); err != nil {
		return nil, fmt.Errorf("the present API with the earlier worker: %w", err)
	}
	say("the API is replaced; one more step of every incident with the earlier worker")
	old := w.lastWorker()
	fresh, err := w.startWorker(ctx, w.present)
	if err != nil {
		return nil, err
	}
	if w.takesOver {
		err := w.await(ctx, "the present version to become current", func() (bool, error) {
			build, err := w.current(ctx)
			return build != w.before, err
		})
		if err != nil {
			return nil, err
		}
	}
	for n, kind := range []string{"full", "dismissed", "dismissed", "dismissed", "dismissed", "dismissed", "dismissed"} {
		l, err := w.begin(ctx, kind, 10+n)
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	if err := advanceEach(ctx, all); err != nil {
		return nil, fmt.Errorf("both versions side by side: %w", err)
	}
	build, err := w.current(ctx)
	if err != nil {
		return nil, err
	}
	say("a worker of the present version runs beside the earlier one; current version: %s; more incidents; one more step of each", name(build))

	old.Kill()
	if old, err = w.startWorker(ctx, w.earlier); err != nil {
		return nil, err
	}
	if err := advanceEach(ctx, all); err != nil {
		return nil, fmt.Errorf("after a restart of the earlier worker: %w", err)
	}
	if again, err := w.current(ctx); err != nil || again != build {
		return nil, fmt.Errorf("a restart of the earlier worker made version %s current: %w", name(again), err)
	}
	say("the earlier worker was killed and started again; it did not take over; one more step of every incident")

	fresh.Kill()
	asked := 0
	for _, l := range all {
		if !l.isOver() && l.steps[l.done].until == nil && !l.steps[l.done].rejected {
			if err := l.advance(ctx, 1); err != nil {
				return nil, fmt.Errorf("without a worker of the current version: %w", err)
			}
			asked += l.queued
		}
	}
	if _, err = w.startWorker(ctx, w.present); err != nil {
		return nil, err
	}
	if err := advanceEach(ctx, all); err != nil {
		return nil, fmt.Errorf("after a restart of the present worker: %w", err)
	}
	say("the present worker was killed; %d commands became signals; it was started again and carried them out", asked)

	old.Stop()
	say("the earlier worker is stopped")
	return all, nil
}

// startWorker starts a worker of a binary and waits until it asks Temporal for tasks.
func (w *world) startWorker(ctx context.Context, binary string) (*devstack.Process, error) {
	w.Use(binary)
	if err := w.StartWorker(ctx); err != nil {
		return nil, err
	}
	identity := fmt.Sprintf("%d@", w.lastWorker().PID())
	return w.lastWorker(), w.await(ctx, "the worker's first poll", func() (bool, error) {
		queue, err := w.engine.DescribeTaskQueue(ctx, models.QueueIncidents, enumspb.TASK_QUEUE_TYPE_WORKFLOW)
		return slices.ContainsFunc(queue.GetPollers(), func(p *taskqueuepb.PollerInfo) bool { return strings.HasPrefix(p.GetIdentity(), identity) }), err
	})
}

func (w *world) lastWorker() *devstack.Process { return w.Workers[len(w.Workers)-1] }

func name(build string) string {
	if build == "" {
		return "none"
	}
	return build
}

// finish brings every incident to its end and checks it.
func (w *world) finish(ctx context.Context, all []*life) error {
	var wrong []error
	for _, l := range all {
		if err := l.advance(ctx, len(l.steps)); err != nil {
			return err
		}
		wrong = append(wrong, l.checkEnd(ctx))
	}
	if err := errors.Join(append(wrong, w.findStuck(ctx))...); err != nil {
		return err
	}
	say("all %d incidents reached their end; no workflow was stuck, every mail, call and isolation happened once", len(all))
	return nil
}

// checkNoneWentBack checks that no incident was given back to a worker of an earlier version.
func (w *world) checkNoneWentBack(ctx context.Context, all []*life) error {
	for _, l := range all {
		builds, err := w.workersOf(ctx, l.ref.WorkflowID())
		if err != nil {
			return err
		}
		if len(builds) > 2 || slices.Contains(builds[1:], builds[0]) {
			return fmt.Errorf("%s went to and fro between versions: %q", l.ref, builds)
		}
	}
	return nil
}

// takeBack gives new incidents to the earlier version again. Those that the present one has worked on stay with it.
func (w *world) takeBack(ctx context.Context) error {
	if !w.takesOver {
		say("both versions have the build id %s, so there is nothing to take back", name(w.before))
		return nil
	}
	before, present := w.before, w.build
	kept, err := w.begin(ctx, "full", 20)
	if err != nil {
		return err
	}
	if err := kept.advance(ctx, 5); err != nil {
		return err
	}
	if _, err := w.startWorker(ctx, w.earlier); err != nil {
		return err
	}
	if _, err := w.pin(ctx, present); err != nil {
		return err
	}
	deployment := w.engine.WorkerDeploymentClient().GetHandle(worker.Deployment)
	_, err = deployment.SetCurrentVersion(ctx, client.WorkerDeploymentSetCurrentVersionOptions{BuildID: before, IgnoreMissingTaskQueues: true})
	if err != nil {
		return fmt.Errorf("make version %s current: %w", name(before), err)
	}
	pinned, err := w.pin(ctx, present) // with those that it took on in between
	if err != nil {
		return err
	}
	say("taken back: version %s is pinned to its %d workflows, and %s is current", present, pinned, name(before))
	opened, err := w.begin(ctx, "full", 21)
	if err != nil {
		return err
	}
	if err := opened.advance(ctx, 5); err != nil {
		return fmt.Errorf("opened under the earlier version: %w", err)
	}
	if _, err := w.startWorker(ctx, w.present); err != nil { // a restart must not undo what the operator did
		return err
	}
	if err := w.finish(ctx, []*life{kept, opened}); err != nil {
		return err
	}
	for l, want := range map[*life]string{kept: present, opened: before} {
		builds, err := w.workersOf(ctx, l.ref.WorkflowID())
		if err != nil || len(builds) != 1 || builds[0] != want {
			return fmt.Errorf("%s was worked on by the versions %q, want %q: %w", l.ref, builds, want, err)
		}
	}
	if again, err := w.current(ctx); err != nil || again != before {
		return fmt.Errorf("version %s is current again: %w", name(again), err)
	}
	say("%s ended under version %s, %s under %s", kept.ref, present, opened.ref, name(before))
	return nil
}

// pin keeps the running workflows that a version has worked on with it, and returns their number.
func (w *world) pin(ctx context.Context, build string) (int, error) {
	version := sdkworker.WorkerDeploymentVersion{DeploymentName: worker.Deployment, BuildID: build}
	pinned := 0
	err := w.await(ctx, "the running workflows in Temporal's search", func() (bool, error) {
		running, err := w.workflows(ctx, fmt.Sprintf("ExecutionStatus='Running' and TemporalWorkerDeploymentVersion='%s:%s'", worker.Deployment, build))
		if err != nil || len(running) == 0 {
			return false, err
		}
		for _, x := range running {
			_, err := w.engine.UpdateWorkflowExecutionOptions(ctx, client.UpdateWorkflowExecutionOptionsRequest{
				WorkflowId: x.GetExecution().GetWorkflowId(), RunId: x.GetExecution().GetRunId(),
				WorkflowExecutionOptionsChanges: client.WorkflowExecutionOptionsChanges{
					VersioningOverride: &client.VersioningOverrideChange{Value: &client.PinnedVersioningOverride{Version: version}},
				},
			})
			if err != nil {
				return false, err
			}
		}
		pinned = len(running)
		return true, nil
	})
	return pinned, err
}
