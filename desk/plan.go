package desk

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// Preview says who of a client is notified, how and when, if an incident of a severity happens at a moment.
type Preview struct {
	Severity models.Severity    `json:"severity"`
	At       time.Time          `json:"at"`    // in UTC
	Local    time.Time          `json:"local"` // the same moment in the client's time zone
	TimeZone string             `json:"time_zone"`
	Messages []PlannedRecipient `json:"messages"` // one for each contact who has the channel email or sms
	Calls    []PlannedRecipient `json:"calls"`    // critical only, in calling order
	Skipped  []SkippedContact   `json:"skipped"`  // contacts who are not notified, or not called, and why
}

// PlannedRecipient is a notify.Recipient with the contact's name.
type PlannedRecipient struct {
	notify.Recipient
	Name string `json:"name"`
}

// SkippedContact is a notify.Skipped with the contact's name.
type SkippedContact struct {
	notify.Skipped
	Name string `json:"name"`
}

// GoLive says whether a client can go live: whether Watchfire can notify it and isolate its devices.
type GoLive struct {
	Ready  bool                 `json:"ready"` // every check passed
	Checks []models.GoLiveCheck `json:"checks"`
}

// CallerCode proves that a call to a client is Watchfire's.
type CallerCode struct {
	Code       string    `json:"code"`
	Previous   string    `json:"previous"` // of calls that began before the last change
	ValidUntil time.Time `json:"valid_until"`
}

// Plan previews who of the client with a number is notified. at is RFC 3339, with or without seconds; without an offset
// it is the client's local time, and "" is now. NotFound also when the client is not the user's. Invalid: the client's
// clocks never show that time.
func (d *Desk) Plan(ctx context.Context, u models.User, number int, s models.Severity, at string) (Preview, error) {
	if err := auth.Allow("get-plan", u.Role); err != nil {
		return Preview{}, err
	}
	if !s.IsValid() {
		return Preview{}, models.InvalidField("/severity", "is not a severity")
	}
	return store.Run(d.inClient(ctx, u, number), func(tx *store.Tx) (Preview, error) {
		directory, err := tx.Directory()
		if err != nil {
			return Preview{}, err
		}
		moment, err := momentIn(directory.Zone, at, tx.Now())
		return previewPlan(directory, s, moment), err
	})
}

// momentIn reads a moment as readMoment does; "" is now.
func momentIn(zone *time.Location, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return now, nil
	}
	return readMoment(text, zone)
}

func previewPlan(d notify.Directory, s models.Severity, at time.Time) Preview {
	plan, name := d.Plan(s, at), namesOf(d.Contacts)
	p := Preview{
		Severity: s, At: at.UTC(), Local: at.In(d.Zone), TimeZone: d.Zone.String(),
		Messages: []PlannedRecipient{}, Calls: []PlannedRecipient{}, Skipped: []SkippedContact{},
	}
	for _, r := range plan.Messages {
		r.At = r.At.UTC()
		p.Messages = append(p.Messages, PlannedRecipient{r, name[r.Contact]})
	}
	for _, r := range plan.Calls {
		r.At = r.At.UTC()
		p.Calls = append(p.Calls, PlannedRecipient{r, name[r.Contact]})
	}
	for _, l := range plan.Skipped {
		p.Skipped = append(p.Skipped, SkippedContact{l, name[l.Contact]})
	}
	return p
}

// readMoment reads a moment that may lack seconds and offset; without an offset it is local to zone.
func readMoment(text string, zone *time.Location) (time.Time, error) {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(form, text); err == nil {
			return checkYear(t)
		}
	}
	for _, form := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04"} {
		t, err := time.ParseInLocation(form, text, zone)
		switch {
		case err != nil:
		case t.Format(form) != text:
			return time.Time{}, models.InvalidField("/at", "does not exist in the client's time zone: the clocks skip it")
		default:
			return checkYear(t)
		}
	}
	return time.Time{}, models.InvalidField("/at", "is not a moment such as 2026-11-29T03:00")
}

// checkYear refuses years that a person cannot mean.
func checkYear(t time.Time) (time.Time, error) {
	if t.Year() < 1900 || t.Year() > 2999 {
		return time.Time{}, models.InvalidField("/at", "is not in the years 1900 to 2999")
	}
	return t, nil
}

// GoLive checks whether the client with a number can go live: Watchfire can notify it and reach its EDR, and the client
// has signed a response authority and let somebody approve whenever that has it asked. NotFound also when the client is not the user's.
func (d *Desk) GoLive(ctx context.Context, u models.User, number int) (GoLive, error) {
	if err := auth.Allow("check-go-live", u.Role); err != nil {
		return GoLive{}, err
	}
	var directory notify.Directory
	var edr models.EDRStatus
	var signed authority.Authority
	err := d.inClient(ctx, u, number)(func(tx *store.Tx) (err error) {
		if directory, err = tx.Directory(); err != nil {
			return err
		}
		if edr, err = tx.EDRStatus(); err != nil {
			return err
		}
		signed, err = tx.Authority()
		return err
	})
	if err != nil {
		return GoLive{}, err
	}
	people, err := d.noApprovers(ctx, u, number)
	if err != nil {
		return GoLive{}, err
	}
	var swap []string
	for n, contact := range directory.Contacts {
		if people.WhyNot(contact) != "" {
			directory.Contacts[n].Approver = nil
		}
		swap = append(swap, contact.ID.String(), contact.Name)
	}
	speak := strings.NewReplacer(swap...)
	g := GoLive{Ready: true, Checks: append(directory.GoLive(),
		d.allowedNumbers(directory.Contacts), edr.GoLive(), signed.GoLive(), directory.GoLiveApprovers(askingRules(signed)))}
	for _, f := range g.Checks {
		g.Ready = g.Ready && f.Passed
		for n := range f.Details {
			f.Details[n] = speak.Replace(f.Details[n])
		}
	}
	return g, nil
}

// askingRules returns when a signed response authority has the client asked: by its rules, about isolations past the
// client's limit, about assets for which two persons must agree, and about isolations for which no rule decides.
func askingRules(a authority.Authority) (asking []notify.AskingRule) {
	for _, rule := range a.Rules {
		name := fmt.Sprintf("rule %q", rule.Name)
		switch {
		case rule.Decision.Asks():
		case rule.Decision == authority.DecideAuto && rule.Action == models.DesiredIsolated:
			name += " past the limit of isolations"
		default:
			continue
		}
		severities := rule.Severities
		if len(severities) == 0 {
			severities = models.Severities()
		}
		asking = append(asking, notify.AskingRule{
			Name: name, Severities: severities, Business: rule.Hours != authority.HoursOutside, Outside: rule.Hours != authority.HoursBusiness, Persons: 1,
		})
	}
	if a.SignedAt.IsZero() {
		return asking // a check of its own
	}
	if len(a.TwoPersons) > 0 {
		asking = append(asking, notify.AskingRule{Name: "two persons must agree", Severities: models.Severities(), Business: true, Outside: true, Persons: 2})
	}
	return append(asking, askedWithoutRule(a)...)
}

// askedWithoutRule returns when a response authority has the client asked about the isolation of some class of asset because
// no rule decides, as its rulings on such assets say.
func askedWithoutRule(a authority.Authority) (asking []notify.AskingRule) {
	type hours struct{ business, outside bool }
	reasons := func(s models.Severity, business models.Hours) (reasons []string) {
		for _, class := range []models.AssetClass{models.ClassWorkstation, models.ClassServer, models.ClassDomainController} {
			ruling := a.Evaluate(authority.Request{Action: models.DesiredIsolated, Asset: authority.Asset{Class: class}, Severity: s}, time.UTC, business)
			named := slices.ContainsFunc(a.Rules, func(r authority.Rule) bool { return r.Name == ruling.Rule })
			if ruling.Decision.Asks() && !named && !slices.Contains(reasons, ruling.Rule) {
				reasons = append(reasons, ruling.Rule)
			}
		}
		return reasons
	}
	always, never := models.Hours{}, models.Hours{{Days: models.Days()[1:2], From: 0, To: 15}} // not at time zero, a Monday
	for _, when := range []hours{{true, true}, {true, false}, {false, true}} {
		of, order := map[string][]models.Severity{}, []string{}
		for _, s := range models.Severities() {
			in, out := reasons(s, always), reasons(s, never)
			for _, reason := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(in, out)))) {
				if when != (hours{slices.Contains(in, reason), slices.Contains(out, reason)}) {
					continue
				}
				if of[reason] == nil {
					order = append(order, reason)
				}
				of[reason] = append(of[reason], s)
			}
		}
		for _, reason := range order {
			asking = append(asking, notify.AskingRule{Name: reason, Severities: of[reason], Business: when.business, Outside: when.outside, Persons: 1})
		}
	}
	return asking
}

// GoLiveNow notes that the client with a number is live: from now on analysts open incidents for it. Conflict: a go-live
// check fails, and despite does not say why the client goes live all the same. A client who is live stays so.
func (d *Desk) GoLiveNow(ctx context.Context, u models.User, number int, despite string) (now models.Client, err error) {
	if err := auth.Allow("go-live", u.Role); err != nil {
		return now, err
	}
	if err := cmp.Or(models.CheckText("/despite", despite, 300, false), models.CheckTexts(map[string]string{"despite": despite})); err != nil {
		return now, err
	}
	g, err := d.GoLive(ctx, u, number)
	if err != nil {
		return now, err
	}
	var failed []string
	for _, c := range g.Checks {
		if !c.Passed {
			failed = append(failed, c.Name)
		}
	}
	err = d.changeSettings(ctx, u, number, "go-live", func(tx *store.Tx) (_ string, fields []string, err error) {
		before, err := tx.Client()
		if err != nil {
			return "", nil, err
		}
		if !before.LiveAt.IsZero() {
			now = before
			return "", nil, nil
		}
		if len(failed) > 0 && despite == "" {
			return "", nil, models.Errorf(models.Conflict, "these checks fail: %s; see the go-live checks, or say in despite why the client goes live all the same",
				strings.Join(failed, ", "))
		}
		if len(failed) == 0 {
			despite = ""
		}
		if now, err = tx.GoLive(despite); err != nil {
			return "", nil, err
		}
		fields, err = differences(before, now)
		return "", fields, err
	})
	return now, err
}

// CallerCode returns the code that proves at present that a call to the client with a number is Watchfire's. NotFound
// also when the client is not the user's.
func (d *Desk) CallerCode(ctx context.Context, u models.User, number int) (CallerCode, error) {
	if err := auth.Allow("get-caller-code", u.Role); err != nil {
		return CallerCode{}, err
	}
	return store.Run(d.inClient(ctx, u, number), func(tx *store.Tx) (c CallerCode, err error) {
		secret, err := tx.CallerSecret()
		if err != nil {
			return c, err
		}
		if c.Previous, _, err = auth.CallerCode(secret, tx.Now().Add(-auth.CallerCodeFor)); err != nil {
			return c, err
		}
		c.Code, c.ValidUntil, err = auth.CallerCode(secret, tx.Now())
		return c, err
	})
}

func namesOf(contacts []models.Contact) map[uuid.UUID]string {
	of := map[uuid.UUID]string{}
	for _, c := range contacts {
		of[c.ID] = c.Name
	}
	return of
}
