package models

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// The bounds of texts, in characters.
const (
	MaxTitle = 200
	MaxLine  = 500
	MaxText  = 16 << 10
)

// maxItems bounds the lists of a request.
const maxItems = 100

// CheckText checks that a text is there, if it is required, and has at most limit characters, which bounds its bytes to
// four times as many. pointer is the JSON pointer of the field. The error is Invalid.
func CheckText(pointer, s string, limit int, required bool) error {
	switch {
	case required && strings.TrimSpace(s) == "":
		return InvalidField(pointer, "is required")
	case utf8.RuneCountInString(s) > limit:
		return InvalidField(pointer, "is longer than %d characters", limit)
	}
	return nil
}

// CheckCount checks that a list has at most a hundred entries. The error is Invalid.
func CheckCount(pointer string, n int) error {
	if n > maxItems {
		return InvalidField(pointer, "has more than %d entries", maxItems)
	}
	return nil
}

// CheckOneOf checks that a value is one of those allowed. The error is Invalid and names them.
func CheckOneOf[T ~string](pointer string, v T, allowed ...T) error {
	if !slices.Contains(allowed, v) {
		return InvalidField(pointer, "must be one of %s", strings.Trim(fmt.Sprint(allowed), "[]"))
	}
	return nil
}

// FirstError returns the first *Error of a list, nil for none. It leaves out nils and every other error.
func FirstError(errs []error) error {
	for _, err := range errs {
		var e *Error
		if errors.As(err, &e) {
			return e
		}
	}
	return nil
}
