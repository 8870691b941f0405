package incident

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// ContactMessaged records that a vendor accepted a mail or a text for a contact.
type ContactMessaged struct {
	Contact  uuid.UUID      `json:"contact"`
	Channel  models.Channel `json:"channel"` // email or sms
	Purpose  notify.Purpose `json:"purpose"`
	Revision int            `json:"revision"`
	Effect   string         `json:"effect"` // key in the ledger
}

// Type returns "contact_messaged".
func (*ContactMessaged) Type() EventType { return "contact_messaged" }

func (d *ContactMessaged) apply(_ *Incident, e Event) error { return systemOnly(e) }

// NotDelivered records that a message did not reach its contact, and over which channel the fallback goes.
type NotDelivered struct {
	Contact  uuid.UUID      `json:"contact"`
	Channel  models.Channel `json:"channel"`
	Effect   string         `json:"effect"` // key in the ledger
	Reason   string         `json:"reason"` // "bounce", "dropped", "undelivered", "rejected", …
	Fallback models.Channel `json:"fallback,omitempty"`
}

// Type returns "not_delivered".
func (*NotDelivered) Type() EventType { return "not_delivered" }

func (d *NotDelivered) apply(_ *Incident, e Event) error { return systemOnly(e) }

// CallRoundStarted begins a round of calls through all contacts.
type CallRoundStarted struct {
	Round int `json:"round"`
}

// Type returns "call_round_started".
func (*CallRoundStarted) Type() EventType { return "call_round_started" }

func (d *CallRoundStarted) apply(i *Incident, e Event) error {
	if err := systemOnly(e); err != nil {
		return err
	}
	if d.Round != i.CallRound+1 {
		return models.Errorf(models.Conflict, "call round %d does not follow call round %d", d.Round, i.CallRound)
	}
	i.CallRound, i.CallRoundEnded = d.Round, time.Time{}
	return nil
}

// ContactCalled records the outcome of a call to a contact.
type ContactCalled struct{ notify.CallResult }

// Type returns "contact_called".
func (*ContactCalled) Type() EventType { return "contact_called" }

func (d *ContactCalled) apply(_ *Incident, e Event) error { return systemOnly(e) }

// CallRoundEnded ends a round.
type CallRoundEnded struct{ notify.CallRoundResult }

// Type returns "call_round_ended".
func (*CallRoundEnded) Type() EventType { return "call_round_ended" }

func (d *CallRoundEnded) apply(i *Incident, e Event) error {
	if err := systemOnly(e); err != nil {
		return err
	}
	if d.Round != i.CallRound {
		return models.Errorf(models.Conflict, "call round %d is not the present one", d.Round)
	}
	i.CallRoundEnded = e.At
	return nil
}

// AcknowledgedBy records that a human of the client acknowledged: by a key press, a text or their own command. With
// Revision it is also their read receipt for that revision of the report, and with ReadOnly nothing but that: a viewer
// has nothing in hand.
type AcknowledgedBy struct {
	Channel  string `json:"channel"`
	How      string `json:"how"`
	Revision int    `json:"revision,omitempty"`
	ReadOnly bool   `json:"read_only,omitempty"`
}

// Type returns "acknowledged".
func (*AcknowledgedBy) Type() EventType { return "acknowledged" }

func (d *AcknowledgedBy) apply(i *Incident, e Event) error {
	if err := i.require(e, models.SideClient, PhasePublished, PhaseClosureRequested, PhaseClosed); err != nil {
		return err
	}
	if d.Revision > i.Revision {
		return models.Errorf(models.Conflict, "revision %d not found", d.Revision)
	}
	if i.Acknowledged == nil && !d.ReadOnly {
		i.Acknowledged = &Acknowledgement{Severity: i.PublishedSeverity, By: e.Actor, Channel: d.Channel, How: d.How, At: e.At}
	}
	isKnown := func(s ReadReceipt) bool { return s.By == e.Actor && s.Revision == d.Revision }
	if d.Revision > 0 && !slices.ContainsFunc(i.ReadReceipts, isKnown) {
		i.ReadReceipts = append(i.ReadReceipts, ReadReceipt{By: e.Actor, Revision: d.Revision, At: e.At})
	}
	return nil
}

// ReminderSent records that the client was reminded that it is their turn.
type ReminderSent struct {
	Number int `json:"number"`
}

// Type returns "reminder_sent".
func (*ReminderSent) Type() EventType { return "reminder_sent" }

func (d *ReminderSent) apply(i *Incident, e Event) error {
	if err := systemOnly(e); err != nil {
		return err
	}
	i.Reminders, i.LastReminder = d.Number, e.At
	return nil
}

// TaskOpened gives a person of the SOC something to do.
type TaskOpened struct {
	ID     string   `json:"id"`
	Kind   TaskKind `json:"kind"`
	Effect string   `json:"effect,omitempty"`
	Detail string   `json:"detail"`
}

// Type returns "task_opened".
func (*TaskOpened) Type() EventType { return "task_opened" }

func (*TaskOpened) isInternal() bool { return true }

func (d *TaskOpened) apply(i *Incident, e Event) error {
	if err := systemOnly(e); err != nil {
		return err
	}
	i.Tasks = append(i.Tasks, Task{ID: d.ID, Kind: d.Kind, Effect: d.Effect, Detail: d.Detail, Opened: e.At})
	return nil
}

// TaskDone ends a task: a person did it, or its reason is gone.
type TaskDone struct {
	ID string `json:"id"`
}

// Type returns "task_done".
func (*TaskDone) Type() EventType { return "task_done" }

func (*TaskDone) isInternal() bool { return true }

func (d *TaskDone) apply(i *Incident, e Event) error {
	if e.Actor.Side == models.SideClient {
		return models.Errorf(models.Forbidden, "only the SOC may do this")
	}
	n := slices.IndexFunc(i.Tasks, func(t Task) bool { return t.ID == d.ID && !t.Done })
	if n < 0 {
		return models.Errorf(models.Conflict, "open task %s not found", d.ID)
	}
	i.Tasks[n].Done = true
	return nil
}

func systemOnly(e Event) error {
	if e.Actor.Side != models.SideSystem {
		return models.Errorf(models.Forbidden, "only the system records this")
	}
	return nil
}
