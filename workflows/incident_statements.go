package workflows

import (
	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// statement is what a contact is said to have said.
type statement struct {
	contact  uuid.UUID
	key      notify.Key
	approval string // "" for an acknowledgement
}

// backing is what stands behind a statement.
type backing int

const (
	unbacked backing = iota // nothing, or nothing that the store could find out
	outdated                // the contact said it before the question that it answers was put
	backed                  // the contact's own row
)

// findBacking looks for the contact's own row behind a statement, and returns who the contact is (see PersonOf). A
// statement without one is recorded as rejected: somebody else sent it. A run from before statements were kept takes
// every one.
func (w *incidentWorkflow) findBacking(ctx workflow.Context, said statement) (backing, string) {
	if !w.backed {
		return backed, ""
	}
	w.unfinished++
	w.lookingUp++
	defer func() { w.unfinished--; w.lookingUp-- }()
	answers := w.state.Incident.AlarmSeq
	if e := w.openApproval(said.approval); e != nil {
		answers = e.Approval.AskedSeq
	}
	found, err := findStatement(ctx, statementInput{
		ClientID: w.state.Incident.ClientID, Reference: w.state.Incident.Reference, Contact: said.contact, Key: said.key, Approval: said.approval,
	})
	switch {
	case err != nil:
		workflow.GetLogger(ctx).Error("a contact's statement cannot be looked up", "error", err)
		return unbacked, ""
	case !found.Known:
		w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.CommandRejected{
			Command: said.command(), Reason: "nothing that the contact said stands behind this", By: models.ContactActor(said.contact),
		}))
		return unbacked, ""
	case found.Seq < answers:
		return outdated, found.Person
	}
	return backed, found.Person
}

// command names what the statement would do, as the commands of users are named.
func (s statement) command() string {
	switch {
	case s.key == notify.KeyDeny:
		return (*incident.Deny)(nil).Name()
	case s.approval != "" && s.key == notify.KeyAcknowledge:
		return (*incident.Approve)(nil).Name()
	}
	return (*incident.Acknowledge)(nil).Name()
}
