package models

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	MaxTitle = 200
	MaxLine  = 500
	MaxText  = 16 << 10
	maxItems = 100
)

// CheckText checks a text's presence and its length in characters, which bounds its bytes to four times as many.
func CheckText(pointer, s string, limit int, required bool) error {
	switch {
	case required && strings.TrimSpace(s) == "":
		return InvalidField(pointer, "is required")
	case utf8.RuneCountInString(s) > limit:
		return InvalidField(pointer, "is longer than %d characters", limit)
	}
	return nil
}

func CheckCount(pointer string, n int) error {
	if n > maxItems {
		return InvalidField(pointer, "has more than %d entries", maxItems)
	}
	return nil
}

func CheckOneOf[T ~string](pointer string, v T, allowed ...T) error {
	if !slices.Contains(allowed, v) {
		return InvalidField(pointer, "must be one of %s", strings.Trim(fmt.Sprint(allowed), "[]"))
	}
	return nil
}

func FirstError(errs []error) error {
	for _, err := range errs {
		var e *Error
		if errors.As(err, &e) {
			return e
		}
	}
	return nil
}
