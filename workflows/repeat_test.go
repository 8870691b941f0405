package workflows_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// reasons returns why commands were rejected, in order.
func (s *story) reasons() (all []string) {
	for _, e := range s.events {
		if d, ok := e.Data.(*incident.CommandRejected); ok {
			all = append(all, d.Reason)
		}
	}
	return all
}

// assessed lets the report have a summary, which publish needs.
func (s *story) assessed(at time.Duration) {
	summary := "A beacon to a known server."
	s.after(at, models.RoleAnalyst, &incident.Assess{Summary: &summary})
}

// Somebody with Temporal's address plays a sealed request under another name: an unfinished report would be published in
// the name of an analyst who asked for something else.
func TestARequestIsForTheCommandThatItSays(t *testing.T) {
	forbidden := models.Forbidden
	for name, update := range map[string]bool{"as a signal": false, "as an update": true} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			asked := s.request(models.RoleAnalyst, &incident.Publish{})
			unsaid := s.request(models.RoleAnalyst, &incident.Expedite{})
			unsaid.Fingerprint = ""
			s.signalAfter(time.Minute, asked, "publish") // rejected: there is no summary yet
			s.env.RegisterDelayedCallback(func() {
				for n, r := range []incident.CommandRequest{asked, unsaid, asked} { // the last is seen once
					if update {
						s.update(fmt.Sprint(n), r, "expedite", &forbidden)
					} else {
						s.env.SignalWorkflow("expedite", r)
					}
				}
			}, time.Hour)
			during := s.at(2 * time.Hour)
			s.after(3*time.Hour, models.RoleLead, &incident.Expedite{})
			s.closes(8 * time.Hour)
			s.run(models.SeverityMedium)
			if during.IsPublished() || s.count("command_rejected") != 3 {
				t.Errorf("published %v, rejected because %q", during.IsPublished(), s.reasons())
			}
			for _, e := range s.events {
				d, is := e.Data.(*incident.CommandRejected)
				if is && d.Command == "expedite" && (d.RequestID != "" || d.By != user(models.RoleAnalyst)) {
					t.Errorf("the rejection cites %q by %+v: whose it was asked for something else", d.RequestID, d.By)
				}
			}
		})
	}
}

// What was rejected is played again when it would be accepted.
func TestARejectedRequestStaysRejectedUntilItsSenderAsksAgain(t *testing.T) {
	gone := uuid.NewString()
	for name, reject := range map[string]func(*story, incident.CommandRequest) models.Kind{
		"as a signal, before there was a summary": func(s *story, r incident.CommandRequest) models.Kind {
			s.env.SignalWorkflow("publish", r)
			return models.Conflict
		},
		"as an update, while its sender was disabled": func(s *story, r incident.CommandRequest) models.Kind {
			summary, forbidden := "A beacon.", models.Forbidden
			s.give(s.request(models.RoleLead, &incident.Assess{Summary: &summary}), "assess", nil)
			s.disabled = map[string]bool{gone: true}
			s.give(r, "publish", &forbidden)
			return forbidden
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			asked := s.request(models.RoleAnalyst, &incident.Publish{})
			asked.Actor.ID = gone
			var kind models.Kind
			s.env.RegisterDelayedCallback(func() { kind = reject(s, asked) }, time.Minute)
			s.assessed(time.Hour)
			s.env.RegisterDelayedCallback(func() { s.disabled = nil }, time.Hour)
			s.signalAfter(2*time.Hour, asked, "publish")
			s.env.RegisterDelayedCallback(func() { s.update("again", asked, "publish", &kind) }, 3*time.Hour)
			during := s.at(4 * time.Hour)
			s.env.RegisterDelayedCallback(func() {
				again := asked
				again.Recorded = s.seq()
				s.update("anew", again, "publish", nil)
			}, 5*time.Hour)
			s.closes(8 * time.Hour)
			i := s.run(models.SeverityMedium)
			if during.IsPublished() || i.Revision != 1 || s.count("command_rejected") != 1 {
				t.Errorf("published %v by a repeat; revision %d when it was asked for again; rejected because %q", during.IsPublished(), i.Revision, s.reasons())
			}
		})
	}
}
