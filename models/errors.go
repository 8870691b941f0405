package models

import (
	"errors"
	"fmt"
	"time"
)

// Kind says what an error means for the person or program that asked.
type Kind string

// The kinds of error that may reach someone at the edge of the system.
const (
	Invalid      Kind = "invalid"      // the input is wrong; Field names where
	NotFound     Kind = "not_found"    // it does not exist, or the caller may not see it
	Forbidden    Kind = "forbidden"    // the caller may see it but not do this
	Conflict     Kind = "conflict"     // the present state does not allow it
	Unauthorized Kind = "unauthorized" // no valid credentials
	Unavailable  Kind = "unavailable"  // a part we need does not answer; ask again
	TooMany      Kind = "too_many"     // too many requests in a short time; ask again later
)

// Error is the one error type that carries a message meant for people.
// Anything else that reaches the edge is shown as an internal error without detail.
type Error struct {
	Kind    Kind
	Field   string // JSON pointer of the offending field, for Invalid
	Message string // one sentence for a person, free of internals and personal data

	RetryAfter time.Duration // for TooMany: after which it is worth asking again; 0 is not known
}

// Error returns the message, preceded by the field if there is one.
func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Message
	}
	return e.Message
}

// Errorf makes an Error of the given kind.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// InvalidField makes an Invalid error that points at a field, such as "/severity".
func InvalidField(pointer, format string, args ...any) *Error {
	return &Error{Kind: Invalid, Field: pointer, Message: fmt.Sprintf(format, args...)}
}

// KindOf returns the kind of the first *Error in err's chain, or "" for an internal error.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}
