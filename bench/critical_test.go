package bench

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"github.com/watchfire-mdr/watchfire/models"
)

// The limits on the costs of the path that matters at three in the morning: from the request to publish a critical
// incident, of which three contacts are mailed and the first one called, who presses 1, until that is in the store. The
// test does not judge time.
const (
	maxPathTasks      = 5       // measured 4
	maxPathActivities = 3       // measured 3: the events and the mails, the call, and the events since
	maxPathEvents     = 33      // in its workflow's history; measured 28
	maxPathStatements = 132     // sent to our database; measured 115, most of them for the vendors' callbacks
	maxPathEngine     = 148     // to Temporal's; measured 128
	maxPathWAL        = 122_000 // bytes, of all databases; measured 105 thousand
)

const countedPaths = 20

func TestTheCostsOfTheCriticalPathStayWithinTheirLimits(t *testing.T) {
	a := startForCounting(t)
	run := func(most int) (refs []models.Reference) {
		t.Helper()
		r := &Reach{AtOnce: 1, requested: map[models.Reference]time.Time{}}
		op, err := r.preparePublish(t.Context(), a, load{most: most})
		if err != nil {
			t.Fatal(err)
		}
		awaitReports(t, a)
		before := readPathCosts(t, a)
		for n := range most {
			if _, err := op.do(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			refs = slices.Collect(maps.Keys(r.requested))
			if err := await(t.Context(), "acknowledged", len(refs), func() (int, error) { return a.countAcknowledged(t.Context(), refs) }); err != nil {
				t.Fatal(err)
			}
		}
		awaitReports(t, a)
		after := readPathCosts(t, a)
		if most < countedPaths {
			return refs
		}
		per := func(after, before int64) float64 { return float64(after-before) / float64(most) }
		wantAtMost(t, "SQL statements", per(after.ours, before.ours), maxPathStatements)
		wantAtMost(t, "SQL statements of Temporal", per(after.engine, before.engine), maxPathEngine)
		wantAtMost(t, "bytes of WAL", per(after.wal, before.wal), maxPathWAL)
		return refs
	}
	run(countedPaths / 2) // everything is warm
	var tasks, activities, events []float64
	for _, ref := range run(countedPaths) {
		p, err := readPath(t.Context(), a, ref)
		if err != nil {
			t.Fatal(err)
		}
		if p.failed > 0 {
			t.Errorf("%s: %.0f of its tasks failed", ref, p.failed)
		}
		tasks, activities, events = append(tasks, p.tasks), append(activities, p.activities), append(events, p.events)
	}
	wantAtMost(t, "workflow tasks", spreadOf(tasks).Median, maxPathTasks)
	wantAtMost(t, "activities", spreadOf(activities).Median, maxPathActivities)
	wantAtMost(t, "events", spreadOf(events).Median, maxPathEvents)
}

type pathCosts struct{ ours, engine, wal int64 }

func readPathCosts(t *testing.T, a *arena) (c pathCosts) {
	t.Helper()
	s, err := a.databases.statements(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.ours, c.engine = s[dbOurs], s[dbTemporal]
	if err := a.databases.conns[dbOurs].QueryRow(t.Context(), "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint").Scan(&c.wal); err != nil {
		t.Fatal(err)
	}
	return c
}

// criticalPath is what an incident's history says since its publication.
type criticalPath struct{ tasks, failed, activities, events float64 }

// readPath counts from the publication to the end of the history.
func readPath(ctx context.Context, a *arena, r models.Reference) (p criticalPath, err error) {
	published := false
	for it := a.temporal.GetWorkflowHistory(ctx, r.WorkflowID(), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); {
		e, err := it.Next()
		if err != nil {
			return p, err
		}
		if u := e.GetWorkflowExecutionUpdateAcceptedEventAttributes(); u.GetAcceptedRequest().GetInput().GetName() == "publish" {
			published, p.tasks = true, 1 // the task that took it is completed just before
		}
		if !published {
			continue
		}
		p.events++
		switch e.GetEventType() {
		case enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
			p.tasks++
		case enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED, enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
			p.failed++
		case enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
			p.activities++
		}
	}
	return p, nil
}
