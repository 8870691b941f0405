package workflows_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// record takes a batch of events into the store.
func (s *story) record(in activities.RecordInput) error {
	s.batches = append(s.batches, in)
	if s.recordFails != nil {
		if err := s.recordFails(in); err != nil {
			return err
		}
	}
	for _, c := range in.Commands {
		if c.LastSeq > s.seq() && slices.ContainsFunc(s.commands, func(known incident.CommandResult) bool { return known.RequestID == c.RequestID }) {
			return temporal.NewNonRetryableApplicationError("carried out before", activities.ErrDiverged, nil)
		}
	}
	for _, e := range in.Events {
		switch {
		case e.Seq <= s.seq() && e.Seq > 1 && slices.ContainsFunc(s.events, func(known incident.Event) bool { return asJSON(s.t, known) == asJSON(s.t, e) }):
			continue // recorded before
		case e.Seq <= s.seq():
			return temporal.NewNonRetryableApplicationError("another event", activities.ErrDiverged, nil)
		case e.Seq != s.seq()+1:
			return fmt.Errorf("event %d does not follow %d", e.Seq, s.seq())
		}
		s.events = append(s.events, e)
	}
	s.commands = append(s.commands, in.Commands...)
	for _, c := range in.Calls {
		if s.said[c.Effect].By == uuid.Nil {
			s.said[c.Effect] = c
		}
	}
	if s.recorded != nil {
		s.recorded()
	}
	return nil
}

// send hands a mail to a mailer.
func (s *story) send(in activities.MessageInput) (activities.Sent, error) {
	if s.refuses(in) {
		return activities.Sent{}, temporal.NewNonRetryableApplicationError("mail: rejected", string(models.Rejected), nil)
	}
	if s.mailTried != nil {
		s.mailTried(in.Notification)
	}
	if s.mailFails != nil {
		if err := s.mailFails(); err != nil {
			return activities.Sent{}, err
		}
	}
	s.mails = append(s.mails, sent{in.Notification, s.env.Now()})
	return activities.Sent{Refused: s.refusedMailer}, nil
}

// world stands in for the store and the vendors.
func (s *story) world() {
	records, mail, phone, edr := &activities.Records{}, &activities.Mail{}, &activities.Phone{}, &activities.Containment{}
	for _, a := range []any{records, mail, phone, edr} {
		s.env.RegisterActivity(a)
	}
	s.env.OnActivity(records.Record, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.RecordInput) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.record(in)
	})
	s.notifying = s.env.OnActivity(mail.Notify, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.NotifyInput) (activities.Notified, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		out := activities.Notified{Accepted: make([]bool, len(in.Mails)), Failures: map[int]activities.Failure{}}
		if err := s.record(in.RecordInput); err != nil {
			return out, err
		}
		for n, one := range in.Mails {
			sent, err := s.send(activities.MessageInput{ClientID: in.ClientID, Reference: in.Reference, Notification: one, Exercise: in.Exercise})
			var app *temporal.ApplicationError
			switch out.Accepted[n] = err == nil; {
			case err == nil:
				out.Sent = sent
			case asApp(err, &app) && (app.Type() == string(models.Config) || app.Type() == string(models.Throttled)):
				out.Failures[n] = activities.Failure{Class: models.VendorClass(app.Type()), Message: app.Message(), RetryAfter: app.NextRetryDelay()}
			}
		}
		return out, nil
	})
	s.env.OnActivity(records.FindCommand, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.CommandInput) (*incident.CommandResult, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lookups++
		for _, c := range s.commands {
			if c.RequestID == in.RequestID {
				return &c, nil
			}
		}
		return nil, nil
	})
	s.env.OnActivity(records.ReadRecorded, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.RecordedInput) (activities.Recorded, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		lost := incident.Lost{Incident: s.replay(s.opened), Directory: s.directory, Ledger: s.ledger(), Events: append([]incident.Event{s.openedEvent()}, s.events...)}
		out := activities.Recorded{Incident: lost.Incident.Carried(), Unsent: lost.Unsent(), Repeated: lost.Repeated(in.Facts, in.After)}
		for _, c := range s.commands {
			if slices.Contains(in.Requests, c.RequestID) {
				out.Commands = append(out.Commands, c)
			}
		}
		return out, nil
	})
	s.env.OnActivity(records.LastRecorded, mock.Anything, mock.Anything).Return(func(context.Context, activities.SeqInput) (int, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.seq(), nil
	})
	s.env.OnActivity(records.PlanRecipients, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.PlanInput) (notify.Plan, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.planFails != nil {
			if err := s.planFails(); err != nil {
				return notify.Plan{}, err
			}
		}
		told := slices.Concat(in.AlsoTold, s.reached())
		p := s.directory.Plan(in.Severity, in.At, told...)
		if in.Approval {
			p.Calls = s.directory.CallableApprovers(s.madeBy(*in.AskedBy), in.Persons, in.Severity, in.At, told...)
		}
		return p, nil
	})
	s.env.OnActivity(records.PlanFallback, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.FallbackInput) (notify.Recipient, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, c := range s.directory.Contacts {
			r, ok := s.directory.Fallback(c, in.Severity, in.Notification.Channel, in.At)
			if ok && c.ID == in.Notification.Contact && !s.texted(in.Notification.AddressedTo(r)) {
				return r, nil
			}
		}
		return notify.Recipient{}, nil
	})
	s.env.OnActivity(records.PlanReminder, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.ReminderInput) (time.Time, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.directory.RemindAt(in.Severity, in.Due), nil
	})
	s.env.OnActivity(records.EvaluateAuthority, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.EvaluateAuthorityInput) (authority.Ruling, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.authority.Evaluate(in.Request, s.directory.Zone, s.directory.Business), nil
	})
	s.env.OnActivity(edr.ReadState, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.EndpointInput) (activities.EndpointReport, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.looks != nil {
			if err := s.looks(); err != nil {
				return activities.EndpointReport{}, err
			}
		}
		state := models.HostIsolated
		for _, done := range s.edr {
			switch done {
			case "isolated " + in.AgentID:
				state = models.HostIsolated
			case "released " + in.AgentID:
				state = models.HostNormal
			}
		}
		switch {
		case s.released:
			state = models.HostNormal
		case s.isolated:
			state = models.HostIsolated
		}
		seen := activities.EndpointReport{AgentID: in.AgentID, State: state, Online: true}
		if !seen.IsAs(in.Desired) && in.Desired == models.DesiredReleased {
			seen.Others = s.holders
		}
		return seen, nil
	})
	s.env.OnActivity(records.CancelEffect, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.CancelInput) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.canceled = append(s.canceled, in)
		return nil
	})
	s.env.OnActivity(records.FindDecision, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.DecisionInput) (activities.Decision, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		seq := s.seq()
		if s.saidAt != nil {
			seq = s.saidAt()
		}
		return activities.Decision{Backed: s.decided[in.RequestID], Seq: seq, Disabled: s.disabled[in.UserID], AreOne: s.invited && len(in.Givers) > 0,
			Voided: s.voided(in.AgreedBefore)}, nil
	})
	s.env.OnActivity(records.MayNotAct, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.SenderInput) (bool, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return in.Role == "" || s.disabled[in.UserID.String()], nil
	})
	s.env.OnActivity(records.FindStatement, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.StatementInput) (activities.Statement, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		person := ""
		for _, c := range s.directory.Contacts {
			if c.ID == in.Contact {
				person = c.Person()
			}
		}
		seq := s.seq()
		if s.saidAt != nil {
			seq = s.saidAt()
		}
		call := s.saidIn
		for _, e := range s.calls {
			if s.saidIn == "" && e.Contact == in.Contact {
				call = e.Key
			}
		}
		out := activities.Statement{Known: !s.unsaid, Seq: seq, About: in.About(call), Person: person, Voided: s.voided(in.AgreedBefore)}
		if in.AskedBy != nil && in.Key == notify.KeyAcknowledge && !slices.ContainsFunc(s.mayApprove(*in.AskedBy).Contacts, func(c models.Contact) bool { return c.ID == in.Contact }) {
			out.Refused = "may not approve"
		}
		return out, nil
	})
	s.env.OnActivity(phone.SendText, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.MessageInput) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.textFails != nil {
			if err := s.textFails(); err != nil {
				return err
			}
		}
		s.texts = append(s.texts, sent{in.Notification, s.env.Now()})
		return nil
	})
	s.env.OnActivity(mail.SendMail, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.MessageInput) (activities.Sent, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.send(in)
	})
	place := func(_ context.Context, in activities.CallInput) (activities.PlacedCall, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		id := "CA" + in.Effect.Key
		if slices.ContainsFunc(s.calls, func(e notify.Effect) bool { return e.Key == in.Effect.Key }) {
			return activities.PlacedCall{ID: id, Outcome: s.said[in.Effect.Key].Outcome}, nil
		}
		if s.placeFails != nil {
			if err := s.placeFails(in.Effect); err != nil {
				return activities.PlacedCall{}, err
			}
		}
		s.calls = append(s.calls, in.Effect)
		if s.answers != nil {
			s.env.RegisterDelayedCallback(func() { s.answers(in.Effect) }, 5*time.Second)
		}
		return activities.PlacedCall{ID: id}, nil
	}
	s.env.OnActivity(phone.PlaceFirstCall, mock.Anything, mock.Anything).Return(place)
	s.env.OnActivity(phone.PlaceCall, mock.Anything, mock.Anything).Return(place)
	s.asking = s.env.OnActivity(phone.ReadCallStatus, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.CallRef) (models.CallStatus, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.callStands != nil {
			return s.callStands(in.CallID), nil
		}
		return models.CallNoAnswer, nil
	})
	s.env.OnActivity(phone.HangUp, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.CallRef) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hungUp = append(s.hungUp, in.CallID)
		return nil
	})
	s.env.OnActivity(edr.FindDevice, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.EndpointInput) (activities.EndpointReport, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return activities.EndpointReport{AgentID: cmp.Or(s.agent, "aid-"+in.Hostname), Hostname: cmp.Or(s.device, in.Hostname), TagsUnknown: s.tagless, State: models.HostNormal, Online: true}, nil
	})
	s.env.OnActivity(edr.SendAction, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.EndpointInput) (activities.ActionSent, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.changeFails != nil {
			if err := s.changeFails(); err != nil {
				return activities.ActionSent{}, err
			}
		}
		if in.Desired == models.DesiredReleased && len(s.holders) > 0 && !in.ForAll {
			return activities.ActionSent{Held: true, Others: s.holders}, nil
		}
		s.isolated = false
		s.edr = append(s.edr, string(in.Desired)+" "+in.AgentID)
		s.actions = append(s.actions, in.Effect.Key)
		return activities.ActionSent{Others: s.holders}, nil
	})
	s.env.OnActivity(edr.ConfirmState, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.EndpointInput) (activities.EndpointReport, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.confirm != nil {
			if seen, err := s.confirm(in); seen != nil || err != nil {
				return *cmp.Or(seen, &activities.EndpointReport{}), err
			}
		}
		state := models.HostIsolated
		if in.Desired == models.DesiredReleased {
			state = models.HostNormal
		}
		return activities.EndpointReport{AgentID: in.AgentID, State: state, Online: true}, nil
	})
}

// voided returns who of some may not act any more.
func (s *story) voided(before activities.AgreedBefore) []models.Actor {
	return slices.DeleteFunc(slices.Clone(before.Givers), func(by models.Actor) bool {
		id, is := by.Contact()
		if !is {
			return !s.disabled[by.ID]
		}
		return slices.ContainsFunc(s.mayApprove(*before.AskedBy).Contacts, func(c models.Contact) bool { return c.ID == id })
	})
}

// refuses reports whether the ledger keeps a message from being sent, because it was canceled.
func (s *story) refuses(in activities.MessageInput) bool {
	return slices.ContainsFunc(s.canceled, func(c activities.CancelInput) bool { return c.Effect.Key == in.Effect().Key })
}
