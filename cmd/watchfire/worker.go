package main

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/config"
	"github.com/watchfire-mdr/watchfire/observability"
	"github.com/watchfire-mdr/watchfire/report"
	"github.com/watchfire-mdr/watchfire/vendors/mail/sendgrid"
	"github.com/watchfire-mdr/watchfire/vendors/mail/smtp"
	"github.com/watchfire-mdr/watchfire/vendors/phone/twilio"
	"github.com/watchfire-mdr/watchfire/worker"
)

// runWorker polls every task queue, and answers health and metrics, until ctx ends.
func runWorker(ctx context.Context) error {
	p, err := startProcess(ctx, config.Worker)
	if err != nil {
		return err
	}
	defer p.close()
	parts, err := p.parts(ctx)
	if err != nil {
		return err
	}
	signing, err := p.signLogs(ctx)
	if err != nil {
		return err
	}
	defer signing()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		ready := append(p.databaseParts(), observability.TemporalParts(p.temporal, nil)...)
		return p.serve(ctx, p.operations(ready...))
	})
	g.Go(func() error {
		p.work(ctx, parts)
		return nil
	})
	return g.Wait()
}

// startEvery is the pause between two tries to start while Temporal does not answer.
const startEvery = 2 * time.Second

// work runs the workers until ctx ends. It waits for a Temporal that does not answer yet, or lacks the namespace.
func (p *process) work(ctx context.Context, parts worker.Parts) {
	workers, err := worker.Start(p.temporal.Client, parts)
	for ; err != nil; workers, err = worker.Start(p.temporal.Client, parts) {
		p.log.WarnContext(ctx, "the worker waits for Temporal", "error", err.Error())
		select {
		case <-ctx.Done():
			return
		case <-time.After(startEvery):
		}
	}
	defer workers.Stop()
	p.log.InfoContext(ctx, "the worker takes tasks")
	go worker.Promote(ctx, p.temporal, p.log)
	defer p.proveWorking(ctx)()
	<-ctx.Done()
}

// beatEvery is the pause between two heartbeats of a worker.
const beatEvery = 2 * time.Second

// proveWorking writes the worker's heartbeats and starts its canary workflows until ctx ends, and returns a function
// that waits for the last one.
func (p *process) proveWorking(ctx context.Context) (wait func()) {
	bounded := func(within time.Duration, do func(context.Context) error) func(context.Context) {
		return func(ctx context.Context) {
			doing, cancel := context.WithTimeout(ctx, within)
			defer cancel()
			if err := do(doing); err != nil && ctx.Err() == nil {
				p.log.WarnContext(ctx, "the worker cannot prove that it works", "error", err.Error())
			}
		}
	}
	beats := runEvery(ctx, beatEvery, bounded(beatEvery, p.beat))
	canary := ""
	canaries := runEvery(ctx, worker.CanaryEvery, bounded(30*time.Second, func(ctx context.Context) (err error) {
		canary, err = worker.StartCanary(ctx, p.temporal, p.config.TemporalNamespace, p.id, canary)
		return err
	}))
	return func() {
		beats()
		canaries()
	}
}

// parts makes the parts of the worker: the store, the connections to the vendors, the letterhead and the pace.
func (p *process) parts(ctx context.Context) (worker.Parts, error) {
	c := p.config
	edrs, err := p.edrs(ctx)
	if err != nil {
		return worker.Parts{}, err
	}
	mailers, err := mailers(c)
	if err != nil {
		return worker.Parts{}, err
	}
	carrier, err := twilio.New(twilioSettings(c))
	if err != nil {
		return worker.Parts{}, err
	}
	letter, err := report.NewLetterhead(c.Provider, c.PublicURL.JoinPath("portal"))
	if err != nil {
		return worker.Parts{}, err
	}
	return worker.Parts{
		Store: p.store, Mailers: mailers, Carrier: carrier, EDR: edrs.Of, Letter: letter, PublicURL: c.PublicURL,
		Settle: c.Settle, EDRPollEvery: c.EDRPollEvery, EDRWorstDelay: c.EDRWorstDelay, Now: time.Now,
	}, nil
}

// mailers makes the configured mailers, in the order in which activities try them.
func mailers(c config.Config) (routes []activities.Route, err error) {
	for _, name := range c.Mailers {
		route := activities.Route{Vendor: name}
		if name == "smtp" {
			route.Mailer, err = smtp.New(smtp.Settings{
				Addr: c.SMTPAddress, User: c.SMTPUser, Password: c.SMTPPassword, From: c.SMTPFrom, FromName: c.Provider, TLS: c.SMTPTLS, Timeout: c.VendorTimeout,
			})
		} else {
			route.Mailer, err = sendgrid.New(sendgrid.Settings{
				APIKey: c.SendGridAPIKey, From: c.SendGridFrom, FromName: c.Provider, BaseURL: c.SendGridURL, Timeout: c.VendorTimeout,
			})
		}
		if err != nil {
			return nil, err
		}
		routes = append(routes, route)
	}
	return routes, nil
}

// twilioSettings returns the settings of the phone adapter and of its hooks.
func twilioSettings(c config.Config) twilio.Settings {
	return twilio.Settings{
		AccountSID: c.TwilioAccountSID, AuthToken: c.TwilioAuthToken, SecondAuthToken: c.TwilioSecondAuthToken,
		From: c.TwilioFrom, BaseURL: c.TwilioURL, Timeout: c.VendorTimeout,
	}
}
