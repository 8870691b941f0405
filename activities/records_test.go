package activities_test

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/report"
	"github.com/watchfire-mdr/watchfire/store"
)

// outside is a vendor of mail and phone that takes everything and notes what it was asked.
type outside struct {
	activities.Carrier
	mu    sync.Mutex
	asked []string
}

func (o *outside) ask(what string) (id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, what)
	return what + "-1"
}

func (o *outside) Send(context.Context, models.OutboundMail) (string, error) {
	return o.ask("mail"), nil
}

func (o *outside) Lookup(context.Context, models.OutboundMail, time.Time) (string, bool, error) {
	return "", false, nil
}

func (o *outside) Text(context.Context, models.OutboundText) (models.SentText, error) {
	return models.SentText{ID: o.ask("text")}, nil
}

func (o *outside) Place(context.Context, models.OutboundCall) (models.PlacedCall, error) {
	return models.PlacedCall{ID: o.ask("call")}, nil
}

func (o *outside) Status(context.Context, string) (models.PlacedCall, error) {
	o.ask("status")
	return models.PlacedCall{Status: models.CallNoAnswer}, nil
}

func (o *outside) Hangup(context.Context, string) error {
	o.ask("hangup")
	return nil
}

// office is a client's published incident and everything its contacts are reached through.
type office struct {
	*bench
	records         activities.Records
	mail            activities.Mail
	phone           activities.Phone
	vendor, pretend *outside // pretend takes what a drill with simulated phones sends
}

func newOffice(t *testing.T) *office {
	b := newBench(t)
	address, err := url.Parse("https://soc.example")
	b.ok(err)
	head, err := report.NewLetterhead("Nordlicht SOC", address)
	b.ok(err)
	o := &office{bench: b, vendor: &outside{}, pretend: &outside{}}
	o.records = activities.Records{Store: b.ledger.Store}
	o.mail = activities.Mail{Effects: b.ledger, Routes: activities.NewRoutes(activities.Route{Vendor: "post", Mailer: o.vendor}), Simulated: o.pretend, Letter: head}
	o.phone = activities.Phone{Effects: b.ledger, Carrier: o.vendor, Vendor: "carrier", Simulated: o.pretend, Letter: head, PublicURL: address}
	by := models.Actor{Side: models.SideSOC, ID: uuid.NewString(), Role: models.RoleAnalyst}
	b.ok(o.records.Record(t.Context(), activities.RecordInput{ClientID: b.effect.ClientID, Reference: b.effect.Incident,
		Events: []incident.Event{{Seq: 2, At: b.now, Type: "published", Actor: by, Data: &incident.Published{Expedited: true}}}}))
	return o
}

func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (o *office) as(role store.Audience, fn func(*store.Tx) error) {
	o.Helper()
	o.ok(o.ledger.Store.ForClient(o.Context(), role, o.effect.ClientID, fn))
}

// hires adds a contact who is reached for everything over mail and text.
func (o *office) hires(name string, h models.Hours) (c models.Contact) {
	o.Helper()
	o.as(store.SOC, func(tx *store.Tx) (err error) {
		c, err = tx.CreateContact(models.Contact{Name: name, Email: name + "@acme.example", Phone: "+12025550101", Order: 2, Language: "en", Hours: h,
			Severities: models.Severities(), Channels: []models.Channel{models.ChannelEmail, models.ChannelSMS}}, name, "")
		return err
	})
	return c
}

func (o *office) message(contact uuid.UUID, ch models.Channel) activities.MessageInput {
	return activities.MessageInput{ClientID: o.effect.ClientID, Reference: o.effect.Incident,
		Notification: notify.Notification{Purpose: notify.PurposePublished, Revision: 1, Occurrence: 1, Contact: contact, Channel: ch}}
}

// row is an effect as the ledger has it; the zero row when it has none.
func (o *office) row(e notify.Effect) (row store.LedgerRow) {
	o.Helper()
	o.as(store.Worker, func(tx *store.Tx) (err error) {
		row, err = tx.Effect(e.Key)
		if models.KindOf(err) == models.NotFound {
			return nil
		}
		return err
	})
	return row
}

func TestWhatWasCanceledIsNeverSent(t *testing.T) {
	o := newOffice(t)
	canceled, sent := o.message(o.effect.Contact, models.ChannelEmail), o.message(o.effect.Contact, models.ChannelSMS)
	o.ok(o.phone.SendText(t.Context(), sent))
	for _, in := range []activities.MessageInput{canceled, sent} {
		o.ok(o.records.CancelEffect(t.Context(), activities.CancelInput{Effect: in.Effect(), Reason: notify.ReasonSuperseded}))
	}
	if _, err := o.mail.SendMail(t.Context(), canceled); err == nil || len(o.vendor.asked) != 1 {
		t.Errorf("the vendor was asked for %v; %v", o.vendor.asked, err)
	}
	if row := o.row(canceled.Effect()); row.State != notify.EffectCanceled || row.Reason != notify.ReasonSuperseded {
		t.Errorf("in the ledger: %s, %q", row.State, row.Reason)
	}
	if row := o.row(sent.Effect()); row.State != notify.EffectAccepted || row.Reason != "" {
		t.Errorf("what was sent before is in the ledger as %s, %q", row.State, row.Reason)
	}
}

func TestWhoWasRemovedHasNoOtherChannel(t *testing.T) {
	o := newOffice(t)
	c := o.hires("early", models.OfficeHours())
	in := activities.FallbackInput{ClientID: o.effect.ClientID, Reference: o.effect.Incident, Severity: models.SeverityLow, At: o.now,
		Notification: notify.Notification{Purpose: notify.PurposePublished, Revision: 1, Occurrence: 1, Contact: c.ID, Channel: models.ChannelEmail}}
	if to, err := o.records.PlanFallback(t.Context(), in); err != nil || to.Channel != models.ChannelSMS || to.At.Hour() != 8 {
		t.Errorf("reached over %+v, %v; want a text at 08:00", to, err)
	}
	o.as(store.SOC, func(tx *store.Tx) error { return tx.RemoveContact(c.ID, o.now) })
	if to, err := o.records.PlanFallback(t.Context(), in); err != nil || to != (notify.Recipient{}) {
		t.Errorf("after they were removed: %+v, %v", to, err)
	}
}

func TestAnAcknowledgementStaysTheLastWordOnACall(t *testing.T) {
	o := newOffice(t)
	call := notify.CallEffect(o.effect.Incident, o.effect.ClientID, 1, 1, 1, o.effect.Contact)
	_, err := o.phone.PlaceCall(t.Context(), activities.CallInput{Effect: call})
	o.ok(err)
	for _, said := range []notify.CallEnd{{Outcome: "voicemail"}, {Outcome: "acknowledged", By: o.effect.Contact, How: "key press 1"}, {Outcome: "no_answer"}} {
		said.Effect = call.Key
		o.ok(o.records.Record(t.Context(), activities.RecordInput{ClientID: call.ClientID, Calls: []notify.CallEnd{said}}))
	}
	again, err := o.phone.PlaceCall(t.Context(), activities.CallInput{Effect: call})
	if want := (activities.PlacedCall{ID: o.row(call).VendorID, Outcome: notify.OutcomeAcknowledged}); err != nil || again != want {
		t.Errorf("a run that asks for the call again hears %+v, %v; want %+v", again, err, want)
	}
	if row := o.row(call); row.Outcome != string(notify.OutcomeAcknowledged) || row.AcknowledgedBy != o.effect.Contact || row.How != "key press 1" {
		t.Errorf("in the ledger: %q by %s, %q", row.Outcome, row.AcknowledgedBy, row.How)
	}
}

func TestACallThatWasNeverBegunHasNoOutcome(t *testing.T) {
	b := newBench(t)
	r := activities.Records{Store: b.ledger.Store}
	record := func(said notify.CallEnd) error {
		said.Effect = b.effect.Key
		return r.Record(t.Context(), activities.RecordInput{ClientID: b.effect.ClientID, Calls: []notify.CallEnd{said}})
	}
	for _, said := range []notify.CallEnd{
		{Outcome: notify.OutcomeUnplaced}, {Outcome: notify.OutcomeAcknowledged, By: b.effect.Contact, How: "key press 1"},
	} {
		if err := record(said); err != nil {
			t.Errorf("%s, with nothing in the ledger: %v", said.Outcome, err)
		}
	}
	b.attempt(&vendor{}, "")
	if err := record(notify.CallEnd{Outcome: notify.OutcomeNoAnswer}); err != nil {
		t.Fatal(err)
	}
	row, err := b.ledger.Once(t.Context(), b.effect, (&vendor{}).act())
	if err != nil || row.Outcome != string(notify.OutcomeNoAnswer) {
		t.Errorf("outcome %q, %v", row.Outcome, err)
	}
}

func TestAContactIsNotReachedTheSameWayTwice(t *testing.T) {
	b := newBench(t)
	n := notify.Notification{Purpose: notify.PurposePublished, Revision: 1, Occurrence: 1, Channel: models.ChannelVoice}
	err := b.ledger.Store.ForClient(t.Context(), store.SOC, b.effect.ClientID, func(tx *store.Tx) error {
		c, err := tx.CreateContact(models.Contact{Name: "D", Email: "d@acme.example", Phone: "+12025550101", Order: 2, Language: "en",
			Severities: models.Severities(), Channels: []models.Channel{models.ChannelSMS, models.ChannelVoice}}, "another", "")
		n.Contact = c.ID
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r := activities.Records{Store: b.ledger.Store}
	after := func() models.Channel {
		to, err := r.PlanFallback(t.Context(), activities.FallbackInput{
			ClientID: b.effect.ClientID, Reference: b.effect.Incident, Notification: n, Severity: models.SeverityCritical, At: b.now,
		})
		if err != nil {
			t.Fatal(err)
		}
		return to.Channel
	}
	if got := after(); got != models.ChannelSMS {
		t.Errorf("after a missed call: %q", got)
	}
	b.effect = notify.MessageEffect(b.effect.Incident, b.effect.ClientID, n.AddressedTo(notify.Recipient{Contact: n.Contact, Channel: models.ChannelSMS}))
	b.attempt(&vendor{}, "")
	if got := after(); got != "" {
		t.Errorf("after a missed call, when the text was sent before: %q", got)
	}
}

// A batch that the database refuses for good ends its activity, so nobody who looks at pending ones sees it.
func TestTheOperatorIsToldOfEventsThatTheDatabaseRefuses(t *testing.T) {
	o := newOffice(t)
	by := models.Actor{Side: models.SideSOC, ID: uuid.NewString(), Role: models.RoleAnalyst}
	gap := activities.RecordInput{ClientID: o.effect.ClientID, Reference: o.effect.Incident,
		Events: []incident.Event{{Seq: 9, At: o.now, Type: "commented", Actor: by, Data: &incident.Commented{Text: "after a gap"}}}}
	var refused *temporal.ApplicationError
	if err := o.records.Record(t.Context(), gap); !errors.As(err, &refused) || refused.Type() != activities.ErrRefused || !refused.NonRetryable() {
		t.Errorf("a gap is answered with %v, want a refusal for good", err)
	}
	open, err := o.ledger.Store.OpenAlarms(t.Context())
	o.ok(err)
	if len(open) != 1 || open[0].Kind != models.AlarmNotRecorded || open[0].Subject != string(o.effect.Incident) {
		t.Errorf("open alarms are %+v, want one about the incident", open)
	}
}
