// Package modelstest holds what the tests of models and of its packages share: fixed ids and moments, a slow but
// obvious model of weekly hours, and generators.
package modelstest

import (
	"encoding/binary"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/watchfire-mdr/watchfire/models"
)

// The moment and the client of most examples.
var (
	T0       = time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)
	ClientID = uuid.MustParse("6f1f3d2e-0000-4000-8000-000000001042")
)

// ContactID returns the id of the n-th contact of the examples.
func ContactID(n int) uuid.UUID {
	id := uuid.MustParse("c0ffee00-0000-4000-8000-000000000000")
	binary.BigEndian.PutUint32(id[12:], uint32(n)) // #nosec G115 -- examples are few
	return id
}

// Snapshot writes a value as JSON.
func Snapshot(t interface{ Fatal(...any) }, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const minutesOfWeek = 7 * 24 * 60

// Zones have clock changes of an hour and of half an hour, in both halves of the earth, backwards in winter, or none.
var Zones = []string{
	"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo", "Pacific/Apia", "UTC",
	"Africa/Casablanca", "Europe/Dublin",
}

// Weekdays lists the days of the week, Monday first.
var Weekdays = []models.Day{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// Wall holds the minutes of an ordinary week, Monday first, that lie within hours. Tests compare hours with it.
type Wall [minutesOfWeek]bool

// WallOf returns the wall of hours.
func WallOf(h models.Hours) *Wall {
	var w Wall
	for _, win := range h {
		length := int(win.To - win.From)
		if length <= 0 {
			length += 24 * 60
		}
		for _, d := range win.Days {
			start := slices.Index(Weekdays, d)*24*60 + int(win.From)
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

// Open looks at the clock on the wall.
func (w *Wall) Open(at time.Time, zone *time.Location) bool {
	day := map[time.Weekday]int{time.Tuesday: 1, time.Wednesday: 2, time.Thursday: 3, time.Friday: 4, time.Saturday: 5, time.Sunday: 6}
	local := at.In(zone)
	return w[day[local.Weekday()]*24*60+local.Hour()*60+local.Minute()]
}

// First waits for the hours, minute by minute.
func (w *Wall) First(at time.Time, zone *time.Location) time.Time {
	t := at
	for !w.Open(t, zone) {
		t = t.Truncate(time.Minute).Add(time.Minute)
	}
	return t
}

// Zone loads a time zone.
func Zone(t interface{ Fatal(...any) }, name string) *time.Location {
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// AnyHours draws weekly hours.
func AnyHours(t *rapid.T) models.Hours {
	var h models.Hours
	for range rapid.IntRange(0, 3).Draw(t, "windows") {
		from := rapid.IntRange(0, 95).Draw(t, "from")
		to := rapid.OneOf(rapid.IntRange(0, 96), rapid.Just((from+1)%96)).Filter(func(q int) bool { return q != from }).Draw(t, "to")
		days := rapid.SliceOfNDistinct(rapid.SampledFrom(Weekdays), 1, 7, rapid.ID[models.Day]).Draw(t, "days")
		h = append(h, models.Window{Days: days, From: models.ClockTime(from * 15), To: models.ClockTime(to * 15)})
	}
	return h
}

// AnyMoment returns a moment of 2026 or 2027, every other time near a clock change of the zone.
func AnyMoment(t *rapid.T, z *time.Location) time.Time {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.Int64Range(0, 730*24*3600).Draw(t, "second")) * time.Second)
	if _, change := at.In(z).ZoneBounds(); !change.IsZero() && rapid.Bool().Draw(t, "near a clock change") {
		return change.Add(time.Duration(rapid.IntRange(-9*24*60, 3*60).Draw(t, "minutes")) * time.Minute)
	}
	return at
}

// On returns hours on one day of the week.
func On(day models.Day, from, to models.ClockTime) models.Hours {
	return models.Hours{{Days: []models.Day{day}, From: from, To: to}}
}

// Moment reads a moment as RFC 3339 writes it.
func Moment(t interface{ Fatal(...any) }, s string) time.Time {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
