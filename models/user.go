package models

import (
	"strings"
	"time"

	"github.com/google/uuid"
)

// Role says what a user may do. The first three belong to the SOC, the last three to one client.
type Role string

// The roles of the SOC and of a client.
const (
	RoleAnalyst   Role = "analyst"
	RoleLead      Role = "lead"
	RoleOperator  Role = "operator"
	RoleViewer    Role = "viewer"
	RoleResponder Role = "responder"
	RoleAdmin     Role = "admin"
)

// Side says for whom an actor acts.
type Side string

// The sides of an incident. SideSystem is Watchfire itself, or a machine that reports a fact.
const (
	SideSOC    Side = "soc"
	SideClient Side = "client"
	SideSystem Side = "system"
)

// Side returns the side a role belongs to, "" for an unknown role.
func (r Role) Side() Side {
	switch r {
	case RoleAnalyst, RoleLead, RoleOperator:
		return SideSOC
	case RoleViewer, RoleResponder, RoleAdmin:
		return SideClient
	}
	return ""
}

// User is a login.
type User struct {
	ID       uuid.UUID `json:"id"`
	ClientID uuid.UUID `json:"client_id"` // the zero UUID for users of the SOC
	Name     string    `json:"name"`
	Email    string    `json:"email"` // in its one form (address.Mail)
	Role     Role      `json:"role"`

	EmailBefore string `json:"-"` // as it is stored, in a row from before addresses had one form
}

// Person names the human behind the user, see PersonOf.
func (u User) Person() string { return PersonOf(u.Email, u.EmailBefore) }

// Token is a bearer token of a user. The secret itself is never stored, only its SHA-256.
type Token struct {
	ID        uuid.UUID
	UserID    uuid.UUID
	Hash      []byte    // SHA-256 of the secret
	ExpiresAt time.Time // the zero time means it does not expire
}

// Actor did something: a user, a contact on the phone, or the system. Ids only, no names.
type Actor struct {
	Side Side   `json:"side"`
	ID   string `json:"id,omitempty"` // of a user, or of a contact after "contact:"; empty for the system
	Role Role   `json:"role,omitempty"`
}

const contactPrefix = "contact:"

// ContactActor returns a contact as an actor: a person of the client who is not logged in.
func ContactActor(id uuid.UUID) Actor {
	return Actor{Side: SideClient, ID: contactPrefix + id.String()}
}

// Contact returns the id of the contact the actor is, and whether it is one.
func (a Actor) Contact() (uuid.UUID, bool) {
	id, contact := strings.CutPrefix(a.ID, contactPrefix)
	if !contact {
		return uuid.Nil, false
	}
	found, err := uuid.Parse(id)
	return found, err == nil
}

// System returns the actor of everything Watchfire does by itself.
func System() Actor { return Actor{Side: SideSystem} }

// Actor returns the user as an actor.
func (u User) Actor() Actor { return Actor{Side: u.Role.Side(), ID: u.ID.String(), Role: u.Role} }
