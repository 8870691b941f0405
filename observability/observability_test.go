package observability_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	deploymentpb "go.temporal.io/api/deployment/v1"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/watchfire-mdr/watchfire/observability"
)

func TestSecretsAreMaskedWhereverTheyStand(t *testing.T) {
	var out bytes.Buffer
	log := observability.Logger(slog.LevelInfo, &out)
	log.Info("m", "token", "canary", slog.Group("g", slog.String("Password", "canary")), "incident", "SI-1042-0007")
	log.Debug("canary")
	if strings.Contains(out.String(), "canary") || !strings.Contains(out.String(), "SI-1042-0007") {
		t.Errorf("the log shows a secret or lacks the incident: %s", out.String())
	}
}

func TestTheSDKCountsIntoTheSameRegistry(t *testing.T) {
	m := observability.NewMetrics()
	h, err := m.Temporal()
	if err != nil {
		t.Fatal(err)
	}
	h.WithTags(map[string]string{"operation": "StartWorkflowExecution"}).Counter("temporal_request").Inc(2)
	h.WithTags(map[string]string{"operation": "StartWorkflowExecution"}).Timer("temporal_request_latency").Record(time.Second)
	h.Gauge("temporal_sticky_cache_size").Update(7)
	m.Request("GET /x", 200, time.Millisecond)
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	for _, want := range []string{
		`temporal_request{operation="StartWorkflowExecution"} 2`, `temporal_request_latency_seconds_bucket{operation="StartWorkflowExecution",le="0.5"} 0`, "temporal_sticky_cache_size 7",
		`watchfire_http_requests_total{operation="GET /x",status="200"} 1`, "go_goroutines",
	} {
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("the metrics lack %s:\n%s", want, rec.Body.String())
		}
	}
}

func TestReadyOnlyWhenEveryPartIs(t *testing.T) {
	good := observability.Part{Name: "good", Check: func(context.Context) error { return nil }}
	bad := observability.Part{Name: "bad", Check: func(context.Context) error { return errors.New("postgres://secret@host") }}
	stuck := observability.Part{Name: "stuck", Check: func(context.Context) error { select {} }}
	for _, test := range []struct {
		parts  []observability.Part
		status int
		body   string
	}{
		{nil, 200, `{"parts":{},"ready":true}`},
		{[]observability.Part{good}, 200, `{"parts":{"good":"ok"},"ready":true}`},
		{[]observability.Part{good, bad}, 503, `{"parts":{"bad":"failing","good":"ok"},"ready":false}`},
		{[]observability.Part{good, stuck}, 503, `{"parts":{"good":"ok","stuck":"failing"},"ready":false}`},
	} {
		rec := httptest.NewRecorder()
		observability.NewReadiness(test.parts...).Handler().
			ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
		if rec.Code != test.status || rec.Body.String() != test.body {
			t.Errorf("/readyz answers %d %s, want %d %s", rec.Code, rec.Body, test.status, test.body)
		}
	}
}

func TestReadinessKeepsItsResultForAMoment(t *testing.T) {
	checks := 0
	r := observability.NewReadiness(observability.Part{Name: "p", Check: func(context.Context) error { checks++; return nil }})
	for range 10 {
		r.Check(t.Context())
	}
	if checks != 1 {
		t.Errorf("the part was checked %d times, want once", checks)
	}
}

type engine struct {
	lastPoll         time.Time
	polling, current string // build ids; "" is none
}

func (e engine) CheckHealth(context.Context, *client.CheckHealthRequest) (*client.CheckHealthResponse, error) {
	return &client.CheckHealthResponse{}, nil
}

func (e engine) DescribeTaskQueue(context.Context, string, enumspb.TaskQueueType) (*workflowservice.DescribeTaskQueueResponse, error) {
	d := &workflowservice.DescribeTaskQueueResponse{}
	if !e.lastPoll.IsZero() {
		d.Pollers = []*taskqueuepb.PollerInfo{{LastAccessTime: timestamppb.New(e.lastPoll)}}
	}
	if e.polling != "" {
		d.Pollers[0].DeploymentOptions = &deploymentpb.WorkerDeploymentOptions{
			BuildId: e.polling, WorkerVersioningMode: enumspb.WORKER_VERSIONING_MODE_VERSIONED,
		}
	}
	if e.current != "" {
		d.VersioningInfo = &taskqueuepb.TaskQueueVersioningInfo{CurrentDeploymentVersion: &deploymentpb.WorkerDeploymentVersion{BuildId: e.current}}
	}
	return d, nil
}

func TestAQueueNeedsAWorkerThatPolls(t *testing.T) {
	for name, test := range map[string]struct {
		engine engine
		ready  bool
	}{
		"no worker": {engine{}, false}, "a worker that died": {engine{lastPoll: time.Now().Add(-10 * time.Minute)}, false},
		"a worker": {engine{lastPoll: time.Now()}, true}, "one of the current version": {engine{time.Now(), "2", "2"}, true},
		"one of an older version": {engine{time.Now(), "1", "2"}, false}, "one without a version": {engine{time.Now(), "", "2"}, false},
		"one that stands by": {engine{time.Now(), "2", ""}, false},
	} {
		parts := observability.TemporalParts(test.engine, map[string]enumspb.TaskQueueType{"incidents": enumspb.TASK_QUEUE_TYPE_WORKFLOW})
		ready, states := observability.NewReadiness(parts...).Check(t.Context())
		if ready != test.ready || states["temporal"] != "ok" {
			t.Errorf("%s: ready is %t, want %t; parts %v", name, ready, test.ready, states)
		}
	}
}

func TestOperationsAnswersTheOperator(t *testing.T) {
	failing := observability.Part{Name: "database", Check: func(context.Context) error { return errors.New("down") }}
	h := observability.Operations(observability.NewReadiness(failing), observability.NewMetrics())
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/metrics": 200, "/": 404, "/api/v1/incidents": 404} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if rec.Code != want {
			t.Errorf("%s answers %d, want %d", path, rec.Code, want)
		}
		if h := rec.Header(); h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", path, h)
		}
	}
}
