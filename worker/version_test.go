package worker

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/watchfire-mdr/watchfire/workflows"
)

// deployment plays Temporal's side of a worker deployment.
type deployment struct {
	client.WorkerDeploymentHandle
	current string // build id; "" is none
	manager string
	routed  bool // this version was current before
	queues  []string
	changed bool // somebody else changes the routing after it was described
	set     []string
}

func (d *deployment) Describe(context.Context, client.WorkerDeploymentDescribeOptions) (r client.WorkerDeploymentDescribeResponse, err error) {
	r.ConflictToken, r.Info.ManagerIdentity = []byte("token of "+d.current), d.manager
	if d.current != "" {
		r.Info.RoutingConfig.CurrentVersion = &worker.WorkerDeploymentVersion{DeploymentName: Deployment, BuildID: d.current}
	}
	return r, nil
}

func (d *deployment) DescribeVersion(_ context.Context, o client.WorkerDeploymentDescribeVersionOptions) (r client.WorkerDeploymentVersionDescription, err error) {
	if o.BuildID != buildID() {
		return r, errors.New("no such version")
	}
	if d.routed {
		r.Info.RoutingChangedTime = time.Now()
	}
	for _, q := range d.queues {
		r.Info.TaskQueuesInfos = append(r.Info.TaskQueuesInfos, client.WorkerDeploymentTaskQueueInfo{Name: q})
	}
	return r, nil
}

func (d *deployment) SetCurrentVersion(_ context.Context, o client.WorkerDeploymentSetCurrentVersionOptions) (r client.WorkerDeploymentSetCurrentVersionResponse, err error) {
	if d.changed || string(o.ConflictToken) != "token of "+d.current {
		return r, errors.New("conflict")
	}
	d.set = append(d.set, o.BuildID)
	return r, nil
}

func TestOnlyANewerVersionTakesOver(t *testing.T) {
	own := workflows.Version
	for name, test := range map[string]struct {
		deployment deployment
		promotes   bool
		state      string // "" is an error, after which it tries again
	}{
		"no version yet":           {deployment{queues: Queues()}, true, "current"},
		"an older version":         {deployment{queues: Queues(), current: strconv.Itoa(own - 1)}, true, "current"},
		"this version":             {deployment{queues: Queues(), current: strconv.Itoa(own)}, false, "current"},
		"a newer version":          {deployment{queues: Queues(), current: strconv.Itoa(own + 1)}, false, "stands by"},
		"a number, not a text":     {deployment{queues: Queues(), current: strconv.Itoa(own + 10)}, false, "stands by"},
		"an operator's build":      {deployment{queues: Queues(), current: "hotfix"}, false, "stands by"},
		"it was taken back":        {deployment{queues: Queues(), routed: true}, false, "stands by"},
		"an operator manages it":   {deployment{queues: Queues(), manager: "operator"}, false, "stands by"},
		"a queue is missing":       {deployment{queues: Queues()[1:]}, false, ""},
		"somebody else is quicker": {deployment{queues: Queues(), changed: true}, false, ""},
	} {
		state, err := promote(t.Context(), &test.deployment)
		if (err != nil) != (test.state == "") || !strings.HasPrefix(state, test.state) {
			t.Errorf("%s: %q, %v", name, state, err)
		}
		if promoted := len(test.deployment.set) == 1 && test.deployment.set[0] == buildID(); promoted != test.promotes {
			t.Errorf("%s: it made %v current", name, test.deployment.set)
		}
	}
}
