// Package problem writes the errors of models as RFC 9457 problems, for every HTTP answer of Watchfire. It holds no
// handler and knows no route.
package problem

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// ContentType is the media type of a problem.
const ContentType = "application/problem+json"

// retryAfter is after how long a caller may send a request again that was answered with 429 or 503, if nobody knows it.
const retryAfter = 2 * time.Second

// Problem is an RFC 9457 problem. Its texts are for people and hold no internals.
type Problem struct {
	Type     string       `json:"type"`
	Title    string       `json:"title"`
	Status   int          `json:"status"`
	Detail   string       `json:"detail,omitempty"`
	Instance string       `json:"instance,omitempty"` // with 5xx, the request's id
	Errors   []FieldError `json:"errors,omitempty"`

	retryAfter time.Duration // 0 is not known
}

// FieldError says what is wrong with one field.
type FieldError struct {
	Pointer string `json:"pointer"` // JSON pointer into the body; a parameter is a slash and its name
	Detail  string `json:"detail"`
}

// New makes a problem of an HTTP status.
func New(status int, detail string, fields ...FieldError) Problem {
	return Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Errors: fields}
}

// Of translates an error. Only the text of a models.Error is shown; any other error is an internal error without
// detail. Every NotFound has the same words: a thing that does not exist and one that the caller may not see must look
// alike.
func Of(err error) Problem {
	var e *models.Error
	if !errors.As(err, &e) {
		return New(http.StatusInternalServerError, "Something went wrong inside Watchfire.")
	}
	p := New(status(e.Kind), e.Message)
	p.retryAfter = e.RetryAfter
	if e.Field != "" {
		p.Errors = []FieldError{{Pointer: e.Field, Detail: e.Message}}
	}
	switch {
	case e.Kind == models.NotFound:
		p.Detail = "It does not exist, or you may not see it."
		for n := range p.Errors {
			p.Errors[n].Detail = "does not exist, or you may not see it"
		}
	case e.Kind == models.Invalid && e.Field != "":
		p.Detail = "The request is not valid."
	case e.Field != "":
		p.Detail = e.Error()
	}
	return p
}

func status(k models.Kind) int {
	switch k {
	case models.Invalid:
		return http.StatusUnprocessableEntity
	case models.NotFound:
		return http.StatusNotFound
	case models.Forbidden:
		return http.StatusForbidden
	case models.Conflict:
		return http.StatusConflict
	case models.Unauthorized:
		return http.StatusUnauthorized
	case models.Unavailable:
		return http.StatusServiceUnavailable
	case models.TooMany:
		return http.StatusTooManyRequests
	default:
		return http.StatusInternalServerError
	}
}

// Write answers with a problem.
func Write(w http.ResponseWriter, p Problem) {
	h := w.Header()
	if p.Status >= http.StatusInternalServerError {
		if id := h.Get("X-Request-Id"); id != "" {
			p.Instance = "urn:watchfire:request:" + id
		}
	}
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		h.Set("Retry-After", strconv.Itoa(wholeSeconds(cmp.Or(p.retryAfter, retryAfter))))
	}
	body, err := json.Marshal(p)
	if err != nil { // cannot happen: a Problem is strings and numbers
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", ContentType)
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // a caller that went away is no error of ours
}

// wholeSeconds rounds up: a caller who waits that long is not too early.
func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
