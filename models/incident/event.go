package incident

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// EventType names a kind of event.
type EventType string

// Event is one change of an incident. The workflow gives Seq, without gaps, from 1.
type Event struct {
	Seq   int          `json:"seq"`
	At    time.Time    `json:"at"`
	Type  EventType    `json:"type"`
	Actor models.Actor `json:"actor"`
	Data  EventData    `json:"data"`
}

// EventData is the content of an event. apply makes the change on a copy of the incident that nobody else holds, and
// returns an error when the change is not legal; the copy is dropped then.
type EventData interface {
	Type() EventType
	apply(i *Incident, e Event) error
}

// internal marks an event that may be the SOC's own business.
type internal interface{ isInternal() bool }

// IsInternal reports whether an event is the SOC's own business, so that the client's users do not see it. How the
// client's contacts were reached, or not, is the client's business, too.
func (e Event) IsInternal() bool {
	d, ok := e.Data.(internal)
	return ok && d.isInternal()
}

// NewEvent builds the next event of an incident.
func NewEvent(i Incident, at time.Time, by models.Actor, data EventData) Event {
	return Event{Seq: i.Seq + 1, At: at.UTC(), Type: data.Type(), Actor: by, Data: data}
}

// Apply makes the change that e says. It is the only way an incident changes. Events must come in the
// order of their Seq; Apply rejects an illegal change with an error and leaves the incident as it was.
func (i *Incident) Apply(e Event) error {
	if e.Seq != i.Seq+1 {
		return fmt.Errorf("event %d of %s does not follow event %d", e.Seq, i.Reference, i.Seq)
	}
	if e.Data == nil || e.Data.Type() != e.Type {
		return fmt.Errorf("event %d of %s: data does not fit type %q", e.Seq, i.Reference, e.Type)
	}
	if (e.Type == "opened") != (e.Seq == 1) {
		return fmt.Errorf("event %d of %s: an incident begins with opened, once", e.Seq, i.Reference)
	}
	next := i.clone()
	if err := e.Data.apply(&next, e); err != nil {
		return err
	}
	next.Seq, next.UpdatedAt = e.Seq, e.At
	*i = next
	return nil
}

// Replay folds events into an incident, from nothing.
func Replay(events []Event) (Incident, error) {
	var i Incident
	for _, e := range events {
		if err := i.Apply(e); err != nil {
			return i, err
		}
	}
	return i, nil
}

// UnmarshalJSON reads an event, choosing the type of its data by the event's type.
func (e *Event) UnmarshalJSON(b []byte) error {
	var raw struct {
		Seq   int             `json:"seq"`
		At    time.Time       `json:"at"`
		Type  EventType       `json:"type"`
		Actor models.Actor    `json:"actor"`
		Data  json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	data := newEventData(raw.Type)
	if data == nil {
		return fmt.Errorf("unknown event type %q", raw.Type)
	}
	if err := json.Unmarshal(raw.Data, data); err != nil {
		return fmt.Errorf("data of event %d (%s): %w", raw.Seq, raw.Type, err)
	}
	*e = Event{Seq: raw.Seq, At: raw.At, Type: raw.Type, Actor: raw.Actor, Data: data}
	return nil
}

// EventTypes returns an empty value of every kind of event, for readers that must know them all.
func EventTypes() []EventData {
	return []EventData{
		&Opened{}, &Assessed{}, &Published{}, &Revised{}, &Dismissed{}, &Commented{}, &Recommended{}, &RecommendationSettled{},
		&ResponseTeamRecommended{}, &IsolationRequested{}, &ReleaseRequested{}, &EndpointKept{}, &EndpointObserved{}, &DeviceSucceeded{},
		&ContactMessaged{}, &CallRoundStarted{}, &ContactCalled{}, &CallRoundEnded{}, &AcknowledgedBy{},
		&TaskOpened{}, &TaskDone{}, &ReminderSent{}, &Verified{}, &ClosureRequested{}, &ClosureConfirmed{},
		&ClosureWithdrawn{}, &Closed{}, &FeedbackGiven{}, &CommandRejected{},
		&QuestionAsked{}, &QuestionAnswered{}, &QuestionReminded{}, &QuestionOverdue{}, &NotDelivered{},
		&ContainmentRuled{}, &ApprovalGiven{}, &ApprovalDenied{}, &ApprovalExpired{}, &LeaseDue{}, &LeaseExtended{},
		&RiskExpired{}, &RiskSettled{},
	}
}

func newEventData(t EventType) EventData {
	for _, d := range EventTypes() {
		if d.Type() == t {
			return d
		}
	}
	return nil
}
