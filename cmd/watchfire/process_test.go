package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/watchfire-mdr/watchfire/devstack"
	"github.com/watchfire-mdr/watchfire/secrets"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/store/storetest"
)

// runAs makes the binary of the tests run a subcommand of the product.
const runAs = "WATCHFIRE_TEST_RUN_AS"

func TestMain(m *testing.M) {
	if part := os.Getenv(runAs); part != "" {
		os.Args = []string{"watchfire", part}
		main()
		return
	}
	os.Exit(m.Run())
}

// program is a process of the product that runs, and what it printed to either output.
type program struct {
	testing.TB
	command *exec.Cmd
	done    chan error
	news    chan struct{} // there may be another line

	mu    sync.Mutex
	lines []map[string]any
	wrong []string // lines that are no JSON
}

// run starts a process of the product with some settings and nothing else of this one's environment.
func run(t testing.TB, part string, settings ...string) *program {
	t.Helper()
	p := &program{TB: t, command: exec.CommandContext(t.Context(), os.Args[0]), done: make(chan error, 1), news: make(chan struct{}, 1)}
	p.command.Env = append(settings, runAs+"="+part, "PATH="+os.Getenv("PATH"))
	r, w := io.Pipe()
	p.command.Stdout, p.command.Stderr = w, w
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for in := bufio.NewScanner(r); in.Scan(); {
			var line map[string]any
			err := json.Unmarshal(bytes.TrimSpace(in.Bytes()), &line)
			p.mu.Lock()
			if p.lines = append(p.lines, line); err != nil {
				p.wrong = append(p.wrong, in.Text())
			}
			p.mu.Unlock()
			select {
			case p.news <- struct{}{}:
			default:
			}
		}
	}()
	go func() {
		err := p.command.Wait()
		_ = w.Close()
		<-read
		p.done <- err
	}()
	return p
}

// find returns a field of the first line that has a message and, if it is not "", says what it serves.
func (p *program) find(msg, serves, field string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.lines {
		if line["msg"] == msg && (serves == "" || line["serves"] == serves) {
			return fmt.Sprint(line[field])
		}
	}
	return ""
}

// await waits for a line and returns one of its fields.
func (p *program) await(msg, serves, field string) string {
	p.Helper()
	for tooLate := time.After(time.Minute); ; {
		if found := p.find(msg, serves, field); found != "" {
			return found
		}
		select {
		case <-p.news:
		case err := <-p.done:
			p.Fatalf("it ended without the line %q: %v, %v, %q", msg, err, p.lines, p.wrong)
		case <-tooLate:
			p.Fatalf("it never says %q", msg)
		}
	}
}

// stop ends the process as an operator does, and checks that every line it ever printed was JSON with a level and a
// message.
func (p *program) stop() {
	p.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		p.Fatal(err)
	}
	if err := <-p.done; err != nil {
		p.Errorf("it ended with %v", err)
	}
	p.checkLines()
}

func (p *program) checkLines() {
	p.Helper()
	if len(p.wrong) > 0 {
		p.Errorf("lines that are no JSON: %q", p.wrong)
	}
	if len(p.lines) == 0 || slices.ContainsFunc(p.lines, func(l map[string]any) bool { return l["msg"] == nil || l["level"] == nil }) {
		p.Errorf("lines without level or message: %v", p.lines)
	}
}

// A process that cannot start says so as everything else it says: in lines of JSON, one for each setting.
func TestAFailedStartIsLoggedAsJSON(t *testing.T) {
	for _, part := range []string{"api", "worker"} {
		for name, settings := range map[string][]string{"no settings": nil, "bad settings": {"LOG_LEVEL=loud", "DATABASE_URL=not\na URL"}} {
			p := run(t, part, settings...)
			if err := <-p.done; err == nil {
				t.Errorf("%s with %s ended well", part, name)
			}
			p.checkLines()
			if len(p.lines) < 3 || p.find("the process ends", "", "part") != part {
				t.Errorf("%s with %s says %v", part, name, p.lines)
			}
		}
	}
}

// settingsWithoutTemporal are those of the API and the worker when Temporal is not there, at an address that nothing
// listens on.
func settingsWithoutTemporal(t testing.TB) (api, worker []string) {
	t.Helper()
	ownerURL, appURL := storetest.URLs(t)
	nobody, err := devstack.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	keyset := func(generate func(kmsURI string) (string, error)) string {
		made, err := generate("")
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	both := []string{
		"PAYLOAD_KEYSET=" + keyset(secrets.Generate), "CODES_KEYSET=" + keyset(secrets.GenerateDeriver), fmt.Sprintf("TEMPORAL_ADDRESS=127.0.0.1:%d", nobody), "OPS_ADDRESS=127.0.0.1:0", "HTTP_ADDRESS=127.0.0.1:0",
		"PUBLIC_BASE_URL=https://soc.example", "PROVIDER_NAME=Nordlicht SOC", "WATCHFIRE_PROFILE=dev", "MAILERS=smtp",
		"SMTP_ADDRESS=127.0.0.1:1", "SMTP_FROM=soc@mdr.example", "SMTP_TLS=none", "TWILIO_ACCOUNT_SID=AC0123456789abcdef0123456789abcdef",
		"TWILIO_AUTH_TOKEN=" + strings.Repeat("0", 32), "TWILIO_FROM=+12025550100",
	}
	return append([]string{"DATABASE_URL=" + loginFor(t, ownerURL, appURL, store.LoginAPI)}, both...),
		append([]string{"DATABASE_URL=" + loginFor(t, ownerURL, appURL, store.LoginWorker), "CHECKPOINT_KEYSET=" + keyset(secrets.GenerateSigner)}, both...)
}

// loginFor makes a login as watchfire migrate does, and returns the address with it.
func loginFor(t testing.TB, ownerURL, appURL string, login store.Login) string {
	t.Helper()
	user := "test_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	if err := store.EnsureLogin(t.Context(), ownerURL, login, user, "password"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), ownerURL)
		if err == nil {
			_, err = conn.Exec(context.Background(), "drop role "+user)
			_ = conn.Close(context.Background())
		}
		if err != nil {
			t.Errorf("drop login: %v", err)
		}
	})
	u, err := url.Parse(appURL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, "password")
	return u.String()
}

func status(t testing.TB, address string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// Either process starts while Temporal is away, and answers its operator meanwhile.
func TestProcessesWaitForTemporal(t *testing.T) {
	settings, workers := settingsWithoutTemporal(t)
	api, worker := run(t, "api", settings...), run(t, "worker", workers...)
	worker.await("the worker waits for Temporal", "", "error")
	for _, p := range []*program{api, worker} {
		ops := p.await("listening", "operations", "address")
		for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/metrics": 200, "/api/v1/incidents": 404} {
			if got := status(t, ops+path); got != want {
				t.Errorf("%s of %s answers %d, want %d", path, p.command.Env, got, want)
			}
		}
	}
	public := api.await("listening", "the API", "address")
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 404, "/metrics": 404, "/api/v1/incidents": 401} {
		if got := status(t, public+path); got != want {
			t.Errorf("%s answers the public with %d, want %d", path, got, want)
		}
	}
	upset(t, public)
	api.stop()
	worker.stop()
}

// upset sends what the HTTP server itself complains about.
func upset(t testing.TB, address string) {
	t.Helper()
	for _, words := range []string{"\x16\x03\x01\x00\x00", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET /" + strings.Repeat("a", 80<<10)} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, words)
		_ = c.Close()
	}
}
