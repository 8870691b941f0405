package notify_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/modelstest"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

var phones = []string{"+4930111", "+4930222", "+4930333"}

func anyContact(t *rapid.T, n int) models.Contact {
	return models.Contact{
		ID: modelstest.ContactID(n), Email: "someone@example.org", Phone: rapid.SampledFrom(phones).Draw(t, "phone"),
		Order:            rapid.IntRange(0, 3).Draw(t, "order"),
		Severities:       rapid.SliceOfNDistinct(rapid.SampledFrom(models.Severities()), 0, 4, rapid.ID[models.Severity]).Draw(t, "severities"),
		Channels:         rapid.SliceOfNDistinct(rapid.SampledFrom([]models.Channel{"email", "voice", "sms"}), 0, 3, rapid.ID[models.Channel]).Draw(t, "channels"),
		Hours:            modelstest.AnyHours(t),
		HoursForCritical: rapid.Bool().Draw(t, "hours for critical"),
	}
}

func anyDirectory(t *rapid.T, z *time.Location, most int) notify.Directory {
	d := notify.Directory{Zone: z, Business: modelstest.AnyHours(t)}
	for n := range rapid.IntRange(0, most).Draw(t, "contacts") {
		d.Contacts = append(d.Contacts, anyContact(t, n))
	}
	d.Contacts = rapid.Permutation(d.Contacts).Draw(t, "as stored")
	return d
}

// expected is the plan by the rules as they are told to people: the contacts to write to, to call and to skip, each
// in calling order.
func expected(d notify.Directory, s models.Severity, at time.Time, wait func(models.Contact) time.Time) (messages, calls []notify.Recipient, left []uuid.UUID) {
	contacts := slices.Clone(d.Contacts)
	slices.SortFunc(contacts, func(a, b models.Contact) int {
		if a.Order != b.Order {
			return a.Order - b.Order
		}
		return strings.Compare(a.ID.String(), b.ID.String())
	})
	rang := map[string]bool{}
	for _, c := range contacts {
		from := at
		if s != models.SeverityCritical || c.HoursForCritical {
			from = wait(c)
		}
		matches := slices.Contains(c.Severities, s)
		mail, text, voice := slices.Contains(c.Channels, "email"), slices.Contains(c.Channels, "sms"), slices.Contains(c.Channels, "voice")
		switch {
		case matches && mail:
			messages = append(messages, notify.Recipient{Contact: c.ID, Order: c.Order, Channel: "email", At: from})
		case matches && text:
			messages = append(messages, notify.Recipient{Contact: c.ID, Order: c.Order, Channel: "sms", At: from})
		}
		called := matches && voice && s == models.SeverityCritical && from.Equal(at) && !rang[c.Phone]
		if called {
			rang[c.Phone] = true
			calls = append(calls, notify.Recipient{Contact: c.ID, Order: c.Order, Channel: "voice", At: at})
		}
		if !called && (!matches || s == models.SeverityCritical || !mail && !text) {
			left = append(left, c.ID)
		}
	}
	return messages, calls, left
}

func sameReaches(got, want []notify.Recipient) bool {
	return slices.EqualFunc(got, want, func(a, b notify.Recipient) bool {
		return a.Contact == b.Contact && a.Order == b.Order && a.Channel == b.Channel && a.At.Equal(b.At)
	})
}

func checkPlan(t interface{ Fatalf(string, ...any) }, d notify.Directory, s models.Severity, at time.Time, wait func(models.Contact) time.Time) {
	p := d.PlanByRule(s, at)
	messages, calls, left := expected(d, s, at, wait)
	if !sameReaches(p.Messages, messages) {
		t.Fatalf("%s at %s: messages %+v\nwant %+v", s, at.In(d.Zone), p.Messages, messages)
	}
	if !sameReaches(p.Calls, calls) {
		t.Fatalf("%s at %s: calls %+v\nwant %+v", s, at.In(d.Zone), p.Calls, calls)
	}
	var got []uuid.UUID
	for _, u := range p.Skipped {
		got = append(got, u.Contact)
		if u.Reason == "" || strings.ContainsAny(u.Reason, "+@") {
			t.Fatalf("%s is left because %q", u.Contact, u.Reason)
		}
	}
	if !slices.Equal(got, left) {
		t.Fatalf("%s at %s: left %v\nwant %v", s, at.In(d.Zone), p.Skipped, left)
	}
}

func TestThePlanFollowsItsRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z := modelstest.Zone(t, rapid.SampledFrom(modelstest.Zones).Draw(t, "zone"))
		d, at := anyDirectory(t, z, 6), modelstest.AnyMoment(t, z)
		walls := map[uuid.UUID]*modelstest.Wall{}
		for _, c := range d.Contacts {
			walls[c.ID] = modelstest.WallOf(c.Hours)
		}
		before := modelstest.Snapshot(t, d.Contacts)
		for _, s := range models.Severities() {
			checkPlan(t, d, s, at, func(c models.Contact) time.Time { return walls[c.ID].First(at, z) })
		}
		shuffled := d
		shuffled.Contacts = rapid.Permutation(d.Contacts).Draw(t, "shuffled")
		for _, s := range models.Severities() {
			if !reflect.DeepEqual(shuffled.Plan(s, at), d.Plan(s, at)) {
				t.Fatal("the plan hangs on the order in which contacts are stored")
			}
		}
		if !reflect.DeepEqual(shuffled.GoLive(), d.GoLive()) {
			t.Fatal("the go-live check hangs on the order in which contacts are stored")
		}
		if modelstest.Snapshot(t, d.Contacts) != before {
			t.Fatal("planning changed the contacts")
		}
	})
}

// The whole plan is the one by rule, widened: by who was told, and by everybody when nobody else can be written to.
func TestThePlanAlwaysHasARecipient(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z := modelstest.Zone(t, rapid.SampledFrom(modelstest.Zones).Draw(t, "zone"))
		d, at := anyDirectory(t, z, 6), modelstest.AnyMoment(t, z)
		s := rapid.SampledFrom(models.Severities()).Draw(t, "severity")
		var told []uuid.UUID
		anybody, byRule, ruled := false, false, false
		for _, c := range d.Contacts {
			writable := slices.Contains(c.Channels, "email") || slices.Contains(c.Channels, "sms")
			if rapid.Bool().Draw(t, "told") {
				told = append(told, c.ID)
			}
			matches := slices.Contains(c.Severities, s)
			anybody, ruled = anybody || writable, ruled || matches
			byRule = byRule || writable && (matches || slices.Contains(told, c.ID))
		}
		told = append(told, modelstest.ContactID(99)) // who was removed
		p := d.Plan(s, at, told...)
		isIn := func(list []notify.Recipient, c models.Contact) bool {
			return slices.ContainsFunc(list, func(r notify.Recipient) bool { return r.Contact == c.ID })
		}
		for _, c := range d.Contacts {
			writable := slices.Contains(c.Channels, "email") || slices.Contains(c.Channels, "sms")
			matches := slices.Contains(c.Severities, s)
			want := writable && (matches || slices.Contains(told, c.ID) || !byRule)
			if isIn(p.Messages, c) != want {
				t.Fatalf("%+v is written to: %t, want %t", c, isIn(p.Messages, c), want)
			}
			if ruled && isIn(p.Calls, c) != isIn(d.PlanByRule(s, at).Calls, c) {
				t.Fatalf("%+v is called though the rules say otherwise", c)
			}
		}
		if len(p.Messages) == 0 && anybody || isIn(p.Messages, models.Contact{ID: modelstest.ContactID(99)}) {
			t.Fatalf("told %v of %+v: %+v", told, d.Contacts, p)
		}
	})
}

func TestThePlanSaysWhyAContactIsLeft(t *testing.T) {
	critical, nights := []models.Severity{models.SeverityCritical}, modelstest.On("mon", 22*60, 6*60)
	d := notify.Directory{Zone: time.UTC, Contacts: []models.Contact{
		{ID: modelstest.ContactID(1), Order: 1, Severities: []models.Severity{models.SeverityLow}, Channels: []models.Channel{"voice"}, Phone: phones[0]},
		{ID: modelstest.ContactID(2), Order: 2, Severities: critical, Channels: []models.Channel{"email"}},
		{ID: modelstest.ContactID(3), Order: 3, Severities: critical, Channels: []models.Channel{"voice"}, Phone: phones[0], Hours: nights, HoursForCritical: true},
		{ID: modelstest.ContactID(4), Order: 4, Severities: critical, Channels: []models.Channel{"voice"}, Phone: phones[0]},
		{ID: modelstest.ContactID(5), Order: 5, Severities: critical, Channels: []models.Channel{"voice"}, Phone: phones[0]},
	}}
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	want := []notify.Skipped{
		{Contact: modelstest.ContactID(1), Reason: "is not to be reached for severity critical"},
		{Contact: modelstest.ContactID(2), Reason: "has no channel for calls"},
		{Contact: modelstest.ContactID(3), Reason: "is not called outside their hours"},
		{Contact: modelstest.ContactID(5), Reason: "has the phone number of a contact who is called before"},
	}
	if got := d.Plan(models.SeverityCritical, noon).Skipped; !slices.Equal(got, want) {
		t.Errorf("left %+v\nwant %+v", got, want)
	}
	if got := d.Plan(models.SeverityLow, noon).Skipped; got[0] != (notify.Skipped{Contact: modelstest.ContactID(1), Reason: "has no channel for messages"}) {
		t.Errorf("left %+v", got)
	}
	if got := modelstest.Snapshot(t, notify.Directory{Zone: time.UTC}.Plan(models.SeverityLow, noon)); got != `{"messages":[],"calls":[],"skipped":[]}` {
		t.Errorf("with no contact: %s", got)
	}
}

func TestAFailedChannelIsFollowedByAnother(t *testing.T) {
	for _, c := range []struct {
		failed  models.Channel
		has     []models.Channel
		instead models.Channel
	}{
		{"email", []models.Channel{"voice", "sms", "email"}, "sms"},
		{"email", []models.Channel{"email", "voice"}, "voice"},
		{"sms", []models.Channel{"email", "sms", "voice"}, "voice"},
		{"voice", []models.Channel{"voice", "email", "sms"}, "sms"},
		{"voice", []models.Channel{"voice", "email"}, ""},
		{"sms", []models.Channel{"sms", "email"}, ""},
		{"email", []models.Channel{"email"}, ""},
		{"email", nil, ""},
	} {
		contact := models.Contact{ID: modelstest.ContactID(1), Channels: c.has}
		r, ok := notify.Directory{Zone: time.UTC}.Fallback(contact, models.SeverityCritical, c.failed, modelstest.T0)
		if ok != (c.instead != "") || r.Channel != c.instead {
			t.Errorf("%s of %v failed: %q, %t; want %q", c.failed, c.has, r.Channel, ok, c.instead)
		}
	}
}

func TestFallbacksAndRemindersKeepHours(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z := modelstest.Zone(t, rapid.SampledFrom(modelstest.Zones).Draw(t, "zone"))
		d, c, at := notify.Directory{Zone: z, Business: modelstest.AnyHours(t)}, anyContact(t, 1), modelstest.AnyMoment(t, z)
		s := rapid.SampledFrom(models.Severities()).Draw(t, "severity")
		failed := rapid.SampledFrom([]models.Channel{"email", "voice", "sms"}).Draw(t, "failed")
		want := at
		if s != models.SeverityCritical || c.HoursForCritical {
			want = modelstest.WallOf(c.Hours).First(at, z)
		}
		r, ok := d.Fallback(c, s, failed, at)
		if ok && (r.Channel == failed || !slices.Contains(c.Channels, r.Channel) || r.Contact != c.ID || !r.At.Equal(want)) {
			t.Fatalf("%s failed at %s: %+v, want it at %s", failed, at.In(z), r, want.In(z))
		}
		due := modelstest.WallOf(d.Business).First(at, z)
		if s == models.SeverityCritical {
			due = at
		}
		if got := d.RemindAt(s, at); !got.Equal(due) {
			t.Fatalf("a %s reminder due at %s goes out at %s, want %s", s, at.In(z), got.In(z), due.In(z))
		}
	})
}

// everyHour is a client with people for every kind of hours.
func everyHour(z *time.Location) notify.Directory {
	d := notify.Directory{Zone: z, Business: models.OfficeHours()}
	for n, h := range []models.Hours{
		models.OfficeHours(), {{Days: modelstest.Weekdays, From: 22 * 60, To: 6 * 60}}, {{Days: []models.Day{"wed", "sun"}, From: 2*60 + 30, To: 3*60 + 15}},
		{{Days: []models.Day{"sat", "sun"}, From: 0, To: 24 * 60}}, nil,
	} {
		d.Contacts = append(d.Contacts, models.Contact{
			ID: modelstest.ContactID(n), Order: 9 - n, Phone: phones[n%3], Severities: models.Severities(), Channels: []models.Channel{"voice", "sms"},
			Hours: h, HoursForCritical: n != 3,
		})
	}
	return d
}

func TestThePlanInEveryHourOfTwoYears(t *testing.T) {
	from, to := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC)
	const quarter = 15 * time.Minute
	for _, name := range []string{"Europe/Berlin", "Australia/Lord_Howe"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := everyHour(modelstest.Zone(t, name))
			next := map[uuid.UUID][]time.Time{} // by quarter of an hour from the first, found from the end
			for _, c := range d.Contacts {
				w, n := modelstest.WallOf(c.Hours), int(to.Sub(from)/quarter)
				next[c.ID] = make([]time.Time, n+1)
				next[c.ID][n] = w.First(to, d.Zone)
				for n--; n >= 0; n-- {
					at := from.Add(time.Duration(n) * quarter)
					if next[c.ID][n] = next[c.ID][n+1]; w.Open(at, d.Zone) {
						next[c.ID][n] = at
					}
				}
			}
			for at, n := from, 0; at.Before(to); at, n = at.Add(time.Hour), n+1 {
				wait := func(c models.Contact) time.Time { return next[c.ID][at.Sub(from)/quarter] }
				checkPlan(t, d, models.SeverityCritical, at, wait)
				if n%7 == 0 {
					checkPlan(t, d, models.SeverityMedium, at, wait)
				}
			}
		})
	}
}

// Who is told is judged over all contacts, and of these the approvers are called; when none of them can be, the others.
func TestApproversAreCalledWhoAreTold(t *testing.T) {
	verified := map[models.Channel]time.Time{models.ChannelVoice: time.Unix(1, 0)}
	contact := func(order int, phone string, a *models.Approver, s models.Severity) models.Contact {
		return models.Contact{ID: uuid.New(), Order: order, Phone: phone, Email: "c@acme.example", Approver: a, Verified: verified,
			Severities: []models.Severity{s}, Channels: []models.Channel{models.ChannelEmail, models.ChannelVoice}}
	}
	desk := contact(1, "+12025550100", nil, models.SeverityCritical)
	same := contact(2, "+12025550100", &models.Approver{}, models.SeverityCritical)
	low := contact(3, "+12025550101", &models.Approver{}, models.SeverityLow)
	d := notify.Directory{Zone: time.UTC, Contacts: []models.Contact{desk, same, low}}
	at := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		except  map[uuid.UUID]bool
		told    []uuid.UUID
		want    []uuid.UUID
		persons int
	}{
		"whose rule matches, though the number is another's, too": {nil, nil, []uuid.UUID{same.ID}, 1},
		"who was told": {nil, []uuid.UUID{low.ID}, []uuid.UUID{same.ID, low.ID}, 1},
		"whoever may, when nobody of those told may":          {map[uuid.UUID]bool{same.ID: true}, nil, []uuid.UUID{low.ID}, 1},
		"not whom the one who asks has a hand in":             {map[uuid.UUID]bool{same.ID: true, low.ID: true}, []uuid.UUID{low.ID}, nil, 1},
		"whoever may, behind those told, when two must agree": {nil, nil, []uuid.UUID{same.ID, low.ID}, 2},
	} {
		var got []uuid.UUID
		for _, r := range d.CallableApprovers(c.except, c.persons, models.SeverityCritical, at, c.told...) {
			got = append(got, r.Contact)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
