package authority

import (
	"github.com/watchfire-mdr/watchfire/models"
)

// AuthorityView is a version of a response authority with who drafted and signed it.
type AuthorityView struct {
	Authority
	People models.People `json:"people"`
}

// Actors lists who drafted and who signed a version.
func (a Authority) Actors() []models.Actor {
	list := []models.Actor{{Side: models.SideSOC, ID: a.DraftedBy.String()}}
	if !a.SignedAt.IsZero() {
		list = append(list, models.Actor{Side: models.SideClient, ID: a.SignedBy.String()})
	}
	return list
}
