package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

// longText is 45 kB of almost as many characters as a text may have.
var longText = strings.Repeat("報", 15000)

// wantWholeLog checks that the event log is whole and that the incident follows from it.
func (s *scene) wantWholeLog() {
	s.t.Helper()
	db, err := store.Open(s.t.Context(), system.AppURL(), store.Options{MaxConns: 2})
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	if err := db.ForClient(s.t.Context(), store.SOC, s.current().ClientID, func(tx *store.Tx) error { return tx.VerifyEvents(s.ref) }); err != nil {
		s.t.Error(err)
	}
}

// runID returns the id of the incident's present run.
func (s *scene) runID(c client.Client) string {
	s.t.Helper()
	d, err := c.DescribeWorkflowExecution(s.t.Context(), s.ref.WorkflowID(), "")
	if err != nil {
		s.t.Fatal(err)
	}
	return d.GetWorkflowExecutionInfo().GetExecution().GetRunId()
}

// Seventy comments of 45 kB that wait for a worker are more than Temporal takes at once.
func TestABurstOfLongCommentsWithoutAWorkerIsTakenWhole(t *testing.T) {
	const comments = 70
	s := newScene(t, 2)
	s.retry = true // a busy machine may answer 202 or 503
	s.open(models.SeverityLow)
	s.assess()
	s.publish()
	s.killWorker()
	var group errgroup.Group
	group.SetLimit(35)
	for n := range comments {
		group.Go(func() error {
			status, err := s.analyst.PostAs(t.Context(), uuid.NewString(), "/incidents/"+string(s.ref)+"/comment",
				&incident.Comment{Text: fmt.Sprintf("c%d %s", n, longText)}, nil) // users of a client take turns
			if err == nil && status != http.StatusAccepted {
				t.Errorf("comment %d was answered with %d, want 202", n, status)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	s.startWorker()
	s.await("all comments", func() (bool, error) { return len(eventsOf[*incident.Commented](s)) >= comments, nil })
	s.wantEveryCommentOnce(comments)
	s.send(s.analyst, &incident.Revise{Change: "It goes on."})
	s.until("the next step", func(i incident.Incident) bool { return i.Revision == 2 })
	s.wantAgreement()
	s.wantWholeLog()
}

// An incident refuses open texts beyond what its workflow can carry, and takes new ones when others are settled. People
// read the settled ones in full.
func TestAnIncidentFullOfRecommendationsRefusesMoreAndGoesOn(t *testing.T) {
	s := newScene(t, 2)
	s.retry = true // a busy machine may answer 202 or 503
	s.open(models.SeverityLow)
	s.assess()
	s.publish()
	taken := 0
	for n := range 70 {
		_, err := s.analyst.Command(t.Context(), s.ref, &incident.Recommend{Text: fmt.Sprintf("n%d %s", n, longText)})
		var rejected *stack.APIError
		switch {
		case err == nil:
			taken++
		case isTemporary(err): // it may have been taken
			t.Fatalf("recommendation %d was answered with %v; the machine is too busy for this test", n, err)
		case !errors.As(err, &rejected) || rejected.Status != http.StatusConflict:
			t.Fatalf("recommendation %d was answered with %v, want 409", n, err)
		}
	}
	if taken != 11 {
		t.Errorf("%d of 70 recommendations were taken, want 11", taken)
	}
	c := temporal(t)
	before := s.runID(c)
	for n := range taken {
		s.send(s.responder, &incident.SettleRecommendation{Recommendation: fmt.Sprintf("r%d", n+2), Outcome: incident.Mitigated, Evidence: "done " + longText})
	}
	for n := range 40 {
		s.send(s.responder, &incident.Comment{Text: fmt.Sprintf("c%d %s", n, longText)})
	}
	s.await("a new run", func() (bool, error) { return s.runID(c) != before, nil })
	s.send(s.analyst, &incident.Recommend{Text: "again " + longText}, &incident.Revise{Change: "It goes on."})
	i := s.current()
	if r := i.Recommendations[1]; r.Text != "n0 "+longText || r.Evidence != "done "+longText {
		t.Errorf("the settled recommendation reads %.20q…, %d bytes, with evidence of %d bytes", r.Text, len(r.Text), len(r.Evidence))
	}
	var revision incident.Revision
	if err := s.responder.Get(t.Context(), fmt.Sprintf("/incidents/%s/revisions/2", s.ref), &revision); err != nil {
		t.Fatal(err)
	}
	if text := revision.Recommendations[1].Text; text != "n0 "+longText {
		t.Errorf("the revision tells the recommendation as %.20q…, %d bytes", text, len(text))
	}
	s.wantAgreement()
	s.wantWholeLog()
}

// Twenty signals a second keep neither the next step nor the next run from coming.
func TestSteadyTalkStarvesNoIncident(t *testing.T) {
	s := newScene(t, 2)
	s.retry = true // a busy machine may answer 202 or 503
	s.open(models.SeverityCritical)
	s.assess()
	s.publish()
	by := s.commenter()
	c := temporal(t)
	before, text := s.runID(c), strings.Repeat("and so on ", 400)
	stop := make(chan struct{})
	var sent atomic.Int64
	var group errgroup.Group
	for range 24 {
		group.Go(func() error {
			tick := time.NewTicker(1200 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return nil
				case <-tick.C:
				}
				r := s.commentRequest(by, fmt.Sprintf("s%d %s", sent.Add(1), text))
				if err := c.SignalWorkflow(t.Context(), s.ref.WorkflowID(), "", "comment", r); err != nil {
					return err
				}
			}
		})
	}
	s.await("some talk", func() (bool, error) { return sent.Load() > 50, nil })
	s.post(s.analyst, "/incidents/"+string(s.ref)+"/isolate", &incident.Isolate{Hostname: s.host, Reason: "Files are being encrypted."}, nil)
	s.awaitContainment(incident.ContainmentContained)
	s.await("a new run", func() (bool, error) { return s.runID(c) != before, nil })
	close(stop)
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	total := int(sent.Load()) + 1
	s.await("all comments", func() (bool, error) { return len(eventsOf[*incident.Commented](s)) >= total, nil })
	s.wantEveryCommentOnce(total)
	s.wantAgreement()
	s.wantWholeLog()
	s.wantActions("contain")
	printProgress("  %d comments in %s", total, s.ref)
}

// People of both sides comment over 24 connections, with texts as long as they may be. The incident does not freeze.
func TestLongTalkOverManyConnectionsStarvesNoIncident(t *testing.T) {
	const talkFor, connections = 15 * time.Second, 24
	s := newScene(t, 2)
	s.retry = true // a busy machine may answer 202 or 503
	s.open(models.SeverityCritical)
	s.assess()
	s.publish()
	c := temporal(t)
	first := s.runID(c)
	people := []stack.Person{s.lead, s.responder, s.admin}
	var sent, taken, slowed, unanswered atomic.Int64
	var answered sync.Map // the first words of the comments that were answered with success
	talking, stop := context.WithTimeout(t.Context(), talkFor)
	defer stop()
	var group errgroup.Group
	for n := range connections {
		group.Go(func() error {
			tick := time.NewTicker(400 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-talking.Done():
					return nil
				case <-tick.C:
				}
				word := fmt.Sprintf("l%d", sent.Add(1))
				status, err := people[n%len(people)].PostAs(t.Context(), uuid.NewString(), "/incidents/"+string(s.ref)+"/comment",
					&incident.Comment{Text: word + " " + longText}, nil)
				var rejected *stack.APIError
				switch {
				case err == nil:
					taken.Add(1)
					answered.Store(word, status)
				case errors.As(err, &rejected) && rejected.Status == http.StatusTooManyRequests:
					slowed.Add(1)
				case isTemporary(err):
					unanswered.Add(1)
				default:
					return err
				}
			}
		})
	}
	s.await("some talk", func() (bool, error) { return taken.Load() > 2*connections, nil })
	took := elapsed(func() {
		s.post(s.analyst, "/incidents/"+string(s.ref)+"/isolate", &incident.Isolate{Hostname: s.host, Reason: "Files are being encrypted."}, nil)
		s.awaitContainment(incident.ContainmentContained)
	})
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	count := func() map[string]int {
		found := map[string]int{}
		for _, e := range eventsOf[*incident.Commented](s) {
			word, _, _ := strings.Cut(e.Text, " ")
			found[word]++
		}
		return found
	}
	s.await("every comment that was answered with success", func() (bool, error) {
		found, missing := count(), []string{}
		answered.Range(func(word, status any) bool {
			if found[fmt.Sprint(word)] == 0 {
				missing = append(missing, fmt.Sprint(word, ", answered with ", status))
			}
			return true
		})
		if len(missing) > 0 {
			return false, fmt.Errorf("missing: %v", missing)
		}
		return true, nil
	})
	for word, times := range byName(count()) {
		if times != 1 {
			t.Errorf("comment %s is there %d times", word, times)
		}
	}
	s.send(s.analyst, &incident.Revise{Change: "It goes on."})
	s.until("the next step", func(i incident.Incident) bool { return i.Revision == 2 })
	s.until("the phones to be still", func(i incident.Incident) bool { // what somebody of the client says may be first
		return i.Acknowledged != nil && !i.CallRoundEnded.IsZero()
	})
	s.wantActions("contain")
	s.wantAgreement()
	s.wantWholeLog()
	runs, longest := s.wantHealthyRuns(c, first)
	printProgress("  %d comments taken, %d slowed down, %d not answered; contained after %s; %d runs, the longest history has %d kB",
		taken.Load(), slowed.Load(), unanswered.Load(), took.Round(100*time.Millisecond), runs, longest>>10)
}

// longestRun is how many bytes the history of one run may have: Temporal ends what has 50 MiB.
const longestRun = 40 << 20

// wantHealthyRuns reads the histories of all runs of the incident's workflow from the first one on. It checks that no
// task of them failed, and that none is too long, and returns how many there are and the bytes of the longest.
func (s *scene) wantHealthyRuns(c client.Client, first string) (runs int, longest int64) {
	s.t.Helper()
	for id := first; id != ""; runs++ {
		d, err := c.DescribeWorkflowExecution(s.t.Context(), s.ref.WorkflowID(), id)
		if err != nil {
			s.t.Fatal(err)
		}
		size := d.GetWorkflowExecutionInfo().GetHistorySizeBytes()
		if longest = max(longest, size); size > longestRun {
			s.t.Errorf("the history of run %d has %d bytes, want %d at most", runs+1, size, longestRun)
		}
		next := ""
		for it := c.GetWorkflowHistory(s.t.Context(), s.ref.WorkflowID(), id, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); {
			e, err := it.Next()
			if err != nil {
				s.t.Fatal(err)
			}
			switch e.GetEventType() {
			case enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED:
				a := e.GetWorkflowTaskFailedEventAttributes()
				if a.GetCause() != enumspb.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND { // something came meanwhile
					s.t.Errorf("event %d of run %d: a task failed: %s: %s", e.GetEventId(), runs+1, a.GetCause(), a.GetFailure().GetMessage())
				}
			case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
				next = e.GetWorkflowExecutionContinuedAsNewEventAttributes().GetNewExecutionRunId()
			}
		}
		id = next
	}
	return runs, longest
}
