package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

const (
	// mailsPerIncident is the number of a seeded client's contacts who are mailed about an incident of the least
	// severity. The comparisons measure that severity: it has no calls and no isolations, whose time is that of people
	// and vendors.
	mailsPerIncident = 2
	handoverPatience = 20 * time.Second
)

// peopleFor returns the people of the client for the n-th operation: the clients share the load.
func (a *arena) peopleFor(n int) people { return a.people[n%len(a.people)] }

// open lets the analyst open an incident and returns its reference.
func (p people) open(ctx context.Context, s models.Severity) (models.Reference, error) {
	var opened struct {
		Reference models.Reference `json:"reference"`
	}
	err := p.analyst.Post(ctx, "/incidents", p.opening(s), &opened)
	return opened.Reference, err
}

// opening is the body of a request to open an incident.
func (p people) opening(s models.Severity) map[string]any {
	return map[string]any{"client": p.client, "title": "Suspicious sign-in from a new country", "severity": s}
}

// oursOpen opens incidents.
func oursOpen(_ context.Context, a *arena, _ load) (operation, error) {
	return operation{do: func(ctx context.Context, n int) (time.Duration, error) {
		return measure(func() error {
			_, err := a.peopleFor(n).open(ctx, models.SeverityLow)
			return err
		})
	}}, nil
}

// assessment returns a command of ordinary size that notifies nobody.
func assessment(n int) incident.Command {
	summary := fmt.Sprintf("Sign-in number %d from an address never seen for this account. Its session was ended, its second factor is intact.", n)
	techniques, assets := []string{"T1078"}, []string{"WS-0042"}
	return &incident.Assess{Summary: &summary, Techniques: &techniques, Assets: &assets}
}

// openIncident is an open, assessed incident that waits for its analyst.
type openIncident struct {
	by  people
	ref models.Reference
}

// opener returns a function that opens and assesses the n-th incident, of a severity.
func (a *arena) opener(s models.Severity) func(ctx context.Context, n int) (openIncident, error) {
	return func(ctx context.Context, n int) (openIncident, error) { return a.openBy(ctx, a.peopleFor(n), s, n) }
}

// openBy lets people open and assess an incident. Its workflow runs when it returns.
func (a *arena) openBy(ctx context.Context, by people, s models.Severity, n int) (o openIncident, err error) {
	o.by = by
	if o.ref, err = by.open(ctx, s); err == nil {
		_, err = by.analyst.Command(ctx, o.ref, assessment(n))
	}
	return o, err
}

// oursCommand sends commands to open incidents.
func oursCommand(ctx context.Context, a *arena, l load) (operation, error) {
	free, err := fillPool(ctx, max(poolSize, l.clients), a.opener(models.SeverityLow))
	return operation{do: func(ctx context.Context, n int) (time.Duration, error) {
		o := <-free
		defer func() { free <- o }()
		return measure(func() error {
			_, err := o.by.analyst.Command(ctx, o.ref, assessment(n))
			return err
		})
	}}, err
}

// oursLifecycle runs incidents from their opening to the end of their workflows.
func oursLifecycle(_ context.Context, a *arena, _ load) (operation, error) {
	var mu sync.Mutex
	var last models.Reference
	return operation{
		do: func(ctx context.Context, n int) (time.Duration, error) {
			ref, took, err := a.runLife(ctx, n)
			mu.Lock()
			defer mu.Unlock()
			last = ref
			return took, err
		},
		history: func(ctx context.Context) (float64, error) { return historyLength(ctx, a.temporal, last.WorkflowID()) },
	}, nil
}

// runLife takes one incident from its opening to the end of its workflow, after closure and feedback, and returns how
// long that took.
func (a *arena) runLife(ctx context.Context, n int) (ref models.Reference, took time.Duration, err error) {
	p := a.peopleFor(n)
	took, err = measure(func() error {
		if ref, err = p.open(ctx, models.SeverityLow); err != nil {
			return fmt.Errorf("open: %w", err)
		}
		for _, s := range p.script(n) {
			if _, err := s.by.Command(ctx, ref, s.command); err != nil {
				return fmt.Errorf("%s: %w", s.command.Name(), err)
			}
		}
		return a.temporal.GetWorkflow(ctx, ref.WorkflowID(), "").Get(ctx, nil)
	})
	return ref, took, err
}

// oursHandover publishes incidents and measures until the vendor has a mail about each.
func oursHandover(ctx context.Context, a *arena, l load) (operation, error) {
	free, err := fillPool(ctx, l.expected(), a.opener(models.SeverityLow))
	var requested requests[models.Reference]
	return operation{
		do: func(ctx context.Context, _ int) (time.Duration, error) {
			o := <-free
			return requested.send(o.ref, func() error {
				_, err := o.by.analyst.Command(ctx, o.ref, &incident.Publish{})
				return err
			})
		},
		finish: func(ctx context.Context) ([]time.Duration, error) { return a.awaitMails(ctx, requested.at) },
	}, err
}

// awaitMails waits until the vendor has a mail about every incident and returns how long after the request it got the
// first one, in the order of the references.
func (a *arena) awaitMails(ctx context.Context, requested map[models.Reference]time.Time) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, handoverPatience)
	defer cancel()
	for {
		firsts, err := a.firstMails(ctx)
		if err != nil {
			return nil, err
		}
		var each []time.Duration
		for _, ref := range slices.Sorted(maps.Keys(requested)) {
			if at, ok := firsts[ref]; ok {
				each = append(each, at.Sub(requested[ref].Round(0)))
			}
		}
		if len(each) == len(requested) {
			return each, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("the vendor got mails about %d of %d incidents", len(each), len(requested)), ctx.Err())
		case <-time.After(lookEvery):
		}
	}
}

// firstMails returns the time of the first request for a mail about each incident at the mail vendor.
func (a *arena) firstMails(ctx context.Context) (map[models.Reference]time.Time, error) {
	mails, err := a.mailTimes(ctx)
	firsts := map[models.Reference]time.Time{}
	for ref, at := range mails {
		firsts[ref] = at[0]
	}
	return firsts, err
}

// mailTimes returns the times of the requests for mails about each incident at the mail vendor, the first one first.
func (a *arena) mailTimes(ctx context.Context) (map[models.Reference][]time.Time, error) {
	journal, err := a.stack.Dev.Journal(ctx, "sendgrid")
	if err != nil {
		return nil, fmt.Errorf("read the mail vendor's journal: %w", err)
	}
	reference := regexp.MustCompile(`SI-[0-9]+-[0-9]+`)
	mails := map[models.Reference][]time.Time{}
	for _, e := range journal {
		ref := models.Reference(reference.FindString(e.Body))
		mails[ref] = append(mails[ref], e.At)
	}
	return mails, nil
}
