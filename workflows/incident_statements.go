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

// isBacked reports whether the contact's own row stands behind a statement, and what the store knows of it. A
// statement without one is recorded as rejected: somebody else sent it. So is one from before the question that it
// answers was put, and the approval of a contact who may not approve.
func (w *incidentWorkflow) isBacked(ctx workflow.Context, said statement) (ok bool, found foundStatement) {
	w.unfinished++
	w.lookingUp++
	defer func() { w.unfinished--; w.lookingUp-- }()
	in := statementInput{
		ClientID: w.state.Incident.ClientID, Reference: w.state.Incident.Reference, Contact: said.contact, Key: said.key, Approval: said.approval,
	}
	if e := w.openApproval(said.approval); e != nil {
		by := e.RequestedBy
		in.AskedBy = &by
		if said.key == notify.KeyAcknowledge {
			in.Givers = e.Approval.Givers()
		}
	}
	found, err := findStatement(ctx, in)
	answers, about := w.state.Incident.AlarmSeq, w.state.Incident.AlarmRevision
	if e := w.openApproval(said.approval); e != nil {
		answers, about = e.Approval.AskedSeq, e.Approval.Asked
	}
	reason := "nothing that the contact said stands behind this"
	switch {
	case err != nil:
		workflow.GetLogger(ctx).Error("a contact's statement cannot be looked up", "error", err)
		return false, found
	case found.Refused != "":
		reason = found.Refused
	case found.Answers(answers, about):
		return true, found
	case found.Known:
		reason = "the contact said this before it was asked anew"
	}
	w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.CommandRejected{
		Command: incident.AnswerCommand(said.key, said.approval), Reason: reason, By: models.ContactActor(said.contact),
	}))
	return false, found
}
