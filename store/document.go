package store

import (
	"bytes"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// document is a value kept as jsonb.
type document[T any] struct{ V T }

// Value writes the document.
func (d document[T]) Value() (driver.Value, error) { return encode(d.V) }

// Scan reads the document.
func (d *document[T]) Scan(src any) error {
	switch v := src.(type) {
	case []byte:
		return json.Unmarshal(v, &d.V)
	case string:
		return json.Unmarshal([]byte(v), &d.V)
	}
	return errors.New("a document column holds no document")
}

// verbatim is JSON kept as json: byte for byte.
type verbatim string

// encode writes the JSON as which values are stored and hashed. PostgreSQL stores no NUL, so U+FFFD stands for it.
func encode(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode: %w", err)
	}
	if bytes.Contains(b, []byte(`\u0000`)) {
		b = withoutNUL(b)
	}
	return string(b), nil
}

// withoutNUL replaces the escape \u0000, and leaves an escaped backslash before the letters u0000 alone.
func withoutNUL(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			out = append(out, b[i])
			continue
		}
		if bytes.HasPrefix(b[i:], []byte(`\u0000`)) {
			out, i = append(out, `\ufffd`...), i+5
			continue
		}
		out, i = append(out, b[i], b[i+1]), i+1
	}
	return out
}

// clean makes any text storable, an attacker's too: valid UTF-8 without NUL.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// orNull returns the time for a column in which null stands for the zero time.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// orZero returns the time of a column that may be null, in UTC.
func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// orEmpty returns the reference of a column that may be null.
func orEmpty(r *models.Reference) models.Reference {
	if r == nil {
		return ""
	}
	return *r
}
