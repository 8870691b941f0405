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

// bytesPerCharacter bounds the bytes of a text as JSON to three times as many as it may have characters. Every text
// of a living language fits; one of signs that JSON writes with six bytes each, such as "<", gets half the characters.
const bytesPerCharacter = 3

// maxItems bounds the lists of a request.
const maxItems = 100

// CheckText checks that a text is there, if it is required, and has at most limit characters and, as JSON, three times
// as many bytes. pointer is the JSON pointer of the field. The error is Invalid.
func CheckText(pointer, s string, limit int, required bool) error {
	switch {
	case required && strings.TrimSpace(s) == "":
		return InvalidField(pointer, "is required")
	case utf8.RuneCountInString(s) > limit:
		return InvalidField(pointer, "is longer than %d characters", limit)
	case jsonLen(s) > bytesPerCharacter*limit:
		return InvalidField(pointer, "is longer than %d bytes as JSON", bytesPerCharacter*limit)
	}
	return nil
}

// jsonLen returns how many bytes encoding/json writes for a text, without the quotes.
func jsonLen(s string) int {
	n := 0
	for at, r := range s {
		switch {
		case r == '"', r == '\\', r == '\b', r == '\f', r == '\n', r == '\r', r == '\t':
			n += 2
		case r < ' ', r == '<', r == '>', r == '&', r == '\u2028', r == '\u2029':
			n += 6
		case r == utf8.RuneError && !strings.HasPrefix(s[at:], "\uFFFD"): // a byte that is no letter
			n += 6
		default:
			n += utf8.RuneLen(r)
		}
	}
	return n
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
