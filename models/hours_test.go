package models_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/modelstest"
)

func TestHoursBeginAsAClockOnTheWallShowsThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z := modelstest.Zone(t, rapid.SampledFrom(modelstest.Zones).Draw(t, "zone"))
		h, at := modelstest.AnyHours(t), modelstest.AnyMoment(t, z)
		if err := h.Check(""); err != nil {
			t.Fatalf("%v: %v", h, err)
		}
		w := modelstest.WallOf(h)
		if got := h.Open(at, z); got != w.Open(at, z) {
			t.Fatalf("open at %s: %t", at.In(z), got)
		}
		if got, want := h.Next(at, z), w.First(at, z); !got.Equal(want) {
			t.Fatalf("from %s they begin at %s, want %s", at.In(z), got.In(z), want.In(z))
		}
	})
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
		{"the hour after the skipped one", "Europe/Berlin", modelstest.On("sun", 3*h, 4*h), "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		{"the hour after the repeated one", "Europe/Berlin", modelstest.On("sun", 3*h, 4*h), "2026-10-24T12:00:00Z", "2026-10-25T02:00:00Z"},
		{"the skipped hour comes a week later", "Europe/Berlin", modelstest.On("sun", 2*h, 3*h), "2026-03-28T12:00:00Z", "2026-04-05T00:00:00Z"},
		{"two weeks without the hour", "Europe/Berlin", modelstest.On("sun", 2*h, 3*h), "2026-03-22T02:00:00Z", "2026-04-05T00:00:00Z"},
		{"half of it is skipped", "Europe/Berlin", modelstest.On("sun", 2*h+30, 3*h+30), "2026-03-29T00:59:00Z", "2026-03-29T01:00:00Z"},
		{"the repeated hour, first time", "Europe/Berlin", modelstest.On("sun", 2*h, 3*h), "2026-10-24T12:00:00Z", "2026-10-25T00:00:00Z"},
		{"the repeated hour, second time", "Europe/Berlin", modelstest.On("sun", 2*h, 3*h), "2026-10-25T01:30:00Z", "2026-10-25T01:30:00Z"},
		{"the repeated hour is over", "Europe/Berlin", modelstest.On("sun", 2*h, 3*h), "2026-10-25T02:00:00Z", "2026-11-01T01:00:00Z"},
		{"a quarter that comes twice", "Europe/Berlin", modelstest.On("sun", 2*h+45, 3*h), "2026-10-25T01:00:00Z", "2026-10-25T01:45:00Z"},
		{"a short night begins", "Europe/Berlin", modelstest.On("sat", 22*h, 6*h), "2026-03-28T20:59:00Z", "2026-03-28T21:00:00Z"},
		{"a short night's last minute", "Europe/Berlin", modelstest.On("sat", 22*h, 6*h), "2026-03-29T03:59:00Z", "2026-03-29T03:59:00Z"},
		{"a short night is over", "Europe/Berlin", modelstest.On("sat", 22*h, 6*h), "2026-03-29T04:00:00Z", "2026-04-04T20:00:00Z"},
		{"a long night's last minute", "Europe/Berlin", modelstest.On("sat", 22*h, 6*h), "2026-10-25T04:59:00Z", "2026-10-25T04:59:00Z"},
		{"a long night is over", "Europe/Berlin", modelstest.On("sat", 22*h, 6*h), "2026-10-25T05:00:00Z", "2026-10-31T21:00:00Z"},
		{"until the end of the day", "Europe/Berlin", modelstest.On("sat", 18*h, 24*h), "2026-03-28T22:59:00Z", "2026-03-28T22:59:00Z"},
		{"24:00 is exclusive", "Europe/Berlin", modelstest.On("sat", 18*h, 24*h), "2026-03-28T23:00:00Z", "2026-04-04T16:00:00Z"},
		{"00:00 ends the same day", "Europe/Berlin", modelstest.On("sat", 18*h, 0), "2026-03-28T23:00:00Z", "2026-04-04T16:00:00Z"},
		{"seconds do not delay what is open", "Europe/Berlin", modelstest.On("sat", 18*h, 24*h), "2026-03-28T22:59:59Z", "2026-03-28T22:59:59Z"},
		{"seconds do not delay what is closed", "Europe/Berlin", modelstest.On("sun", 8*h, 9*h), "2026-03-29T05:59:59Z", "2026-03-29T06:00:00Z"},
		{"a skipped half hour in New York", "America/New_York", modelstest.On("sun", 2*h, 2*h+30), "2026-03-07T12:00:00Z", "2026-03-15T06:00:00Z"},
		{"the repeated hour in New York", "America/New_York", modelstest.On("sun", 1*h, 2*h), "2026-11-01T06:30:00Z", "2026-11-01T06:30:00Z"},
		{"the repeated hour in New York is over", "America/New_York", modelstest.On("sun", 1*h, 2*h), "2026-11-01T07:00:00Z", "2026-11-08T06:00:00Z"},
		{"all of half an hour is skipped", "Australia/Lord_Howe", modelstest.On("sun", 2*h, 2*h+30), "2026-10-03T12:00:00Z", "2026-10-10T15:00:00Z"},
		{"half an hour comes twice", "Australia/Lord_Howe", modelstest.On("sun", 1*h+30, 2*h), "2026-04-04T15:29:00Z", "2026-04-04T15:29:00Z"},
		{"and not three times", "Australia/Lord_Howe", modelstest.On("sun", 1*h+30, 2*h), "2026-04-04T15:30:00Z", "2026-04-11T15:00:00Z"},
		{"half hours from Greenwich", "Asia/Kolkata", models.OfficeHours(), "2026-03-01T00:00:00Z", "2026-03-02T02:30:00Z"},
		{"Friday evening", "UTC", models.OfficeHours(), "2026-03-06T18:00:00Z", "2026-03-09T08:00:00Z"},
		{"the leap day", "Europe/Berlin", modelstest.On("tue", 8*h, 9*h), "2028-02-28T12:00:00Z", "2028-02-29T07:00:00Z"},
		{"the day after the leap day", "Europe/Berlin", modelstest.On("wed", 8*h, 9*h), "2028-02-29T12:00:00Z", "2028-03-01T07:00:00Z"},
		{"the year's first minute", "Europe/Berlin", modelstest.On("fri", 0, 1*h), "2026-12-31T12:00:00Z", "2026-12-31T23:00:00Z"},
		{"the last minute of a night over the year's end", "Europe/Berlin", modelstest.On("thu", 22*h, 6*h), "2027-01-01T04:59:00Z", "2027-01-01T04:59:00Z"},
		{"a night over the year's end is over", "Europe/Berlin", modelstest.On("thu", 22*h, 6*h), "2027-01-01T05:00:00Z", "2027-01-07T21:00:00Z"},
		{"always", "Europe/Berlin", nil, "2026-03-29T01:00:01Z", "2026-03-29T01:00:01Z"},
	} {
		if got := c.hours.Next(modelstest.Moment(t, c.at), modelstest.Zone(t, c.zone)); !got.Equal(modelstest.Moment(t, c.want)) {
			t.Errorf("%s: from %s they begin at %s, want %s", c.name, c.at, got.UTC().Format(time.RFC3339), c.want)
		}
	}
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
		h := modelstest.AnyHours(t)
		var again models.Hours
		if err := json.Unmarshal([]byte(modelstest.Snapshot(t, h)), &again); err != nil || modelstest.Snapshot(t, again) != modelstest.Snapshot(t, h) {
			t.Fatalf("%s became %s: %v", modelstest.Snapshot(t, h), modelstest.Snapshot(t, again), err)
		}
	})
	if got, want := modelstest.Snapshot(t, modelstest.On("sun", 18*60, 24*60)), `[{"days":["sun"],"from":"18:00","to":"24:00"}]`; got != want {
		t.Errorf("written as %s, want %s", got, want)
	}
}

func TestBadHoursAreRejectedWhereTheyStand(t *testing.T) {
	good := models.Window{Days: modelstest.Weekdays, From: 8 * 60, To: 18 * 60}
	for name, c := range map[string]struct {
		hours   models.Hours
		pointer string
	}{
		"too many windows":           {slices.Repeat(models.Hours{good}, 22), "/hours"},
		"no day":                     {models.Hours{good, {From: 480, To: 540}}, "/hours/1/days"},
		"an unknown day":             {modelstest.On("monday", 480, 540), "/hours/0/days/0"},
		"a day in capitals":          {modelstest.On("Mon", 480, 540), "/hours/0/days/0"},
		"an empty day":               {models.Hours{{Days: []models.Day{"mon", ""}, From: 480, To: 540}}, "/hours/0/days/1"},
		"from between quarters":      {modelstest.On("mon", 485, 540), "/hours/0/from"},
		"from the end of the day":    {modelstest.On("mon", 1440, 60), "/hours/0/from"},
		"to between quarters":        {models.Hours{good, good, {Days: modelstest.Weekdays, From: 480, To: 541}}, "/hours/2/to"},
		"to where it begins":         {modelstest.On("mon", 480, 480), "/hours/0/to"},
		"neither from nor to":        {modelstest.On("mon", 0, 0), "/hours/0/to"},
		"both wrong, the first said": {modelstest.On("mon", 481, 481), "/hours/0/from"},
	} {
		var e *models.Error
		if err := c.hours.Check("/hours"); !errors.As(err, &e) || e.Kind != models.Invalid || e.Field != c.pointer {
			t.Errorf("%s: %v, want a pointer to %s", name, err, c.pointer)
		}
	}
	for name, h := range map[string]models.Hours{
		"always": nil, "21 windows": slices.Repeat(models.Hours{good}, 21), "a whole day": modelstest.On("sat", 0, 1440),
		"over midnight": modelstest.On("sat", 22*60, 6*60), "the last quarter": modelstest.On("sun", 23*60+45, 1440), "office hours": models.OfficeHours(),
	} {
		if err := h.Check("/hours"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
