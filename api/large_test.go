package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/watchfire-mdr/watchfire/models"
)

// largeAlert is a new alert of Acme with some more members.
func (w *world) largeAlert(members string) string { return w.largeAlertOf(w.acme, members) }

func (w *world) largeAlertOf(c models.Client, members string) string {
	return fmt.Sprintf(`{"client":%d,"source":"integration","finding_id":%q,"title":"T","severity":"high",%s}`, c.Number, w.newKey(), members)
}

// times is a list of the same entry.
func times(n int, entry string) string {
	return "[" + strings.TrimSuffix(strings.Repeat(entry+",", n), ",") + "]"
}

// allocated returns how many bytes of memory something takes, also of those that it gives back.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Whatever is in an alert, it takes memory by its size.
func TestABodyCostsByItsSize(t *testing.T) {
	w := newWorld(t)
	var keys []string
	for n := range 40_000 {
		keys = append(keys, fmt.Sprintf(`"k%06d":1`, n))
	}
	ocsf := fmt.Sprintf("/api/v1/alerts/ocsf?source=integration&client=%d", w.acme.Number)
	for name, c := range map[string]struct {
		target, body string
		status       int
		pointer      string
		mostMiB      uint64
	}{
		"as many devices as can be":   {"", w.largeAlert(`"hostnames":` + times(20_000, `"a"`)), http.StatusCreated, "", 100},
		"as many indicators":          {"", w.largeAlert(`"indicators":` + times(10_000, `{"type":"ip","value":"192.0.2.1"}`)), http.StatusCreated, "", 200},
		"more devices":                {"", w.largeAlert(`"hostnames":` + times(20_001, `"a"`)), http.StatusUnprocessableEntity, "/hostnames", 100},
		"more indicators":             {"", w.largeAlert(`"indicators":` + times(10_001, `{"type":"ip","value":"192.0.2.1"}`)), http.StatusUnprocessableEntity, "/indicators", 200},
		"more techniques":             {"", w.largeAlert(`"techniques":` + times(2_001, `"T1001"`)), http.StatusUnprocessableEntity, "/techniques", 100},
		"devices without names":       {"", w.largeAlert(`"hostnames":` + times(20_000, `""`)), http.StatusUnprocessableEntity, "/hostnames/0", 100},
		"indicators without anything": {"", w.largeAlert(`"indicators":` + times(10_000, `{}`)), http.StatusUnprocessableEntity, "/indicators/0/type", 20},
		"members nobody knows":        {"", w.largeAlert(strings.Join(keys, ",")), http.StatusUnprocessableEntity, "/k000000", 100},
		"more than a body may hold":   {"", w.largeAlert(`"hostnames":` + times(16<<20/3-200, `""`)), http.StatusRequestEntityTooLarge, "", 60},
		"one text of many commas":     {"", w.largeAlert(`"detail":"` + strings.Repeat(`\",[{`, 1<<20) + `"`), http.StatusCreated, "", 200},
		"an event":                    {ocsf, `{"class_uid":2004,"finding_info":{"uid":"u"},"x":` + times(96_000, `{}`) + `}`, http.StatusCreated, "", 15},
		"a larger event":              {ocsf, `{"class_uid":2004,"finding_info":{"uid":"v"},"x":` + times(1<<20, `"a"`) + `}`, http.StatusRequestEntityTooLarge, "", 30},
	} {
		target := c.target
		if target == "" {
			target = "/api/v1/alerts"
		}
		var a answer
		took := allocated(func() { a = w.post("machine", target, c.body) })
		t.Logf("%s: %d KiB take %d KiB", name, len(c.body)>>10, took>>10)
		if a.StatusCode != c.status || took>>20 > c.mostMiB {
			t.Errorf("%s: %d KiB take %d MiB, want at most %d: %s", name, len(c.body)>>10, took>>20, c.mostMiB, a)
		}
		if c.pointer != "" && !slices.Contains(a.pointers(t), c.pointer) {
			t.Errorf("%s: the answer does not name %s: %s", name, c.pointer, a)
		}
	}
}

// The sender of an ordinary body reads of every wrong field.
func TestAnOrdinaryBodyIsValidatedToItsEnd(t *testing.T) {
	w := newWorld(t)
	a := w.must(http.StatusUnprocessableEntity, w.post("machine", "/api/v1/alerts", w.largeAlert(`"hostnames":`+times(40, `""`)+`,"indicators":`+times(200, `{}`))))
	if wrong := a.pointers(t); len(wrong) != 100 || !slices.Contains(wrong, "/hostnames/39") {
		t.Errorf("%d wrong fields are named: %s", len(wrong), a)
	}
}

// slow sends an alert of which nothing but the first bytes come until finish is called.
func (w *world) slow(all *sync.WaitGroup, who string, size int) (finish func() answer) {
	w.Helper()
	body, end := io.Pipe()
	w.Cleanup(func() { _ = end.Close() })
	r := w.request(who, http.MethodPost, "/api/v1/alerts", nil)
	r.Body, r.ContentLength = body, -1
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", w.newKey())
	answers := make(chan answer, 1)
	all.Go(func() {
		a := w.send(r)
		_ = body.Close() // as the server ends a connection whose body it does not read
		answers <- a
	})
	alert := w.largeAlert(`"detail":"` + strings.Repeat("d", size) + `"`)
	_, _ = io.WriteString(end, alert[:size]) // returns when it was read, or refused
	return func() answer {
		_, _ = io.WriteString(end, alert[size:])
		_ = end.Close()
		return <-answers
	}
}

// Somebody sends more than is taken, and reads the answer when they have sent it all.
func TestARefusedBodyLosesNoAnswer(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	for name, c := range map[string]struct {
		who, path string
		size      int
		status    int
	}{
		"too long":             {"machine", "/api/v1/alerts", 20 << 20, http.StatusRequestEntityTooLarge},
		"too long for a reply": {"responder", at(w.incident(), "comment"), 1 << 20, http.StatusRequestEntityTooLarge},
		"of nobody":            {"", "/api/v1/alerts", 16 << 20, http.StatusUnauthorized},
		"without an address":   {"machine", "/api/v1/nothing", 16 << 20, http.StatusNotFound},
	} {
		for _, counted := range []bool{true, false} {
			r := w.request(c.who, http.MethodPost, server.URL+c.path, "")
			r.Header.Set("Idempotency-Key", w.newKey())
			body := strings.NewReader(w.largeAlert(`"detail":"` + strings.Repeat("d", c.size) + `"`))
			if r.Body, r.ContentLength = io.NopCloser(body), int64(body.Len()); !counted {
				r.ContentLength = -1
			}
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
			w.ok(err)
			if err := r.Write(conn); err != nil {
				t.Errorf("%s, counted %t: %v", name, counted, err)
				continue
			}
			res, err := http.ReadResponse(bufio.NewReader(conn), r)
			if err != nil {
				t.Errorf("%s, counted %t: %v", name, counted, err)
				continue
			}
			if res.StatusCode != c.status {
				t.Errorf("%s, counted %t: answered with %s", name, counted, res.Status)
			}
			w.ok(res.Body.Close())
			w.ok(conn.Close())
		}
	}
}

// Large bodies of all together are bounded. Small ones do not wait for them, not even those of the same senders.
func TestLargeBodiesOfManySendersAreBounded(t *testing.T) {
	w := newWorld(t)
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	var finish []func() answer
	senders := []string{"one", "two", "three", "four", "five", "six"}
	for _, who := range senders {
		w.newUser(who, uuid.Nil, models.RoleAnalyst)
		finish = append(finish, w.slow(&all, who, 12<<20))
	}
	for _, who := range senders {
		w.must(http.StatusCreated, w.post(who, "/api/v1/alerts", w.largeAlert(`"hostnames":["ws1"]`)))
	}
	w.must(http.StatusOK, w.get("stranger", fmt.Sprintf("/api/v1/clients/%d", w.other.Number)))
	taken, refused := 0, 0
	for _, end := range finish {
		switch a := end(); a.StatusCode {
		case http.StatusCreated:
			taken++
		case http.StatusServiceUnavailable:
			refused++
			if a.Header.Get("Retry-After") == "" {
				t.Errorf("refused with %v", a.Header)
			}
		default:
			t.Errorf("answered with %.200s", a)
		}
	}
	if taken == 0 || refused == 0 || taken*(16<<20) > 64<<20 {
		t.Errorf("%d bodies of 12 MiB were taken at once, %d refused", taken, refused)
	}
	w.must(http.StatusCreated, w.post("one", "/api/v1/alerts", w.largeAlert(`"detail":"`+strings.Repeat("d", 12<<20)+`"`)))
}

// A second large alert of a client waits for the first, also from another machine; nobody else does.
func TestLargeBodiesOfAClientTakeTurns(t *testing.T) {
	w := newWorld(t)
	w.newMachine("twin", w.acme.Number)
	w.newMachine("elsewhere", w.other.Number)
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	finish := w.slow(&all, "machine", 1<<20)
	large := `"detail":"` + strings.Repeat("d", 1<<20) + `"`
	second := make(chan answer, 1)
	all.Go(func() { second <- w.post("twin", "/api/v1/alerts", w.largeAlert(large)) })
	for range 5 {
		w.must(http.StatusCreated, w.post("analyst", "/api/v1/alerts", w.largeAlert(large)))
		w.must(http.StatusCreated, w.post("machine", "/api/v1/alerts", w.largeAlert(`"hostnames":["ws1"]`)))
		w.must(http.StatusCreated, w.post("elsewhere", "/api/v1/alerts", w.largeAlertOf(w.other, large)))
	}
	select {
	case a := <-second:
		t.Fatalf("a second large alert did not wait: %.200s", a)
	default:
	}
	w.must(http.StatusCreated, finish())
	w.must(http.StatusCreated, <-second)
}

// While large alerts of a token wait for one that comes slowly, a small one is taken at once.
func TestASmallAlertPassesTheLargeOnesOfItsToken(t *testing.T) {
	w := newWorld(t)
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	finish := w.slow(&all, "machine", 1<<20)
	large := make(chan answer, 12)
	for range cap(large) {
		began := make(chan bool)
		r := w.request("machine", http.MethodPost, "/api/v1/alerts", w.largeAlert(`"detail":"`+strings.Repeat("d", 1<<20)+`"`))
		r.Header.Set("Idempotency-Key", w.newKey())
		r.Body = io.NopCloser(io.MultiReader(&signal{began: began}, r.Body))
		all.Go(func() { large <- w.send(r) })
		soon(w, began)
	}
	small := make(chan answer, 1)
	all.Go(func() { small <- w.post("machine", "/api/v1/alerts", w.largeAlert(`"hostnames":["ws1"]`)) })
	w.must(http.StatusCreated, soon(w, small))
	w.must(http.StatusCreated, finish())
	w.must(http.StatusCreated, <-large)
}

// signal is nothing to read. It tells when somebody reads.
type signal struct{ began chan bool }

func (s *signal) Read([]byte) (int, error) {
	close(s.began)
	return 0, io.EOF
}

// A refused alert uses up no share. Its turn goes on for a while instead, so that a loop of them has little of the
// processors.
func TestALoopOfRefusedAlertsIsSlow(t *testing.T) {
	w := newWorld(t)
	began := time.Now()
	for range 25 {
		w.must(http.StatusUnprocessableEntity, w.post("machine", "/api/v1/alerts", map[string]any{}))
	}
	if took := time.Since(began); took < 700*time.Millisecond {
		t.Errorf("25 refused alerts took %s", took)
	}
}

// soon returns what comes long before a request has waited for its turn in vain.
func soon[T any](w *world, from chan T) (got T) {
	w.Helper()
	select {
	case got = <-from:
	case <-time.After(8 * time.Second):
		w.Fatal("nothing comes")
	}
	return got
}

// Somebody has many connections. What waits of them is bounded, and what is refused comes back slowly.
func TestFewRequestsOfOneCallerWait(t *testing.T) {
	const sent, waiting = 100, 64 + 2
	w := newWorld(t)
	ref := w.published()
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	var slow []*io.PipeWriter
	answers := make(chan answer, sent+2)
	send := func(body io.ReadCloser) {
		r := w.request("responder", http.MethodPost, at(ref, "comment"), nil)
		r.Body = body
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", w.newKey())
		all.Go(func() { answers <- w.send(r) })
	}
	words := `{"text":"t"}`
	for range 2 {
		body, end := io.Pipe()
		t.Cleanup(func() { _ = end.Close() })
		slow = append(slow, end)
		send(body)
		_, err := io.WriteString(end, words[:1]) // returns when the request is at work
		w.ok(err)
	}
	for range sent {
		send(io.NopCloser(strings.NewReader(words)))
	}
	for range sent + 2 - waiting {
		w.refused(soon(w, answers), time.Second, 2*time.Second)
	}
	w.must(http.StatusOK, w.post("admin", at(ref, "comment"), words))
	for _, end := range slow {
		_, err := io.WriteString(end, words[1:])
		w.ok(err)
		w.ok(end.Close())
	}
	taken := 0
	for range waiting {
		if (<-answers).StatusCode == http.StatusOK {
			taken++
		}
	}
	if taken < 2 {
		t.Errorf("%d requests were taken afterwards", taken)
	}
}

// Before a request has a turn, its token is looked up. That, too, is done few times at once for one token.
func TestOneTokenIsLookedUpFewTimesAtOnce(t *testing.T) {
	const sent, most = 100, 64 + 4
	w := newWorld(t)
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	conn, err := pgx.Connect(t.Context(), w.ownerURL)
	w.ok(err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	lock, err := conn.Begin(t.Context())
	w.ok(err)
	_, err = lock.Exec(t.Context(), "lock table tokens in access exclusive mode")
	w.ok(err)
	answers := make(chan answer, sent)
	for range sent {
		all.Go(func() { answers <- w.get("analyst", w.clientPath("contacts")) })
	}
	for range sent - most {
		w.refused(soon(w, answers), time.Second, 2*time.Second)
	}
	if asking := w.count("select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"); asking != 4 {
		t.Errorf("%d connections of the database look one token up", asking)
	}
	w.ok(lock.Rollback(t.Context()))
	for range most {
		w.must(http.StatusOK, <-answers)
	}
}
