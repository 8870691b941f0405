package desk

import (
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"github.com/watchfire-mdr/watchfire/models"
)

// How many commands a user may send an incident through one process of the API: so many at once, and then so many a
// second. A person, or a program that sets up an incident, does not notice; a loop does. Each user has their own, so
// that nobody's loop keeps another from isolating, approving or closing.
const (
	commandsAtOnce    = 100
	commandsPerSecond = 5
)

// forgetPaceAfter is when a user who sent no command has all at once again, and needs no memory.
const forgetPaceAfter = commandsAtOnce / commandsPerSecond * time.Second

// pace limits the commands of each user to each incident.
type pace struct {
	mu    sync.Mutex
	of    map[paceKey]*paced
	swept time.Time
}

type paceKey struct {
	user uuid.UUID
	ref  models.Reference
}

type paced struct {
	limit *rate.Limiter
	last  time.Time
}

func newPace() *pace { return &pace{of: map[paceKey]*paced{}} }

// allows reports whether a user may send an incident one more command at a moment, and counts it.
func (p *pace) allows(user uuid.UUID, ref models.Reference, at time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at.Sub(p.swept) > forgetPaceAfter {
		p.swept = at
		maps.DeleteFunc(p.of, func(_ paceKey, x *paced) bool { return at.Sub(x.last) > forgetPaceAfter })
	}
	key := paceKey{user, ref}
	x := p.of[key]
	if x == nil {
		x = &paced{limit: rate.NewLimiter(commandsPerSecond, commandsAtOnce)}
		p.of[key] = x
	}
	x.last = at
	return x.limit.AllowN(at, 1)
}
