package desk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

// sweepAfter is how old an incident without a running workflow must be before Sweep starts it.
const sweepAfter = 30 * time.Second

// OpenIncidentRequest is an analyst's request to open an incident.
type OpenIncidentRequest struct {
	Client   int             `json:"client"`   // number
	Title    string          `json:"title"`    // "" takes the first alert's
	Severity models.Severity `json:"severity"` // "" takes the worst of the alerts
	Alerts   []uuid.UUID     `json:"alerts"`
	Exercise models.Exercise `json:"exercise,omitempty"` // "" is none; a fire drill is started by StartFireDrill
}

// OpenIncident opens an incident and starts its workflow. running is false when the incident is recorded but the engine
// did not answer: Sweep starts the workflow later. The same key again returns the same incident. Invalid: a field is
// wrong, or the key was used for another request. NotFound: the client does not exist, or an alert is not the client's.
// Conflict: an alert belongs to an incident already.
func (d *Desk) OpenIncident(ctx context.Context, u models.User, in OpenIncidentRequest, key string) (i incident.Incident, running bool, err error) {
	if err := auth.Allow("open-incident", u.Role); err != nil {
		return i, false, err
	}
	asked, err := requestFingerprint("open-incident", in)
	if err != nil {
		return i, false, err
	}
	i, running, err = d.openIncident(ctx, u, in.Client, requestID(u, "open-incident", key), asked,
		func(tx *store.Tx) (incident.Opened, error) { return completeOpening(tx, in) })
	return i, running, withPointer("/client", err)
}

// openIncident opens an incident of the client with a number with the event that fill makes, and starts its workflow.
func (d *Desk) openIncident(ctx context.Context, u models.User, number int, request, fingerprint string, fill func(*store.Tx) (incident.Opened, error),
) (i incident.Incident, running bool, err error) {
	run, err := store.Run(d.inClient(ctx, u, number), func(tx *store.Tx) (run incident.State, err error) {
		c, err := tx.Client()
		if err != nil {
			return run, err
		}
		o, err := fill(tx)
		if err != nil {
			return run, err
		}
		run.Policy = c.Policy
		run.Incident, err = tx.OpenIncident(o, u.Actor(), d.moment(), request, fingerprint)
		return run, err
	})
	if err != nil {
		return i, false, err
	}
	if err := d.startIncident(ctx, run); err != nil {
		d.log.WarnContext(ctx, "an incident waits for the engine", "incident", run.Incident.Reference, "error", err.Error())
		return run.Incident, false, nil
	}
	return run.Incident, true, nil
}

// completeOpening takes the title and the severity that the request leaves open from its alerts.
func completeOpening(tx *store.Tx, in OpenIncidentRequest) (incident.Opened, error) {
	o := incident.Opened{Title: strings.TrimSpace(in.Title), Severity: in.Severity, Alerts: slices.Clone(in.Alerts), Exercise: cmp.Or(in.Exercise, models.ExerciseNone)}
	if o.Alerts == nil {
		o.Alerts = []uuid.UUID{}
	}
	switch {
	case o.Severity != "" && !o.Severity.IsValid():
		return o, models.InvalidField("/severity", "is not a severity")
	case o.Exercise != models.ExerciseNone && o.Exercise != models.ExerciseOrdinary:
		return o, models.InvalidField("/exercise", "must be one of none, exercise")
	case len(o.Alerts) == 0 && o.Title == "":
		return o, models.InvalidField("/title", "is required without alerts")
	case len(o.Alerts) == 0 && o.Severity == "":
		return o, models.InvalidField("/severity", "is required without alerts")
	case o.Title != "" && o.Severity != "":
		return o, nil
	}
	title, severity := "", models.SeverityLow
	for n, id := range o.Alerts {
		a, err := tx.Alert(id)
		if models.KindOf(err) == models.NotFound {
			return o, &models.Error{Kind: models.NotFound, Field: fmt.Sprintf("/alerts/%d", n), Message: "alert not found"}
		}
		if err != nil {
			return o, err
		}
		if n == 0 {
			title = a.Title
		}
		severity = worseSeverity(severity, a.Severity)
	}
	if o.Title == "" {
		o.Title = title
	}
	if o.Severity == "" {
		o.Severity = severity
	}
	return o, nil
}

// worseSeverity returns the worse of two severities; an unknown one counts for nothing.
func worseSeverity(a, b models.Severity) models.Severity {
	order := models.Severities()
	if n := slices.Index(order, b); n >= 0 && n < slices.Index(order, a) {
		return b
	}
	return a
}

// startIncident starts an incident's workflow. It succeeds when the workflow runs, or ran, already.
func (d *Desk) startIncident(ctx context.Context, run incident.State) error {
	ctx, cancel := context.WithTimeout(ctx, d.wait)
	defer cancel()
	i := run.Incident
	run.Policy = withPolicyDefaults(run.Policy) // a client may be older than a field of the policy
	_, err := d.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: i.Reference.WorkflowID(), TaskQueue: models.QueueIncidents,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		StaticSummary:            fmt.Sprintf("%s · %s", i.Reference, i.Severity),
		TypedSearchAttributes: temporal.NewSearchAttributes(
			keywordAttribute(models.AttributeClient, strconv.Itoa(i.Reference.ClientNumber())),
			keywordAttribute(models.AttributePhase, string(i.Phase)),
			keywordAttribute(models.AttributeTurn, string(i.Turn)),
			keywordAttribute(models.AttributeSeverity, string(i.Severity)),
			keywordAttribute(models.AttributeContainment, string(i.Containment())),
			temporal.NewSearchAttributeKeyBool(models.AttributeDrill).ValueSet(i.Exercise.IsDrill()),
		),
	}, models.IncidentWorkflow, run)
	var exists *serviceerror.WorkflowExecutionAlreadyStarted
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("start %s: %w", i.Reference, err)
	}
	return nil
}

func keywordAttribute(name, value string) temporal.SearchAttributeUpdate {
	return temporal.NewSearchAttributeKeyKeyword(name).ValueSet(value)
}

// Sweep starts the workflows of incidents that were recorded but never ran, because a process ended in between or the
// engine was down. A workflow that runs already, but has recorded nothing yet, is only marked as running. Sweep returns
// how many incidents it took care of, and may run in several processes at once.
func (d *Desk) Sweep(ctx context.Context) (int, error) {
	waiting, err := d.store.IncidentsNotRunning(ctx, d.moment().Add(-sweepAfter))
	if err != nil {
		return 0, fmt.Errorf("find incidents without a workflow: %w", err)
	}
	started := 0
	for _, run := range waiting {
		if failed := d.startIncident(ctx, run); failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		failed := d.store.ForClient(ctx, store.SOC, run.Incident.ClientID, func(tx *store.Tx) error {
			return tx.MarkRunning(run.Incident.Reference)
		})
		err = errors.Join(err, failed)
		started++
	}
	return started, err
}
