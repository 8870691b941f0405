package models

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Hours are weekly hours in some time zone, such as Monday to Friday 08:00 to 18:00. No windows mean always.
type Hours []Window

// Window is a part of a day that comes back on some days of the week. To before From goes on into the next day;
// To "24:00" is the end of the day. Both lie on quarters of an hour, and so do the clock changes of all time zones.
type Window struct {
	Days []Day     `json:"days"`
	From ClockTime `json:"from"`
	To   ClockTime `json:"to"` // exclusive
}

// Day is a day of the week: "mon" to "sun".
type Day string

// Days lists the days of the week, Monday first.
func Days() []Day { return []Day{"mon", "tue", "wed", "thu", "fri", "sat", "sun"} }

func dayOf(t time.Time) Day { return Days()[(int(t.Weekday())+6)%7] }

func (d Day) before() Day {
	return Days()[(slices.Index(Days(), d)+6)%7]
}

// ClockTime is a time of day in minutes after midnight, written "08:30".
type ClockTime int

const (
	quarter   = 15 * time.Minute
	endOfDay  = ClockTime(24 * 60)
	scanAhead = 15 * 24 * time.Hour // a window may fall into a clock change once, not twice in two weeks
)

// String writes the time as "08:30".
func (c ClockTime) String() string { return fmt.Sprintf("%02d:%02d", int(c)/60, int(c)%60) }

// MarshalText writes the time as "08:30".
func (c ClockTime) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads "08:30"; "24:00" is the end of the day.
func (c *ClockTime) UnmarshalText(text []byte) error {
	s := string(text)
	bad := InvalidField("", "is not a time of day such as 08:30")
	if len(s) != 5 || s[2] != ':' {
		return bad
	}
	hour, err1 := strconv.ParseUint(s[:2], 10, 8)
	minute, err2 := strconv.ParseUint(s[3:], 10, 8)
	v := ClockTime(hour*60 + minute)
	if err1 != nil || err2 != nil || minute > 59 || v > endOfDay {
		return bad
	}
	*c = v
	return nil
}

// Check reports what is wrong with the hours, as Invalid; pointer is the JSON pointer of the hours.
func (h Hours) Check(pointer string) error {
	if len(h) > 21 {
		return InvalidField(pointer, "has more than 21 windows")
	}
	for n, w := range h {
		at := pointer + "/" + strconv.Itoa(n)
		if len(w.Days) == 0 {
			return InvalidField(at+"/days", "is required")
		}
		for m, d := range w.Days {
			if err := CheckOneOf(at+"/days/"+strconv.Itoa(m), d, Days()...); err != nil {
				return err
			}
		}
		if w.From%15 != 0 || w.From >= endOfDay {
			return InvalidField(at+"/from", "must be a quarter of an hour before 24:00, such as 08:30")
		}
		if w.To%15 != 0 || w.To == w.From {
			return InvalidField(at+"/to", "must be another quarter of an hour, such as 18:00")
		}
	}
	return nil
}

// Covers reports whether a time of a day of the week, as a clock on the wall shows it, lies within the hours.
func (h Hours) Covers(d Day, c ClockTime) bool {
	return len(h) == 0 || slices.ContainsFunc(h, func(w Window) bool {
		if w.To > w.From {
			return slices.Contains(w.Days, d) && c >= w.From && c < w.To
		}
		return slices.Contains(w.Days, d) && c >= w.From || slices.Contains(w.Days, d.before()) && c < w.To
	})
}

// Open reports whether a moment lies within the hours of a zone. When a clock is put back the repeated hour counts
// twice, and the hour a clock skips does not exist.
func (h Hours) Open(at time.Time, zone *time.Location) bool {
	local := at.In(zone)
	return h.Covers(dayOf(local), ClockTime(local.Hour()*60+local.Minute()))
}

// Next returns the first moment from at on that lies within the hours of a zone.
func (h Hours) Next(at time.Time, zone *time.Location) time.Time {
	if h.Open(at, zone) {
		return at
	}
	t := at.UTC().Truncate(quarter)
	for end := at.Add(scanAhead); t.Before(end); {
		if t = t.Add(quarter); h.Open(t, zone) {
			return t
		}
	}
	return at // Check rejects hours that never open; a contact must not be left out here
}

// OfficeHours are Monday to Friday, 08:00 to 18:00.
func OfficeHours() Hours {
	return Hours{{Days: []Day{"mon", "tue", "wed", "thu", "fri"}, From: 8 * 60, To: 18 * 60}}
}
