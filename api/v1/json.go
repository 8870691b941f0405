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

// maxValues is how many values a body may hold, in each other or side by side: the work on one is for each value, however
// short it is. An alert about ten thousand devices has a hundred thousand.
const maxValues = 100_000

// countValues returns how many values a body holds if it is JSON. It takes next to nothing of what reading them takes.
func countValues(body []byte) int {
	n, last := 1, byte(0)
	for at := 0; at < len(body); at++ {
		b := body[at]
		switch b {
		case ' ', '\t', '\n', '\r':
			continue
		case ',', '[', '{':
			n++
		case ']', '}':
			if last == '[' || last == '{' { // there was none
				n--
			}
		case '"':
			at = endOfText(body, at)
		}
		last = b
	}
	return n
}

// endOfText returns where a text ends that begins at a place.
func endOfText(body []byte, at int) int {
	for at++; at < len(body) && body[at] != '"'; at++ {
		if body[at] == '\\' {
			at++
		}
	}
	return at
}

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
	if p := w.value(); p != nil {
		return p
	}
	if _, err := w.dec.Token(); !errors.Is(err, io.EOF) {
		return malformedBody("The body goes on after its JSON value.")
	}
	return nil
}

// walker goes over a body. The pointers of its problems are made on the way back, so that a body without one costs none.
type walker struct {
	dec     *json.Decoder
	strict  bool
	deepest int
	depth   int
}

// value reads one value.
func (w *walker) value() *problem.Problem {
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
			return w.object()
		}
		return w.array()
	case string:
		return w.text(t)
	}
	return nil
}

func (w *walker) object() *problem.Problem {
	seen := map[string]bool{}
	for w.dec.More() {
		token, err := w.dec.Token()
		key, ok := token.(string)
		if err != nil || !ok {
			return malformedBody("The body is not valid JSON.")
		}
		if p := w.member(key, seen); p != nil {
			return below(key, p)
		}
	}
	return w.end()
}

// member reads a member of an object, whose name was read.
func (w *walker) member(key string, seen map[string]bool) *problem.Problem {
	if w.strict {
		if seen[key] {
			return malformedBody("A field is given twice.", problem.FieldError{Detail: "is given twice"})
		}
		seen[key] = true
	}
	if p := w.text(key); p != nil {
		return p
	}
	return w.value()
}

func (w *walker) array() *problem.Problem {
	for n := 0; w.dec.More(); n++ {
		if p := w.value(); p != nil {
			return below(strconv.Itoa(n), p)
		}
	}
	return w.end()
}

// below lets the fields of a problem of a part of a value point from that value on.
func below(key string, p *problem.Problem) *problem.Problem {
	for n := range p.Errors {
		p.Errors[n].Pointer = "/" + escapePointer(key) + p.Errors[n].Pointer
	}
	return p
}

func (w *walker) end() *problem.Problem {
	if _, err := w.dec.Token(); err != nil {
		return malformedBody("The body is not valid JSON.")
	}
	return nil
}

func (w *walker) text(s string) *problem.Problem {
	if w.strict && strings.ContainsRune(s, 0) {
		p := invalidRequest(problem.FieldError{Detail: "must not contain the character NUL"})
		return &p
	}
	return nil
}

func malformedBody(detail string, fields ...problem.FieldError) *problem.Problem {
	p := problem.New(http.StatusBadRequest, detail, fields...)
	return &p
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// escapePointer writes a key as a part of a JSON pointer (RFC 6901).
func escapePointer(key string) string { return pointerEscapes.Replace(key) }
