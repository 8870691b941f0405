package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// wantEveryCommentOnce checks that the store has each of so many comments, told apart by their first word, once.
func (s *scene) wantEveryCommentOnce(want int) {
	s.t.Helper()
	found := map[string]int{}
	for _, c := range eventsOf[*incident.Commented](s) {
		word, _, _ := strings.Cut(c.Text, " ")
		found[word]++
	}
	for word, times := range byName(found) {
		if times != 1 {
			s.t.Errorf("comment %s is there %d times", word, times)
		}
	}
	if len(found) != want {
		s.t.Errorf("%d comments are there, want %d", len(found), want)
	}
}

// commentRequest is a comment as the desk would send it, from somebody who commented before.
func (s *scene) commentRequest(by models.Actor, text string) incident.CommandRequest {
	s.t.Helper()
	body, err := json.Marshal(&incident.Comment{Text: text})
	if err != nil {
		s.t.Fatal(err)
	}
	return incident.CommandRequest{
		CommandContext: incident.CommandContext{RequestID: uuid.NewString(), Actor: by, Via: "api"}, Fingerprint: incident.Fingerprint("comment", body), Body: body,
	}
}

// commenter lets the analyst comment, and returns how the incident names them.
func (s *scene) commenter() models.Actor {
	s.t.Helper()
	s.send(s.analyst, &incident.Comment{Text: "first"})
	events, err := s.events()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range events {
		if e.Type == "commented" {
			return e.Actor
		}
	}
	s.t.Fatal("there is no comment")
	return models.Actor{}
}

// A request that comes a second time after the workflow has forgotten it is not carried out again.
func TestALateRepeatOfACommandIsNotCarriedOutAgain(t *testing.T) {
	s := newScene(t, 2)
	s.retry = true // a busy machine may answer 202 or 503
	s.open(models.SeverityLow)
	s.assess()
	s.publish()
	by := s.commenter()
	c := temporal(t)
	signal := func(r incident.CommandRequest) {
		t.Helper()
		if err := c.SignalWorkflow(t.Context(), s.ref.WorkflowID(), "", "comment", r); err != nil {
			t.Fatal(err)
		}
	}
	late := s.commentRequest(by, "late")
	signal(late)
	for n := range 220 {
		signal(s.commentRequest(by, fmt.Sprintf("c%d", n)))
	}
	s.await("all comments", func() (bool, error) { return len(eventsOf[*incident.Commented](s)) >= 222, nil })
	signal(late)
	h, err := c.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{
		UpdateID: "late-" + late.RequestID, WorkflowID: s.ref.WorkflowID(), UpdateName: "comment", Args: []any{late},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	var again incident.CommandResult
	if err == nil {
		err = h.Get(t.Context(), &again)
	}
	if err != nil || again.RequestID != late.RequestID || again.FirstSeq == 0 {
		t.Errorf("the repeat was answered with %+v, %v", again, err)
	}
	s.send(s.analyst, &incident.Comment{Text: "last"})
	s.wantEveryCommentOnce(223)
	s.wantAgreement()
}

// One user cannot flood an incident, and keeps nobody else from acting on it.
func TestALoopOfCommandsIsSlowedDown(t *testing.T) {
	s := newScene(t, 2)
	s.retry = true // a busy machine may answer 202 or 503
	s.open(models.SeverityLow)
	s.assess()
	s.publish()
	var group errgroup.Group
	var slowed, taken atomic.Int64
	for n := range 24 {
		group.Go(func() error {
			for k := 0; k < 10 || slowed.Load() == 0 && k < 100; k++ { // a busy machine is slow by itself
				_, err := s.analyst.Command(t.Context(), s.ref, &incident.Comment{Text: fmt.Sprintf("c%d.%d", n, k)})
				var rejected *stack.APIError
				switch {
				case err == nil:
					taken.Add(1)
				case errors.As(err, &rejected) && rejected.Status == http.StatusTooManyRequests:
					slowed.Add(1)
				default:
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if slowed.Load() == 0 {
		t.Errorf("all of %d comments were taken at once", taken.Load())
	}
	s.send(s.responder, &incident.Comment{Text: "Somebody else is not slowed down."})
	s.await("all comments", func() (bool, error) { return len(eventsOf[*incident.Commented](s)) > int(taken.Load()), nil })
	s.wantEveryCommentOnce(int(taken.Load()) + 1)
	printProgress("  %d comments taken, %d slowed down", taken.Load(), slowed.Load())
}
