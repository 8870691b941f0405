package activities_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

func TestADrillWithSimulatedPhonesReachesNoVendor(t *testing.T) {
	for _, simulated := range []bool{true, false} {
		o := newOffice(t)
		mail, text := o.message(o.effect.Contact, models.ChannelEmail), o.message(o.effect.Contact, models.ChannelSMS)
		if simulated {
			mail.Exercise, text.Exercise = models.ExerciseSimulatedFireDrill, models.ExerciseSimulatedFireDrill
		}
		call := notify.CallEffect(o.effect.Incident, o.effect.ClientID, 1, 1, 1, o.effect.Contact)
		call.Simulated = simulated
		_, err := o.mail.SendMail(t.Context(), mail)
		o.ok(err)
		o.ok(o.phone.SendText(t.Context(), text))
		ringing, err := o.phone.PlaceCall(t.Context(), activities.CallInput{Effect: call})
		o.ok(err)
		placed := activities.CallRef{ClientID: call.ClientID, CallID: ringing.ID, Simulated: simulated}
		_, err = o.phone.ReadCallStatus(t.Context(), placed)
		o.ok(err)
		o.ok(o.phone.HangUp(t.Context(), placed))

		taker, other := o.vendor, o.pretend
		vendors := []string{"post", "carrier", "carrier"}
		if simulated {
			taker, other, vendors = o.pretend, o.vendor, []string{"simulated", "simulated", "simulated"}
		}
		if want := []string{"mail", "text", "call", "status", "hangup"}; !slices.Equal(taker.asked, want) || len(other.asked) > 0 {
			t.Errorf("simulated %t: asked for %v, and elsewhere for %v", simulated, taker.asked, other.asked)
		}
		for n, e := range []notify.Effect{mail.Effect(), text.Effect(), call} {
			if row := o.row(e); row.Vendor != vendors[n] {
				t.Errorf("simulated %t: the ledger has the %s at %q, want %q", simulated, e.Kind, row.Vendor, vendors[n])
			}
		}
	}
}

func TestWhoWasRemovedIsReachedNoMore(t *testing.T) {
	o := newOffice(t)
	c := o.hires("gone", nil)
	o.as(store.SOC, func(tx *store.Tx) error { return tx.RemoveContact(c.ID, o.now) })
	call := notify.CallEffect(o.effect.Incident, o.effect.ClientID, 1, 1, 1, c.ID)
	checked := notify.ChannelCheckEffect(o.effect.ClientID, 1042, notify.PurposeTest, c.ID, models.ChannelEmail, "r")
	texted := notify.ChannelCheckEffect(o.effect.ClientID, 1042, notify.PurposeTest, c.ID, models.ChannelSMS, "r")
	mail, text := o.message(c.ID, models.ChannelEmail), o.message(c.ID, models.ChannelSMS)
	for _, does := range []struct {
		effect notify.Effect
		it     func() error
	}{
		{mail.Effect(), func() error { _, err := o.mail.SendMail(t.Context(), mail); return err }},
		{text.Effect(), func() error { return o.phone.SendText(t.Context(), text) }},
		{checked, func() error { return o.mail.SendCheckMail(t.Context(), checked) }},
		{texted, func() error { return o.phone.SendCheckText(t.Context(), texted) }},
		{call, func() error { _, err := o.phone.PlaceCall(t.Context(), activities.CallInput{Effect: call}); return err }},
	} {
		var app *temporal.ApplicationError
		if err := does.it(); !errors.As(err, &app) || app.Type() != string(models.Rejected) || !app.NonRetryable() {
			t.Errorf("%s: %v, want a rejection for good", does.effect.Key, err)
		}
		if row := o.row(does.effect); row.State != notify.EffectRejected || !strings.Contains(row.Reason, "contact_removed") {
			t.Errorf("%s: in the ledger %s, %q", does.effect.Key, row.State, row.Reason)
		}
	}
	if len(o.vendor.asked) > 0 {
		t.Errorf("vendors were asked for %v", o.vendor.asked)
	}
}

// locksmith is a mailer that refuses our key while it is told to.
type locksmith struct{ outside *outside }

func (l *locksmith) Send(context.Context, models.OutboundMail) (string, error) {
	if l.outside == nil {
		return "", &models.VendorError{Class: models.Config, Vendor: "first", Op: "send mail", Code: "HTTP 401"}
	}
	return l.outside.ask("mail"), nil
}

func (*locksmith) Lookup(context.Context, models.OutboundMail, time.Time) (string, bool, error) {
	return "", false, nil
}

// A first mailer that refuses our key is shown to the incident and to the operator though the second one works, and
// until the first one takes mails again.
func TestAMailerThatRefusesOurKeyIsShownWhileAnotherWorks(t *testing.T) {
	o := newOffice(t)
	first, second := &locksmith{}, &locksmith{}
	o.mail.Routes = activities.NewRoutes(activities.Route{Vendor: "first", Mailer: first}, activities.Route{Vendor: "second", Mailer: second})
	occurrence := 0
	send := func() (activities.Sent, error) {
		occurrence++
		in := o.message(o.effect.Contact, models.ChannelEmail)
		in.Notification.Purpose, in.Notification.Occurrence = notify.PurposeReminder, occurrence
		return o.mail.SendMail(t.Context(), in)
	}
	shows := func(when string, refused string, alarms ...string) {
		t.Helper()
		sent, err := send()
		o.ok(err)
		open, err := o.ledger.Store.OpenAlarms(t.Context())
		o.ok(err)
		var about []string
		for _, a := range open {
			about = append(about, string(a.Kind)+" "+a.Subject)
		}
		if sent.Refused != refused || !slices.Equal(about, alarms) {
			t.Errorf("%s: the mail says that %q refuses, and the alarms are %v", when, sent.Refused, about)
		}
	}
	if _, err := send(); err == nil { // both refuse: the incident shows it by itself
		t.Error("nobody took the mail, and there is no error")
	}
	second.outside = o.vendor
	shows("the second works", "first", "mailer_refuses first")
	for range 5 { // the first is passed over for a while
		shows("still", "first", "mailer_refuses first")
	}
	// The operator corrects the key and starts the worker again.
	first.outside = o.vendor
	o.mail.Routes = activities.NewRoutes(activities.Route{Vendor: "first", Mailer: first}, activities.Route{Vendor: "second", Mailer: second})
	shows("the first works", "")
	second.outside = nil
	for range 3 { // no mail is meant for the second
		shows("the second refuses behind one that works", "")
	}
}
