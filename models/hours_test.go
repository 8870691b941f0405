package models_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchfire-mdr/watchfire/models"
)

const minutesOfWeek = 7 * 24 * 60

// zones have clock changes of an hour and of half an hour, in both halves of the earth, backwards in winter, or none.
var zones = []string{
	"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo", "Pacific/Apia", "UTC",
	"Africa/Casablanca", "Europe/Dublin",
}

var weekdays = []models.Day{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// wall is what the tests hold hours against: the minutes of an ordinary week, Monday first, that lie within them.
type wall [minutesOfWeek]bool

func wallOf(h models.Hours) *wall {
	var w wall
	for _, win := range h {
		length := int(win.To - win.From)
		if length <= 0 {
			length += 24 * 60
		}
		for _, d := range win.Days {
			start := slices.Index(weekdays, d)*24*60 + int(win.From)
			for m := range length {
				w[(start+m)%minutesOfWeek] = true
			}
		}
	}
	for m := range w {
		w[m] = w[m] || len(h) == 0
	}
	return &w
}

// open looks at the clock on the wall.
func (w *wall) open(at time.Time, zone *time.Location) bool {
	day := map[time.Weekday]int{time.Tuesday: 1, time.Wednesday: 2, time.Thursday: 3, time.Friday: 4, time.Saturday: 5, time.Sunday: 6}
	local := at.In(zone)
	return w[day[local.Weekday()]*24*60+local.Hour()*60+local.Minute()]
}

// first waits for the hours, minute by minute.
func (w *wall) first(at time.Time, zone *time.Location) time.Time {
	t := at
	for !w.open(t, zone) {
		t = t.Truncate(time.Minute).Add(time.Minute)
	}
	return t
}

func zone(t interface{ Fatal(...any) }, name string) *time.Location {
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func anyHours(t *rapid.T) models.Hours {
	var h models.Hours
	for range rapid.IntRange(0, 3).Draw(t, "windows") {
		from := rapid.IntRange(0, 95).Draw(t, "from")
		to := rapid.OneOf(rapid.IntRange(0, 96), rapid.Just((from+1)%96)).Filter(func(q int) bool { return q != from }).Draw(t, "to")
		days := rapid.SliceOfNDistinct(rapid.SampledFrom(weekdays), 1, 7, rapid.ID[models.Day]).Draw(t, "days")
		h = append(h, models.Window{Days: days, From: models.ClockTime(from * 15), To: models.ClockTime(to * 15)})
	}
	return h
}

// anyMoment is a moment of 2026 or 2027, every other time near a clock change of the zone.
func anyMoment(t *rapid.T, z *time.Location) time.Time {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.Int64Range(0, 730*24*3600).Draw(t, "second")) * time.Second)
	if _, change := at.In(z).ZoneBounds(); !change.IsZero() && rapid.Bool().Draw(t, "near a clock change") {
		return change.Add(time.Duration(rapid.IntRange(-9*24*60, 3*60).Draw(t, "minutes")) * time.Minute)
	}
	return at
}

func TestHoursBeginAsAClockOnTheWallShowsThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z := zone(t, rapid.SampledFrom(zones).Draw(t, "zone"))
		h, at := anyHours(t), anyMoment(t, z)
		if err := h.Check(""); err != nil {
			t.Fatalf("%v: %v", h, err)
		}
		w := wallOf(h)
		if got := h.Open(at, z); got != w.open(at, z) {
			t.Fatalf("open at %s: %t", at.In(z), got)
		}
		if got, want := h.Next(at, z), w.first(at, z); !got.Equal(want) {
			t.Fatalf("from %s they begin at %s, want %s", at.In(z), got.In(z), want.In(z))
		}
	})
}

func on(day models.Day, from, to models.ClockTime) models.Hours {
	return models.Hours{{Days: []models.Day{day}, From: from, To: to}}
}

// The clocks change on 2026-03-29 and 2026-10-25 at 01:00 UTC in Berlin, on 2026-03-08 at 07:00 and 2026-11-01 at
// 06:00 UTC in New York, and by half an hour on 2026-04-04 at 15:00 and 2026-10-03 at 15:30 UTC on Lord Howe Island.
func TestHoursAtClockChanges(t *testing.T) {
	const h = 60
	for _, c := range []struct {
		name     string
		zone     string
		hours    models.Hours
		at, want string // UTC
	}{
		{"the hour after the skipped one", "Europe/Berlin", on("sun", 3*h, 4*h), "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		{"the hour after the repeated one", "Europe/Berlin", on("sun", 3*h, 4*h), "2026-10-24T12:00:00Z", "2026-10-25T02:00:00Z"},
		{"the skipped hour comes a week later", "Europe/Berlin", on("sun", 2*h, 3*h), "2026-03-28T12:00:00Z", "2026-04-05T00:00:00Z"},
		{"two weeks without the hour", "Europe/Berlin", on("sun", 2*h, 3*h), "2026-03-22T02:00:00Z", "2026-04-05T00:00:00Z"},
		{"half of it is skipped", "Europe/Berlin", on("sun", 2*h+30, 3*h+30), "2026-03-29T00:59:00Z", "2026-03-29T01:00:00Z"},
		{"the repeated hour, first time", "Europe/Berlin", on("sun", 2*h, 3*h), "2026-10-24T12:00:00Z", "2026-10-25T00:00:00Z"},
		{"the repeated hour, second time", "Europe/Berlin", on("sun", 2*h, 3*h), "2026-10-25T01:30:00Z", "2026-10-25T01:30:00Z"},
		{"the repeated hour is over", "Europe/Berlin", on("sun", 2*h, 3*h), "2026-10-25T02:00:00Z", "2026-11-01T01:00:00Z"},
		{"a quarter that comes twice", "Europe/Berlin", on("sun", 2*h+45, 3*h), "2026-10-25T01:00:00Z", "2026-10-25T01:45:00Z"},
		{"a short night begins", "Europe/Berlin", on("sat", 22*h, 6*h), "2026-03-28T20:59:00Z", "2026-03-28T21:00:00Z"},
		{"a short night's last minute", "Europe/Berlin", on("sat", 22*h, 6*h), "2026-03-29T03:59:00Z", "2026-03-29T03:59:00Z"},
		{"a short night is over", "Europe/Berlin", on("sat", 22*h, 6*h), "2026-03-29T04:00:00Z", "2026-04-04T20:00:00Z"},
		{"a long night's last minute", "Europe/Berlin", on("sat", 22*h, 6*h), "2026-10-25T04:59:00Z", "2026-10-25T04:59:00Z"},
		{"a long night is over", "Europe/Berlin", on("sat", 22*h, 6*h), "2026-10-25T05:00:00Z", "2026-10-31T21:00:00Z"},
		{"until the end of the day", "Europe/Berlin", on("sat", 18*h, 24*h), "2026-03-28T22:59:00Z", "2026-03-28T22:59:00Z"},
		{"24:00 is exclusive", "Europe/Berlin", on("sat", 18*h, 24*h), "2026-03-28T23:00:00Z", "2026-04-04T16:00:00Z"},
		{"00:00 ends the same day", "Europe/Berlin", on("sat", 18*h, 0), "2026-03-28T23:00:00Z", "2026-04-04T16:00:00Z"},
		{"seconds do not delay what is open", "Europe/Berlin", on("sat", 18*h, 24*h), "2026-03-28T22:59:59Z", "2026-03-28T22:59:59Z"},
		{"seconds do not delay what is closed", "Europe/Berlin", on("sun", 8*h, 9*h), "2026-03-29T05:59:59Z", "2026-03-29T06:00:00Z"},
		{"a skipped half hour in New York", "America/New_York", on("sun", 2*h, 2*h+30), "2026-03-07T12:00:00Z", "2026-03-15T06:00:00Z"},
		{"the repeated hour in New York", "America/New_York", on("sun", 1*h, 2*h), "2026-11-01T06:30:00Z", "2026-11-01T06:30:00Z"},
		{"the repeated hour in New York is over", "America/New_York", on("sun", 1*h, 2*h), "2026-11-01T07:00:00Z", "2026-11-08T06:00:00Z"},
		{"all of half an hour is skipped", "Australia/Lord_Howe", on("sun", 2*h, 2*h+30), "2026-10-03T12:00:00Z", "2026-10-10T15:00:00Z"},
		{"half an hour comes twice", "Australia/Lord_Howe", on("sun", 1*h+30, 2*h), "2026-04-04T15:29:00Z", "2026-04-04T15:29:00Z"},
		{"and not three times", "Australia/Lord_Howe", on("sun", 1*h+30, 2*h), "2026-04-04T15:30:00Z", "2026-04-11T15:00:00Z"},
		{"half hours from Greenwich", "Asia/Kolkata", models.OfficeHours(), "2026-03-01T00:00:00Z", "2026-03-02T02:30:00Z"},
		{"Friday evening", "UTC", models.OfficeHours(), "2026-03-06T18:00:00Z", "2026-03-09T08:00:00Z"},
		{"always", "Europe/Berlin", nil, "2026-03-29T01:00:01Z", "2026-03-29T01:00:01Z"},
	} {
		if got := c.hours.Next(moment(t, c.at), zone(t, c.zone)); !got.Equal(moment(t, c.want)) {
			t.Errorf("%s: from %s they begin at %s, want %s", c.name, c.at, got.UTC().Format(time.RFC3339), c.want)
		}
	}
}

func moment(t interface{ Fatal(...any) }, s string) time.Time {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestTimesOfDayAreReadStrictly(t *testing.T) {
	for s, want := range map[string]models.ClockTime{"00:00": 0, "08:30": 510, "23:59": 1439, "24:00": 1440} {
		var c models.ClockTime
		if err := json.Unmarshal([]byte(`"`+s+`"`), &c); err != nil || c != want {
			t.Errorf("%s is read as %d minutes: %v", s, int(c), err)
		}
		if b, err := json.Marshal(want); err != nil || string(b) != `"`+s+`"` {
			t.Errorf("%d minutes are written as %s: %v", int(want), b, err)
		}
	}
	for _, s := range []string{"", "8:30", "0830", "08:3", "008:30", "08:60", "24:01", "24:15", "25:00", "-1:00", "+8:00", "08:-1", "08.30", "8h:00", "08:30 ", " 8:30", "０8:0"} {
		c := models.ClockTime(7)
		if err := c.UnmarshalText([]byte(s)); models.KindOf(err) != models.Invalid || c != 7 {
			t.Errorf("%q is read as %s: %v", s, c, err)
		}
	}
	var h models.Hours
	if err := json.Unmarshal([]byte(`[{"days":["mon"],"from":480,"to":"18:00"}]`), &h); err == nil {
		t.Errorf("minutes are read as a time of day: %v", h)
	}
}

func TestHoursThroughJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHours(t)
		var again models.Hours
		if err := json.Unmarshal([]byte(snapshot(t, h)), &again); err != nil || snapshot(t, again) != snapshot(t, h) {
			t.Fatalf("%s became %s: %v", snapshot(t, h), snapshot(t, again), err)
		}
	})
	if got, want := snapshot(t, on("sun", 18*60, 24*60)), `[{"days":["sun"],"from":"18:00","to":"24:00"}]`; got != want {
		t.Errorf("written as %s, want %s", got, want)
	}
}

func TestBadHoursAreRefusedWhereTheyStand(t *testing.T) {
	good := models.Window{Days: weekdays, From: 8 * 60, To: 18 * 60}
	for name, c := range map[string]struct {
		hours   models.Hours
		pointer string
	}{
		"too many windows":           {slices.Repeat(models.Hours{good}, 22), "/hours"},
		"no day":                     {models.Hours{good, {From: 480, To: 540}}, "/hours/1/days"},
		"an unknown day":             {on("monday", 480, 540), "/hours/0/days/0"},
		"a day in capitals":          {on("Mon", 480, 540), "/hours/0/days/0"},
		"an empty day":               {models.Hours{{Days: []models.Day{"mon", ""}, From: 480, To: 540}}, "/hours/0/days/1"},
		"from between quarters":      {on("mon", 485, 540), "/hours/0/from"},
		"from the end of the day":    {on("mon", 1440, 60), "/hours/0/from"},
		"to between quarters":        {models.Hours{good, good, {Days: weekdays, From: 480, To: 541}}, "/hours/2/to"},
		"to where it begins":         {on("mon", 480, 480), "/hours/0/to"},
		"neither from nor to":        {on("mon", 0, 0), "/hours/0/to"},
		"both wrong, the first said": {on("mon", 481, 481), "/hours/0/from"},
	} {
		var e *models.Error
		if err := c.hours.Check("/hours"); !errors.As(err, &e) || e.Kind != models.Invalid || e.Field != c.pointer {
			t.Errorf("%s: %v, want a pointer to %s", name, err, c.pointer)
		}
	}
	for name, h := range map[string]models.Hours{
		"always": nil, "21 windows": slices.Repeat(models.Hours{good}, 21), "a whole day": on("sat", 0, 1440),
		"over midnight": on("sat", 22*60, 6*60), "the last quarter": on("sun", 23*60+45, 1440), "office hours": models.OfficeHours(),
	} {
		if err := h.Check("/hours"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
