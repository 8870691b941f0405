package v1

import (
	"context"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"

	"github.com/watchfire-mdr/watchfire/models"
)

const (
	// So many requests this process works on at the same time: reads, and changes, of one user of a client, reads of one
	// client, alerts of one token, requests with a large body of one client, look-ups of one token. The rest wait for
	// their turn. Many at once take the processors and connections from all others, and finish none of them sooner.
	readsAtOnce, changesAtOnce, clientReadsAtOnce, alertsAtOnce, largeAtOnce, lookupsAtOnce = 2, 2, 4, 8, 1, 4
	// maxWaiting is how many requests of one caller wait for one turn at a time. In some queues each of many callers has
	// few, and nothing else bounds those.
	maxWaiting  = 64
	manyCallers = math.MaxInt32
	// turnWait is how long a request waits for its turn.
	turnWait = 10 * time.Second
	// refusedFor is how long the turn of a request that came too often goes on after its answer: a loop that takes no
	// notice of 429 would use the processors for nothing else. So does that of an alert whose body is refused, which uses
	// up no share. The turn of any other goes on for as long as it took, if more of them wait or its body was refused, and
	// but for alerts for waitedRest at least: so a flood leaves most of the time to others.
	refusedFor = 250 * time.Millisecond
	waitedRest = 50 * time.Millisecond
	// refusedAfter is how long a request waits for its refusal when too many wait already: at once, its sender's next one
	// would be there at once as well.
	refusedAfter = time.Second
	// largeRest is how many times as long as the work on a large body its sender's next one waits, so that the large bodies
	// of one client take an eighth of one processor's time; at most half of what the next one waits.
	largeRest = 7
)

// bodyRefusals are the statuses of requests that were refused for what is in their bodies, or before those were read.
var bodyRefusals = []int{
	http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity, http.StatusServiceUnavailable,
}

// turns lets clients, or users, take turns.
type turns struct {
	atOnce  int64
	waiting int // at most, for each turn
	mu      sync.Mutex
	of      map[uuid.UUID]*queue // by whose turn it is
}

func newTurns(atOnce int64, waiting int) *turns {
	return &turns{atOnce: atOnce, waiting: waiting, of: map[uuid.UUID]*queue{}}
}

// queue is that of one client or user.
type queue struct {
	*semaphore.Weighted
	asking int // who wait or are at work
}

// begin waits for the turn of whom, and returns what ends it. TooMany: it did not come in time, or too many wait.
func (t *turns) begin(ctx context.Context, whom uuid.UUID) (end func(), err error) {
	t.mu.Lock()
	q := t.of[whom]
	if q == nil {
		q = &queue{Weighted: semaphore.NewWeighted(t.atOnce)}
		t.of[whom] = q
	}
	if q.asking >= int(t.atOnce)+t.waiting {
		t.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(refusedAfter):
		}
		return nil, tooManyAtOnce()
	}
	q.asking++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if q.asking--; q.asking == 0 {
			delete(t.of, whom)
		}
	}
	waiting, cancel := context.WithTimeout(ctx, turnWait)
	defer cancel()
	if err := q.Acquire(waiting, 1); err != nil {
		leave()
		return nil, tooManyAtOnce()
	}
	return func() { q.Release(1); leave() }, nil
}

func tooManyAtOnce() error {
	return models.Errorf(models.TooMany, "more requests came at once than can be answered; try again in a moment")
}

// waits reports whether more of whom wait for their turn.
func (t *turns) waits(whom uuid.UUID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return int64(t.of[whom].asking) > t.atOnce
}

// turn is the one of a request.
type turn struct{ end func() } // nil: it was given back

// giveBack ends the turn of a request that goes on without it.
func (t *turn) giveBack() {
	if t != nil && t.end != nil {
		t.end()
		t.end = nil
	}
}

// takeTurn lets a request of a client's user, or an alert, wait for its turn, before anything of its body is read. Users
// of the SOC do not wait: at night one of them acts for many clients.
func (s *server) takeTurn(c *gin.Context) {
	ctx, who := callerOf(c)
	turns, whom := s.changes, who.user.ID
	switch {
	case strings.HasPrefix(c.FullPath(), "/api/v1/alerts") && c.Request.Method == http.MethodPost:
		turns = s.alerts
	case who.user.Role.Side() == models.SideSOC:
		return
	case c.Request.Method == http.MethodGet:
		turns = s.reads
	}
	end, err := turns.begin(ctx, whom)
	if err != nil {
		s.answerError(c, err)
		return
	}
	if turns == s.reads {
		endOfClient, err := s.clientReads.begin(ctx, who.user.ClientID)
		if err != nil {
			end()
			s.answerError(c, err)
			return
		}
		endOfUser := end
		end = func() { endOfClient(); endOfUser() }
	}
	began := time.Now()
	who.turn = &turn{end: end}
	setCaller(c, who)
	defer func() {
		if who.turn.end == nil {
			return
		}
		rest := time.Duration(0)
		refused := slices.Contains(bodyRefusals, c.Writer.Status())
		switch {
		case c.Writer.Status() == http.StatusTooManyRequests, refused && turns == s.alerts:
			rest = refusedFor
		case refused, turns.waits(whom), turns == s.reads && s.clientReads.waits(who.user.ClientID):
			if rest = time.Since(began); turns != s.alerts {
				rest = max(rest, waitedRest)
			}
		}
		time.AfterFunc(rest, who.turn.end)
	}()
	c.Next()
}
