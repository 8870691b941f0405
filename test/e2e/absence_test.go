package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

func TestACommandWithoutAWorkerIsAcceptedAndCarriedOutOnce(t *testing.T) {
	s := newScene(t, 0)
	s.open(models.SeverityHigh)
	s.assess()
	s.publish()
	s.killWorker()
	key := uuid.NewString()
	path := "/incidents/" + string(s.ref) + "/comment"
	comment := func() (int, incident.CommandResult) {
		t.Helper()
		var a incident.CommandResult
		status, err := s.analyst.PostAs(t.Context(), key, path, &incident.Comment{Text: "without a worker"}, &a)
		if err != nil {
			t.Fatalf("comment: %v", err)
		}
		return status, a
	}
	var status int
	var first incident.CommandResult
	took := elapsed(func() { status, first = comment() })
	if status != http.StatusAccepted || took > 8*time.Second {
		t.Errorf("the API answered %d after %s, want 202 within about 3s", status, took)
	}
	printProgress("  202 after %s", took.Round(time.Millisecond))
	if status, again := comment(); status != http.StatusAccepted || again != first {
		t.Errorf("the API answered the repeated command with %d %+v, the first one with %+v", status, again, first)
	}
	printProgress("  /readyz right after the kill: %s", readiness(t))
	s.startWorker()
	s.await("the comment", func() (bool, error) { return len(eventsOf[*incident.Commented](s)) > 0, nil })
	if status, again := comment(); status != http.StatusOK || again.RequestID != first.RequestID || again.LastSeq == 0 {
		t.Errorf("the API answered the command that was carried out with %d %+v", status, again)
	}
	s.send(s.analyst, &incident.Comment{Text: "with a worker"})
	if n := len(eventsOf[*incident.Commented](s)); n != 2 {
		t.Errorf("%d comments, want 2%s", n, s.eventList())
	}
	if n := len(eventsOf[*incident.CommandRejected](s)); n != 0 {
		t.Errorf("%d commands were rejected", n)
	}
}

// readiness returns the API's answer about its readiness.
func readiness(t *testing.T) string {
	t.Helper()
	return readinessAt(t, system.Dev.Ops)
}

// readinessAt returns the answer of the process at an address about its readiness.
func readinessAt(t *testing.T, address string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.Status + " " + string(body)
}

// workerAddress returns where the last worker answers health, as its log says.
func workerAddress(t *testing.T) string {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(filepath.Dir(product), "logs", fmt.Sprintf("worker-%d.log", len(system.Workers))))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		var entry struct{ Msg, Address string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "listening" {
			return "http://" + entry.Address
		}
	}
	t.Fatal("the worker does not say where it listens")
	return ""
}

// The product's connections are cut, and the new ones can read and not write, as on a standby.
func TestADatabaseThatOnlyReadsShowsWithinSeconds(t *testing.T) {
	s := newScene(t, 1)
	s.retry = true // a connection that was cut may fail once
	s.open(models.SeverityLow)
	processes := map[string]string{"API": system.Dev.Ops, "worker": workerAddress(t)}
	awaitAnswers := func(what string, is func(answer string) bool) {
		t.Helper()
		took := elapsed(func() {
			for name, address := range byName(processes) {
				s.await("/readyz of the "+name+" to say "+what, func() (bool, error) { return is(readinessAt(t, address)), nil })
			}
		})
		printProgress("  /readyz says %s after %s", what, took.Round(100*time.Millisecond))
	}
	isReady := func(answer string) bool { return strings.HasPrefix(answer, "200") }
	awaitAnswers("that all is well", isReady)
	t.Cleanup(func() {
		if t.Failed() {
			reconnect(t, "off")
		}
	})
	reconnect(t, "on")
	cut := time.Now()
	isFailing := func(answer string) bool {
		return strings.HasPrefix(answer, "503") && strings.Contains(answer, `"database":"failing"`) && strings.Contains(answer, `"schema":"ok"`)
	}
	awaitAnswers("that the database fails", isFailing)
	s.until("the incident, which can be read", func(i incident.Incident) bool { return i.Phase == incident.PhaseInvestigating })
	awaitAnswers("so still, long after the cut", func(answer string) bool { return time.Since(cut) > 3*time.Second && isFailing(answer) })
	reconnect(t, "off")
	awaitAnswers("that all is well again", isReady)
	s.assess()
}

// reconnect cuts all connections to the product's database and sets whether new ones can only read, "on" or "off".
func reconnect(t *testing.T, readOnly string) {
	t.Helper()
	server := system.Postgres.URL("postgres")
	runSQL(t, server, "alter database watchfire set default_transaction_read_only = "+readOnly)
	runSQL(t, server, "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'watchfire'")
}

func TestTemporalKilledInTheMiddleLosesNoAnsweredCommand(t *testing.T) {
	s := newScene(t, 1)
	s.playThroughKill("Temporal", system.Temporal.Kill, system.Temporal.Restart)
}

func TestPostgreSQLKilledInTheMiddleLosesNoAnsweredCommand(t *testing.T) {
	s := newScene(t, 2)
	s.playThroughKill("PostgreSQL", system.Postgres.Kill, system.Postgres.Restart)
}

// playThroughKill plays an incident's life, kills a part in the middle of the first call, and goes on after its
// restart. People comment all the while: at the end, each comment that was answered with success is there once.
func (s *scene) playThroughKill(part string, kill func(), restart func(context.Context) error) {
	s.t.Helper()
	s.setPhonePersonas("silent", "acknowledges")
	s.open(models.SeverityCritical)
	s.assess()
	s.isolate()
	s.publish()
	s.await("the first contact's phone to ring", func() (bool, error) { return s.isBeingCalled(0), nil })
	stop := make(chan struct{})
	comments := make(chan map[string]int, 1)
	go func() { comments <- s.commentUntil(stop) }()
	printProgress("  kill -9 of %s", part)
	kill()
	s.retry = true
	s.await("the API to answer 503", func() (bool, error) {
		var rejected *stack.APIError
		err := s.analyst.Post(s.t.Context(), "/incidents/"+string(s.ref)+"/comment", &incident.Comment{Text: "while " + part + " is down"}, nil)
		return errors.As(err, &rejected) && rejected.Status == http.StatusServiceUnavailable && rejected.Title != "", nil
	})
	if err := restart(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	printProgress("  %s runs again", part)
	s.awaitAcknowledgement()
	s.awaitContainment(incident.ContainmentContained)
	s.send(s.analyst, &incident.Comment{Text: "after the restart"})
	close(stop)
	statuses := <-comments
	s.wantAgreement()
	s.wantCommentsOnce(statuses)
	s.settleAndRelease()
	s.closeIncident()
	s.wantMails(notify.PurposePublished, notify.PurposeClosed)
	s.wantOrderlyCalls()
	s.wantActions("contain", "lift_containment")
}

// commentUntil comments until stop is closed and returns the HTTP status of the answer to each comment, 0 for no
// answer.
func (s *scene) commentUntil(stop <-chan struct{}) map[string]int {
	statuses := map[string]int{}
	tick := time.NewTicker(250 * time.Millisecond) // as often as one person may, for as long as it takes
	defer tick.Stop()
	for n := 0; ; n++ {
		text := fmt.Sprintf("comment %d", n)
		statuses[text], _ = s.lead.PostAs(s.t.Context(), uuid.NewString(), "/incidents/"+string(s.ref)+"/comment", &incident.Comment{Text: text}, nil)
		select {
		case <-stop:
			return statuses
		case <-tick.C:
		}
	}
}

// wantCommentsOnce checks that every comment that was answered with success is there, no comment twice, and that the
// API answered none with another status than 200, 202 and 503. statuses are the answers by comment.
func (s *scene) wantCommentsOnce(statuses map[string]int) {
	s.t.Helper()
	count := func() map[string]int {
		found := map[string]int{}
		for _, c := range eventsOf[*incident.Commented](s) {
			found[c.Text]++
		}
		return found
	}
	var missing string
	defer func() {
		if s.t.Failed() {
			s.t.Log("a comment is missing:", missing)
		}
	}()
	s.await("every comment that was accepted", func() (bool, error) {
		found := count()
		for text, status := range byName(statuses) {
			if status/100 == 2 && found[text] == 0 {
				missing = fmt.Sprintf("%q, answered with %d", text, status)
				return false, nil
			}
		}
		return true, nil
	})
	found, times := count(), map[int]int{}
	for text, status := range byName(statuses) {
		times[status]++
		if found[text] > 1 {
			s.t.Errorf("%s: comment %q, answered with %d, is there %d times", s.ref, text, status, found[text])
		}
		switch status {
		case http.StatusOK, http.StatusAccepted, http.StatusServiceUnavailable:
		default:
			s.t.Errorf("%s: the API answered comment %q with %d", s.ref, text, status)
		}
	}
	printProgress("  statuses of the comments, and how often: %v", times)
}
