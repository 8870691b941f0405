package models

// Person is who an actor is, as far as whoever reads may know.
type Person struct {
	Name string `json:"name,omitempty"` // "" when it is not theirs to know, or not known
	Side Side   `json:"side"`
	Role string `json:"role,omitempty"` // of a user, or "contact"; "" when it is not known
}

// People says who actors are, by their ids.
type People map[string]Person

// View is an incident with who is in it.
type View struct {
	Incident
	People People `json:"people"`
}

// RevisionView is an edition of a report with who is in it.
type RevisionView struct {
	Revision
	People People `json:"people"`
}

// AuthorityView is a version of a response authority with who drafted and signed it.
type AuthorityView struct {
	Authority
	People People `json:"people"`
}

// Actors lists everybody an incident names.
func (i Incident) Actors() []Actor {
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
	}
	if i.Feedback != nil {
		list = append(list, i.Feedback.By)
	}
	return list
}

func (p Endpoint) actors() []Actor {
	list := []Actor{p.RequestedBy}
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

// Actors lists everybody an edition names.
func (r Revision) Actors() []Actor { return append(settledBy(r.Recommendations), r.PublishedBy) }

// Actors lists everybody an event names.
func (e Event) Actors() []Actor {
	if d, ok := e.Data.(*CommandRejected); ok {
		return []Actor{e.Actor, d.By}
	}
	return []Actor{e.Actor}
}

// Actors lists who drafted and who signed a version.
func (a Authority) Actors() []Actor {
	list := []Actor{{Side: SideSOC, ID: a.DraftedBy.String()}}
	if !a.SignedAt.IsZero() {
		list = append(list, Actor{Side: SideClient, ID: a.SignedBy.String()})
	}
	return list
}

func settledBy(recommendations []Recommendation) []Actor {
	var list []Actor
	for _, r := range recommendations {
		list = appendActor(list, r.SettledBy)
	}
	return list
}

func appendActor(list []Actor, a *Actor) []Actor {
	if a == nil {
		return list
	}
	return append(list, *a)
}
