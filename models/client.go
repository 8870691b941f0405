package models

import (
	"cmp"
	"time"

	"github.com/google/uuid"
)

// Client is an organisation under protection.
type Client struct {
	ID        uuid.UUID `json:"id"`
	Number    int       `json:"number"` // spoken and printed in references; unique, never reused
	LegalName string    `json:"legal_name"`
	TimeZone  string    `json:"time_zone"`      // IANA name
	Language  string    `json:"language"`       // BCP 47
	Business  Hours     `json:"business_hours"` // in TimeZone
	Contract  Contract  `json:"contract"`
	EDR       EDR       `json:"edr"`
	Policy    Policy    `json:"policy"`
	CreatedAt time.Time `json:"created_at"`
	LiveAt    time.Time `json:"live_at,omitzero"` // zero before the client goes live
	// LiveDespite is why the client went live although a go-live check failed.
	LiveDespite string `json:"live_despite,omitempty"`
	// IsolationPaused is the paused isolation switch; nil: devices may be isolated. Only Desk.Client sets it.
	IsolationPaused *IsolationSwitch `json:"isolation_paused,omitempty"`
}

// Contract holds the terms agreed with a client. Start and End are days (midnight UTC), End inclusive.
type Contract struct {
	Start  time.Time `json:"start"`
	End    time.Time `json:"end"`
	Plan   string    `json:"plan"`             // "mdr"
	AddOns []string  `json:"add_ons,omitzero"` // "cybersecurity_advisor"
}

// Outside returns why no incident is opened for the client at a moment in its zone without a reason of a lead: it is not
// live yet, or its contract has not begun, or has ended. "" when it is live and in its contract. A contract without an end
// goes on.
func (c Client) Outside(local time.Time) string {
	today := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, time.UTC)
	switch {
	case today.Before(c.Contract.Start):
		return "the client's contract begins on " + c.Contract.Start.Format(time.DateOnly)
	case !c.Contract.End.IsZero() && today.After(c.Contract.End):
		return "the client's contract ended on " + c.Contract.End.Format(time.DateOnly)
	case c.LiveAt.IsZero():
		return "the client is not live yet"
	}
	return ""
}

// EDR says through which product and which of its tenants a client's endpoints are isolated.
type EDR struct {
	Vendor string `json:"vendor,omitempty"` // such as "crowdstrike", or "" for none
	Tenant string `json:"tenant,omitempty"` // CrowdStrike: the client's member CID
}

// Policy is the set of numbers that pace an incident, configurable per client.
type Policy struct {
	RingFor        Duration              `json:"ring_for"`         // per contact
	BusyAgainAfter Duration              `json:"busy_again_after"` // before a busy number is tried again
	BusyTries      int                   `json:"busy_tries"`       // repeats after the first busy
	Rounds         int                   `json:"rounds"`           // through all contacts before the SOC lead gets a task
	RoundEvery     Duration              `json:"round_every"`      // pause between those rounds
	SlowRoundEvery Duration              `json:"slow_round_every"` // pause between rounds after them
	Reminders      map[Severity]Duration `json:"reminders"`        // while the turn is the client's
	HighAgainAfter Duration              `json:"high_again_after"` // a high incident nobody acknowledged is mailed again
	FeedbackWindow Duration              `json:"feedback_window"`  // how long after closure feedback is taken
	ApproveFor     Duration              `json:"approve_for"`      // an approval to isolate or release waits for an answer
	Lease          Duration              `json:"lease"`            // an isolation lasts before the client is asked to extend or release it
	TellAfter      Duration              `json:"tell_after"`       // a vendor down for this long shows on the incident
	TryAgainEvery  Duration              `json:"try_again_every"`  // pause between batches of attempts while a vendor is down
	// IsolationsPer10Min is the number of devices that are isolated within ten minutes before each further one is
	// asked; zero stands for the default. See IsolationLimit.
	IsolationsPer10Min int `json:"isolations_per_10_min,omitzero"`
	// WatchReleases is how long a released device is looked at again; zero stands for the default. See ReleaseWatch.
	WatchReleases Duration `json:"watch_releases,omitzero"`
}

// DefaultPolicy returns the numbers a client starts with.
func DefaultPolicy() Policy {
	day := 24 * time.Hour
	return Policy{
		RingFor: Duration(30 * time.Second), BusyAgainAfter: Duration(15 * time.Second), BusyTries: 3,
		Rounds: 5, RoundEvery: Duration(time.Minute), SlowRoundEvery: Duration(30 * time.Minute),
		Reminders: map[Severity]Duration{
			SeverityCritical: Duration(day), SeverityHigh: Duration(3 * day),
			SeverityMedium: Duration(7 * day), SeverityLow: Duration(7 * day),
		},
		HighAgainAfter: Duration(30 * time.Minute),
		FeedbackWindow: Duration(30 * day),
		ApproveFor:     Duration(time.Hour),
		Lease:          Duration(3 * day),
		TellAfter:      Duration(time.Minute),
		TryAgainEvery:  Duration(time.Minute),

		IsolationsPer10Min: 5,
		WatchReleases:      Duration(time.Hour),
	}
}

// Reminder returns the pause between reminders for a severity.
func (p Policy) Reminder(s Severity) time.Duration {
	if d, ok := p.Reminders[s]; ok && d > 0 {
		return time.Duration(d)
	}
	return 7 * 24 * time.Hour
}

// IsolationWindow is the time over which a client's isolations are counted.
const IsolationWindow = 10 * time.Minute

// IsolationSwitch says whether isolations of a client's devices are paused, and who switched them. The zero value: they
// are not.
type IsolationSwitch struct {
	Paused bool      `json:"paused"`
	Side   Side      `json:"side,omitempty"` // of who switched it
	By     uuid.UUID `json:"by,omitzero"`
	At     time.Time `json:"at,omitzero"`
	Reason string    `json:"reason,omitempty"`
}

// Check reports what is wrong with a switch, as Invalid.
func (s IsolationSwitch) Check() error { return CheckText("/reason", s.Reason, 300, true) }

// ReleaseWatch returns how long a released device is looked at again.
func (p Policy) ReleaseWatch() time.Duration {
	return time.Duration(cmp.Or(p.WatchReleases, DefaultPolicy().WatchReleases))
}

// IsolationLimit returns the number of devices that are isolated within IsolationWindow before each further one is
// asked.
func (p Policy) IsolationLimit() int {
	if p.IsolationsPer10Min == 0 {
		return DefaultPolicy().IsolationsPer10Min
	}
	return p.IsolationsPer10Min
}
