// Package worker binds workflows and activities to task queues. It holds the one table of queues, with the vendors'
// limits; its caller hands in what the activities need.
package worker

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/observability"
	"github.com/watchfire-mdr/watchfire/report"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/vendors/simulated"
	"github.com/watchfire-mdr/watchfire/workflows"
)

// stickyFor is how long a workflow task waits for the worker that has the workflow in its cache. A worker that was
// killed costs its workflows this long, once.
const stickyFor = time.Second

// stopWithin is how long running activities may go on after a stop was asked for.
const stopWithin = 15 * time.Second

// Parts are the things the activities work with.
type Parts struct {
	Store   *store.Store
	Mailers []activities.Route // in the order they are tried
	Carrier activities.Carrier
	// EDR returns a client's EDR; see activities.Containment.
	EDR       func(ctx context.Context, client uuid.UUID) (activities.ClientEDR, error)
	Letter    report.Letterhead
	PublicURL *url.URL
	// Settle is how long the outcome of an unanswered request to a vendor may stay unknown.
	Settle       time.Duration
	EDRPollEvery time.Duration // the first pause between looks at a device that is not confirmed
	// EDRWorstDelay is the longest time after Settle in which an EDR may still act on an unanswered request.
	EDRWorstDelay time.Duration
	Now           func() time.Time
}

// queue is one task queue, with the limits of the vendor behind it.
type queue struct {
	name       string
	perSecond  float64 // activities, by all workers together; 0: no limit
	concurrent int     // activities at a time in one worker
	register   func(r worker.Registry)
}

// firstMails and firstCalls bound what one worker process asks of mailers and carrier from the incidents' own queue: half
// of what Temporal lets all workers do from the vendors' queues.
var (
	firstMails = activities.NewTurns(50, 250)
	firstCalls = activities.NewTurns(50, 100)
)

// queues is the table of task queues. Twilio places one call a second per account by default and queues the rest, so
// its limit only bounds bursts; so do those of mail and EDR, whose vendors answer 429 to requests that are too many.
func queues(p Parts) []queue {
	mail := &activities.Mail{
		Effects: p.effects(p.giveUpMail()), Routes: activities.NewRoutes(p.Mailers...), Simulated: simulated.House{Now: p.Now}, Letter: p.Letter,
		Turns: firstMails,
	}
	phone := &activities.Phone{
		Effects: p.effects(10 * time.Minute), Carrier: p.Carrier, Vendor: "twilio", Simulated: simulated.House{Now: p.Now},
		Letter: p.Letter, PublicURL: p.PublicURL, Turns: firstCalls,
	}
	return []queue{
		{models.QueueIncidents, 0, 200, func(r worker.Registry) {
			r.RegisterWorkflowWithOptions(workflows.Incident, workflow.RegisterOptions{Name: models.IncidentWorkflow})
			r.RegisterWorkflowWithOptions(workflows.ChannelCheck, workflow.RegisterOptions{Name: models.ChannelCheckWorkflow})
			r.RegisterWorkflowWithOptions(workflows.ContactNotice, workflow.RegisterOptions{Name: models.ContactNoticeWorkflow})
			r.RegisterWorkflowWithOptions(workflows.EDRCheck, workflow.RegisterOptions{Name: models.EDRCheckWorkflow})
			r.RegisterWorkflowWithOptions(workflows.Endpoint, workflow.RegisterOptions{Name: models.EndpointWorkflow})
			r.RegisterWorkflowWithOptions(workflows.Canary, workflow.RegisterOptions{Name: models.CanaryWorkflow})
			r.RegisterActivity(&activities.Records{Store: p.Store})
			r.RegisterActivity(mail.Notify)
			r.RegisterActivity(phone.PlaceFirstCall)
		}},
		{models.QueueMail, 500, 50, func(r worker.Registry) { r.RegisterActivity(mail) }},
		{models.QueuePhone, 200, 50, func(r worker.Registry) { r.RegisterActivity(phone) }},
		{models.QueueEDR, 50, 20, func(r worker.Registry) {
			r.RegisterActivity(&activities.Containment{Effects: p.effects(0), EDR: p.EDR, WorstDelay: p.EDRWorstDelay, PollEvery: p.EDRPollEvery})
		}},
	}
}

// giveUpMail returns how long a mailer that cannot be asked about a mail may hold it back: not long when another mailer
// stands by, because a mail that comes twice has one Message-ID and is shown once.
func (p Parts) giveUpMail() time.Duration {
	if len(p.Mailers) > 1 {
		return 2 * p.Settle
	}
	return 10 * time.Minute
}

// effects returns the ledger. giveUp is how long a failing look-up may hold an effect back; zero is for ever.
func (p Parts) effects(giveUp time.Duration) activities.Effects {
	return activities.Effects{Store: p.Store, Settle: p.Settle, GiveUpLookup: giveUp}
}

// Queues returns the names of the task queues, so that others can watch that somebody polls them.
func Queues() []string {
	var names []string
	for _, q := range queues(Parts{}) {
		names = append(names, q.name)
	}
	return names
}

// Workers are the running workers of one process.
type Workers []worker.Worker

// pollers is how many tasks of a kind one worker asks for at a time: with the SDK's two, a burst of mails waits in line
// for its turn to be fetched.
const pollers = 8

// cachedWorkflows bounds the incidents that one process keeps in memory between their events, a few hundred kilobytes
// each at most; the others are replayed when something happens to them.
const cachedWorkflows = 600

// Start starts one worker per task queue. Several processes may do so side by side. An error names the queue; no worker
// runs then.
func Start(c client.Client, p Parts) (Workers, error) {
	worker.SetStickyWorkflowCacheSize(cachedWorkflows)
	var started Workers
	for _, q := range queues(p) {
		w := worker.New(c, q.name, worker.Options{
			TaskQueueActivitiesPerSecond:       q.perSecond,
			MaxConcurrentActivityExecutionSize: q.concurrent,
			MaxConcurrentActivityTaskPollers:   pollers,
			MaxConcurrentWorkflowTaskPollers:   pollers,
			DisableWorkflowWorker:              q.name != models.QueueIncidents,
			StickyScheduleToStartTimeout:       stickyFor,
			WorkerStopTimeout:                  stopWithin,
			DeploymentOptions:                  deploymentOptions(),
			Interceptors:                       []interceptor.WorkerInterceptor{observability.Requests()},
		})
		q.register(w)
		if err := w.Start(); err != nil {
			started.Stop()
			return nil, fmt.Errorf("start worker of queue %s: %w", q.name, err)
		}
		started = append(started, w)
	}
	return started, nil
}

// Stop takes no more tasks and waits for those under way, for a bounded time.
func (ws Workers) Stop() {
	done := make(chan struct{})
	for _, w := range ws {
		go func() {
			w.Stop()
			done <- struct{}{}
		}()
	}
	for range ws {
		<-done
	}
}
