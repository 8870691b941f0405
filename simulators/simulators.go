// Package simulators pretends to be the vendors on loopback addresses: Twilio Voice and
// Messaging, SendGrid mail, the EDRs of edrVendors and an SMTP mail server. Each simulator
// refuses what the vendor would refuse, takes the time the vendor would take, calls back
// the way the vendor calls back, fails on request, and keeps a journal of what it was asked.
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
	TwilioAddr, SendGridAddr, CrowdStrikeAddr, SMTPAddr string

	TwilioAccountSID string // "AC" and 32 hex digits
	TwilioAuthToken  string // authenticates requests and signs callbacks; must not be empty
	TwilioFrom       string // the one number the account owns, E.164
	// Where texts that people write are posted, signed over exactly this address; "" posts none.
	TwilioInboundTextURL string

	SendGridAPIKey     string
	SendGridFrom       string            // the one verified sender
	SendGridWebhookURL string            // where events are posted; "" posts none
	SendGridWebhookKey *ecdsa.PrivateKey // P-256; signs events; required with SendGridWebhookURL

	CrowdStrikeClientID, CrowdStrikeClientSecret string // taken besides EDRCredentials("crowdstrike")

	// What AUTH PLAIN asks for before a mail is taken; both "" asks for nothing.
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

	EDR map[string]string // base URLs of the simulated EDRs by the vendor's name, CrowdStrike's too

	stage   *stage
	servers []*http.Server
	mail    *smtpServer
}

// Start starts the simulators; they stop on Close or when ctx ends. It fails when
// an address is taken or not a loopback address, or when a credential is missing.
func Start(ctx context.Context, o Options) (*Running, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	r := &Running{stage: newStage(ctx, o)}
	r.mail = newSMTPServer(r.stage, o, newJournal(o.secrets()))
	for _, s := range []struct {
		v       vendor
		addr    string
		url     *string
		journal *journal
	}{
		{newTwilio(r.stage, o), o.TwilioAddr, &r.TwilioURL, newJournal(o.secrets())},
		{newSendGrid(r.stage, o), o.SendGridAddr, &r.SendGridURL, newJournal(o.secrets())},
		{newCrowdStrike(r.stage, o), o.CrowdStrikeAddr, &r.CrowdStrikeURL, newJournal(append(o.secrets(), edrSecrets("crowdstrike")...))},
		{r.mail, "", &r.SMTPURL, r.mail.journal},
	} {
		base, err := r.serve(s.v, s.addr, s.journal)
		if err != nil {
			return nil, errors.Join(err, r.Close(ctx))
		}
		*s.url = base
	}
	if err := r.serveEDR(); err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	l, err := r.listen(r.mail, o.SMTPAddr)
	if err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	r.SMTPAddr = l.Addr().String()
	r.mail.serve(l)
	context.AfterFunc(ctx, func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = r.Close(closing)
	})
	return r, nil
}

// Close ends every call, text and mail that is under way, stops listening and waits until
// nothing is left running or ctx ends. Closing twice is harmless.
func (r *Running) Close(ctx context.Context) error {
	r.stage.close()
	var errs []error
	for _, s := range r.servers {
		if err := s.Shutdown(ctx); err != nil {
			errs = append(errs, s.Close())
		}
	}
	r.mail.close()
	errs = append(errs, r.stage.drained(ctx))
	return errors.Join(errs...)
}

// serveEDR starts the EDRs that need no options, each on a free port.
func (r *Running) serveEDR() error {
	r.EDR = map[string]string{"crowdstrike": r.CrowdStrikeURL}
	for name, newVendor := range edrVendors {
		base, err := r.serve(newVendor(r.stage), "", newJournal(edrSecrets(name)))
		if err != nil {
			return err
		}
		r.EDR[name] = base
	}
	return nil
}

func (r *Running) listen(v vendor, addr string) (net.Listener, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	if err := loopbackOnly(addr); err != nil {
		return nil, fmt.Errorf("%s simulator: %w", v.name(), err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(r.stage.ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s simulator: %w", v.name(), err)
	}
	return l, nil
}

func (r *Running) serve(v vendor, addr string, j *journal) (string, error) {
	l, err := r.listen(v, addr)
	if err != nil {
		return "", err
	}
	s := &http.Server{
		Handler:           newCounter(r.stage, v, j),
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
	case o.TwilioInboundTextURL != "" && !isWebhookURL(o.TwilioInboundTextURL):
		return errors.New("simulators: Twilio would not post texts to this address")
	case (o.SMTPUser == "") != (o.SMTPPassword == ""):
		return errors.New("simulators: an SMTP login needs both a user and a password")
	case o.Pace < 0:
		return errors.New("simulators: the pace cannot be negative")
	}
	return nil
}

// secrets are the strings that must never appear in a journal.
func (o Options) secrets() []string {
	return []string{o.TwilioAuthToken, o.SendGridAPIKey, o.CrowdStrikeClientSecret, o.SMTPPassword}
}
