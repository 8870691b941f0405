package desk

import (
	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// readPeople returns the people behind actors, in two statements at most. It names those that the transaction may see:
// a client sees of the SOC's people only their side and role.
func readPeople(tx *store.Tx, actors []models.Actor) (models.People, error) {
	found := models.People{}
	var users, contacts []uuid.UUID
	for _, a := range actors {
		if _, known := found[a.ID]; known || a.ID == "" {
			continue
		}
		p := models.Person{Side: a.Side, Role: string(a.Role)}
		if id, ok := a.Contact(); ok {
			p.Role = "contact"
			contacts = append(contacts, id)
		} else if id, err := uuid.Parse(a.ID); err == nil {
			users = append(users, id)
		}
		found[a.ID] = p
	}
	ofUsers, err := tx.UserNames(users)
	if err != nil {
		return nil, err
	}
	ofContacts, err := tx.ContactNames(contacts)
	if err != nil {
		return nil, err
	}
	for key, p := range found {
		if id, ok := (models.Actor{ID: key}).Contact(); ok {
			p.Name = ofContacts[id]
		} else if id, err := uuid.Parse(key); err == nil {
			p.Name = ofUsers[id]
		}
		found[key] = p
	}
	return found, nil
}

// actorsOf lists the actors of all entries of a list.
func actorsOf[T interface{ Actors() []models.Actor }](list []T) []models.Actor {
	var all []models.Actor
	for _, entry := range list {
		all = append(all, entry.Actors()...)
	}
	return all
}
