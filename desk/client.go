package desk

import (
	"cmp"
	"context"
	"strconv"
	"time"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// CreateClient takes on a client. Number 0 takes the next free number; zero policy values and nil business hours take
// their defaults. The same key again returns the same client, as it is now. Invalid: a field is wrong, or the key was
// used for another request. Conflict: the number is taken.
func (d *Desk) CreateClient(ctx context.Context, u models.User, c models.Client, key string) (models.Client, error) {
	if err := auth.Allow("create-client", u.Role); err != nil {
		return models.Client{}, err
	}
	asked, err := requestFingerprint("create-client", c)
	if err != nil {
		return models.Client{}, err
	}
	if c, err = d.completeTerms(c); err != nil {
		return models.Client{}, err
	}
	if err := checkEDR(c.EDR); err != nil {
		return models.Client{}, err
	}
	if err := d.useOwn(ctx, u); err != nil {
		return models.Client{}, err
	}
	return d.store.By(u).CreateClient(ctx, c, requestID(u, "create-client", key), asked)
}

// UpdateClient replaces the terms of the client with the number of c: all but the EDR, which SetEDRCredentials sets.
// Open terms take their defaults, as in CreateClient. The policy paces incidents that are opened from now on, the other
// terms count at once. NotFound: the client does not exist.
func (d *Desk) UpdateClient(ctx context.Context, u models.User, c models.Client) (models.Client, error) {
	if err := auth.Allow("update-client", u.Role); err != nil {
		return models.Client{}, err
	}
	c, err := d.completeTerms(c)
	if err != nil {
		return models.Client{}, err
	}
	var now models.Client
	err = d.changeSettings(ctx, u, c.Number, "update-client", func(tx *store.Tx) (_ string, fields []string, err error) {
		before, err := tx.Client()
		if err != nil {
			return "", nil, err
		}
		if now, err = tx.UpdateClient(c); err != nil {
			return "", nil, err
		}
		fields, err = differences(before, now)
		return "", fields, err
	})
	return now, err
}

// completeTerms gives a client's open terms their defaults, and checks the terms.
func (d *Desk) completeTerms(c models.Client) (models.Client, error) {
	c.Policy = withPolicyDefaults(c.Policy)
	if c.Business == nil {
		c.Business = models.OfficeHours()
	}
	c.Contract.Start, c.Contract.End = c.Contract.Start.UTC(), c.Contract.End.UTC()
	if err := cmp.Or(requireText("/legal_name", c.LegalName), models.CheckTexts(c)); err != nil {
		return c, err
	}
	if !isTimeZone(c.TimeZone) {
		return c, models.InvalidField("/time_zone", "is not an IANA time zone such as Europe/Berlin")
	}
	if err := d.checkLanguage(c.Language); err != nil {
		return c, err
	}
	if err := c.Business.Check("/business_hours"); err != nil {
		return c, err
	}
	if c.Contract.End.Before(c.Contract.Start) {
		return c, models.InvalidField("/contract/end", "is before the start")
	}
	return c, cmp.Or(checkDay("/contract/start", c.Contract.Start), checkDay("/contract/end", c.Contract.End), checkPolicy(c.Policy))
}

func checkDay(pointer string, t time.Time) error {
	if !t.Equal(t.Truncate(24 * time.Hour)) {
		return models.InvalidField(pointer, "is not a day at midnight UTC")
	}
	return nil
}

func checkEDR(e models.EDR) error {
	if e.Vendor != "" && e.Vendor != "crowdstrike" {
		return models.InvalidField("/edr/vendor", "must be crowdstrike; to use another product, set its credentials")
	}
	if e.Vendor != "" && e.Tenant == "" {
		return models.InvalidField("/edr/tenant", "is required with a vendor")
	}
	return nil
}

func checkPolicy(p models.Policy) error {
	type bounded struct {
		field    string
		span     models.Duration
		from, to time.Duration
	}
	const year = 366 * 24 * time.Hour
	spans := []bounded{
		{"ring_for", p.RingFor, 5 * time.Second, 10 * time.Minute},
		{"busy_again_after", p.BusyAgainAfter, time.Second, time.Hour},
		{"round_every", p.RoundEvery, time.Second, 24 * time.Hour},
		{"slow_round_every", p.SlowRoundEvery, time.Second, 24 * time.Hour},
		{"high_again_after", p.HighAgainAfter, time.Second, 7 * 24 * time.Hour},
		{"feedback_window", p.FeedbackWindow, time.Second, year},
		{"approve_for", p.ApproveFor, time.Second, 30 * 24 * time.Hour},
		{"lease", p.Lease, time.Second, year},
		{"tell_after", p.TellAfter, time.Second, 24 * time.Hour},
		{"try_again_every", p.TryAgainEvery, time.Second, 24 * time.Hour},
	}
	for _, s := range models.Severities() {
		spans = append(spans, bounded{"reminders/" + string(s), p.Reminders[s], time.Second, year})
	}
	for _, s := range spans {
		if d := time.Duration(s.span); d < s.from || d > s.to {
			return models.InvalidField("/policy/"+s.field, "must be %s to %s", s.from, s.to)
		}
	}
	return nil
}

// withPolicyDefaults gives the open numbers of a policy their defaults.
func withPolicyDefaults(p models.Policy) models.Policy {
	def := models.DefaultPolicy()
	reminders := def.Reminders
	for s, every := range p.Reminders {
		reminders[s] = cmp.Or(every, reminders[s])
	}
	return models.Policy{
		RingFor: cmp.Or(p.RingFor, def.RingFor), BusyAgainAfter: cmp.Or(p.BusyAgainAfter, def.BusyAgainAfter),
		BusyTries: cmp.Or(p.BusyTries, def.BusyTries), Rounds: cmp.Or(p.Rounds, def.Rounds),
		RoundEvery: cmp.Or(p.RoundEvery, def.RoundEvery), SlowRoundEvery: cmp.Or(p.SlowRoundEvery, def.SlowRoundEvery),
		Reminders: reminders, HighAgainAfter: cmp.Or(p.HighAgainAfter, def.HighAgainAfter),
		FeedbackWindow: cmp.Or(p.FeedbackWindow, def.FeedbackWindow), TellAfter: cmp.Or(p.TellAfter, def.TellAfter),
		ApproveFor: cmp.Or(p.ApproveFor, def.ApproveFor), Lease: cmp.Or(p.Lease, def.Lease),
		TryAgainEvery: cmp.Or(p.TryAgainEvery, def.TryAgainEvery), IsolationsPer10Min: p.IsolationLimit(),
		WatchReleases: models.Duration(p.ReleaseWatch()),
	}
}

// Clients lists clients in the order of their numbers. For the SOC.
func (d *Desk) Clients(ctx context.Context, u models.User, p PageRequest) (Page[models.Client], error) {
	if err := auth.Allow("list-clients", u.Role); err != nil {
		return Page[models.Client]{}, err
	}
	after, err := parseNumberCursor(p.Cursor)
	if err != nil {
		return Page[models.Client]{}, err
	}
	list, err := store.Run(d.inSight(ctx, u), func(tx *store.Tx) ([]models.Client, error) { return tx.Clients(after, p.Limit+1) })
	return cutPage(list, p.Limit, func(c models.Client) string { return strconv.Itoa(c.Number) }), err
}

// Client returns the client with a number. NotFound also when the client is not the user's.
func (d *Desk) Client(ctx context.Context, u models.User, number int) (models.Client, error) {
	return store.Run(d.inClient(ctx, u, number), func(tx *store.Tx) (models.Client, error) {
		c, err := tx.Client()
		if err != nil {
			return c, err
		}
		s, err := tx.IsolationSwitch()
		if s.Paused {
			c.IsolationPaused = &s
		}
		return c, err
	})
}

// PauseIsolation pauses the isolations of the client with a number: isolated devices stay isolated, and releases go on.
// Pausing again changes nothing. NotFound also when the client is not the user's.
func (d *Desk) PauseIsolation(ctx context.Context, u models.User, number int, reason string) (models.IsolationSwitch, error) {
	return d.switchIsolation(ctx, u, number, "pause-isolation", models.IsolationSwitch{Paused: true, Reason: reason})
}

// ResumeIsolation ends the pause, whoever began it.
func (d *Desk) ResumeIsolation(ctx context.Context, u models.User, number int, reason string) (models.IsolationSwitch, error) {
	return d.switchIsolation(ctx, u, number, "resume-isolation", models.IsolationSwitch{Reason: reason})
}

func (d *Desk) switchIsolation(ctx context.Context, u models.User, number int, operation string, s models.IsolationSwitch) (now models.IsolationSwitch, err error) {
	if err := auth.Allow(operation, u.Role); err != nil {
		return now, err
	}
	s.Side, s.By = u.Role.Side(), u.ID
	if err := cmp.Or(s.Check(), models.CheckTexts(s)); err != nil {
		return now, err
	}
	err = d.changeSettings(ctx, u, number, operation, func(tx *store.Tx) (_ string, fields []string, err error) {
		before, err := tx.IsolationSwitch()
		if err != nil {
			return "", nil, err
		}
		s.At = tx.Now()
		if now, err = tx.SwitchIsolation(s); now.Paused != before.Paused {
			fields = []string{"isolation_paused"}
		}
		return "", fields, err
	})
	return now, err
}
