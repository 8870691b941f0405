package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// presentation holds the search attributes by which an operator finds an incident in Temporal.
type presentation struct {
	phase, turn, severity, containment string
}

func presentationOf(i incident.Incident) presentation {
	return presentation{string(i.Phase), string(i.Turn), string(i.Severity), string(i.Containment())}
}

// updatePresentation upserts the search attributes that changed and rewrites the details.
func (w *incidentWorkflow) updatePresentation(ctx workflow.Context) {
	workflow.SetCurrentDetails(ctx, details(w.state))
	now := presentationOf(w.state.Incident)
	if now == w.shown {
		return
	}
	var changes []temporal.SearchAttributeUpdate
	add := func(name, was, is string) {
		if was != is {
			changes = append(changes, temporal.NewSearchAttributeKeyKeyword(name).ValueSet(is))
		}
	}
	add(models.AttributePhase, w.shown.phase, now.phase)
	add(models.AttributeTurn, w.shown.turn, now.turn)
	add(models.AttributeSeverity, w.shown.severity, now.severity)
	add(models.AttributeContainment, w.shown.containment, now.containment)
	w.shown = now
	if err := workflow.UpsertTypedSearchAttributes(ctx, changes...); err != nil {
		workflow.GetLogger(ctx).Error("search attributes not updated", "error", err)
	}
}

// details tells the incident's story in Markdown. It is stored in clear text, so it holds no title, name or address.
func details(s incident.State) string {
	i := s.Incident
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "- "+format+"\n", args...) }
	fmt.Fprintf(&b, "**%s** · %s · %s\n\n", i.Reference, i.Severity, strings.ReplaceAll(string(i.Phase), "_", " "))
	if i.Exercise.IsDrill() {
		line("a drill")
	}
	line("turn: %s since %s", i.Turn, i.TurnSince.Format(time.RFC3339))
	if i.IsPublished() {
		line("revision %d, first published %s", i.Revision, i.PublishedAt.Format(time.RFC3339))
	}
	switch {
	case i.Acknowledged != nil:
		line("acknowledged %s: %s, %s", i.Acknowledged.At.Format(time.RFC3339), i.Acknowledged.Channel, i.Acknowledged.How)
	case i.NeedsCalls():
		line("nobody reached yet, call round %d", i.CallRound)
	}
	for _, r := range s.Rounds {
		about := "the incident"
		if r.Approval != "" {
			about = "approval " + r.Approval
		}
		line("calls about %s, round %d: %d of %d contacts tried", about, r.Round, len(r.Tried), len(r.Contacts))
	}
	for _, e := range i.Endpoints {
		line("endpoint %s: wanted %s, EDR says %s", e.ID, e.Desired, e.Observed)
	}
	if u := i.Unsettled(); len(u) > 0 {
		line("recommendations not settled: %s", strings.Join(u, ", "))
	}
	for _, t := range i.Tasks {
		if !t.Done {
			line("task %s: %s", t.ID, strings.ReplaceAll(string(t.Kind), "_", " "))
		}
	}
	if i.Closure != nil && !i.IsOver() {
		line("closure requested; %v", i.ReadyToClose())
	}
	return b.String()
}
