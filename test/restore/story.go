package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// story is one incident with what people were promised about it.
type story struct {
	w        *world
	number   int // of the client
	ref      models.Reference
	title    string
	severity models.Severity
	host     string
	said     []string       // comments that were answered with 200 or 202
	wants    string         // of its device: "isolated", "normal", or "" without one
	phase    incident.Phase // it must be in
}

// open opens an incident at one of the clients, at each in turn.
func (w *world) open(ctx context.Context, severity models.Severity) (*story, error) {
	w.mu.Lock()
	c := w.Dev.Clients[w.hosts%len(w.Dev.Clients)]
	w.mu.Unlock()
	return w.openAt(ctx, c.Number, severity)
}

// openAt opens an incident at the client of a number.
func (w *world) openAt(ctx context.Context, number int, severity models.Severity) (*story, error) {
	w.mu.Lock()
	w.hosts++
	s := &story{w: w, number: number, severity: severity, phase: incident.PhaseInvestigating}
	s.title, s.host = fmt.Sprintf("Drill %d", w.hosts), fmt.Sprintf("WS-%03d.drill", w.hosts)
	w.mu.Unlock()
	var i incident.Incident
	err := w.Dev.Person(models.RoleAnalyst, 0).Post(ctx, "/incidents", map[string]any{"client": s.number, "severity": severity, "title": s.title}, &i)
	if err != nil {
		return nil, fmt.Errorf("open an incident: %w", err)
	}
	s.ref = i.Reference
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stories = append(w.stories, s)
	return s, nil
}

// send lets somebody send a command, which must be carried out or queued.
func (s *story) send(ctx context.Context, role models.Role, c incident.Command) error {
	number := s.number
	if role.Side() == models.SideSOC {
		number = 0
	}
	key := uuid.NewString()
	return await(ctx, fmt.Sprintf("%s: %s", s.ref, c.Name()), func() error {
		_, err := s.w.Dev.Person(role, number).PostAs(ctx, key, "/incidents/"+string(s.ref)+"/"+c.Name(), c, nil)
		var answer *stack.APIError
		if errors.As(err, &answer) && answer.Status < http.StatusInternalServerError && answer.Status != http.StatusTooManyRequests {
			return fmt.Errorf("%w: %w", errFinal, err)
		}
		return err
	})
}

func (s *story) read(ctx context.Context) (i incident.Incident, err error) {
	return i, s.w.Dev.Person(models.RoleAnalyst, 0).Get(ctx, "/incidents/"+string(s.ref), &i)
}

// until waits for a state of the incident.
func (s *story) until(ctx context.Context, what string, isSo func(incident.Incident) bool) error {
	return await(ctx, fmt.Sprintf("%s: %s", s.ref, what), func() error {
		i, err := s.read(ctx)
		if err == nil && !isSo(i) {
			err = fmt.Errorf("it is %s at event %d", i.Phase, i.Seq)
		}
		return err
	})
}

// steps runs steps until one fails.
func steps(all ...func() error) error {
	for _, step := range all {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// comment says something that must stand in the log once.
func (s *story) comment(ctx context.Context) error {
	text := fmt.Sprintf("said %s", uuid.NewString())
	if err := s.send(ctx, models.RoleAnalyst, &incident.Comment{Text: text}); err != nil {
		return err
	}
	s.said = append(s.said, text)
	return nil
}

// publish assesses and publishes the incident, and waits until the client was reached if it is critical.
func (s *story) publish(ctx context.Context) error {
	text := "Files are being encrypted."
	s.phase = incident.PhasePublished
	return steps(
		func() error { return s.send(ctx, models.RoleAnalyst, &incident.Assess{Summary: &text}) },
		func() error { return s.send(ctx, models.RoleAnalyst, &incident.Publish{}) },
		func() error {
			return s.until(ctx, "the client to be reached", func(i incident.Incident) bool {
				return i.IsPublished() && (s.severity != models.SeverityCritical || i.Acknowledged != nil && !i.CallRoundEnded.IsZero())
			})
		},
	)
}

func (s *story) isolate(ctx context.Context) error {
	s.wants = "isolated"
	return steps(
		func() error {
			return s.send(ctx, models.RoleAnalyst, &incident.Isolate{Hostname: s.host, Reason: "Beacon."})
		},
		func() error {
			return s.until(ctx, "containment", func(i incident.Incident) bool { return i.Containment() == incident.ContainmentContained })
		},
	)
}

func (s *story) release(ctx context.Context) error {
	s.wants = "normal"
	return steps(
		func() error {
			return s.send(ctx, models.RoleResponder, &incident.Release{Endpoint: "e1", Reason: "Reinstalled."})
		},
		func() error {
			return s.until(ctx, "release", func(i incident.Incident) bool { return i.Containment() == incident.ContainmentReleased })
		},
	)
}

// end closes the incident: the client asks for it, the SOC verifies, the client rates.
func (s *story) end(ctx context.Context) error {
	s.phase = incident.PhaseClosed
	return steps(
		func() error {
			return s.send(ctx, models.RoleAdmin, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "Restored."})
		},
		func() error { return s.send(ctx, models.RoleAnalyst, &incident.Verify{Gone: true, Note: "Quiet."}) },
		func() error {
			return s.until(ctx, "closure", func(i incident.Incident) bool { return i.Phase == incident.PhaseClosed })
		},
		func() error { return s.send(ctx, models.RoleAdmin, &incident.GiveFeedback{Rating: 5}) },
	)
}

func (s *story) dismiss(ctx context.Context) error {
	s.phase = incident.PhaseDismissed
	return s.send(ctx, models.RoleAnalyst, &incident.Dismiss{Reason: "A scanner of the client."})
}
