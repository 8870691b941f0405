package bench

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

const (
	// mailsPerIncident is how many of a seeded client's contacts are mailed about an incident of the least severity,
	// the one measured: no calls and no isolations, whose time is people's and vendors'.
	mailsPerIncident = 2
	handoverPatience = 20 * time.Second
)

// at returns the people of the client whose turn it is: the clients share the load.
func (a *arena) at(n int) people { return a.people[n%len(a.people)] }

// open opens an incident.
func (p people) open(ctx context.Context, s models.Severity) (models.Reference, error) {
	var opened struct {
		Reference models.Reference `json:"reference"`
	}
	err := p.analyst.Post(ctx, "/incidents", map[string]any{
		"client": p.client, "title": "Suspicious sign-in from a new country", "severity": s,
	}, &opened)
	return opened.Reference, err
}

func oursOpen(_ context.Context, a *arena, _ load) (operation, error) {
	return operation{do: func(ctx context.Context, n int) (time.Duration, error) {
		return timed(func() error {
			_, err := a.at(n).open(ctx, models.SeverityLow)
			return err
		})
	}}, nil
}

// assessment is a command of ordinary size that nobody outside hears of.
func assessment(n int) incident.Command {
	summary := fmt.Sprintf("Sign-in number %d from an address never seen for this account. Its session was ended, its second factor is intact.", n)
	techniques, assets := []string{"T1078"}, []string{"WS-0042"}
	return &incident.Assess{Summary: &summary, Techniques: &techniques, Assets: &assets}
}

// opened is an incident that waits for its analyst.
type opened struct {
	by  people
	ref models.Reference
}

// opened returns what opens an incident of a severity and assesses it.
func (a *arena) opened(s models.Severity) func(ctx context.Context, n int) (opened, error) {
	return func(ctx context.Context, n int) (opened, error) { return a.openedBy(ctx, a.at(n), s, n) }
}

// openedBy opens and assesses an incident: its workflow runs.
func (a *arena) openedBy(ctx context.Context, by people, s models.Severity, n int) (o opened, err error) {
	o.by = by
	if o.ref, err = by.open(ctx, s); err == nil {
		_, err = by.analyst.Command(ctx, o.ref, assessment(n))
	}
	return o, err
}

func oursCommand(ctx context.Context, a *arena, l load) (operation, error) {
	free, err := pool(ctx, max(poolSize, l.clients), a.opened(models.SeverityLow))
	return operation{do: func(ctx context.Context, n int) (time.Duration, error) {
		o := <-free
		defer func() { free <- o }()
		return timed(func() error {
			_, err := o.by.analyst.Command(ctx, o.ref, assessment(n))
			return err
		})
	}}, err
}

func oursLifecycle(_ context.Context, a *arena, _ load) (operation, error) {
	var mu sync.Mutex
	var last models.Reference
	return operation{
		do: func(ctx context.Context, n int) (time.Duration, error) {
			ref, took, err := a.live(ctx, n)
			mu.Lock()
			defer mu.Unlock()
			last = ref
			return took, err
		},
		history: func(ctx context.Context) (float64, error) { return historyLength(ctx, a.temporal, last.WorkflowID()) },
	}, nil
}

// live takes one incident from its opening to the end of its workflow, after closure and feedback.
func (a *arena) live(ctx context.Context, n int) (ref models.Reference, took time.Duration, err error) {
	p := a.at(n)
	took, err = timed(func() error {
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

func oursHandover(ctx context.Context, a *arena, l load) (operation, error) {
	free, err := pool(ctx, l.expected(), a.opened(models.SeverityLow))
	asked := map[models.Reference]time.Time{}
	var mu sync.Mutex
	return operation{
		do: func(ctx context.Context, _ int) (time.Duration, error) {
			o := <-free
			begin := time.Now()
			mu.Lock()
			asked[o.ref] = begin
			mu.Unlock()
			return timed(func() error {
				_, err := o.by.analyst.Command(ctx, o.ref, &incident.Publish{})
				return err
			})
		},
		finish: func(ctx context.Context) ([]time.Duration, error) { return a.handed(ctx, asked) },
	}, err
}

// handed waits until the vendor has a mail about every incident and returns how long after the asking it had the
// first one.
func (a *arena) handed(ctx context.Context, asked map[models.Reference]time.Time) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, handoverPatience)
	defer cancel()
	for {
		firsts, err := a.mailed(ctx)
		if err != nil {
			return nil, err
		}
		var each []time.Duration
		for ref, begin := range asked {
			if at, ok := firsts[ref]; ok {
				each = append(each, at.Sub(begin.Round(0)))
			}
		}
		if len(each) == len(asked) {
			return each, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("of %d incidents only %d were mailed about", len(asked), len(each)), ctx.Err())
		case <-time.After(quietLook):
		}
	}
}

// mailed returns when the mail vendor was first asked to send a mail about each incident.
func (a *arena) mailed(ctx context.Context) (map[models.Reference]time.Time, error) {
	mails, err := a.mails(ctx)
	firsts := map[models.Reference]time.Time{}
	for ref, at := range mails {
		firsts[ref] = at[0]
	}
	return firsts, err
}

// mails returns when the mail vendor was asked to send each mail about each incident.
func (a *arena) mails(ctx context.Context) (map[models.Reference][]time.Time, error) {
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
