package activities_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// sorter is a mailer that answers each contact in its own way, and notes to whom it was asked to send.
type sorter struct {
	mu    sync.Mutex
	fails map[string]models.VendorClass // name of the contact -> its answer
	asked []string
	knows bool // the mails, when it is asked
}

func (s *sorter) Send(_ context.Context, m models.OutboundMail) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, m.ToName)
	if c := s.fails[m.ToName]; c != "" {
		return "", &models.VendorError{Class: c, Vendor: "post", Op: "send mail", RetryAfter: time.Hour}
	}
	return "id-" + m.ToName, nil
}

func (s *sorter) Lookup(context.Context, models.OutboundMail, time.Time) (string, bool, error) {
	return "looked-up", s.knows, nil
}

// revised is the batch that tells everybody named of a second revision.
func (o *office) revised(contacts ...models.Contact) activities.NotifyInput {
	by := models.Actor{Side: models.SideSOC, ID: uuid.NewString(), Role: models.RoleAnalyst}
	in := activities.NotifyInput{RecordInput: activities.RecordInput{ClientID: o.effect.ClientID, Reference: o.effect.Incident,
		Events: []incident.Event{{Seq: 3, At: o.now, Type: "revised", Actor: by, Data: &incident.Revised{Change: "worse", Material: true}}}}}
	for _, c := range contacts {
		in.Mails = append(in.Mails, notify.Notification{Purpose: notify.PurposeRevised, Revision: 2, Occurrence: 1, Contact: c.ID, Channel: models.ChannelEmail})
	}
	return in
}

func (o *office) mailTo(n notify.Notification) store.LedgerRow {
	o.Helper()
	return o.row(notify.MessageEffect(o.effect.Incident, o.effect.ClientID, n))
}

func (o *office) recorded() int {
	o.Helper()
	seq, err := o.records.LastRecorded(o.Context(), activities.SeqInput{ClientID: o.effect.ClientID, Reference: o.effect.Incident})
	o.ok(err)
	return seq
}

func TestEventsAndTheirMailsGoTogether(t *testing.T) {
	o := newOffice(t)
	post := &sorter{fails: map[string]models.VendorClass{
		"rejected": models.Rejected, "ambiguous": models.Ambiguous, "down": models.Transient, "refused": models.Config,
	}}
	o.mail.Routes = activities.NewRoutes(activities.Route{Vendor: "post", Mailer: post})
	names := []string{"taken", "rejected", "ambiguous", "down", "refused", "also taken"}
	var contacts []models.Contact
	for _, name := range names {
		contacts = append(contacts, o.hires(name, models.Hours{}))
	}
	in := o.revised(append(contacts, models.Contact{ID: uuid.New()})...) // the last one was removed meanwhile
	later := in.Mails[0]
	later.Purpose, later.At = notify.PurposeReminder, o.now.Add(time.Hour).UTC().Truncate(time.Microsecond)
	in.Later = []notify.Notification{later}
	out, err := o.mail.Notify(t.Context(), in)
	o.ok(err)
	if want := []bool{true, false, false, false, false, true, false}; !slices.Equal(out.Accepted, want) || o.recorded() != 3 {
		t.Errorf("accepted %v, want %v; the store has event %d", out.Accepted, want, o.recorded())
	}
	if got := slices.Sorted(maps.Keys(out.Failures)); !slices.Equal(got, []int{4}) || out.Failures[4].RetryAfter != time.Hour || out.Failures[4].Class != models.Config {
		t.Errorf("failures %+v, want those after which the channel waits", out.Failures)
	}
	for n, want := range []struct {
		state     notify.EffectState
		attempted bool
	}{
		{notify.EffectAccepted, true}, {notify.EffectRejected, true}, {notify.EffectIntended, true}, {notify.EffectIntended, false},
		{notify.EffectIntended, false}, {notify.EffectAccepted, true}, {"", false},
	} {
		if row := o.mailTo(in.Mails[n]); row.State != want.state || row.AttemptAt.IsZero() == want.attempted {
			t.Errorf("mail %d is in the ledger as %q, attempted at %s; want %+v", n, row.State, row.AttemptAt, want)
		}
	}
	if row := o.mailTo(in.Mails[0]); row.VendorID != "id-taken" || row.Vendor != "post" || row.Attempts != 1 {
		t.Errorf("in the ledger: %+v", row.Delivery)
	}
	if row := o.mailTo(later); row.State != notify.EffectIntended || !row.PlannedAt.Equal(later.At) || !row.AttemptAt.IsZero() {
		t.Errorf("what waits for its hour is in the ledger as %q for %s, attempted at %s", row.State, row.PlannedAt, row.AttemptAt)
	}
}

// The worker died before it could tell what became of the mails.
func TestABatchThatIsHandedOverAgainSendsNothingTwice(t *testing.T) {
	o := newOffice(t)
	post := &sorter{fails: map[string]models.VendorClass{"ambiguous": models.Ambiguous}, knows: true}
	o.mail.Routes = activities.NewRoutes(activities.Route{Vendor: "post", Mailer: post})
	in := o.revised(o.hires("taken", models.Hours{}), o.hires("ambiguous", models.Hours{}))
	for range 3 {
		out, err := o.mail.Notify(t.Context(), in)
		if want := []bool{true, false}; err != nil || !slices.Equal(out.Accepted, want) {
			t.Errorf("accepted %v, %v; want %v", out.Accepted, err, want)
		}
	}
	if slices.Sort(post.asked); !slices.Equal(post.asked, []string{"ambiguous", "taken"}) {
		t.Errorf("the mailer was asked for %v", post.asked)
	}
	one := activities.MessageInput{ClientID: in.ClientID, Reference: in.Reference, Notification: in.Mails[1]}
	var app *temporal.ApplicationError
	if _, err := o.mail.SendMail(t.Context(), one); !errors.As(err, &app) || app.Type() != activities.ErrSettling {
		t.Errorf("sent at once by itself: %v, want it to settle first", err)
	}
}

func TestAMailWhoseEventsTheStoreRefusesIsNotSent(t *testing.T) {
	o := newOffice(t)
	in := o.revised(o.hires("anybody", models.Hours{}))
	in.Events[0].Seq = 9
	if _, err := o.mail.Notify(t.Context(), in); err == nil {
		t.Error("a gap was taken")
	}
	in.Events[0].Seq = 2
	var app *temporal.ApplicationError
	if _, err := o.mail.Notify(t.Context(), in); !errors.As(err, &app) || app.Type() != activities.ErrDiverged {
		t.Errorf("another event under a number: %v", err)
	}
	if row := o.mailTo(in.Mails[0]); row.State != "" || len(o.vendor.asked) != 0 {
		t.Errorf("in the ledger %q, asked for %v", row.State, o.vendor.asked)
	}
}

// The mailer is slow, and this process asks it for enough.
func TestEventsDoNotWaitForATurnAtTheMailer(t *testing.T) {
	o := newOffice(t)
	o.mail.Turns = activities.NewTurns(1, 1)
	in := o.revised(o.hires("first", models.Hours{}), o.hires("second", models.Hours{})) // more than one in a second
	out, err := o.mail.Notify(t.Context(), in)
	if err != nil || slices.Contains(out.Accepted, true) || o.recorded() != 3 || len(o.vendor.asked) != 0 {
		t.Errorf("accepted %v, %v; the store has event %d, asked for %v", out.Accepted, err, o.recorded(), o.vendor.asked)
	}
	if row := o.mailTo(in.Mails[0]); row.State != "" {
		t.Errorf("in the ledger %q", row.State)
	}
	call := notify.CallEffect(in.Reference, in.ClientID, 1, 1, 1, o.effect.Contact)
	o.phone.Turns = activities.NewTurns(1, 1)
	_, err = o.phone.PlaceFirstCall(t.Context(), activities.CallInput{Effect: call})
	o.ok(err)
	call = notify.CallEffect(in.Reference, in.ClientID, 1, 2, 1, o.effect.Contact)
	var app *temporal.ApplicationError
	if _, err := o.phone.PlaceFirstCall(t.Context(), activities.CallInput{Effect: call}); !errors.As(err, &app) || app.Type() != activities.ErrNoTurn || app.NonRetryable() {
		t.Errorf("a second call in the same second: %v", err)
	}
}
