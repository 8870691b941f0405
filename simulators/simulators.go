// Package simulators starts all simulated vendors together, on loopback addresses: Twilio Voice and
// Messaging, SendGrid mail, the EDR products and an SMTP mail server. Each simulator refuses the
// requests that the vendor would refuse, takes the time the vendor would take, calls back the way
// the vendor calls back, fails on request, and keeps a journal of its requests.
//
// Nothing here speaks to a real vendor, and no simulator imports vendors/ or models/, because
// shared code would hide shared mistakes.
package simulators

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"

	"github.com/watchfire-mdr/watchfire/simulators/twilio"

	"github.com/watchfire-mdr/watchfire/simulators/sendgrid"

	"github.com/watchfire-mdr/watchfire/simulators/smtp"

	"github.com/watchfire-mdr/watchfire/simulators/edr"
)

// Options hold the addresses of the simulators and the product's accounts at them.
type Options struct {
	// Loopback addresses to listen on; "127.0.0.1:0" (also the default) picks a free port.
	TwilioAddr, SendGridAddr, CrowdStrikeAddr, SMTPAddr string
	// SMTPSteeringAddr is where the SMTP server is told what to do.
	SMTPSteeringAddr string
	// EDRPort is the first of the ports of the other EDRs on 127.0.0.1, which follow each other in the order of
	// edr.Products; 0 picks free ones.
	EDRPort int

	TwilioAccountSID string // "AC" and 32 hex digits
	TwilioAuthToken  string // authenticates requests and signs callbacks; must not be empty
	TwilioFrom       string // the one number the account owns, E.164
	// TwilioInboundTextURL takes the texts that people write, signed over exactly this address; "" posts none.
	TwilioInboundTextURL string

	SendGridAPIKey     string
	SendGridFrom       string            // the one verified sender
	SendGridWebhookURL string            // takes the events; "" posts none
	SendGridWebhookKey *ecdsa.PrivateKey // P-256; signs events; required with SendGridWebhookURL

	CrowdStrikeClientID, CrowdStrikeClientSecret string // accepted besides edr.Credentials("crowdstrike")

	// The login that a client needs before it may hand a mail over; both "" asks for none.
	SMTPUser, SMTPPassword string

	// Pace scales every delay of a simulated vendor or person: 1 is realistic, 0.05 is
	// twenty times faster; 0 means 1. Delays inside fault rules are not scaled.
	Pace float64
	Log  *slog.Logger // nil logs nothing
}

// Running are the simulators at work.
type Running struct {
	TwilioURL, SendGridURL, CrowdStrikeURL string // base URLs without a trailing slash
	SMTPURL                                string // steering of the SMTP server, without a trailing slash
	SMTPAddr                               string // host:port of the SMTP server

	EDR map[string]string // base URLs of the simulated EDRs by product, CrowdStrike's too

	stage *stage.Stage
}

// Start starts the simulators, which stop on Close or when ctx ends. It fails when
// an address is taken or not a loopback address, or when a credential is missing.
func Start(ctx context.Context, o Options) (*Running, error) {
	if o.Pace < 0 {
		return nil, errors.New("simulators: the pace is negative, set one above 0")
	}
	r := &Running{stage: stage.New(ctx, o.Pace, o.Log)}
	if err := r.start(o); err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	context.AfterFunc(ctx, func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = r.Close(closing)
	})
	return r, nil
}

// Close ends every call, text and mail that is under way, stops listening and waits until
// nothing is left running or ctx ends. Closing twice is harmless.
func (r *Running) Close(ctx context.Context) error { return r.stage.Close(ctx) }

func (r *Running) start(o Options) error {
	phone, err := twilio.New(r.stage, twilio.Options{AccountSID: o.TwilioAccountSID, AuthToken: o.TwilioAuthToken, From: o.TwilioFrom,
		InboundTextURL: o.TwilioInboundTextURL})
	if err != nil {
		return err
	}
	mails, err := sendgrid.New(r.stage, sendgrid.Options{APIKey: o.SendGridAPIKey, From: o.SendGridFrom,
		WebhookURL: o.SendGridWebhookURL, WebhookKey: o.SendGridWebhookKey})
	if err != nil {
		return err
	}
	falcon, err := edr.NewCrowdStrike(r.stage, o.CrowdStrikeClientID, o.CrowdStrikeClientSecret)
	if err != nil {
		return err
	}
	mailJournal := stage.NewJournal(o.secrets())
	mailServer, err := smtp.New(r.stage, smtp.Options{User: o.SMTPUser, Password: o.SMTPPassword, UTF8: true}, mailJournal)
	if err != nil {
		return err
	}
	for _, s := range []struct {
		v       stage.Vendor
		addr    string
		url     *string
		journal *stage.Journal
	}{
		{phone, o.TwilioAddr, &r.TwilioURL, stage.NewJournal(o.secrets())},
		{mails, o.SendGridAddr, &r.SendGridURL, stage.NewJournal(o.secrets())},
		{falcon, o.CrowdStrikeAddr, &r.CrowdStrikeURL, stage.NewJournal(append(o.secrets(), edr.Secrets("crowdstrike")...))},
		{mailServer, o.SMTPSteeringAddr, &r.SMTPURL, mailJournal},
	} {
		if *s.url, err = r.stage.Serve(s.v, s.addr, s.journal); err != nil {
			return err
		}
	}
	if err := r.serveEDR(o.EDRPort); err != nil {
		return err
	}
	l, err := r.stage.Listen(mailServer, o.SMTPAddr)
	if err != nil {
		return err
	}
	r.SMTPAddr = l.Addr().String()
	mailServer.ServeSMTP(l)
	return nil
}

// serveEDR starts the EDRs that need no options, from a port on, or each on a free one for 0.
func (r *Running) serveEDR(first int) error {
	r.EDR = map[string]string{"crowdstrike": r.CrowdStrikeURL}
	for i, name := range edr.Products() {
		addr := ""
		if first != 0 {
			addr = fmt.Sprintf("127.0.0.1:%d", first+i)
		}
		base, err := r.stage.Serve(edr.New(r.stage, name), addr, stage.NewJournal(edr.Secrets(name)))
		if err != nil {
			return err
		}
		r.EDR[name] = base
	}
	return nil
}

// secrets are the strings that must never appear in a journal.
func (o Options) secrets() []string {
	return []string{o.TwilioAuthToken, o.SendGridAPIKey, o.CrowdStrikeClientSecret, o.SMTPPassword}
}
