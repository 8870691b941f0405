package main

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	enumspb "go.temporal.io/api/enums/v1"

	"github.com/watchfire-mdr/watchfire/api"
	"github.com/watchfire-mdr/watchfire/api/hooks"
	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/config"
	"github.com/watchfire-mdr/watchfire/desk"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/observability"
	"github.com/watchfire-mdr/watchfire/report"
	"github.com/watchfire-mdr/watchfire/vendors/mail/sendgrid"
	"github.com/watchfire-mdr/watchfire/worker"
)

// sweepEvery is the pause between two searches for incidents without a workflow.
const sweepEvery = 30 * time.Second

// runAPI serves people, programs and vendors until ctx ends.
func runAPI(ctx context.Context, _ []string, _ io.Writer) error {
	p, err := startProcess(ctx, config.API)
	if err != nil {
		return err
	}
	defer p.close()
	box, err := p.box(ctx)
	if err != nil {
		return err
	}
	d := desk.New(p.store, p.temporal, desk.Options{Log: p.log, EDR: desk.EDROptions{
		Products: edrProducts(), Check: checkEDR(guard(p.config)), Box: box,
	}})
	vendors, err := p.hooks(d)
	if err != nil {
		return err
	}
	handler, err := api.New(api.Options{
		Desk: d, Auth: auth.New(p.store, time.Now), Log: p.log, Metrics: p.metrics,
		Ready:  observability.NewReadiness(append(observability.DatabaseParts(p.store), observability.TemporalParts(p.temporal, requiredQueues())...)...),
		Routes: []func(gin.IRouter){vendors.Register},
	})
	if err != nil {
		return err
	}
	defer runEvery(ctx, sweepEvery, func(ctx context.Context) {
		if n, err := d.Sweep(ctx); err != nil && ctx.Err() == nil {
			p.log.WarnContext(ctx, "sweep incomplete", "error", err)
		} else if n > 0 {
			p.log.InfoContext(ctx, "workflows of incidents started late", "count", n)
		}
	})()
	return p.serve(ctx, p.config.HTTPAddress, handler)
}

// requiredQueues returns the task queues that a worker must poll for the system to do its job, with the kind of their
// tasks.
func requiredQueues() map[string]enumspb.TaskQueueType {
	queues := map[string]enumspb.TaskQueueType{}
	for _, q := range worker.Queues() {
		queues[q] = enumspb.TASK_QUEUE_TYPE_ACTIVITY
	}
	queues[models.QueueIncidents] = enumspb.TASK_QUEUE_TYPE_WORKFLOW
	return queues
}

// hooks makes the handlers for requests of vendors.
func (p *process) hooks(d *desk.Desk) (*hooks.Hooks, error) {
	calls, err := twilioSettings(p.config).Signatures()
	if err != nil {
		return nil, err
	}
	var mails *sendgrid.Events
	if slices.Contains(p.config.Mailers, "sendgrid") {
		if mails, err = sendgrid.NewEvents(p.config.SendGridWebhookKey); err != nil {
			return nil, err
		}
	}
	words, err := report.LoadLanguages()
	if err != nil {
		return nil, err
	}
	return &hooks.Hooks{
		Store: p.store, Desk: d, Twilio: calls, SendGrid: mails, Words: words, PublicURL: p.config.PublicURL, Now: time.Now, Log: p.log,
	}, nil
}
