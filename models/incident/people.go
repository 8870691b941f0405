package incident

import (
	"github.com/watchfire-mdr/watchfire/models"
)

// View is an incident with the people in it.
type View struct {
	Incident
	People models.People `json:"people"`
}

// RevisionView is a revision of a report with the people in it.
type RevisionView struct {
	Revision
	People models.People `json:"people"`
}

// Actors lists everybody an incident names.
func (i Incident) Actors() []models.Actor {
	list := settledBy(i.Recommendations)
	for _, p := range i.Endpoints {
		list = append(list, p.actors()...)
	}
	for _, q := range i.Questions {
		list = appendActor(list, q.AnsweredBy)
	}
	for _, s := range i.ReadReceipts {
		list = append(list, s.By)
	}
	if i.Acknowledged != nil {
		list = append(list, i.Acknowledged.By)
	}
	if i.Verification != nil {
		list = append(list, i.Verification.By)
	}
	if i.Closure != nil {
		list = appendActor(append(list, i.Closure.By), i.Closure.ConfirmedBy)
		if s := i.Closure.Settled; s != nil {
			list = append(list, s.By)
		}
	}
	if i.Feedback != nil {
		list = append(list, i.Feedback.By)
	}
	return list
}

func (p Endpoint) actors() []models.Actor {
	list := []models.Actor{p.RequestedBy}
	if p.Kept != nil {
		list = append(list, p.Kept.By)
	}
	if p.Approval == nil {
		return list
	}
	for _, c := range p.Approval.Given {
		list = append(list, c.By)
	}
	if p.Approval.Denied != nil {
		list = append(list, p.Approval.Denied.By)
	}
	return list
}

// Actors lists everybody a revision names.
func (r Revision) Actors() []models.Actor { return append(settledBy(r.Recommendations), r.PublishedBy) }

// Actors lists everybody an event names.
func (e Event) Actors() []models.Actor {
	switch d := e.Data.(type) {
	case *CommandRejected:
		return []models.Actor{e.Actor, d.By}
	case *ApprovalGiven:
		return append([]models.Actor{e.Actor}, d.Voided...)
	}
	return []models.Actor{e.Actor}
}

func settledBy(recommendations []Recommendation) []models.Actor {
	var list []models.Actor
	for _, r := range recommendations {
		list = appendActor(list, r.SettledBy)
	}
	return list
}

func appendActor(list []models.Actor, a *models.Actor) []models.Actor {
	if a == nil {
		return list
	}
	return append(list, *a)
}
