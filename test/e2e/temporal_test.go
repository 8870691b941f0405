package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	sdklog "go.temporal.io/sdk/log"
	"golang.org/x/sync/errgroup"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/observability"
)

// temporal connects as an operator would who has the provider's keys.
func temporal(t *testing.T) *observability.Engine {
	t.Helper()
	c, err := system.Engine()
	if err != nil {
		t.Fatalf("connect to Temporal: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

// plainTemporal connects as somebody who reaches Temporal and nothing else.
func plainTemporal(t *testing.T) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{
		HostPort: system.Temporal.Address, Namespace: system.Temporal.Namespace, Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		t.Fatalf("connect to Temporal: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

// wantFoundByOperators checks that an operator's query for critical, contained incidents finds the incident.
func (s *scene) wantFoundByOperators() {
	s.t.Helper()
	c := temporal(s.t)
	query := fmt.Sprintf("%s='critical' and %s='client' and %s='published' and %s='contained' and %s='%d' and %s=false", models.AttributeSeverity,
		models.AttributeTurn, models.AttributePhase, models.AttributeContainment, models.AttributeClient, s.number, models.AttributeDrill)
	s.await("the incident among the critical ones that wait for the client", func() (bool, error) {
		found, err := c.ListWorkflow(s.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: query})
		if err != nil {
			return false, err
		}
		for _, w := range found.GetExecutions() {
			if w.GetExecution().GetWorkflowId() == s.ref.WorkflowID() {
				return true, nil
			}
		}
		return false, nil
	})
}

// wantFinished checks the workflows of the incident and its children in Temporal after the feedback: they are
// completed, readable, and without personal data.
func (s *scene) wantFinished() {
	s.t.Helper()
	c := temporal(s.t)
	for name, id := range byName(map[string]string{
		"incident": s.ref.WorkflowID(), "endpoint": s.ref.EndpointWorkflowID("e1"),
	}) {
		s.await(id+" to be completed", func() (bool, error) {
			d, err := c.DescribeWorkflowExecution(s.t.Context(), id, "")
			if err != nil {
				return false, err
			}
			status := d.GetWorkflowExecutionInfo().GetStatus()
			if status != enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED && status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
				s.t.Fatalf("%s ended as %s", id, status)
			}
			return status == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, nil
		})
		h := readHistory(s.t, c, id)
		s.wantReadable(id, h)
		s.wantNoFailedSignal(id, h)
		s.wantImpersonal(id, h)
		recordHistory(s.t, name, h)
	}
	s.wantAttributes(c, map[string]any{
		models.AttributePhase: "closed", models.AttributeTurn: "none", models.AttributeSeverity: "critical",
		models.AttributeContainment: "released", models.AttributeClient: fmt.Sprint(s.number), models.AttributeDrill: false,
	})
}

// wantAgreement checks that the API, which reads the database, and the workflow, which decides, hold the same incident.
func (s *scene) wantAgreement() {
	s.t.Helper()
	c := temporal(s.t)
	var read, decided incident.Incident
	s.await("the API to answer with the workflow's last event", func() (bool, error) {
		v, err := c.QueryWorkflow(s.t.Context(), s.ref.WorkflowID(), "", models.QueryIncident)
		if err != nil {
			return false, err
		}
		if err = v.Get(&decided); err != nil {
			return false, err
		}
		read, err = s.getIncident()
		return err == nil && read.Seq == decided.Seq, err // an event may come between the two reads
	})
	a, b := asJSON(s.t, read.Carried()), asJSON(s.t, decided)
	if a != b {
		s.t.Errorf("%s: the API and the workflow disagree:\n%s\n%s%s", s.ref, a, b, s.eventList())
	}
}

// asJSON returns an incident as JSON.
func asJSON(t *testing.T, i incident.Incident) string {
	t.Helper()
	b, err := json.Marshal(i)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// wantAttributes checks the search attributes of the incident's workflow.
func (s *scene) wantAttributes(c client.Client, want map[string]any) {
	s.t.Helper()
	d, err := c.DescribeWorkflowExecution(s.t.Context(), s.ref.WorkflowID(), "")
	if err != nil {
		s.t.Fatal(err)
	}
	for name, value := range byName(want) {
		var got any
		p := d.GetWorkflowExecutionInfo().GetSearchAttributes().GetIndexedFields()[name]
		if p == nil || converter.GetDefaultDataConverter().FromPayload(p, &got) != nil || got != value {
			s.t.Errorf("%s: search attribute %s is %v, want %v", s.ref, name, got, value)
		}
	}
}

// readHistory reads the whole history of a workflow.
func readHistory(t *testing.T, c client.Client, id string) *historypb.History {
	t.Helper()
	h := &historypb.History{}
	it := c.GetWorkflowHistory(t.Context(), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for it.HasNext() {
		e, err := it.Next()
		if err != nil {
			t.Fatalf("read the history of %s: %v", id, err)
		}
		h.Events = append(h.Events, e)
	}
	return h
}

// wantNoFailedSignal checks that no red line in a good story says that a signal failed.
func (s *scene) wantNoFailedSignal(id string, h *historypb.History) {
	s.t.Helper()
	signals := map[int64]string{}
	for _, e := range h.GetEvents() {
		if a := e.GetSignalExternalWorkflowExecutionInitiatedEventAttributes(); a != nil {
			signals[e.GetEventId()] = a.GetSignalName() + " to " + a.GetWorkflowExecution().GetWorkflowId()
		}
		if a := e.GetSignalExternalWorkflowExecutionFailedEventAttributes(); a != nil {
			s.t.Errorf("%s: event %d: the signal %s failed", id, e.GetEventId(), signals[a.GetInitiatedEventId()])
		}
	}
}

// wantReadable checks that every step that an operator sees in the history has a summary.
func (s *scene) wantReadable(id string, h *historypb.History) {
	s.t.Helper()
	for _, e := range h.GetEvents() {
		switch e.GetEventType() {
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, enumspb.EVENT_TYPE_TIMER_STARTED, enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
			enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED, enumspb.EVENT_TYPE_MARKER_RECORDED:
		default:
			continue
		}
		if e.GetMarkerRecordedEventAttributes().GetMarkerName() == "Version" { // the SDK writes it, without a summary
			continue
		}
		var summary string
		p := e.GetUserMetadata().GetSummary()
		if p == nil || converter.GetDefaultDataConverter().FromPayload(p, &summary) != nil || strings.TrimSpace(summary) == "" {
			s.t.Errorf("%s: event %d, %s, has no summary", id, e.GetEventId(), e.GetEventType())
		}
	}
}

// wantImpersonal checks that no name, address or number of a person is in a history.
func (s *scene) wantImpersonal(id string, h *historypb.History) {
	s.t.Helper()
	text := decodedText(s.t, h)
	if !strings.Contains(text, string(s.ref)) {
		s.t.Fatalf("the history of %s could not be read", id)
	}
	for _, c := range s.contacts {
		for _, personal := range []string{c.Name, c.Email, c.Phone} {
			if strings.Contains(text, personal) {
				s.t.Errorf("%s: the history holds personal data of a contact", id)
			}
		}
	}
}

// decodedText returns a history as text, with its payloads decoded.
func decodedText(t *testing.T, h *historypb.History) string {
	t.Helper()
	raw, err := temporalproto.CustomJSONMarshalOptions{}.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`"data":\s*"([A-Za-z0-9+/=]+)"`).ReplaceAllStringFunc(string(raw), func(field string) string {
		decoded, err := base64.StdEncoding.DecodeString(strings.Trim(field[strings.Index(field, ":")+1:], `" `))
		if err != nil {
			return field
		}
		return string(decoded)
	})
}

// recordHistory writes a history into the folder that WATCHFIRE_RECORD_HISTORIES names, for the replay tests, without
// the names of processes and machines.
func recordHistory(t *testing.T, name string, h *historypb.History) {
	t.Helper()
	dir := os.Getenv("WATCHFIRE_RECORD_HISTORIES")
	if dir == "" {
		return
	}
	raw, err := temporalproto.CustomJSONMarshalOptions{}.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		t.Fatal(err)
	}
	anonymize(tree)
	if raw, err = json.MarshalIndent(tree, "", " "); err != nil {
		t.Fatal(err)
	}
	if _, err := client.HistoryFromJSON(strings.NewReader(string(raw)), client.HistoryJSONOptions{}); err != nil {
		t.Fatalf("the history of %s could not be replayed: %v", name, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name+".json")
	if err := os.WriteFile(path, append(raw, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	printProgress("  history of %d events written to %s", len(h.GetEvents()), path)
}

// anonymize replaces, in a decoded history, the names of the worker and of its own task queue.
func anonymize(node any) {
	switch node := node.(type) {
	case map[string]any:
		if _, ok := node["identity"]; ok {
			node["identity"] = "worker"
		}
		if node["kind"] == "TASK_QUEUE_KIND_STICKY" {
			node["name"] = "sticky"
		}
		for _, child := range node {
			anonymize(child)
		}
	case []any:
		for _, child := range node {
			anonymize(child)
		}
	}
}

// A long conversation outgrows one history: the workflow continues in a new run, and loses or doubles no comment.
func TestALongConversationContinuesInANewRun(t *testing.T) {
	const comments, people = 80, 4
	padding := strings.Repeat("報", 15000) // 45 kB
	s := newScene(t, 2)
	s.open(models.SeverityLow)
	s.assess()
	s.publish()
	c := temporal(t)
	before, err := c.DescribeWorkflowExecution(t.Context(), s.ref.WorkflowID(), "")
	if err != nil {
		t.Fatal(err)
	}
	var group errgroup.Group
	for n := range people {
		group.Go(func() error {
			for k := range comments / people {
				_, err := s.responder.Command(t.Context(), s.ref, &incident.Comment{Text: fmt.Sprintf("comment %d.%d", n, k) + padding})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	s.await("a new run", func() (bool, error) {
		after, err := c.DescribeWorkflowExecution(t.Context(), s.ref.WorkflowID(), "")
		if err != nil {
			return false, err
		}
		return before.GetWorkflowExecutionInfo().GetExecution().GetRunId() != after.GetWorkflowExecutionInfo().GetExecution().GetRunId(), nil
	})
	s.until("every comment", func(incident.Incident) bool { return len(eventsOf[*incident.Commented](s)) >= comments }) // an answer may be 202
	s.wantAgreement()
	found := map[string]int{}
	for _, c := range eventsOf[*incident.Commented](s) {
		found[c.Text]++
	}
	for text, times := range byName(found) {
		if times != 1 {
			t.Errorf("%.20q is there %d times", text, times)
		}
	}
	if len(found) != comments {
		t.Errorf("%d of %d comments are there", len(found), comments)
	}
	s.send(s.analyst, &incident.Comment{Text: "We are on it."})
}
