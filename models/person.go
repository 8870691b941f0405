package models

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// PersonOf names a human by their mail address in its one form, without telling it: a user and a contact with the same
// address are the same person, and count once where two must agree. Neither case nor a tag (ines+2@client.example)
// makes another person. "" for no address.
//
// What incidents hold from before tags were left out, and from before addresses had one form, is still recognised: a
// person whose name was another then has both, with a comma between them (see SamePerson). before holds the address as it
// was stored then, if it was another.
func PersonOf(email string, before ...string) string {
	if email == "" {
		return ""
	}
	var names []string
	for _, address := range append([]string{untagged(email), email}, before...) {
		address = strings.ToLower(strings.TrimSpace(address))
		sum := sha256.Sum256([]byte("person " + address))
		if name := hex.EncodeToString(sum[:8]); address != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// untagged returns a mail address without the tag of its mailbox.
func untagged(email string) string {
	at := strings.LastIndex(email, "@")
	if tag := strings.Index(email, "+"); 0 < tag && tag < at {
		return email[:tag] + email[at:]
	}
	return email
}

// SamePerson reports whether two results of PersonOf name one human. Nobody is the same as one without an address.
func SamePerson(a, b string) bool {
	others := strings.Split(b, ",")
	return a != "" && b != "" && slices.ContainsFunc(strings.Split(a, ","), func(name string) bool { return slices.Contains(others, name) })
}

// Person is an actor with a name, as far as the reader may know it.
type Person struct {
	Name string `json:"name,omitempty"` // "" when it is not theirs to know, or not known
	Side Side   `json:"side"`
	Role string `json:"role,omitempty"` // of a user, or "contact"; "" when it is not known
}

// People holds persons by their actors' ids.
type People map[string]Person
