package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/config"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/observability"
	"github.com/watchfire-mdr/watchfire/report"
	"github.com/watchfire-mdr/watchfire/vendors/edr/crowdstrike"
	"github.com/watchfire-mdr/watchfire/vendors/mail/sendgrid"
	"github.com/watchfire-mdr/watchfire/vendors/mail/smtp"
	"github.com/watchfire-mdr/watchfire/vendors/phone/twilio"
	"github.com/watchfire-mdr/watchfire/worker"
)

// runWorker polls every task queue until it is told to stop.
func runWorker(ctx context.Context, _ []string, _ io.Writer) error {
	p, err := startProcess(ctx, config.Worker)
	if err != nil {
		return err
	}
	defer p.close()
	parts, err := p.parts()
	if err != nil {
		return err
	}
	workers, err := worker.Start(p.temporal, parts)
	if err != nil {
		return err
	}
	defer workers.Stop()
	mux := http.NewServeMux()
	ready := observability.NewReadiness(append(observability.DatabaseParts(p.store), observability.TemporalParts(p.temporal, nil)...)...)
	mux.Handle("GET /readyz", ready.Handler())
	mux.Handle("GET /metrics", p.metrics.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	return p.serve(ctx, p.config.WorkerHTTPAddress, mux)
}

// parts connects the activities to the vendors.
func (p *process) parts() (worker.Parts, error) {
	c := p.config
	mailers, err := mailers(c)
	if err != nil {
		return worker.Parts{}, err
	}
	carrier, err := twilio.New(twilioSettings(c))
	if err != nil {
		return worker.Parts{}, err
	}
	letter, err := report.NewLetterhead(c.PublicURL.JoinPath("portal"))
	if err != nil {
		return worker.Parts{}, err
	}
	return worker.Parts{
		Store: p.store, Mailers: mailers, Carrier: carrier, EDR: falcons(c), Letter: letter, PublicURL: c.PublicURL,
		Settle: c.Settle, EDRPollEvery: c.EDRPollEvery, Now: time.Now,
	}, nil
}

// mailers makes the configured mailers, in the order they are tried.
func mailers(c config.Config) (routes []activities.Route, err error) {
	for _, name := range c.Mailers {
		route := activities.Route{Vendor: name}
		if name == "smtp" {
			route.Mailer, err = smtp.New(smtp.Settings{
				Addr: c.SMTPAddress, User: c.SMTPUser, Password: c.SMTPPassword, From: c.SMTPFrom, FromName: c.SMTPFromName, TLS: c.SMTPTLS, Timeout: c.VendorTimeout,
			})
		} else {
			route.Mailer, err = sendgrid.New(sendgrid.Settings{
				APIKey: c.SendGridAPIKey, From: c.SendGridFrom, FromName: c.SendGridFromName, BaseURL: c.SendGridURL, Timeout: c.VendorTimeout,
			})
		}
		if err != nil {
			return nil, err
		}
		routes = append(routes, route)
	}
	return routes, nil
}

func twilioSettings(c config.Config) twilio.Settings {
	return twilio.Settings{
		AccountSID: c.TwilioAccountSID, AuthToken: c.TwilioAuthToken, SecondAuthToken: c.TwilioSecondAuthToken,
		From: c.TwilioFrom, BaseURL: c.TwilioURL, Timeout: c.VendorTimeout,
	}
}

// falcons returns the client's Falcon: one value per member CID, because it keeps the access token.
func falcons(c config.Config) func(models.EDR) (activities.EDR, error) {
	var mu sync.Mutex
	known := map[string]*crowdstrike.Falcon{}
	return func(e models.EDR) (activities.EDR, error) {
		if e.Vendor != "crowdstrike" {
			return nil, models.Errorf(models.NotFound, "the client has no EDR")
		}
		mu.Lock()
		defer mu.Unlock()
		if f := known[e.Tenant]; f != nil {
			return f, nil
		}
		f, err := crowdstrike.NewFalcon(crowdstrike.Settings{
			ClientID: c.CrowdStrikeClientID, ClientSecret: c.CrowdStrikeClientSecret, MemberCID: e.Tenant, BaseURL: c.CrowdStrikeURL, Timeout: c.VendorTimeout,
		})
		if err != nil {
			return nil, &models.VendorError{Class: models.Config, Vendor: "crowdstrike", Op: "connect", Cause: err}
		}
		known[e.Tenant] = f
		return f, nil
	}
}
