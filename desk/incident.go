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
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

// OpenIncidentRequest is an analyst's request to open an incident.
type OpenIncidentRequest struct {
	Client   int             `json:"client"`   // number
	Title    string          `json:"title"`    // "" takes the first alert's
	Severity models.Severity `json:"severity"` // "" takes the worst of the alerts
	Alerts   []uuid.UUID     `json:"alerts"`
	Exercise models.Exercise `json:"exercise,omitempty"` // "" is none; a fire drill is started by StartFireDrill
	// OutsideContract is why a lead opens an incident for a client who is not live, or is outside of its contract.
	OutsideContract string `json:"outside_contract,omitempty"`
}

// OpenIncident opens an incident and starts its workflow. running is false when the incident is recorded but the engine
// did not answer: the reconciler starts the workflow later. The same key again returns the same incident. Invalid: a
// field is wrong, or the key was used for another request. NotFound: the client does not exist, or an alert is not the
// client's. Conflict: an alert belongs to an incident already, or the client is not live or outside of its contract, and no
// lead says why the incident is opened all the same.
func (d *Desk) OpenIncident(ctx context.Context, u models.User, in OpenIncidentRequest, key string) (i incident.Incident, running bool, err error) {
	if err := auth.Allow("open-incident", u.Role); err != nil {
		return i, false, err
	}
	asked, err := requestFingerprint("open-incident", in)
	if err != nil {
		return i, false, err
	}
	i, running, err = d.openIncident(ctx, u, in.Client, "open-incident", key, asked,
		func(tx *store.Tx, c models.Client) (incident.Opened, error) {
			if err := checkContract(c, tx.Now(), u.Role, in.OutsideContract); err != nil {
				return incident.Opened{}, err
			}
			return completeOpening(tx, in)
		})
	return i, running, withPointer("/client", err)
}

// checkContract returns why a user may not open an incident for a client at a moment: outside of the contract, and before
// the client is live, only a lead does, and says why.
func checkContract(c models.Client, now time.Time, by models.Role, reason string) error {
	zone, err := time.LoadLocation(c.TimeZone)
	if err != nil {
		return fmt.Errorf("the client's time zone: %w", err)
	}
	switch outside := c.Outside(now.In(zone)); {
	case outside == "" && reason != "":
		return models.InvalidField("/outside_contract", "is for clients who are not live or outside of their contract: this one is not")
	case outside == "":
		return nil
	case by != models.RoleLead:
		return models.Errorf(models.Conflict, "%s: only a lead opens an incident for it, with a reason in outside_contract", outside)
	case reason == "":
		return models.Errorf(models.Conflict, "%s: to open an incident all the same, say why in outside_contract", outside)
	}
	return models.CheckText("/outside_contract", reason, 300, true)
}

// openIncident opens an incident of the client with a number with the event that fill makes, and starts its workflow.
func (d *Desk) openIncident(ctx context.Context, u models.User, number int, operation, key, fingerprint string,
	fill func(*store.Tx, models.Client) (incident.Opened, error),
) (i incident.Incident, running bool, err error) {
	if err := d.use(ctx, u, number, operation); err != nil {
		return i, false, err
	}
	run, skipped, err := d.recordOpening(d.inClient(ctx, u, number), func(tx *store.Tx) (run incident.State, err error) {
		c, err := tx.Client()
		if err != nil {
			return run, err
		}
		run.Policy = c.Policy
		request := requestID(u, operation, key)
		run.Incident, err = tx.OpenedBy(request, fingerprint) // a repeat, whatever has become of the client
		if models.KindOf(err) != models.NotFound {
			return run, err
		}
		o, err := fill(tx, c)
		if err != nil {
			return run, err
		}
		run.Incident, err = tx.OpenIncident(o, u.Actor(), tx.Now(), request, fingerprint)
		if err == nil && run.Incident.Exercise.IsFireDrill() {
			err = checkDrills(tx, run.Incident.Reference)
		}
		return run, err
	}, func(r models.Reference) (taken, answered bool) { return d.isTaken(ctx, r) })
	if err != nil {
		return i, false, err
	}
	if skipped > 0 {
		d.tellOfSkipped(ctx, number, skipped)
	}
	starting, cancel := context.WithTimeout(ctx, d.wait)
	defer cancel()
	if err := StartIncident(starting, d.temporal, run, false); err != nil {
		d.log.WarnContext(ctx, "an incident waits for the engine", "incident", run.Incident.Reference, "error", err.Error())
		return run.Incident, false, nil
	}
	return run.Incident, true, nil
}

// errUnknownReference gives up a transaction in which nobody knows whether the engine has the next reference.
var errUnknownReference = errors.New("the engine was not asked about the next reference")

// recordOpening opens an incident in one transaction. It leaves out the references that isTaken reports, and returns
// how many. The engine is asked between transactions, never in one, because openings of one client wait for each other.
// When others take the references that it was asked about, it is asked about twice as many the next time.
func (d *Desk) recordOpening(in store.Scope, open func(*store.Tx) (incident.State, error), isTaken func(models.Reference) (taken, answered bool),
) (run incident.State, skipped int, err error) {
	known := map[models.Reference]bool{}
	for width := 1; ; width *= 2 {
		var next models.Reference
		run, err = store.Run(in, func(tx *store.Tx) (run incident.State, err error) {
			if known != nil {
				if skipped, next, err = tx.SkipReferences(known); err != nil {
					return run, err
				}
			}
			if next != "" {
				return run, errUnknownReference
			}
			return open(tx)
		})
		if !errors.Is(err, errUnknownReference) {
			return run, skipped, err
		}
		for n := range width {
			r := models.NewReference(next.ClientNumber(), next.Number()+n)
			taken, answered := isTaken(r)
			if !answered && n == 0 {
				known, skipped = nil, 0
			}
			if !answered {
				break
			}
			known[r] = taken
		}
	}
}

// isTaken asks whether the engine knows a reference that this database has not given. Then it was given before the
// database was restored from an older copy, and a reference is never given twice. An engine that does not answer keeps
// nobody from opening an incident.
func (d *Desk) isTaken(ctx context.Context, r models.Reference) (taken, answered bool) {
	if d.engineRests() {
		return false, false
	}
	asking, cancel := context.WithTimeout(ctx, d.wait)
	defer cancel()
	_, err := d.temporal.DescribeWorkflowExecution(asking, r.WorkflowID(), "")
	var none *serviceerror.NotFound
	if err == nil || errors.As(err, &none) {
		return err == nil, true
	}
	d.noteFailure(ctx)
	return false, false
}

// tellOfSkipped raises the alarm about references of a client that were left out.
func (d *Desk) tellOfSkipped(ctx context.Context, number, skipped int) {
	d.log.WarnContext(ctx, "references were left out that the engine knows and the database does not", "client", number, "count", skipped)
	err := d.store.RaiseAlarm(ctx, models.Alarm{
		Kind: models.AlarmReferenceSkipped, Subject: "client " + strconv.Itoa(number),
		Detail: strconv.Itoa(skipped) + " references were left out: the engine knows incidents that this database does not",
	})
	if err != nil {
		d.log.ErrorContext(ctx, "an alarm was not kept", "kind", string(models.AlarmReferenceSkipped), "client", number, "error", err.Error())
	}
}

// completeOpening takes the title and the severity that the request leaves open from its alerts.
func completeOpening(tx *store.Tx, in OpenIncidentRequest) (incident.Opened, error) {
	o := incident.Opened{Title: strings.TrimSpace(in.Title), Severity: in.Severity, Alerts: slices.Clone(in.Alerts), Exercise: cmp.Or(in.Exercise, models.ExerciseNone),
		OutsideContract: in.OutsideContract}
	if o.Alerts == nil {
		o.Alerts = []uuid.UUID{}
	}
	switch {
	case models.CheckTexts(in) != nil:
		return o, models.CheckTexts(in)
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
			title = models.CleanLine(a.Title, models.MaxTitle) // an alert may be older than the rules for its texts
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

// memoIncident names the memo of an incident's workflow that holds the incident's id: a reference alone may belong to
// another incident, of a database that was lost.
const memoIncident = "incident"

// StartIncident starts an incident's workflow. With again it does so also when an earlier workflow of the incident is
// over. It succeeds when the incident's workflow runs, or ran, already. Conflict: a workflow with the incident's
// reference runs, or ran, and is another incident's.
func StartIncident(ctx context.Context, t Temporal, run incident.State, again bool) error {
	i := run.Incident
	run.Policy = withPolicyDefaults(run.Policy) // a client may be older than a field of the policy
	reuse := enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
	if again {
		reuse = enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
	}
	_, err := t.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: i.Reference.WorkflowID(), TaskQueue: models.QueueIncidents,
		WorkflowIDReusePolicy:                    reuse,
		WorkflowIDConflictPolicy:                 enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		WorkflowTaskTimeout:                      models.WorkflowTaskTimeout,
		StaticSummary:                            fmt.Sprintf("%s · %s", i.Reference, i.Severity),
		Memo:                                     map[string]any{memoIncident: i.ID()},
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
	if !errors.As(err, &exists) {
		if err != nil {
			return fmt.Errorf("start %s: %w", i.Reference, err)
		}
		return nil
	}
	known, err := t.DescribeWorkflowExecution(ctx, i.Reference.WorkflowID(), "")
	if err != nil {
		return fmt.Errorf("look whose workflow runs as %s: %w", i.Reference, err)
	}
	if !IsWorkflowOf(known, i.ID()) {
		return models.Errorf(models.Conflict, "%s is another incident in the workflow engine", i.Reference)
	}
	return nil
}

// IsWorkflowOf reports whether a workflow is that of the incident with an id. A workflow that was started before ids
// were kept is.
func IsWorkflowOf(w *workflowservice.DescribeWorkflowExecutionResponse, incident uuid.UUID) bool {
	p, kept := w.GetWorkflowExecutionInfo().GetMemo().GetFields()[memoIncident]
	var id uuid.UUID
	return !kept || converter.GetDefaultDataConverter().FromPayload(p, &id) == nil && id == incident
}

func keywordAttribute(name, value string) temporal.SearchAttributeUpdate {
	return temporal.NewSearchAttributeKeyKeyword(name).ValueSet(value)
}
