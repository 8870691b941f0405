package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// life is one incident with the people who handle it. They ask one thing after the other.
type life struct {
	w                  *world
	number             int
	client             stack.DevClient
	severity           models.Severity
	devices            []string // that they isolate and release
	analyst, responder stack.Person
	draw               *rand.Rand
	asked              int
	play               func(ctx context.Context) // what its people do, until ctx ends

	mu        sync.Mutex
	ref       models.Reference
	published bool
	acted     bool              // the client's responder did something, which acknowledges
	answers   map[string]int    // the last status by the tag of the request; 0: never answered
	promised  map[string]bool   // tags of requests that were answered 2xx once
	wants     map[string]string // host name to "isolated" or "normal"
	notes     []string          // what the nemesis did to its workflow
}

// newLives draws the incidents. Those of one client share its devices, but for the two whose workflows are reset and
// terminated. The incidents of the scenes come last.
func (w *world) newLives() {
	clients := w.stack.Dev.Clients
	for n := range w.plan.incidents {
		c := clients[n%len(clients)]
		l := w.newLife(c)
		if n > 1 && l.draw.IntN(3) == 0 {
			l.severity = models.SeverityHigh
		}
		for d := range 2 {
			l.devices = append(l.devices, fmt.Sprintf("WS-%d-%d", c.Number, d+1))
			if !w.plan.has("sharing") || n < 2 {
				l.devices[d] = fmt.Sprintf("PC-%d-%d", n+1, d+1)
			}
		}
	}
	w.newScenes()
}

// newLife adds an incident of a client to the world.
func (w *world) newLife(c stack.DevClient) *life {
	n := len(w.lives)
	l := &life{
		w: w, number: n, client: c, severity: models.SeverityCritical, draw: w.plan.draw(fmt.Sprint("life", n)),
		analyst: w.stack.Dev.Person(models.RoleAnalyst, 0), responder: w.stack.Dev.Person(models.RoleResponder, c.Number),
		answers: map[string]int{}, promised: map[string]bool{}, wants: map[string]string{},
	}
	l.play = l.live
	w.lives = append(w.lives, l)
	return l
}

func (l *life) reference() models.Reference {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ref
}

func (l *life) isPublished() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.published
}

// hasActed reports whether the client's responder did something that was carried out.
func (l *life) hasActed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acted
}

// note keeps what the nemesis did to the life's workflow.
func (l *life) note(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notes = append(l.notes, what)
}

// was reports whether the nemesis did something to the life's workflow.
func (l *life) was(what string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.notes, what)
}

// begin opens the incident, unless that was done, and publishes it.
func (l *life) begin(ctx context.Context) bool {
	if l.reference() == "" && !l.open(ctx) {
		return false
	}
	summary := l.tag()
	if !l.send(ctx, l.analyst, summary, &incident.Assess{Summary: &summary}) {
		return false
	}
	if text := l.tag(); !l.send(ctx, l.analyst, text, &incident.Recommend{Text: text}) {
		return false
	}
	if !l.send(ctx, l.analyst, l.tag(), &incident.Publish{}) {
		return false
	}
	l.mu.Lock()
	l.published = true
	l.mu.Unlock()
	return true
}

// live opens, publishes and then comments, isolates and releases at random until nothing breaks any more, and once more
// after that. It ends when ctx does, which bounds how long a request is repeated.
func (l *life) live(ctx context.Context) {
	if !l.begin(ctx) {
		return
	}
	for breaking := true; breaking && ctx.Err() == nil; {
		select {
		case <-l.w.calm:
			breaking = false
		default:
		}
		l.step(ctx)
		wait(ctx, between(l.draw, 50*time.Millisecond, 800*time.Millisecond))
	}
	if host := l.devices[0]; l.draw.IntN(2) == 0 { // somebody changes their mind at once
		l.turn(ctx, l.analyst, host)
		if l.wants[host] == "isolated" {
			l.turn(ctx, l.analyst, host)
		}
	}
	l.sayLastWord(ctx)
}

// talks reports whether the client's responder comments and releases. Every other one leaves it to the phones.
func (l *life) talks() bool { return l.number%2 == 1 }

// sayLastWord asks for one thing more when nothing breaks any more: the incident must take it.
func (l *life) sayLastWord(ctx context.Context) {
	last, who := l.tag(), l.analyst
	if l.talks() {
		who = l.responder
	}
	l.send(ctx, who, last, &incident.Comment{Text: last})
}

// step asks for one thing at random.
func (l *life) step(ctx context.Context) {
	what, host := l.draw.IntN(10), l.devices[l.draw.IntN(len(l.devices))]
	who := l.analyst
	if l.draw.IntN(2) == 0 && l.talks() {
		who = l.responder
	}
	if what >= 4 {
		l.turn(ctx, who, host)
		return
	}
	text := l.tag()
	l.send(ctx, who, text, &incident.Comment{Text: text})
}

// turn asks for the other state of a device.
func (l *life) turn(ctx context.Context, who stack.Person, host string) {
	tag := l.tag()
	switch {
	case l.wants[host] != "isolated":
		l.want(host, "isolated", tag, l.send(ctx, l.analyst, tag, &incident.Isolate{Hostname: host, Reason: tag}))
	default:
		if id := l.endpointOf(ctx, host); id != "" {
			l.want(host, "normal", tag, l.send(ctx, who, tag, &incident.Release{Endpoint: id, Reason: tag}))
		}
	}
}

// want notes the state that the incident's people wanted last of a device: a refused request changes nothing, and after
// one that was never answered nobody knows.
func (l *life) want(host, state, tag string, done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case done:
		l.wants[host] = state
	case !isRefusal(l.answers[tag]):
		l.wants[host] = "unknown"
	}
}

// isRefusal reports whether a status says that a request will never be carried out. Right after its opening an incident
// may not be found.
func isRefusal(status int) bool {
	return status >= 400 && status < 500 && status != http.StatusNotFound && status != http.StatusTooManyRequests
}

// tag names the life's next request. It stands in the request's text, so that its event can be told.
func (l *life) tag() string {
	l.asked++
	return l.tagOf(l.asked)
}

// publishes is the number of the request that publishes. No event holds its tag.
const publishes = 4

// tagOf returns the tag of the life's n-th request.
func (l *life) tagOf(n int) string { return fmt.Sprintf("chaos-%d.%d.", l.number, n) }

func (l *life) open(ctx context.Context) bool {
	tag := l.tag()
	var i incident.Incident
	body := map[string]any{"client": l.client.Number, "severity": l.severity, "title": tag}
	if !l.ask(ctx, l.analyst, tag, "/incidents", body, &i) {
		return false
	}
	l.mu.Lock()
	l.ref = i.Reference
	l.mu.Unlock()
	return true
}

// send sends a command and reports whether it was carried out.
func (l *life) send(ctx context.Context, p stack.Person, tag string, c incident.Command) bool {
	done := l.ask(ctx, p, tag, "/incidents/"+string(l.reference())+"/"+c.Name(), c, nil)
	if done && p == l.responder {
		l.mu.Lock()
		l.acted = true
		l.mu.Unlock()
	}
	return done
}

// ask sends a request under one idempotency key until it is answered with 200 or 201, which is true, or refused. 202
// promises that it will be carried out or refused, so ask goes on until it knows.
func (l *life) ask(ctx context.Context, p stack.Person, tag, path string, body, out any) bool {
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		status, err := p.PostAs(attempt, tag, path, body, out)
		cancel()
		var refused *stack.APIError
		l.answered(tag, status, err == nil)
		switch {
		case err == nil && status != http.StatusAccepted:
			return true
		case errors.As(err, &refused) && isRefusal(status):
			l.w.say("%s was refused with %d: %s", tag, status, refused.Detail)
			return false
		}
		wait(ctx, 500*time.Millisecond)
	}
	return false
}

func (l *life) answered(tag string, status int, good bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers[tag] = status
	if good {
		l.promised[tag] = true
	}
}

// endpointOf returns the id of a device within the incident, "" when ctx ends.
func (l *life) endpointOf(ctx context.Context, host string) string {
	for ctx.Err() == nil {
		var i incident.Incident
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := l.analyst.Get(attempt, "/incidents/"+string(l.reference()), &i)
		cancel()
		if n := slices.IndexFunc(i.Endpoints, func(e incident.Endpoint) bool { return e.Hostname == host }); err == nil && n >= 0 {
			return i.Endpoints[n].ID
		}
		wait(ctx, 500*time.Millisecond)
	}
	return ""
}
