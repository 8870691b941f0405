package devstack_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/devstack"
)

func TestTemporalKeepsItsWorkflowsOverKillAndRestart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	binary, err := devstack.BuildTemporal(ctx, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	server := startTemporal(t, devstack.TemporalOptions{
		Binary: binary, PG: startPostgres(t, filepath.Join(t.TempDir(), "postgres")),
	})
	expectSearchAttributes(t, server)
	expectUI(t, server)
	startWorkflow(t, server, "incident/SI-1042-0001")

	server.Kill()
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	expectSearchAttributes(t, server)
	expectFound(t, server, "WatchfireClient = '1042' AND WatchfireDrill = false", "incident/SI-1042-0001")
}

func TestTwoTemporalServersSideBySide(t *testing.T) {
	binary, err := devstack.BuildTemporal(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	postgres := startPostgres(t, filepath.Join(t.TempDir(), "postgres"))
	first := startTemporal(t, devstack.TemporalOptions{Binary: binary, PG: postgres, Database: "first"})
	second := startTemporal(t, devstack.TemporalOptions{Binary: binary, PG: postgres, Database: "second", Namespace: "watchfire"})
	if second.Namespace != "watchfire" {
		t.Errorf("namespace is %q", second.Namespace)
	}
	startWorkflow(t, first, "incident/SI-1042-0001")
	startWorkflow(t, second, "incident/SI-1042-0001")
	second.Stop()
	if err := second.Process().Err(); err != nil {
		t.Errorf("an orderly stop ended with %v", err)
	}
}

func startTemporal(t *testing.T, options devstack.TemporalOptions) *devstack.Temporal {
	t.Helper()
	server, err := devstack.StartTemporal(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server
}

func dial(t *testing.T, server *devstack.Temporal) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{
		HostPort: server.Address, Namespace: server.Namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func expectSearchAttributes(t *testing.T, server *devstack.Temporal) {
	t.Helper()
	c := dial(t, server)
	defer c.Close()
	known, err := c.OperatorService().ListSearchAttributes(t.Context(),
		&operatorservice.ListSearchAttributesRequest{Namespace: server.Namespace})
	if err != nil {
		t.Fatal(err)
	}
	keyword, boolean := enums.INDEXED_VALUE_TYPE_KEYWORD, enums.INDEXED_VALUE_TYPE_BOOL
	for name, want := range byName(map[string]enums.IndexedValueType{
		"WatchfireClient": keyword, "WatchfirePhase": keyword, "WatchfireTurn": keyword,
		"WatchfireSeverity": keyword, "WatchfireContainment": keyword, "WatchfireDrill": boolean,
	}) {
		if got := known.GetCustomAttributes()[name]; got != want {
			t.Errorf("search attribute %s is %v, want %v", name, got, want)
		}
	}
}

// startWorkflow starts a workflow that no worker runs, with search attributes,
// right away: a stack that said it is ready accepts it.
func startWorkflow(t *testing.T, server *devstack.Temporal, id string) {
	t.Helper()
	c := dial(t, server)
	defer c.Close()
	_, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: id, TaskQueue: "incidents",
		TypedSearchAttributes: temporal.NewSearchAttributes(
			temporal.NewSearchAttributeKeyKeyword("WatchfireClient").ValueSet("1042"),
			temporal.NewSearchAttributeKeyBool("WatchfireDrill").ValueSet(false),
		),
	}, "Incident")
	if err != nil {
		t.Fatal(err)
	}
}

func expectFound(t *testing.T, server *devstack.Temporal, query, id string) {
	t.Helper()
	c := dial(t, server)
	defer c.Close()
	eventually(t, "workflow "+id+" is found by "+query, func() bool {
		found, err := listIDs(t.Context(), c, query)
		return err == nil && strings.Join(found, " ") == id
	})
}

func listIDs(ctx context.Context, c client.Client, query string) ([]string, error) {
	found, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: query})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, execution := range found.GetExecutions() {
		ids = append(ids, execution.GetExecution().GetWorkflowId())
	}
	return ids, nil
}

func expectUI(t *testing.T, server *devstack.Temporal) {
	t.Helper()
	for path, want := range byName(map[string]string{
		"/":                     "<html",
		"/api/v1/namespaces":    server.Namespace,
		"/namespaces/default/x": "<html",
	}) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.UIURL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("UI %s: %s without %q", path, response.Status, want)
		}
	}
}
