package workflows_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// A command waits for a worker, and its sender is disabled before one is there. It does not count, on either side, and
// everybody can see that.
func TestWhoWasDisabledDoesNotCount(t *testing.T) {
	s, gone := newStory(t), uuid.NewString()
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.env.RegisterDelayedCallback(func() {
		s.disabled = map[string]bool{user(models.RoleResponder).ID: true, gone: true}
	}, 2*time.Minute)
	s.rejectedAfter(3*time.Minute, models.RoleResponder, &incident.Comment{Text: "Close it."}, models.Forbidden)
	s.env.RegisterDelayedCallback(func() {
		done, forbidden := s.request(models.RoleAnalyst, &incident.Comment{Text: "Done."}), models.Forbidden
		done.Actor.ID = gone
		s.give(done, "comment", &forbidden)
	}, 4*time.Minute)
	s.after(5*time.Minute, models.RoleLead, &incident.Comment{Text: "We look."})
	s.env.RegisterDelayedCallback(func() { s.disabled = nil }, time.Hour)
	s.closes(8 * time.Hour)
	s.run(models.SeverityMedium)
	if s.count("command_rejected") != 2 || s.count("commented") != 1 {
		t.Errorf("%d rejections, %d comments; want 2, 1", s.count("command_rejected"), s.count("commented"))
	}
}
