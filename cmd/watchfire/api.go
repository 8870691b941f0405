package main

import (
	"context"
	"errors"
	"slices"
	"sync"
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
	"github.com/watchfire-mdr/watchfire/reconcile"
	"github.com/watchfire-mdr/watchfire/report"
	"github.com/watchfire-mdr/watchfire/vendors/mail/sendgrid"
	"github.com/watchfire-mdr/watchfire/worker"
	"github.com/watchfire-mdr/watchfire/workflows"
)

// writeRefusalsEvery is how long a refused request is counted in memory alone.
const writeRefusalsEvery = 10 * time.Second

// dropLimitsEvery is how long a share that is whole again has a row at most.
const dropLimitsEvery = time.Hour

// runAPI serves people, programs and vendors until ctx ends.
func runAPI(ctx context.Context) error {
	p, err := startProcess(ctx, config.API)
	if err != nil {
		return err
	}
	defer p.close()
	sealer, err := p.sealer()
	if err != nil {
		return err
	}
	if err := desk.CheckCountries(p.config.PhoneCountries); err != nil {
		return err
	}
	words, err := report.LoadLanguages(p.config.Provider)
	if err != nil {
		return err
	}
	d := desk.New(p.store, p.temporal, desk.Options{
		Log: p.log, PhoneCountries: p.config.PhoneCountries, HasLanguage: words.Has, Payloads: p.temporal.Payloads(),
		EDR: desk.EDROptions{Products: edrProducts(), Check: checkEDR(guard(p.config)), Sealer: sealer},
	})
	vendors, err := p.hooks(d, words)
	if err != nil {
		return err
	}
	ui := ""
	if p.config.CodecOrigin != nil {
		ui = p.config.CodecOrigin.String()
	}
	handler, err := api.New(api.Options{
		Desk: d, Auth: auth.New(p.store), Log: p.log, Metrics: p.metrics,
		Routes: []func(gin.IRouter){vendors.Register}, UI: ui,
	})
	if err != nil {
		return err
	}
	p.metrics.CountAlarms(p.countAlarms)
	bulletins, err := p.bulletins()
	if err != nil {
		return err
	}
	watch := &reconcile.Reconciler{Store: p.store, Temporal: p.temporal, Log: p.log, Bulletins: bulletins, Version: workflows.Version}
	var watching sync.WaitGroup
	watching.Go(func() { watch.Run(ctx) })
	defer watching.Wait()
	dropped := runEvery(ctx, dropLimitsEvery, func(ctx context.Context) {
		if err := p.store.DropFullLimits(ctx); err != nil && ctx.Err() == nil {
			p.log.WarnContext(ctx, "shares that are whole again were not dropped", "error", err.Error())
		}
	})
	defer dropped()
	written := runEvery(ctx, writeRefusalsEvery, d.WriteRefusals)
	defer func() {
		written()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		d.WriteRefusals(last)
	}()
	return p.serve(ctx, listener{"the API", "HTTP_ADDRESS", p.config.HTTPAddress, handler}, p.operations(p.readyParts()...))
}

// readyParts returns what the API needs to be ready: the database, the engine, workers, and no open alarm.
func (p *process) readyParts() []observability.Part {
	parts := append(p.databaseParts(), observability.TemporalParts(p.temporal, requiredQueues())...)
	return append(parts,
		observability.Part{Name: "workers", Check: func(ctx context.Context) error {
			workers, err := p.store.Workers(ctx)
			if err == nil && !slices.ContainsFunc(workers, models.Process.IsAlive) {
				err = errors.New("no worker runs: start one")
			}
			return err
		}},
		observability.Part{Name: "alarms", Check: func(ctx context.Context) error {
			open, err := p.store.OpenAlarms(ctx)
			if err == nil && len(open) > 0 {
				err = errors.New("operator alarms are open: see GET /api/v1/operator/alarms")
			}
			return err
		}},
	)
}

// countAlarms counts the open alarms by their kind.
func (p *process) countAlarms(ctx context.Context) (map[string]int, error) {
	open, err := p.store.OpenAlarms(ctx)
	byKind := map[string]int{}
	for _, a := range open {
		byKind[string(a.Kind)]++
	}
	return byKind, err
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
func (p *process) hooks(d *desk.Desk, words report.Languages) (*hooks.Hooks, error) {
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
	return &hooks.Hooks{
		Store: p.store, Desk: d, Twilio: calls, SendGrid: mails, Words: words, PublicURL: p.config.PublicURL, Log: p.log,
	}, nil
}
