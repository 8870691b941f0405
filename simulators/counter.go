package simulators

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	maxRequestBytes  = 30 << 20 // the largest any of the vendors takes
	maxSteeringBytes = 4 << 20
)

// vendor is one simulated service behind a counter.
type vendor interface {
	name() string
	ops() []string
	// route names the operation of a request and returns the deed: what performs it and
	// answers. An unknown path is answered by the deed, in the vendor's own error shape.
	route(r *request) (op string, deed func() answer)
	// refusal is the vendor's own error answer with this status.
	refusal(status int) answer
	steerFaults(rules []Rule) // is told of new rules before they apply
	steerPersonas() *personas
	personasChanged(keys []string)
	rules() *faults
	effects() any
}

// temper is how a vendor is told to behave, and what it saw that no correct client does.
type temper struct {
	personas   *personas
	faults     faults
	violations violations
}

func (t *temper) rules() *faults           { return &t.faults }
func (t *temper) steerPersonas() *personas { return t.personas }

// request is what reached the counter, with the body already read.
type request struct {
	*http.Request
	body []byte
}

// answer is what a vendor says back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func jsonAnswer(status int, v any) answer {
	body, err := json.Marshal(v)
	if err != nil {
		return answer{status: http.StatusInternalServerError, header: http.Header{}}
	}
	return answer{status: status, body: body, header: http.Header{"Content-Type": {"application/json"}}}
}

// counter is the HTTP face of one vendor: journal, faults, steering.
type counter struct {
	*stage
	v       vendor
	journal *journal
}

func newCounter(s *stage, v vendor, j *journal) *counter {
	return &counter{stage: s, v: v, journal: j}
}

// ServeHTTP journals a vendor request and performs it, or steers the simulator.
func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/_sim/") {
		c.steer(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	tooLarge := (*http.MaxBytesError)(nil)
	if err != nil && !errors.As(err, &tooLarge) {
		panic(http.ErrAbortHandler) // the client went away in the middle of its request
	}
	entry := c.journal.begin(c.v.name(), c.now(), r, body)
	op, deed := c.v.route(&request{Request: r, body: body})
	if tooLarge != nil {
		deed = func() answer { return c.v.refusal(http.StatusRequestEntityTooLarge) }
	}
	rule, faulty := c.v.rules().take(op)
	if !faulty {
		a := deed()
		c.journal.finish(entry, a.status, "")
		send(w, a)
		return
	}
	c.log.DebugContext(r.Context(), "fault", "vendor", c.v.name(), "op", op, "kind", rule.Kind)
	c.misbehave(w, r, entry, rule, deed)
}

func (c *counter) misbehave(w http.ResponseWriter, r *http.Request, entry *Entry, rule Rule, deed func() answer) {
	var a answer
	switch rule.Kind {
	case faultRefuse, faultResetBefore:
		c.journal.finish(entry, 0, rule.Kind)
		cut(w)
		return
	case faultStatus:
		a = c.errorAnswer(rule)
	case faultStatusAfter:
		deed()
		a = c.errorAnswer(rule)
	case faultLate:
		c.waitExactly(c.ctx, rule.delay())
		a = deed()
	default:
		a = deed()
	}
	c.journal.finish(entry, a.status, rule.Kind)
	switch rule.Kind {
	case faultResetAfter:
		cut(w)
	case faultTruncate:
		breakOff(w, a)
	case faultEmpty:
		a.body = nil
		send(w, a)
	case faultSlow:
		patience, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(c.ctx, cancel)()
		c.waitExactly(patience, rule.delay())
		send(w, a)
	default:
		send(w, a)
	}
}

func (c *counter) errorAnswer(rule Rule) answer {
	status := rule.Status
	if status == 0 {
		status = http.StatusInternalServerError
	}
	a := c.v.refusal(status)
	if rule.Body != "" {
		a.body = []byte(rule.Body)
		a.header.Set("Content-Type", "text/html")
		if json.Valid(a.body) {
			a.header.Set("Content-Type", "application/json")
		}
	}
	for name, value := range rule.Headers {
		a.header.Set(name, value)
	}
	return a
}

func send(w http.ResponseWriter, a answer) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// cut resets the connection without a word.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	reset(conn)
}

// reset ends a connection so that the other side sees it cut.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// breakOff promises a whole body, sends half of it and closes the connection.
func breakOff(w http.ResponseWriter, a answer) {
	if a.status == http.StatusNoContent { // it has no body to break off
		cut(w)
		return
	}
	if len(a.body) == 0 {
		a.body = []byte("{}")
	}
	half := a
	half.body = a.body[:len(a.body)/2]
	w.Header().Set("Content-Length", itoa(len(a.body)))
	send(w, half)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// violation is a request no correct client would send.
type violation struct {
	At     time.Time `json:"at"`
	Op     string    `json:"op"`
	Reason string    `json:"reason"`
}

// violations keep the first thousand.
type violations struct {
	mu   sync.Mutex
	list []violation
}

func (v *violations) add(at time.Time, op, reason string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.list) < 1000 {
		v.list = append(v.list, violation{At: at.UTC(), Op: op, Reason: reason})
	}
}

func (v *violations) all() []violation {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]violation{}, v.list...)
}
