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
	// RoleService is that of a machine with a service token. It belongs to no side: a machine speaks for nobody.
	RoleService Role = "service"
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
	Limited  bool      `json:"limited,omitempty"` // of an analyst or lead: they see the clients of their reach and no others

	EmailBefore string `json:"-"` // as it is stored, in a row from before addresses had one form
}

// Account is a user as those see it who manage users.
type Account struct {
	User
	CreatedAt  time.Time `json:"created_at"`
	DisabledAt time.Time `json:"disabled_at,omitzero"` // the zero time: enabled
	Clients    []int     `json:"clients,omitempty"`    // the reach of a limited user: numbers
}

// Principal is the sender of a request: a user, or a machine as one, and what their token is good for.
type Principal struct {
	User
	Token      uuid.UUID
	Invitation bool     // the token buys a token of one's own, and nothing else
	Operations []string // of a service token: no others than these
}

// Person names the human behind the user, see PersonOf.
func (u User) Person() string { return PersonOf(u.Email, u.EmailBefore) }

// Token is a bearer token of a user. The secret itself is never stored, only its SHA-256.
type Token struct {
	ID         uuid.UUID `json:"id"`
	UserID     uuid.UUID `json:"-"`
	Name       string    `json:"name"`
	Prefix     string    `json:"prefix"` // the first characters of the secret
	Hash       []byte    `json:"-"`      // SHA-256 of the secret
	Invitation bool      `json:"invitation,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`   // the zero time means it does not expire
	LastUsedAt time.Time `json:"last_used_at,omitzero"` // to the minute
}

// ServiceToken is the bearer token of a machine, good for a few named operations.
type ServiceToken struct {
	ID         uuid.UUID `json:"id"`
	ClientID   uuid.UUID `json:"-"` // the zero UUID: the SOC's, for every client
	Name       string    `json:"name"`
	Prefix     string    `json:"prefix"`
	Hash       []byte    `json:"-"`
	Operations []string  `json:"operations"`
	CreatedBy  uuid.UUID `json:"created_by"`
	CreatedAt  time.Time `json:"created_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
	RevokedAt  time.Time `json:"revoked_at,omitzero"`
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
