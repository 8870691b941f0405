// Package simulators pretends to be the vendors on loopback addresses: Twilio Voice,
// SendGrid mail and CrowdStrike Falcon. Each simulator refuses what the vendor would
// refuse, takes the time the vendor would take, calls back the way the vendor calls
// back, fails on request, and keeps a journal of what it was asked.
//
// What does not live here: anything that speaks to a real vendor. This package never
// imports vendors/ or models/, because shared code would hide shared mistakes.
package simulators

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Options say where the simulators listen and which account the product is configured with.
type Options struct {
	// Loopback addresses to listen on; "127.0.0.1:0" (also the default) picks a free port.
	TwilioAddr, SendGridAddr, CrowdStrikeAddr string

	TwilioAccountSID string // "AC" and 32 hex digits
	TwilioAuthToken  string // authenticates requests and signs callbacks; must not be empty
	TwilioFrom       string // the one number the account owns, E.164

	SendGridAPIKey     string
	SendGridFrom       string            // the one verified sender
	SendGridWebhookURL string            // where events are posted; "" posts none
	SendGridWebhookKey *ecdsa.PrivateKey // P-256; signs events; required with SendGridWebhookURL

	CrowdStrikeClientID, CrowdStrikeClientSecret string

	// Pace scales every delay of a simulated vendor or person: 1 is realistic, 0.05 is
	// twenty times faster; 0 means 1. Delays inside fault rules are not scaled.
	Pace float64
	Log  *slog.Logger // nil logs nothing
}

// Running are the three simulators at work.
type Running struct {
	TwilioURL, SendGridURL, CrowdStrikeURL string // base URLs without a trailing slash

	stage   *stage
	servers []*http.Server
}

// Start starts the three simulators; they stop on Close or when ctx ends. It fails when
// an address is taken or not a loopback address, or when a credential is missing.
func Start(ctx context.Context, o Options) (*Running, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	r := &Running{stage: newStage(ctx, o)}
	for _, s := range []struct {
		v    vendor
		addr string
		url  *string
	}{
		{newTwilio(r.stage, o), o.TwilioAddr, &r.TwilioURL},
		{newSendGrid(r.stage, o), o.SendGridAddr, &r.SendGridURL},
		{newCrowdStrike(r.stage, o), o.CrowdStrikeAddr, &r.CrowdStrikeURL},
	} {
		base, err := r.serve(s.v, s.addr, o.secrets())
		if err != nil {
			return nil, errors.Join(err, r.Close(ctx))
		}
		*s.url = base
	}
	context.AfterFunc(ctx, func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = r.Close(closing)
	})
	return r, nil
}

// Close ends every call and mail that is under way, stops listening and waits until
// nothing is left running or ctx ends. Closing twice is harmless.
func (r *Running) Close(ctx context.Context) error {
	r.stage.close()
	var errs []error
	for _, s := range r.servers {
		if err := s.Shutdown(ctx); err != nil {
			errs = append(errs, s.Close())
		}
	}
	errs = append(errs, r.stage.drained(ctx))
	return errors.Join(errs...)
}

func (r *Running) serve(v vendor, addr string, secrets []string) (string, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	if err := loopbackOnly(addr); err != nil {
		return "", fmt.Errorf("%s simulator: %w", v.name(), err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(r.stage.ctx, "tcp", addr)
	if err != nil {
		return "", fmt.Errorf("%s simulator: %w", v.name(), err)
	}
	s := &http.Server{
		Handler:           newCounter(r.stage, v, secrets),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(r.stage.log.Handler(), slog.LevelDebug),
	}
	r.servers = append(r.servers, s)
	go func() { _ = s.Serve(l) }()
	return "http://" + l.Addr().String(), nil
}

func (o Options) check() error {
	switch {
	case len(o.TwilioAccountSID) != 34 || o.TwilioAccountSID[:2] != "AC" || !isHex(o.TwilioAccountSID[2:]):
		return errors.New("simulators: the Twilio account SID must be AC and 32 hex digits")
	case o.TwilioAuthToken == "" || o.SendGridAPIKey == "" || o.CrowdStrikeClientSecret == "":
		return errors.New("simulators: an empty credential would let everyone in")
	case !isE164(o.TwilioFrom):
		return errors.New("simulators: the Twilio number must be in E.164 form")
	case !isAddress(o.SendGridFrom):
		return errors.New("simulators: the SendGrid sender must be a mail address")
	case o.CrowdStrikeClientID == "":
		return errors.New("simulators: the CrowdStrike client id is missing")
	case o.SendGridWebhookURL != "" && o.SendGridWebhookKey == nil:
		return errors.New("simulators: events need a key to be signed with")
	case o.Pace < 0:
		return errors.New("simulators: the pace cannot be negative")
	}
	return nil
}

// secrets are the strings that must never appear in a journal.
func (o Options) secrets() []string {
	return []string{o.TwilioAuthToken, o.SendGridAPIKey, o.CrowdStrikeClientSecret}
}
