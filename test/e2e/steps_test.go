package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.temporal.io/api/proxy"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// everyStep is how many steps lie between two kills: make nightly sets 1.
var everyStep = flag.Int("every-step", 8, "kill the worker at every so many steps")

// The worker dies at one step after the other of a critical incident's way from its publication to the acknowledgement: before and after each answer to Temporal, each transaction that changes our database, each request to a vendor.
func TestAWorkerKilledBetweenAnyTwoStepsDoesNothingTwice(t *testing.T) {
	for n, more := 1, true; more; n += *everyStep {
		more = false // unless the next one comes to its end
		t.Run(fmt.Sprint(n), func(t *testing.T) { more = playUntilStep(t, n) })
	}
}

// kindsOfSteps begin the names of the steps that the way cannot do without.
var kindsOfSteps = []string{"RespondWorkflowTaskCompleted", "RespondActivityTaskCompleted", "a commit", "POST Calls.json", "POST send"}

// playUntilStep plays the way and kills the worker at the n-th step of it. It returns false when there are not so many, which
// it believes only if it saw a step of each kind.
func playUntilStep(t *testing.T, n int) (killed bool) {
	s := newScene(t, n%len(system.Dev.Clients))
	s.setPhonePersonas("acknowledges")
	s.retry = true
	s.open(models.SeverityCritical)
	s.assess()
	s.killWorker()
	k := &killer{at: n, dead: make(chan struct{})}
	if err := system.StartWorker(t.Context(), k.settings(t)...); err != nil {
		t.Fatal(err)
	}
	k.arm(lastWorker().Kill)
	s.send(s.analyst, &incident.Publish{})
	s.await("the worker to die or the incident to be acknowledged", func() (bool, error) {
		select {
		case <-k.dead:
			killed = true
			return true, nil
		default:
			return s.isDone()
		}
	})
	k.arm(nil)
	printProgress("  step %d, %s", n, k.last())
	if !killed {
		k.wantEach(t)
		s.killWorker() // it goes by what is closed in a moment
	}
	s.startWorker()
	s.awaitAcknowledgement()
	s.await("the mails to be handed over", s.isDone)
	s.wantMails(notify.PurposePublished)
	s.wantCalls(1, 0, 0)
	s.wantAgreement()
	return killed && !t.Failed()
}

// isDone reports whether the incident is acknowledged and all its messages are handed over.
func (s *scene) isDone() (bool, error) {
	i, err := s.getIncident()
	if err != nil || i.Acknowledged == nil {
		return false, err
	}
	handed := 0
	for _, d := range s.deliveries() {
		if d.Kind == notify.EffectMail && d.State == notify.EffectAccepted {
			handed++
		}
	}
	return handed == len(s.contacts), nil
}

// killer stands between a worker and Temporal, PostgreSQL, the carrier and the preferred mailer, which are all that the way
// changes, and kills it at one of its steps.
type killer struct {
	at   int
	dead chan struct{}

	mu   sync.Mutex
	kill func() // nil: it is not armed
	seen []string
}

func (k *killer) arm(kill func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kill = kill
}

func (k *killer) last() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.seen) == 0 {
		return "none"
	}
	return k.seen[len(k.seen)-1]
}

// wantEach checks that steps of each kind were seen, before and after.
func (k *killer) wantEach(t *testing.T) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, kind := range kindsOfSteps {
		for _, when := range []string{"before ", "after "} {
			if !slices.Contains(k.seen, when+kind) {
				t.Errorf("no step is %q among %q", when+kind, k.seen)
			}
		}
	}
}

// step notes a step, and kills the worker at the wanted one. It returns false then: what the worker was about to do, or to
// hear, goes no further.
func (k *killer) step(what string) (goesOn bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kill == nil {
		return true
	}
	if k.seen = append(k.seen, what); len(k.seen) < k.at {
		return true
	}
	k.kill()
	k.kill = nil
	close(k.dead)
	return false
}

var errKilled = errors.New("the worker is dead")

// settings starts what stands between, until the end of the test, and returns the settings of a worker that goes by it.
func (k *killer) settings(t *testing.T) []string {
	return []string{
		"TEMPORAL_ADDRESS=" + k.serveTemporal(t), "DATABASE_URL=" + k.serveDatabase(t, system.WorkerURL()),
		"TWILIO_BASE_URL=" + k.serveVendor(t, system.Simulators.TwilioURL), "SENDGRID_BASE_URL=" + k.serveVendor(t, system.Simulators.SendGridURL),
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// serveTemporal stands before Temporal. The worker's answers to its tasks are steps.
func (k *killer) serveTemporal(t *testing.T) (address string) {
	t.Helper()
	conn, err := grpc.NewClient(system.Temporal.Address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	service, err := proxy.NewWorkflowServiceProxyServer(proxy.WorkflowServiceProxyOptions{Client: workflowservice.NewWorkflowServiceClient(conn)})
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(64<<20), grpc.UnaryInterceptor(func(ctx context.Context, in any, call *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		name := path.Base(call.FullMethod)
		if !strings.HasPrefix(name, "Respond") || strings.HasPrefix(name, "RespondQuery") {
			return next(ctx, in)
		}
		if !k.step("before " + name) {
			return nil, errKilled
		}
		out, err := next(ctx, in)
		k.step("after " + name)
		return out, err
	}))
	workflowservice.RegisterWorkflowServiceServer(server, service)
	l := listen(t)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	return l.Addr().String()
}

// serveVendor stands before a vendor. Every request is a step.
func (k *killer) serveVendor(t *testing.T, base string) (address string) {
	t.Helper()
	target, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error {
			if !k.step("after " + r.Request.Method + " " + path.Base(r.Request.URL.Path)) {
				return errKilled
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {}, // its worker is dead
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if k.step("before " + r.Method + " " + path.Base(r.URL.Path)) {
			forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// serveDatabase stands before PostgreSQL, and returns the URL that leads there. The end of every transaction that changed
// something is a step.
func (k *killer) serveDatabase(t *testing.T, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	behind := u.Host
	l := listen(t)
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := new(net.Dialer).DialContext(context.Background(), "tcp", behind)
			if err != nil {
				_ = in.Close()
				continue
			}
			c := &connection{killer: k, statements: map[string]string{}}
			go c.pass(in, out, true, c.asked)
			go c.pass(out, in, false, c.answered)
		}
	}()
	u.Host = l.Addr().String()
	return u.String()
}

// connection is one to PostgreSQL: https://www.postgresql.org/docs/15/protocol-message-formats.html
type connection struct {
	*killer
	statements map[string]string // prepared ones, by name

	lock  sync.Mutex
	dirty bool // the transaction under way has changed something
	ends  bool // its end was asked for
}

// pass hands messages on, after a look at each. The first one of the asking side has no type.
func (c *connection) pass(from io.ReadCloser, to io.WriteCloser, untyped bool, look func(kind byte, body []byte) (goesOn bool)) {
	defer from.Close()
	defer to.Close()
	r := bufio.NewReader(from)
	for first := untyped; ; first = false {
		header := make([]byte, 5)
		if first {
			header = header[:4]
		}
		if _, err := io.ReadFull(r, header); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(header[len(header)-4:])-4)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		if !first && !look(header[0], body) {
			return
		}
		if _, err := to.Write(append(header, body...)); err != nil {
			return
		}
	}
}

// asked looks at what the worker asks for.
func (c *connection) asked(kind byte, body []byte) (goesOn bool) {
	text := func() string {
		at := bytes.IndexByte(body, 0)
		one := string(body[:max(at, 0)])
		body = body[at+1:]
		return one
	}
	statement := ""
	switch kind {
	case 'P': // parse: a name, a statement
		name := text()
		c.statements[name] = text()
		return true
	case 'B': // bind: a portal, the name of a statement
		text()
		statement = c.statements[text()]
	case 'Q':
		statement = text()
	default:
		return true
	}
	statement = strings.ToLower(strings.TrimSpace(statement))
	c.lock.Lock()
	if c.ends = c.dirty && strings.HasPrefix(statement, "commit"); !c.ends {
		for _, table := range []string{"events", "effects", "incidents"} {
			for _, change := range []string{"insert into ", "update "} {
				c.dirty = c.dirty || strings.HasPrefix(statement, change+table) || strings.HasPrefix(statement, change+`"`+table+`"`)
			}
		}
		c.dirty = c.dirty && !strings.HasPrefix(statement, "begin")
	}
	ends := c.ends
	c.lock.Unlock()
	return !ends || c.step("before a commit")
}

// answered looks at what PostgreSQL answers.
func (c *connection) answered(kind byte, body []byte) (goesOn bool) {
	c.lock.Lock()
	over := kind == 'C' && c.ends && bytes.HasPrefix(body, []byte("COMMIT"))
	if over {
		c.dirty, c.ends = false, false
	}
	c.lock.Unlock()
	return !over || c.step("after a commit")
}
