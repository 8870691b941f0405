// Package auth says who someone is and what they may do: bearer tokens, and one table of operations and roles.
//
// It does not know what an incident's state allows (models) nor which rows a user may see (store).
package auth
