package stage

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// MaxRequestBytes is the size of the largest request that any of the vendors takes.
const MaxRequestBytes = 30 << 20

const maxSteeringBytes = 4 << 20

// handler answers HTTP requests to one vendor.
type handler struct {
	*Stage
	v       Vendor
	journal *Journal
}

// NewHandler answers HTTP requests to one vendor: it journals and answers them, with the faults in
// force, and takes steering below /_sim/.
func NewHandler(s *Stage, v Vendor, j *Journal) http.Handler {
	return &handler{Stage: s, v: v, journal: j}
}

// ServeHTTP journals a vendor request and performs it, or steers the simulator.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/_sim/") {
		h.steer(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRequestBytes))
	tooLarge := (*http.MaxBytesError)(nil)
	if err != nil && !errors.As(err, &tooLarge) {
		panic(http.ErrAbortHandler) // the client went away in the middle of its request
	}
	entry := h.journal.begin(h.v.Name(), h.Now(), r, body)
	op, deed := h.v.Route(&Request{Request: r, Payload: body})
	if tooLarge != nil {
		deed = func() Answer { return h.v.Refusal(http.StatusRequestEntityTooLarge) }
	}
	rule, faulty := h.v.FaultRules().useRule(op, body)
	if !faulty {
		a := deed()
		h.journal.finish(entry, a.Status, "")
		sendAnswer(w, a)
		return
	}
	h.Log.DebugContext(r.Context(), "fault", "vendor", h.v.Name(), "op", op, "kind", rule.Kind)
	h.answerWithFault(w, r, entry, rule, deed)
}

func (h *handler) answerWithFault(w http.ResponseWriter, r *http.Request, entry *Entry, rule Rule, deed func() Answer) {
	var a Answer
	switch rule.Kind {
	case FaultRefuse, FaultResetBefore:
		h.journal.finish(entry, 0, rule.Kind)
		cutConnection(w)
		return
	case FaultStatus:
		a = h.errorAnswer(rule)
	case FaultStatusAfter:
		deed()
		a = h.errorAnswer(rule)
	case FaultLate:
		h.WaitExactly(h.ctx, rule.Delay())
		a = deed()
	default:
		a = deed()
	}
	h.journal.finish(entry, a.Status, rule.Kind)
	switch rule.Kind {
	case FaultResetAfter:
		cutConnection(w)
	case FaultTruncate:
		sendHalf(w, a)
	case FaultEmpty:
		a.Body = nil
		sendAnswer(w, a)
	case FaultSlow:
		patience, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(h.ctx, cancel)()
		h.WaitExactly(patience, rule.Delay())
		sendAnswer(w, a)
	default:
		sendAnswer(w, a)
	}
}

func (h *handler) errorAnswer(rule Rule) Answer {
	status := rule.Status
	if status == 0 {
		status = http.StatusInternalServerError
	}
	a := h.v.Refusal(status)
	if rule.Body != "" {
		a.Body = []byte(rule.Body)
		a.Header.Set("Content-Type", "text/html")
		if json.Valid(a.Body) {
			a.Header.Set("Content-Type", "application/json")
		}
	}
	for name, value := range rule.Headers {
		a.Header.Set(name, value)
	}
	return a
}

func sendAnswer(w http.ResponseWriter, a Answer) {
	for name, values := range a.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body)
}

// cutConnection resets the connection without an answer.
func cutConnection(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	ResetConnection(conn)
}

// ResetConnection ends a connection so that the other side sees it cut.
func ResetConnection(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// sendHalf promises a whole body, sends half of it and closes the connection.
func sendHalf(w http.ResponseWriter, a Answer) {
	if a.Status == http.StatusNoContent { // it has no body to break off
		cutConnection(w)
		return
	}
	if len(a.Body) == 0 {
		a.Body = []byte("{}")
	}
	half := a
	half.Body = a.Body[:len(a.Body)/2]
	w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
	sendAnswer(w, half)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}
