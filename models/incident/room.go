package incident

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// The room that an incident has. Temporal takes no payload above two mebibytes, and a workflow that hands it one stands
// still for ever. So people's commands are rejected long before: those that only add at RoomToAdd, all others, which
// bring an incident to its end, at RoomToSettle. What the system itself notes fits above.
const (
	RoomToAdd    = 512 << 10
	RoomToSettle = 768 << 10
)

// maxOfAKind bounds the recommendations and the questions of an incident, and its endpoints: the read table holds the
// texts of all.
const maxOfAKind = 300

// maxAssessment bounds an assessment as JSON, so that an event fits into one batch for the store.
const maxAssessment = 200 << 10

// maxWaiting bounds the messages that wait to be handed over before an incident takes no more questions. A message to
// everyone is taken to have toEveryone contacts.
const (
	maxWaiting = 1000
	toEveryone = 20
)

// longText is from how many bytes on Carried leaves a text out.
const longText = 256

// Carried returns the incident as its workflow carries it: without the long texts of what is settled, answered or done.
// No rule reads them. The event log, the read table and the report's revisions keep them.
func (i Incident) Carried() Incident {
	i = i.clone()
	for n := range i.Recommendations {
		if r := &i.Recommendations[n]; r.Outcome != "" {
			leaveOut(&r.Text, &r.Evidence, &r.Reason)
		}
	}
	for n := range i.Questions {
		if q := &i.Questions[n]; !q.IsOpen() {
			leaveOut(&q.Text, &q.Answer)
			q.Answers = nil
		}
	}
	for n := range i.Endpoints {
		leaveOut(&i.Endpoints[n].Reason)
		if k := i.Endpoints[n].Kept; k != nil {
			kept := *k
			leaveOut(&kept.Reason)
			i.Endpoints[n].Kept = &kept
		}
		if a := i.Endpoints[n].Approval; a != nil && a.Denied != nil { // clone has copied the approval
			denied := *a.Denied
			leaveOut(&denied.Reason)
			a.Denied = &denied
		}
	}
	for n := range i.Tasks {
		if t := &i.Tasks[n]; t.Done {
			leaveOut(&t.Detail)
		}
	}
	if i.Verification != nil {
		v := *i.Verification
		leaveOut(&v.Note)
		i.Verification = &v
	}
	if i.Closure != nil { // clone has copied it
		leaveOut(&i.Closure.Note, &i.Closure.Reason)
		if s := i.Closure.Settled; s != nil {
			settled := *s
			leaveOut(&settled.Evidence, &settled.Reason)
			i.Closure.Settled = &settled
		}
	}
	if i.Feedback != nil {
		f := *i.Feedback
		leaveOut(&f.Comment)
		i.Feedback = &f
	}
	return i
}

func leaveOut(texts ...*string) {
	for _, t := range texts {
		if len(*t) >= longText {
			*t = ""
		}
	}
}

// Carried returns the state for the next run.
func (s State) Carried() State {
	s.Incident = s.Incident.Carried()
	return s
}

// Room counts the bytes that an incident takes as its workflow carries it. Counting from the events is cheap and never
// too little; only when that comes near a bound the incident itself is measured.
type Room struct{ atMost int }

// perEvent is how much an incident may grow with an event beyond the event's own bytes: the people and times that it
// keeps in several places, and tasks.
const perEvent = 1 << 10

// NewRoom measures an incident.
func NewRoom(i Incident) Room { return Room{atMost: carriedSize(i)} }

// Add counts an event of so many bytes.
func (r *Room) Add(bytes int) { r.atMost += bytes + perEvent }

// adding marks the commands that only add to an incident.
type adding interface{ adds() }

func (*Assess) adds()                {}
func (*Recommend) adds()             {}
func (*RecommendResponseTeam) adds() {}
func (*AskQuestion) adds()           {}
func (*Isolate) adds()               {}

// Decide returns the events that a command causes at a moment, as Incident.Decide does, and rejects the command when
// the incident has no room for them. It changes nothing but the count.
func (r *Room) Decide(i Incident, c Command, ask CommandContext, at time.Time) ([]Event, error) {
	events, after, err := i.decideEvents(c, ask, at)
	if err != nil {
		return nil, err
	}
	if err := after.checkCounts(i); err != nil {
		return nil, err
	}
	bound := RoomToSettle
	if _, ok := c.(adding); ok {
		bound = RoomToAdd
	}
	grown := 0
	for _, e := range events {
		if d, ok := e.Data.(*Assessed); ok && sizeOf(d.Assessment) > maxAssessment {
			return nil, models.Errorf(models.Conflict, "the assessment would be longer than %d KiB; shorten it", maxAssessment>>10)
		}
		grown += sizeOf(e) + perEvent
	}
	if r.atMost+grown <= bound {
		return events, nil
	}
	*r = NewRoom(i)
	if size := carriedSize(after); size > bound && size > r.atMost {
		return nil, models.Errorf(models.Conflict, "the incident is full: its open texts would be longer than %d KiB; settle or shorten some, or open another incident", bound>>10)
	}
	return events, nil
}

// CheckWaiting returns Conflict when so many messages wait to be handed over that no question may be asked, which
// causes others. The workflow carries each, and a vendor may be down for days. Of all other messages a newer one
// replaces an older one.
func CheckWaiting(waiting []notify.Notification, c Command) error {
	if _, is := c.(*AskQuestion); !is {
		return nil
	}
	count := 0
	for _, n := range waiting {
		if n.Contact == uuid.Nil {
			count += toEveryone
		} else {
			count++
		}
	}
	if count < maxWaiting {
		return nil
	}
	return models.Errorf(models.Conflict, "about %d messages to contacts of this incident wait to be handed over; ask again when fewer do", count)
}

// checkCounts returns Conflict when there are more parts of a kind than an incident may have, and more than before.
func (i Incident) checkCounts(before Incident) error {
	for _, of := range []struct {
		kind     string
		now, was int
	}{
		{"recommendations", len(i.Recommendations), len(before.Recommendations)},
		{"questions", len(i.Questions), len(before.Questions)},
		{"endpoints", len(i.Endpoints), len(before.Endpoints)},
	} {
		if of.now > maxOfAKind && of.now > of.was {
			return models.Errorf(models.Conflict, "the incident has %d %s already; open another incident", of.was, of.kind)
		}
	}
	return nil
}

func carriedSize(i Incident) int { return sizeOf(i.Carried()) }

// Size returns the bytes of an event as JSON.
func (e Event) Size() int { return sizeOf(e) }

// sizeOf returns the bytes of a value as JSON. A value that cannot be written takes none: Temporal rejects it anyway.
func sizeOf(v any) int {
	b, _ := json.Marshal(v) //nolint:errchkjson // see above
	return len(b)
}

// Rebased returns an event of another history as the next event of i. What it makes gets the next free name.
func (i Incident) Rebased(e Event) Event {
	switch d := e.Data.(type) {
	case *Recommended:
		e.Data = &Recommended{ID: fmt.Sprintf("r%d", len(i.Recommendations)+1), Text: d.Text}
	case *QuestionAsked:
		asked := *d
		asked.ID = fmt.Sprintf("q%d", len(i.Questions)+1)
		e.Data = &asked
	case *TaskOpened:
		opened := *d
		opened.ID = fmt.Sprintf("t%d", len(i.Tasks)+1)
		e.Data = &opened
	case *IsolationRequested:
		asked := *d
		asked.Endpoint = fmt.Sprintf("e%d", len(i.Endpoints)+1)
		if p := i.endpointByHostname(d.Hostname); p != nil {
			asked.Endpoint = p.ID
		}
		e.Data = &asked
	}
	e.Seq = i.Seq + 1
	return e
}

// Of returns the events among a batch that a command made.
func (r CommandResult) Of(events []Event) []Event {
	return slices.DeleteFunc(slices.Clone(events), func(e Event) bool { return !r.Made(e) })
}

// Made reports whether the command made an event.
func (r CommandResult) Made(e Event) bool { return r.FirstSeq <= e.Seq && e.Seq <= r.LastSeq }
