package v1

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/watchfire-mdr/watchfire/api/problem"
)

// How deep JSON may be nested: our own, and that of another's events, which are kept and not judged.
const (
	maxDepth      = 32
	maxEventDepth = 1000
)

// checkWellFormed returns the problem that makes a body unreadable, or nil. With strict it also refuses a field given
// twice, which two readers would read differently, and the character NUL, which the database cannot store. An empty
// body is well-formed.
func checkWellFormed(body []byte, strict bool) *problem.Problem {
	if len(body) == 0 {
		return nil
	}
	if !utf8.Valid(body) {
		return malformedBody("The body is not UTF-8.")
	}
	w := walker{dec: json.NewDecoder(bytes.NewReader(body)), strict: strict, deepest: maxEventDepth}
	if strict {
		w.deepest = maxDepth
	}
	w.dec.UseNumber()
	if p := w.value(""); p != nil {
		return p
	}
	if _, err := w.dec.Token(); !errors.Is(err, io.EOF) {
		return malformedBody("The body goes on after its JSON value.")
	}
	return nil
}

type walker struct {
	dec     *json.Decoder
	strict  bool
	deepest int
	depth   int
}

// value reads one value at a pointer.
func (w *walker) value(pointer string) *problem.Problem {
	token, err := w.dec.Token()
	if err != nil {
		return malformedBody("The body is not valid JSON.")
	}
	switch t := token.(type) {
	case json.Delim:
		if w.depth++; w.depth > w.deepest {
			return malformedBody("The body is nested deeper than " + strconv.Itoa(w.deepest) + " levels.")
		}
		defer func() { w.depth-- }()
		if t == '{' {
			return w.object(pointer)
		}
		return w.array(pointer)
	case string:
		return w.text(t, pointer)
	}
	return nil
}

func (w *walker) object(pointer string) *problem.Problem {
	seen := map[string]bool{}
	for w.dec.More() {
		token, err := w.dec.Token()
		key, ok := token.(string)
		if err != nil || !ok {
			return malformedBody("The body is not valid JSON.")
		}
		at := w.below(pointer, key)
		if seen[key] && w.strict {
			return malformedBody("A field is given twice.", problem.FieldError{Pointer: at, Detail: "is given twice"})
		}
		seen[key] = true
		if p := w.text(key, at); p != nil {
			return p
		}
		if p := w.value(at); p != nil {
			return p
		}
	}
	return w.end()
}

func (w *walker) array(pointer string) *problem.Problem {
	for n := 0; w.dec.More(); n++ {
		if p := w.value(w.below(pointer, strconv.Itoa(n))); p != nil {
			return p
		}
	}
	return w.end()
}

// below returns the pointer to a part of the value at a pointer. Only strict problems have one.
func (w *walker) below(pointer, key string) string {
	if !w.strict {
		return ""
	}
	return pointer + "/" + escapePointer(key)
}

func (w *walker) end() *problem.Problem {
	if _, err := w.dec.Token(); err != nil {
		return malformedBody("The body is not valid JSON.")
	}
	return nil
}

func (w *walker) text(s, pointer string) *problem.Problem {
	if w.strict && strings.ContainsRune(s, 0) {
		p := invalidRequest(problem.FieldError{Pointer: pointer, Detail: "must not contain the character NUL"})
		return &p
	}
	return nil
}

func malformedBody(detail string, fields ...problem.FieldError) *problem.Problem {
	p := problem.New(http.StatusBadRequest, detail, fields...)
	return &p
}

// escapePointer writes a key as a part of a JSON pointer (RFC 6901).
func escapePointer(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}
