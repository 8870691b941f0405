package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

func TestACommandWithoutAnyWorkerIsTakenAndCarriedOutOnce(t *testing.T) {
	s := at(t, 0)
	s.open(models.SeverityHigh)
	s.assess()
	s.publish()
	s.killWorker()
	key := uuid.NewString()
	path := "/incidents/" + string(s.ref) + "/comment"
	say := func() (int, incident.CommandResult) {
		t.Helper()
		var a incident.CommandResult
		status, err := s.analyst.PostAs(t.Context(), key, path, &incident.Comment{Text: "said without a worker"}, &a)
		if err != nil {
			t.Fatalf("comment: %v", err)
		}
		return status, a
	}
	var status int
	var first incident.CommandResult
	took := within(func() { status, first = say() })
	if status != http.StatusAccepted || took > 8*time.Second {
		t.Errorf("answered with %d after %s, want 202 within about 3s", status, took)
	}
	tell("  202 after %s", took.Round(time.Millisecond))
	if status, again := say(); status != http.StatusAccepted || again != first {
		t.Errorf("the same again was answered with %d %+v, first %+v", status, again, first)
	}
	tell("  /readyz right after the kill: %s", readiness(t))
	s.startWorker()
	s.await("the comment", func() (bool, error) { return len(happened[*incident.Commented](s)) > 0, nil })
	if status, again := say(); status != http.StatusOK || again.RequestID != first.RequestID || again.LastSeq == 0 {
		t.Errorf("the same after it was carried out was answered with %d %+v", status, again)
	}
	s.give(s.analyst, &incident.Comment{Text: "said with a worker"})
	if n := len(happened[*incident.Commented](s)); n != 2 {
		t.Errorf("%d comments, want 2%s", n, s.story())
	}
	if n := len(happened[*incident.CommandRejected](s)); n != 0 {
		t.Errorf("%d commands were refused", n)
	}
}

func readiness(t *testing.T) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, house.Dev.App+"/readyz", nil)
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

func TestTemporalKilledInTheMiddleLosesNoAnsweredCommand(t *testing.T) {
	s := at(t, 1)
	s.survive("Temporal", house.Temporal.Kill, house.Temporal.Restart)
}

func TestPostgreSQLKilledInTheMiddleLosesNoAnsweredCommand(t *testing.T) {
	s := at(t, 2)
	s.survive("PostgreSQL", house.Postgres.Kill, house.Postgres.Restart)
}

// survive plays an incident's life, kills a part in the middle of the first call, and goes on after its return. People
// keep commenting all the while: each comment that was answered with success is there at the end, once.
func (s *scene) survive(part string, kill func(), restart func(context.Context) error) {
	s.t.Helper()
	s.persona("silent", "acknowledges")
	s.open(models.SeverityCritical)
	s.assess()
	s.isolate()
	s.publish()
	s.await("the first contact's phone to ring", func() (bool, error) { return s.inFlight(0), nil })
	stop := make(chan struct{})
	said := make(chan map[string]int, 1)
	go func() { said <- s.chatter(stop) }()
	tell("  kill -9 of %s", part)
	kill()
	s.rough = true
	s.await("the API to say that it cannot", func() (bool, error) {
		var rejected *stack.APIError
		err := s.analyst.Post(s.t.Context(), "/incidents/"+string(s.ref)+"/comment", &incident.Comment{Text: "while " + part + " is down"}, nil)
		return errors.As(err, &rejected) && rejected.Status == http.StatusServiceUnavailable && rejected.Title != "", nil
	})
	if err := restart(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	tell("  %s is back", part)
	s.reached()
	s.contained(incident.ContainmentContained)
	s.give(s.analyst, &incident.Comment{Text: "after the return"})
	close(stop)
	taken := <-said
	s.wantAgreement()
	s.nothingLost(taken)
	s.settle()
	s.closeIt()
	s.wantMails(notify.PurposePublished, notify.PurposeClosed)
	s.wantOrderlyCalls()
	s.wantOrders("contain", "lift_containment")
}

// chatter comments until it is stopped and returns the status each comment was answered with, 0 for none.
func (s *scene) chatter(stop <-chan struct{}) map[string]int {
	said := map[string]int{}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		text := fmt.Sprintf("comment %d", n)
		said[text], _ = s.lead.PostAs(s.t.Context(), uuid.NewString(), "/incidents/"+string(s.ref)+"/comment", &incident.Comment{Text: text}, nil)
		select {
		case <-stop:
			return said
		case <-tick.C:
		}
	}
}

func (s *scene) nothingLost(said map[string]int) {
	s.t.Helper()
	count := func() map[string]int {
		found := map[string]int{}
		for _, c := range happened[*incident.Commented](s) {
			found[c.Text]++
		}
		return found
	}
	var missing string
	defer func() {
		if s.t.Failed() {
			s.t.Log("missing: ", missing)
		}
	}()
	s.await("every comment that was taken", func() (bool, error) {
		found := count()
		for text, status := range said {
			if status/100 == 2 && found[text] == 0 {
				missing = fmt.Sprintf("%q, answered with %d", text, status)
				return false, nil
			}
		}
		return true, nil
	})
	found, statuses := count(), map[int]int{}
	for text, status := range said {
		statuses[status]++
		if found[text] > 1 {
			s.t.Errorf("%s: %q, answered with %d, is there %d times", s.ref, text, status, found[text])
		}
		switch status {
		case http.StatusOK, http.StatusAccepted, http.StatusServiceUnavailable:
		default:
			s.t.Errorf("%s: %q was answered with %d", s.ref, text, status)
		}
	}
	tell("  answers while it was killed: %v", statuses)
}
