package devstack_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/config"
	"github.com/watchfire-mdr/watchfire/devstack"
	"github.com/watchfire-mdr/watchfire/devstack/stack"
)

// In profile dev API and worker meet the simulators at 127.0.0.1, and nothing else changes.
func TestComposeDevIsOneMachine(t *testing.T) {
	dev := readComposeFile(t, "devstack/compose/dev.yml")
	if len(dev.Services) != 3 || len(dev.Volumes)+len(dev.Networks) > 0 {
		t.Errorf("dev.yml changes %v, volumes or networks", dev.Services)
	}
	simulators := readCompose(t).Services["simulators"]
	for _, name := range []string{"api", "worker"} {
		changed, as := dev.Services[name], readCompose(t).Services[name]
		if changed.NetworkMode != "service:simulators" || changed.DependsOn["simulators"]["condition"] != "service_healthy" {
			t.Errorf("%s does not live in the network of the simulators, or does not wait for them: %+v", name, changed)
		}
		for _, network := range as.Networks {
			if !slices.Contains(simulators.Networks, network) {
				t.Errorf("the simulators are not in the network %s, where %s needs to be", network, name)
			}
		}
		// With a network mode of its own, compose rejects networks and drops ports.
		block := regexp.MustCompile(`(?m)^  ` + name + `:\n(    .*\n)+`).FindString(readRepositoryFile(t, "devstack/compose/dev.yml"))
		for list, has := range map[string]bool{"networks": len(as.Networks) > 0, "ports": len(as.Ports) > 0} {
			if has && !strings.Contains(block, "    "+list+": !reset []\n") {
				t.Errorf("%s keeps its %s", name, list)
			}
		}
	}
	if dev.Services["api"].DependsOn["seed"]["condition"] != "service_completed_successfully" {
		t.Error("the API does not wait for the seeds")
	}
	if got, want := dev.Services["simulators"].Ports, readCompose(t).Services["api"].Ports; !slices.Equal(got, want) || simulators.Ports != nil {
		t.Errorf("the simulators publish %v for the API, want %v", got, want)
	}
}

// devEnv is a .env that the script has written, with the product's binary in the place of the image.
type devEnv struct {
	path, binary string
	values       map[string]string
	script       func() (string, error) // runs the script again
}

// writeDevEnv runs the script in a folder of its own, with a docker that runs the binary.
func writeDevEnv(t *testing.T) devEnv {
	t.Helper()
	dir := t.TempDir()
	e := devEnv{path: filepath.Join(dir, ".env"), binary: filepath.Join(dir, "watchfire")}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", e.binary, "../cmd/watchfire").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	docker := `#!/bin/sh
case "$*" in
"build --tag watchfire:local .") [ -f devstack/compose/dev-env.sh ] ;;
"run --rm --network none watchfire:local "*) shift 5; exec "$WATCHFIRE_BINARY" "$@" ;;
*) echo "docker: what is $*?" >&2; exit 1 ;;
esac
`
	for name, content := range map[string]string{"bin/docker": docker, "devstack/compose/dev-env.sh": readRepositoryFile(t, "devstack/compose/dev-env.sh")} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	e.script = func() (string, error) {
		script := exec.CommandContext(t.Context(), filepath.Join(dir, "devstack", "compose", "dev-env.sh"))
		script.Env = []string{"PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH"), "WATCHFIRE_BINARY=" + e.binary}
		out, err := script.CombinedOutput()
		return string(out), err
	}
	if out, err := e.script(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	e.values = readEnv(t, e.path)
	return e
}

// readEnv reads a .env whose lines, but for a comment at first, are NAME='value'.
func readEnv(t *testing.T, path string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for _, match := range regexp.MustCompile(`(?m)^([A-Z_]+)='([^'\n]+)'$`).FindAllStringSubmatch(string(content), -1) {
		values[match[1]] = match[2]
	}
	if lines := strings.Count(string(content), "\n"); len(values) != lines-1 {
		t.Fatalf("%d settings in %d lines", len(values), lines)
	}
	return values
}

// environment returns what compose would give to a service.
func (e devEnv) environment(s composeService) map[string]string {
	all := map[string]string{}
	variable := regexp.MustCompile(`\$\{([A-Z_]+)(:-([^}]*)|:\?[^}]*)?\}`)
	for name, value := range s.Environment {
		all[name] = variable.ReplaceAllStringFunc(value, func(v string) string {
			match := variable.FindStringSubmatch(v)
			if set := e.values[match[1]]; set != "" {
				return set
			}
			return match[3]
		})
	}
	return all
}

func TestComposeDevEnvNeedsNoAccount(t *testing.T) {
	e := writeDevEnv(t)
	if info, err := os.Stat(e.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v; want mode 0600", info, err)
	}
	compose := readRepositoryFile(t, "docker-compose.yml")
	for _, match := range regexp.MustCompile(`\$\{([A-Z_]+):\?`).FindAllStringSubmatch(compose, -1) {
		if e.values[match[1]] == "" {
			t.Errorf("%s is required and not written", match[1])
		}
	}
	for name := range byName(e.values) {
		if !strings.HasPrefix(name, "COMPOSE_") && !strings.Contains(compose, "${"+name+":") {
			t.Errorf("%s is written, but used nowhere", name)
		}
	}
	for _, file := range strings.Split(e.values["COMPOSE_FILE"], ":") {
		readComposeFile(t, file)
	}
	services := readCompose(t).Services
	for name, part := range map[string]config.Part{"api": config.API, "worker": config.Worker, "migrate": config.Migrate} {
		environment := e.environment(services[name])
		lookup := func(name string) (string, bool) { v, ok := environment[name]; return v, ok }
		if _, err := config.Read(part, lookup); err != nil {
			t.Errorf("%s does not start: %v", name, err)
		}
		if part == config.Migrate {
			continue
		}
		environment["WATCHFIRE_PROFILE"] = "production"
		if _, err := config.Read(part, lookup); err == nil || !strings.Contains(err.Error(), "TWILIO_BASE_URL") || !strings.Contains(err.Error(), "PUBLIC_BASE_URL") {
			t.Errorf("%s takes simulators in production: %v", name, err)
		}
	}
	for _, name := range []string{"simulators", "seed"} {
		environment := e.environment(services[name])
		environment["WATCHFIRE_PROFILE"] = "production"
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		c := exec.CommandContext(ctx, e.binary, services[name].Command...)
		c.Env = asList(environment)
		if out, err := c.CombinedOutput(); err == nil || !strings.Contains(string(out), "WATCHFIRE_PROFILE is not dev") {
			t.Errorf("%s runs in production: %v: %s", name, err, out)
		}
	}
	before, err := os.ReadFile(e.path)
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.script()
	if after, _ := os.ReadFile(e.path); err == nil || !strings.Contains(out, "there is an .env already") || !bytes.Equal(before, after) {
		t.Errorf("a second run changes the file or does not say why not: %v, %s", err, out)
	}
	if err := os.Remove(e.path); err != nil {
		t.Fatal(err)
	}
	if out, err := e.script(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	second := readEnv(t, e.path)
	for _, name := range []string{"POSTGRES_PASSWORD", "API_DATABASE_PASSWORD", "TWILIO_AUTH_TOKEN", "SECRETS_KEYSET", "CODES_KEYSET", "PAYLOAD_KEYSET", "SIMULATORS_WEBHOOK_KEY", "SEED_TOKENS"} {
		if e.values[name] == second[name] {
			t.Errorf("%s is the same in two files", name)
		}
	}
}

func asList(environment map[string]string) (list []string) {
	for name, value := range byName(environment) {
		list = append(list, name+"="+value)
	}
	return list
}

// What compose starts in profile dev is started here with the same commands and settings, but for addresses, which are
// free ports of this machine: an analyst with a token of .env publishes, and the client's first contact picks up.
func TestComposeDevTellsAClient(t *testing.T) {
	e := writeDevEnv(t)
	dir := t.TempDir()
	pg, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Dir: filepath.Join(dir, "postgres")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Stop)
	if err := pg.CreateDatabase(t.Context(), "watchfire"); err != nil {
		t.Fatal(err)
	}
	binary, err := devstack.BuildTemporal(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	temporal, err := devstack.StartTemporal(t.Context(), devstack.TemporalOptions{Binary: binary, PG: pg})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(temporal.Stop)

	p := stack.DefaultPorts()
	simulators, moved := []string{"simulators", "-edr-port", "0"}, []string{"temporal:7233", temporal.Address, "@postgres:5432", "@" + hostOf(t, pg.URL("watchfire"))}
	var twilio string
	for _, port := range []struct {
		usual      int
		flag, also string
	}{
		{p.App, "", ":8080"}, {p.Ops, "", ":8082"}, {p.Worker, "", ":8081"}, {p.Twilio, "-twilio-port", ""}, {p.SendGrid, "-sendgrid-port", ""},
		{p.CrowdStrike, "-crowdstrike-port", ""}, {p.SMTP, "-smtp-port", ""}, {p.SMTPSteering, "-smtp-steering-port", ""},
	} {
		free, err := devstack.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		at := fmt.Sprintf("127.0.0.1:%d", free)
		moved = append(moved, fmt.Sprintf("127.0.0.1:%d", port.usual), at)
		if port.also != "" {
			moved = append(moved, port.also, at)
		}
		if port.flag != "" {
			simulators = append(simulators, port.flag, fmt.Sprint(free))
		}
		if port.usual == p.Twilio {
			twilio = "http://" + at
		}
	}
	move := strings.NewReplacer(moved...).Replace
	services := readCompose(t).Services
	environment := func(name string) []string {
		all := e.environment(services[name])
		if name == "migrate" {
			all["DATABASE_OWNER_URL"] = pg.URL("watchfire")
		}
		list := asList(all)
		for i := range list {
			list[i] = move(list[i])
		}
		return list
	}
	serve := func(name string, args []string) {
		t.Helper()
		log, err := os.Create(filepath.Join(dir, name+".log"))
		if err != nil {
			t.Fatal(err)
		}
		process, err := devstack.StartProcess(t.Context(), name, e.binary, args, environment(name), log)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			process.Stop()
			if t.Failed() {
				content, _ := os.ReadFile(log.Name())
				t.Logf("%s:\n%s", name, content)
			}
		})
	}
	run := func(name string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), e.binary, services[name].Command...)
		c.Env = environment(name)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
		return string(out)
	}
	run("migrate")
	serve("simulators", append(simulators, services["simulators"].Command[1:]...))
	run("seed")
	if out := run("seed"); !strings.Contains(out, "client 1042") || !strings.Contains(out, "analyst@watchfire.example") || strings.Contains(out, "wf_") {
		t.Errorf("the second run of the seeds prints %s", out)
	}
	serve("api", services["api"].Command)
	serve("worker", services["worker"].Command)

	var tokens map[string]string
	if err := json.Unmarshal([]byte(e.values["SEED_TOKENS"]), &tokens); err != nil {
		t.Fatal(err)
	}
	api := move(e.values["PUBLIC_BASE_URL"])
	ask := func(method, address, token, body string) (int, []byte) {
		req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", address)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, []byte(err.Error())
		}
		defer res.Body.Close()
		answer, _ := io.ReadAll(res.Body)
		return res.StatusCode, answer
	}
	await(t, "API and worker are ready", func() (bool, string) {
		status, answer := ask(http.MethodGet, "http://"+move(fmt.Sprintf("127.0.0.1:%d", p.Ops))+"/readyz", "", "")
		return status == http.StatusOK, string(answer)
	})
	status, answer := ask(http.MethodPost, api+"/api/v1/incidents", tokens["analyst@watchfire.example"], `{"client": 1042, "title": "Beaconing from FILESRV-01", "severity": "critical"}`)
	var opened struct{ Reference string }
	if err := json.Unmarshal(answer, &opened); err != nil || opened.Reference == "" {
		t.Fatalf("open: %d: %s", status, answer)
	}
	incident := api + "/api/v1/incidents/" + opened.Reference
	if status, answer := ask(http.MethodPost, incident+"/expedite", tokens["analyst@watchfire.example"], `{}`); status >= http.StatusBadRequest {
		t.Fatalf("expedite: %d: %s", status, answer)
	}
	await(t, "the client acknowledges", func() (bool, string) {
		_, answer := ask(http.MethodGet, incident+"/events", tokens["responder@nordwind.example"], "")
		return bytes.Contains(answer, []byte(`"acknowledged"`)), string(answer)
	})
	if _, effects := ask(http.MethodGet, twilio+"/_sim/effects", "", ""); !bytes.Contains(effects, []byte("+493023125001")) {
		t.Errorf("the simulated carrier called nobody: %s", effects)
	}
}

func hostOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// await asks until something is so, for a minute.
func await(t *testing.T, what string, is func() (bool, string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		so, answer := is()
		if so {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within a minute: %s", what, answer)
		case <-tick.C:
		}
	}
}
