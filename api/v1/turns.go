package v1

import (
	"context"
	"net/http"
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
	// client, alerts of one token. The rest wait for their turn. Many at once take the processors and connections from all others, and
	// finish none of them sooner.
	readsAtOnce, changesAtOnce, clientReadsAtOnce, alertsAtOnce = 2, 2, 4, 8
	// turnWait is how long a request waits for its turn.
	turnWait = 10 * time.Second
	// refusedFor is how long the turn of a request that came too often goes on after its answer: a loop that takes no
	// notice of 429 would use the processors for nothing else. The turn of any other goes on for as long as it took, if
	// more of them wait: so a flood leaves half of the time to others.
	refusedFor = 250 * time.Millisecond
)

// turns lets clients, or users, take turns.
type turns struct {
	atOnce int64
	mu     sync.Mutex
	of     map[uuid.UUID]*queue // by whose turn it is
}

func newTurns(atOnce int64) *turns { return &turns{atOnce: atOnce, of: map[uuid.UUID]*queue{}} }

// queue is that of one client or user.
type queue struct {
	*semaphore.Weighted
	asking int // who wait or are at work
}

// begin waits for the turn of whom, and returns what ends it. TooMany: it did not come in time.
func (t *turns) begin(ctx context.Context, whom uuid.UUID) (end func(), err error) {
	t.mu.Lock()
	q := t.of[whom]
	if q == nil {
		q = &queue{Weighted: semaphore.NewWeighted(t.atOnce)}
		t.of[whom] = q
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
		return nil, models.Errorf(models.TooMany, "more requests came at once than can be answered; try again in a moment")
	}
	return func() { q.Release(1); leave() }, nil
}

// waits reports whether more of whom wait for their turn.
func (t *turns) waits(whom uuid.UUID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return int64(t.of[whom].asking) > t.atOnce
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
	defer func() {
		rest := time.Duration(0)
		switch {
		case c.Writer.Status() == http.StatusTooManyRequests:
			rest = refusedFor
		case turns.waits(whom), turns == s.reads && s.clientReads.waits(who.user.ClientID):
			rest = time.Since(began)
		}
		time.AfterFunc(rest, end)
	}()
	c.Next()
}
