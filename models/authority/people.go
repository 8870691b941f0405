package authority

import (
	"github.com/watchfire-mdr/watchfire/models"
)

// View is a version of a response authority with the persons who drafted and signed it.
type View struct {
	Authority
	People models.People `json:"people"`
}

// Actors lists the actors who drafted and signed a version.
func (a Authority) Actors() []models.Actor {
	list := []models.Actor{{Side: models.SideSOC, ID: a.DraftedBy.String()}}
	if !a.SignedAt.IsZero() {
		list = append(list, models.Actor{Side: models.SideClient, ID: a.SignedBy.String()})
	}
	return list
}
