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
	Subject   string    `json:"subject,omitempty"` // id of a contact, version of an authority, vendor of an EDR; "": the client itself
	Fields    []string  `json:"fields"`            // their names, such as "policy/ring_for"
}
