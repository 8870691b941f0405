package models

import (
	"time"

	"github.com/google/uuid"
)

// AuditEntry says who changed which of a client's settings. It holds no value, neither the old nor the new.
type AuditEntry struct {
	ID        uuid.UUID `json:"id"`
	At        time.Time `json:"at"`
	By        uuid.UUID `json:"by"`
	ByName    string    `json:"by_name,omitempty"` // "" when it is not known
	Side      Side      `json:"side"`              // of who changed it
	Operation string    `json:"operation"`         // of the API
	Subject   string    `json:"subject,omitempty"` // id of a contact, user or token, version of an authority, vendor of an EDR; "": the client itself
	Fields    []string  `json:"fields"`            // their names, such as "policy/ring_for"
}

// Refusal counts the requests of one caller that were refused within a minute.
type Refusal struct {
	ID        uuid.UUID `json:"id"`
	Minute    time.Time `json:"minute"`
	Status    int       `json:"status"`              // 401 or 403
	By        uuid.UUID `json:"by,omitzero"`         // the user or service token, when it is known
	ByName    string    `json:"by_name,omitempty"`   // "" when it is not known
	Source    string    `json:"source,omitempty"`    // of a 401: the address it came from
	Prefix    string    `json:"prefix,omitempty"`    // of a 401: the first characters of what may be a token
	Operation string    `json:"operation,omitempty"` // of a 403
	Count     int       `json:"count"`
}
