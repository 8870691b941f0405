package notify_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/modelstest"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// onCall is a contact with a phone, verified.
func onCall(n int, phone string, hours models.Hours) models.Contact {
	return models.Contact{
		ID: modelstest.ContactID(n), Order: n, Phone: phone, Severities: models.Severities(), Channels: []models.Channel{"voice"},
		Hours: hours, HoursForCritical: true, Verified: map[models.Channel]time.Time{"voice": modelstest.T0},
	}
}

func TestGoLive(t *testing.T) {
	const alone, nobody = "only one person can be called", "nobody can be called"
	workdays := models.Hours{{Days: modelstest.Weekdays[:5], From: 0, To: 24 * 60}}
	lunch := models.Hours{{Days: modelstest.Weekdays[:6], From: 0, To: 24 * 60}, modelstest.On("sun", 0, 12*60)[0], modelstest.On("sun", 12*60+15, 24*60)[0]}
	critical := []models.Severity{models.SeverityCritical}
	unverified := onCall(2, phones[1], nil)
	unverified.Channels, unverified.Email = []models.Channel{"email", "voice", "sms"}, "ciso@example.org"
	relaxed := onCall(2, phones[1], models.OfficeHours())
	relaxed.HoursForCritical = false
	mailOnly := onCall(2, phones[1], nil)
	mailOnly.Channels, mailOnly.Verified = []models.Channel{"email"}, map[models.Channel]time.Time{"email": modelstest.T0}
	highOnly := onCall(2, phones[1], nil)
	highOnly.Severities = []models.Severity{models.SeverityHigh}
	always := onCall(1, phones[0], nil)
	always.Severities = critical
	for _, c := range []struct {
		name                        string
		contacts                    []models.Contact
		reachable, second, verified []string
	}{
		{"two people at all hours", []models.Contact{always, onCall(2, phones[1], nil)}, nil, nil, nil},
		{"two people who share the week", []models.Contact{
			onCall(1, phones[0], modelstest.On("mon", 0, 24*60)), onCall(2, phones[1], models.Hours{{Days: modelstest.Weekdays[1:], From: 0, To: 24 * 60}}),
		}, nil, []string{alone + " at any time"}, nil},
		{"nobody", nil, []string{nobody + " at any time"}, nil, nil},
		{"no weekend", []models.Contact{onCall(1, phones[0], workdays), onCall(2, phones[1], workdays)},
			[]string{nobody + " from sat 00:00 to mon 00:00"}, nil, nil},
		{"office hours", []models.Contact{onCall(1, phones[0], models.OfficeHours()), onCall(2, phones[1], models.OfficeHours())}, []string{
			nobody + " from mon 18:00 to tue 08:00", nobody + " from tue 18:00 to wed 08:00", nobody + " from wed 18:00 to thu 08:00",
			nobody + " from thu 18:00 to fri 08:00", nobody + " from fri 18:00 to mon 08:00",
		}, nil, nil},
		{"a gap of a quarter of an hour", []models.Contact{onCall(1, phones[0], lunch), onCall(2, phones[1], lunch)},
			[]string{nobody + " from sun 12:00 to sun 12:15"}, nil, nil},
		{"a second person at night only", []models.Contact{always, onCall(2, phones[1], models.Hours{{Days: modelstest.Weekdays, From: 22 * 60, To: 6 * 60}})}, nil, []string{
			alone + " from mon 06:00 to mon 22:00", alone + " from tue 06:00 to tue 22:00", alone + " from wed 06:00 to wed 22:00",
			alone + " from thu 06:00 to thu 22:00", alone + " from fri 06:00 to fri 22:00", alone + " from sat 06:00 to sat 22:00",
			alone + " from sun 06:00 to sun 22:00",
		}, nil},
		{"one person entered twice", []models.Contact{always, onCall(2, phones[0], nil)}, nil, []string{alone + " at any time"}, nil},
		{"hours that critical incidents ignore", []models.Contact{always, relaxed}, nil, nil, nil},
		{"a second person without a phone", []models.Contact{always, mailOnly}, nil, []string{alone + " at any time"}, nil},
		{"a second person for high only", []models.Contact{always, highOnly}, nil, []string{alone + " at any time"}, nil},
		{"not verified", []models.Contact{unverified, always}, nil, nil, []string{
			"contact " + modelstest.ContactID(2).String() + ": email is not verified", "contact " + modelstest.ContactID(2).String() + ": sms is not verified",
		}},
	} {
		got := notify.Directory{Zone: time.UTC, Contacts: c.contacts}.GoLive()
		for n, want := range []struct {
			check   string
			details []string
		}{{"reachable", c.reachable}, {"second_person", c.second}, {"verified", c.verified}} {
			f := got[n]
			if f.Name != want.check || f.Passed != (len(want.details) == 0) || f.Details == nil || !slices.Equal(f.Details, want.details) {
				t.Errorf("%s: %+v\nwant %s: %q", c.name, f, want.check, want.details)
			}
		}
	}
}

func TestGoLiveNamesTheSeveritiesNobodyIsToldOf(t *testing.T) {
	mails := onCall(1, phones[0], models.OfficeHours())
	mails.Channels, mails.Severities = []models.Channel{"email"}, []models.Severity{models.SeverityCritical, models.SeverityMedium}
	calls := onCall(2, phones[1], nil) // for every severity, and nobody can write to them
	got := notify.Directory{Zone: time.UTC, Contacts: []models.Contact{mails, calls}}.GoLive()[3]
	if got.Name != "told" || got.Passed || len(got.Details) != 2 || !strings.Contains(got.Details[0], "severity high") || !strings.Contains(got.Details[1], "severity low") {
		t.Errorf("%+v, want it to name high and low", got)
	}
}

func TestGoLiveWantsAProvenEDR(t *testing.T) {
	mde := models.EDR{Vendor: "mde"}
	works, fails := &models.EDRCheck{Vendor: "mde", OK: true}, &models.EDRCheck{Vendor: "mde", Problem: "config"}
	for want, s := range map[string]models.EDRStatus{
		"":                       {EDR: mde, Check: works},
		"the client has no EDR":  {},
		"was never checked":      {EDR: mde},
		"did not work":           {EDR: mde, Check: fails},
		"checked: config":        {EDR: mde, Check: fails},
		"credentials of the EDR": {EDR: mde, Check: works, Changed: true},
	} {
		wantFinding(t, s.GoLive(), "edr", want)
	}
}

func TestGoLiveWantsAsManyApproversAsMustAgree(t *testing.T) {
	approver := func(n int, email string, hours models.Hours, s ...models.Severity) models.Contact {
		c := onCall(n, phones[n-1], hours)
		c.Email, c.Severities, c.Approver = email, s, &models.Approver{}
		c.Channels = []models.Channel{models.ChannelEmail, models.ChannelVoice}
		return c
	}
	told := onCall(2, phones[1], nil)
	told.Channels = []models.Channel{models.ChannelEmail}
	const high, critical = models.SeverityHigh, models.SeverityCritical
	never := modelstest.On("sun", 0, 15)
	for name, c := range map[string]struct {
		persons  int
		contacts []models.Contact
		missing  string
	}{
		"nobody":                        {1, nil, "night, severity high: no approver can be called at any time"},
		"one without an address":        {1, []models.Contact{approver(1, "", nil, high)}, ""},
		"one who is told of others":     {1, []models.Contact{approver(1, "", nil, critical), told}, ""},
		"one who is told, and never on": {1, []models.Contact{approver(1, "", never, high), approver(2, "", nil, critical)}, ""},
		"one of two":                    {2, []models.Contact{approver(1, "eva@c.example", nil, high)}, "fewer than 2 approvers with different mail addresses can be called at any time"},
		"two without an address":        {2, []models.Contact{approver(1, "", nil, high), approver(2, "", nil, high)}, "fewer than 2"},
		"one by two phones":             {2, []models.Contact{approver(1, "eva@c.example", nil, high), approver(2, "eva+2@c.example", nil, high)}, "fewer than 2"},
		"two":                           {2, []models.Contact{approver(1, "eva@c.example", nil, high), approver(2, "max@c.example", nil, high)}, ""},
		"two of whom one is told":       {2, []models.Contact{approver(1, "eva@c.example", nil, high), approver(2, "max@c.example", nil, critical)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := notify.Directory{Zone: time.UTC, Contacts: c.contacts}
			rule := notify.AskingRule{Name: "night", Severities: []models.Severity{high}, Business: true, Outside: true, Persons: c.persons}
			wantFinding(t, d.GoLiveApprovers([]notify.AskingRule{rule}), "approvers", c.missing)
		})
	}
}

func TestGoLiveWantsASignedAuthority(t *testing.T) {
	wantFinding(t, authority.Authority{}.GoLive(), "response_authority", "no response authority is signed")
	wantFinding(t, authority.Authority{Version: 1, SignedAt: modelstest.T0}.GoLive(), "response_authority", "")
}

// wantFinding wants a check to say that something is missing, or with "" to have passed.
func wantFinding(t *testing.T, f models.GoLiveCheck, check, missing string) {
	t.Helper()
	if f.Name != check || f.Passed != (missing == "") || f.Details == nil || !strings.Contains(strings.Join(f.Details, ""), missing) ||
		len(f.Details) > 0 && missing == "" {
		t.Errorf("%+v, want %s to say %q", f, check, missing)
	}
}

// The go-live check is compared with the plan itself, quarter hour by quarter hour of an ordinary week.
func TestAClientGoesLiveWhenThePlanCallsSomebodyAtAnyTime(t *testing.T) {
	monday := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		d := anyDirectory(t, time.UTC, 4)
		if rapid.Bool().Draw(t, "somebody at all hours") {
			d.Contacts = append(d.Contacts, onCall(9, phones[0], nil))
		}
		reachable, second := true, true
		told := true
		for n := range 7 * 24 * 4 {
			at := monday.Add(time.Duration(n) * 15 * time.Minute)
			calls := len(d.PlanByRule(models.SeverityCritical, at).Calls)
			reachable, second = reachable && calls > 0, second && calls != 1
			for _, s := range models.Severities() {
				told = told && (n%7 > 0 || len(d.PlanByRule(s, at).Messages) > 0)
			}
		}
		got := d.GoLive()
		if got[0].Passed != reachable || got[1].Passed != second || got[3].Passed != told {
			t.Fatalf("%+v\nthe plan says reachable %t, second person %t, told %t", got, reachable, second, told)
		}
	})
}
