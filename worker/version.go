package worker

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/workflows"
)

// Deployment is the name under which Temporal knows the workers of all versions.
const Deployment = "watchfire"

// deploymentOptions make a worker one of this version. A workflow moves to the current version with its next task.
func deploymentOptions() worker.DeploymentOptions {
	return worker.DeploymentOptions{
		UseVersioning:             true,
		Version:                   version(),
		DefaultVersioningBehavior: workflow.VersioningBehaviorAutoUpgrade,
	}
}

func version() worker.WorkerDeploymentVersion {
	return worker.WorkerDeploymentVersion{DeploymentName: Deployment, BuildID: buildID()}
}

func buildID() string { return strconv.Itoa(workflows.Version) }

// The pauses between two looks at the current version: until the first answer, and from then on.
const (
	promoteEvery = 200 * time.Millisecond
	lookEvery    = 30 * time.Second
)

// Promote makes this version the current one, as soon as Temporal knows its workers on every queue, and does so again
// should Temporal forget it. It leaves everything alone when a version as new or newer is current, when this version
// was routed to before (somebody has taken it back), and when the deployment has a manager. It returns when ctx ends.
func Promote(ctx context.Context, c client.Client, log *slog.Logger) {
	deployment := c.WorkerDeploymentClient().GetHandle(Deployment)
	said := ""
	for pause := promoteEvery; ; {
		state, err := promote(ctx, deployment)
		switch {
		case err != nil:
			if pause = min(2*pause, lookEvery); pause == lookEvery {
				log.WarnContext(ctx, "the version of this worker cannot become current yet", "version", workflows.Version, "error", err.Error())
			}
		case state != said:
			log.InfoContext(ctx, "the version of this worker", "version", workflows.Version, "state", state)
			fallthrough
		default:
			said, pause = state, lookEvery
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// promote makes this version current if it should be, and returns the state it is then in. While Temporal does not know
// the workers of every queue yet it returns an error.
func promote(ctx context.Context, d client.WorkerDeploymentHandle) (state string, err error) {
	now, err := d.Describe(ctx, client.WorkerDeploymentDescribeOptions{})
	if err != nil {
		return "", fmt.Errorf("describe the deployment: %w", err)
	}
	version, err := d.DescribeVersion(ctx, client.WorkerDeploymentDescribeVersionOptions{BuildID: buildID()})
	if err != nil {
		return "", fmt.Errorf("describe the version: %w", err)
	}
	switch current := now.Info.RoutingConfig.CurrentVersion; {
	case current != nil && current.BuildID == buildID():
		return "current", nil
	case current != nil && !isOlder(current.BuildID):
		return "stands by: version " + current.BuildID + " is current", nil
	case !version.Info.RoutingChangedTime.IsZero():
		return "stands by: it was current before, and an operator chose another", nil
	case now.Info.ManagerIdentity != "":
		return "stands by: the deployment has a manager", nil
	}
	if missing := missingQueues(version.Info.TaskQueuesInfos); len(missing) > 0 {
		return "", fmt.Errorf("Temporal does not know the workers of %v yet", missing)
	}
	// The token makes it fail when anybody else has changed the routing since it was described.
	_, err = d.SetCurrentVersion(ctx, client.WorkerDeploymentSetCurrentVersionOptions{BuildID: buildID(), ConflictToken: now.ConflictToken})
	if err != nil {
		return "", fmt.Errorf("make version %s current: %w", buildID(), err)
	}
	return "current", nil
}

// isOlder reports whether a build id is a version before this one. An operator's own build id is not.
func isOlder(id string) bool {
	n, err := strconv.Atoi(id)
	return err == nil && n < workflows.Version
}

func missingQueues(known []client.WorkerDeploymentTaskQueueInfo) []string {
	return slices.DeleteFunc(Queues(), func(queue string) bool {
		return slices.ContainsFunc(known, func(k client.WorkerDeploymentTaskQueueInfo) bool { return k.Name == queue })
	})
}
