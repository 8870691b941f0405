package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/report"
	"github.com/watchfire-mdr/watchfire/store"
)

// Mail sends messages to contacts. It belongs to the queue "mail".
type Mail struct {
	Effects   Effects
	Routes    Routes
	Simulated Mailer // takes the mails of fire drills with simulated phones
	Letter    report.Letterhead
	Turns     Turns // of Notify
}

// Sent says how a mail was handed over.
type Sent struct {
	// Refused is the vendor of a mailer that refuses our credentials or settings while another one takes the mails, or "".
	Refused string `json:"refused,omitempty"`
}

// SendMail composes the message from the published revision it is about and hands it to a mailer, once.
func (m *Mail) SendMail(ctx context.Context, in MessageInput) (Sent, error) {
	err := m.deliver(ctx, in.Effect(), func(tx *store.Tx, c models.Contact, row store.LedgerRow) (models.OutboundMail, error) {
		says, err := in.read(tx)
		if err != nil {
			return models.OutboundMail{}, err
		}
		return m.write(in, says, c, row)
	})
	if err != nil || in.Effect().Simulated {
		return Sent{}, err
	}
	return Sent{Refused: m.Routes.refused()}, nil
}

// write composes a mail to a contact. Of one incident all follow the first.
func (m *Mail) write(in MessageInput, says content, c models.Contact, row store.LedgerRow) (models.OutboundMail, error) {
	msg, err := m.compose(in.letter(says, c, row), c, row)
	first := in
	first.Notification = notify.Notification{Purpose: notify.PurposePublished, Revision: 1, Occurrence: 1, Contact: c.ID, Channel: models.ChannelEmail}
	if key := first.Effect().Key; key != row.Key {
		msg.References = []string{m.Letter.MessageID(key)}
	}
	return msg, err
}

// SendCheckMail sends a test or a code to a contact, once, apart from any incident.
func (m *Mail) SendCheckMail(ctx context.Context, e notify.Effect) error {
	return m.deliver(ctx, e, func(_ *store.Tx, c models.Contact, row store.LedgerRow) (models.OutboundMail, error) {
		return m.compose(report.Letter{Purpose: e.Purpose, Language: c.Language, Code: row.Code()}, c, row)
	})
}

// lookBack is how long before a mail was planned it is looked for, because the vendor's clock is another one. Its
// opaque ids tell it from all others.
const lookBack = 12 * time.Hour

func (m *Mail) deliver(ctx context.Context, e notify.Effect, write func(*store.Tx, models.Contact, store.LedgerRow) (models.OutboundMail, error)) error {
	return m.deliverTo(ctx, e, func(tx *store.Tx) (models.Contact, error) { return contactOf(tx, e) }, write)
}

func (m *Mail) deliverTo(ctx context.Context, e notify.Effect, read func(*store.Tx) (models.Contact, error),
	write func(*store.Tx, models.Contact, store.LedgerRow) (models.OutboundMail, error),
) error {
	routes := m.routes(e.Simulated)
	var msg models.OutboundMail
	_, err := m.Effects.Once(ctx, e, EffectSteps{
		Prepare: func(tx *store.Tx, row store.LedgerRow) error {
			c, err := read(tx)
			if err != nil {
				return err
			}
			msg, err = write(tx, c, row)
			return err
		},
		Lookup: func(ctx context.Context, row store.LedgerRow) (Acceptance, bool, error) {
			return routes.lookup(ctx, msg, row.PlannedAt.Add(-lookBack))
		},
		Send: func(ctx context.Context, _ store.LedgerRow) (Acceptance, error) { return routes.send(ctx, msg) },
	})
	if err == nil && !e.Simulated {
		m.tellOperator(ctx)
	}
	return err
}

// routes returns the mailers or, in a fire drill with simulated phones, one that reaches nobody.
func (m *Mail) routes(simulated bool) Routes {
	if simulated {
		return NewRoutes(Route{notify.VendorSimulated, m.Simulated})
	}
	return m.Routes
}

// tellOperator raises an alarm about each mailer that refuses our credentials or settings while another takes the mails,
// which nobody would notice otherwise, and ends it when the mailer takes mails again.
func (m *Mail) tellOperator(ctx context.Context) {
	for n, to := range m.Routes.routes {
		refuses, news := m.Routes.standings[n].takeNews()
		if !news {
			continue
		}
		var err error
		if refuses {
			err = m.Effects.Store.RaiseAlarm(ctx, models.Alarm{Kind: models.AlarmMailerRefuses, Subject: to.Vendor,
				Detail: "the mailer refuses our credentials or settings, and another one takes the mails: correct them"})
		} else {
			err = m.Effects.Store.EndAlarmAbout(ctx, models.AlarmMailerRefuses, to.Vendor)
		}
		if err != nil {
			m.Routes.standings[n].keepNews()
			slog.ErrorContext(ctx, "the operator was not told of a mailer", "vendor", to.Vendor, "error", err.Error())
		}
	}
}

func (m *Mail) compose(l report.Letter, c models.Contact, row store.LedgerRow) (models.OutboundMail, error) {
	msg, err := m.Letter.Compose(l)
	if err != nil {
		return msg, fmt.Errorf("compose mail: %w", err)
	}
	msg.To, msg.ToName = c.Email, c.Name
	msg.MessageID = m.Letter.MessageID(row.Key)
	msg.Opaque = map[string]string{"mdr_delivery_id": row.ID.String(), "mdr_client_id": row.ClientID.String()}
	return msg, nil
}

// Route is a configured mailer and the name of its vendor.
type Route struct {
	Vendor string
	Mailer Mailer
}

// Routes are the configured mailers in the order they are tried.
type Routes struct {
	routes   []Route
	breakers []*gobreaker.TwoStepCircuitBreaker[struct{}] // one per route: open while its mailer is down
	rests    []*rest                                      // one per route

	standings []*standing // one per route
}

// A mailer counts as down after this many failures in a row, and is tried again after a while.
const (
	failuresToTrip = 3
	tripFor        = 30 * time.Second
)

// NewRoutes makes routes of mailers, the preferred first.
func NewRoutes(routes ...Route) Routes {
	r := Routes{routes: routes}
	for _, to := range routes {
		r.rests, r.standings = append(r.rests, &rest{}), append(r.standings, &standing{})
		r.breakers = append(r.breakers, gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
			Name: to.Vendor, Timeout: tripFor,
			ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= failuresToTrip },
		}))
	}
	return r
}

// send hands a message to the first mailer that takes it. It goes on to the next one only when it is certain that
// nothing was sent. It passes over a mailer that is down as long as another one is not, and over one that asked for a
// pause.
func (r Routes) send(ctx context.Context, msg models.OutboundMail) (Acceptance, error) {
	var failed error
	var down []int
	for n, to := range r.routes {
		if left := r.rests[n].left(); left > 0 {
			failed = cmp.Or(failed, error(&models.VendorError{Class: models.Throttled, Vendor: to.Vendor, Op: "send mail", RetryAfter: left}))
			continue
		}
		done, err := r.breakers[n].Allow()
		if err != nil {
			down = append(down, n)
			continue
		}
		accepted, err := to.send(ctx, msg)
		done(mailerFailure(err))
		r.rests[n].beginIfAsked(err)
		r.standings[n].noteAnswer(err)
		if !mayTryNextMailer(err) {
			return accepted, err
		}
		slog.WarnContext(ctx, "mailer did not take a mail", "vendor", to.Vendor, "class", models.ClassOf(err))
		failed = err
	}
	// Nobody else took it. A mailer that is down may be up again, most likely the one that failed the longest time ago.
	slices.SortStableFunc(down, func(a, b int) int { return r.standings[a].lastFailed().Compare(r.standings[b].lastFailed()) })
	for _, n := range down {
		accepted, err := r.routes[n].send(ctx, msg)
		r.rests[n].beginIfAsked(err)
		r.standings[n].noteAnswer(err)
		if !mayTryNextMailer(err) {
			return accepted, err
		}
		failed = err
	}
	return Acceptance{}, failed
}

// refused returns the vendor of the first mailer that refuses our credentials or settings, or "". One behind a mailer
// that works does not count: no mail is meant for it.
func (r Routes) refused() string {
	for n, to := range r.routes {
		switch refuses, known := r.standings[n].get(); {
		case refuses:
			return to.Vendor
		case known:
			return ""
		}
	}
	return ""
}

// standing is what is known of our credentials and settings with a mailer. Other failures say nothing of them.
type standing struct {
	mu      sync.Mutex
	refused bool
	known   bool      // from an answer
	pending bool      // the operator is to be told
	failed  time.Time // when it failed last, by this process's clock
}

// noteAnswer takes a mailer's answer.
func (s *standing) noteAnswer(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if mailerFailure(err) != nil {
		s.failed = time.Now()
	}
	switch {
	case err == nil:
		s.pending = s.pending || s.refused || !s.known
		s.refused, s.known = false, true
	case models.ClassOf(err) == models.Config:
		s.refused, s.known, s.pending = true, true, true
	}
}

// get returns whether the mailer refuses our credentials or settings, and whether that is known from an answer.
func (s *standing) get() (refuses, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused, s.known
}

// lastFailed returns when the mailer failed last, zero for never.
func (s *standing) lastFailed() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// takeNews returns what the operator is to be told, once; keepNews makes it news again.
func (s *standing) takeNews() (refuses, pending bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pending, s.pending = s.pending, false
	return s.refused, pending
}

func (s *standing) keepNews() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = true
}

// rest is the pause that a throttled mailer asked for. Its clock is the process's own, which runs evenly.
type rest struct {
	mu    sync.Mutex
	until time.Time
}

func (r *rest) left() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Until(r.until)
}

// beginIfAsked begins a pause when the mailer asked for one.
func (r *rest) beginIfAsked(err error) {
	var v *models.VendorError
	if errors.As(err, &v) && v.Class == models.Throttled && v.RetryAfter > 0 {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.until = time.Now().Add(v.RetryAfter)
	}
}

func (t Route) send(ctx context.Context, msg models.OutboundMail) (Acceptance, error) {
	id, err := t.Mailer.Send(ctx, msg)
	return Acceptance{Vendor: t.Vendor, ID: id}, err
}

// mailerFailure returns the error if it speaks against the mailer, nil if it is about this one message only.
func mailerFailure(err error) error {
	if err != nil && models.ClassOf(err) == models.Rejected {
		return nil
	}
	return err
}

// mayTryNextMailer reports whether a message may go to another mailer: this one certainly did not send it.
func mayTryNextMailer(err error) bool {
	if err == nil {
		return false
	}
	switch models.ClassOf(err) {
	case models.Transient, models.Throttled, models.Config:
		return true
	}
	return false
}

// lookup asks every mailer for the message: the ledger does not say which one an earlier attempt went to.
func (r Routes) lookup(ctx context.Context, msg models.OutboundMail, since time.Time) (Acceptance, bool, error) {
	var unknown error
	for n, to := range r.routes {
		id, found, err := to.Mailer.Lookup(ctx, msg, since)
		if found {
			return Acceptance{Vendor: to.Vendor, ID: id}, true, nil
		}
		if err != nil {
			unknown = err
			r.noteFailure(n, err)
		}
	}
	return Acceptance{}, false, unknown
}

// noteFailure counts a failed look-up against its mailer: then the next attempt goes to another one at once. One that
// succeeds says nothing, because the mailer may take no mail all the same.
func (r Routes) noteFailure(n int, err error) {
	if done, down := r.breakers[n].Allow(); down == nil {
		done(mailerFailure(err))
	}
}
