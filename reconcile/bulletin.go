package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
)

// Bulletin tells the operator of alarms over one channel.
type Bulletin struct {
	Name string // "mail", "text" or "webhook"
	Send func(ctx context.Context, alarms []models.Alarm) error
}

// shown bounds the alarms that one bulletin lists; it counts the others.
const shown = 20

// sendBulletins tells the operator, over every channel, of the alarms that began and of those that ended: each once,
// all that are due in one bulletin. A channel that fails is tried again in the next pass.
func (r *Reconciler) sendBulletins(ctx context.Context) error {
	var problems []error
	for _, n := range r.Bulletins {
		if err := r.sendBulletin(ctx, n); err != nil {
			problems = append(problems, fmt.Errorf("tell the operator by %s: %w", n.Name, err))
		}
	}
	return errors.Join(problems...)
}

func (r *Reconciler) sendBulletin(ctx context.Context, n Bulletin) error {
	end := n.Name + " ended"
	due, err := r.Store.UnannouncedAlarms(ctx, n.Name, end)
	if err != nil || len(due) == 0 {
		return err
	}
	if err := n.Send(ctx, due); err != nil {
		return err
	}
	var begun, ended []uuid.UUID
	for _, a := range due {
		if !slices.Contains(a.Announced, n.Name) {
			begun = append(begun, a.ID)
		}
		if !a.EndedAt.IsZero() {
			ended = append(ended, a.ID)
		}
	}
	return errors.Join(r.Store.NoteAnnounced(ctx, begun, n.Name), r.Store.NoteAnnounced(ctx, ended, end))
}

// Subject returns the subject line of a bulletin about alarms.
func Subject(alarms []models.Alarm) string {
	open := countOpen(alarms)
	switch {
	case open == 0:
		return fmt.Sprintf("Watchfire: %s ended", count(len(alarms)))
	case len(alarms) == 1:
		return "Watchfire alarm: " + line(alarms[0])
	}
	return fmt.Sprintf("Watchfire: %s, %d of them open", count(len(alarms)), open)
}

// Text returns a bulletin about alarms as plain text: no client's data but references.
func Text(alarms []models.Alarm) string {
	var b strings.Builder
	for _, a := range alarms[:min(len(alarms), shown)] {
		state := "since " + a.Since.Format("2006-01-02 15:04:05 UTC")
		if !a.EndedAt.IsZero() {
			state = "ended " + a.EndedAt.Format("2006-01-02 15:04:05 UTC")
		}
		fmt.Fprintf(&b, "%s, %s: %s\n", line(a), state, a.Detail)
	}
	if rest := len(alarms) - shown; rest > 0 {
		fmt.Fprintf(&b, "and %d more\n", rest)
	}
	return b.String()
}

// line names an alarm in few words.
func line(a models.Alarm) string {
	return strings.ReplaceAll(string(a.Kind), "_", " ") + " " + a.Subject
}

func count(n int) string {
	if n == 1 {
		return "1 alarm"
	}
	return fmt.Sprintf("%d alarms", n)
}

func countOpen(alarms []models.Alarm) (n int) {
	for _, a := range alarms {
		if a.EndedAt.IsZero() {
			n++
		}
	}
	return n
}
