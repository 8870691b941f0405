package models

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// PersonOf names a human by their mail address, without telling it: a user and a contact with the same address are the
// same person, and count once where two must agree. "" for no address.
func PersonOf(email string) string {
	email = strings.ToLower(strings.TrimSpace(email))
	if email == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("person " + email))
	return hex.EncodeToString(sum[:8])
}

// Person is an actor with a name, as far as the reader may know it.
type Person struct {
	Name string `json:"name,omitempty"` // "" when it is not theirs to know, or not known
	Side Side   `json:"side"`
	Role string `json:"role,omitempty"` // of a user, or "contact"; "" when it is not known
}

// People holds persons by their actors' ids.
type People map[string]Person
