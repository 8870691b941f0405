package devstack_test

import (
	"bytes"
	"iter"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/watchfire-mdr/watchfire/config"
	"github.com/watchfire-mdr/watchfire/devstack"
)

// composeFile is the part of docker-compose.yml that the tests check.
type composeFile struct {
	Services map[string]composeService  `yaml:"services"`
	Volumes  map[string]any             `yaml:"volumes"`
	Networks map[string]map[string]bool `yaml:"networks"`
}

type composeService struct {
	Image       string                    `yaml:"image"`
	Command     []string                  `yaml:"command"`
	Environment map[string]string         `yaml:"environment"`
	Ports       []string                  `yaml:"ports"`
	Volumes     []string                  `yaml:"volumes"`
	DependsOn   map[string]map[string]any `yaml:"depends_on"`
	Restart     string                    `yaml:"restart"`
	Healthcheck map[string]any            `yaml:"healthcheck"`
	Networks    []string                  `yaml:"networks"`
	NetworkMode string                    `yaml:"network_mode"`
	Profiles    []string                  `yaml:"profiles"`
}

func readCompose(t *testing.T) composeFile {
	t.Helper()
	return readComposeFile(t, "docker-compose.yml")
}

func readComposeFile(t *testing.T, name string) composeFile {
	t.Helper()
	var file composeFile
	if err := yaml.Unmarshal([]byte(readRepositoryFile(t, name)), &file); err != nil {
		t.Fatal(yaml.FormatError(err, false, true))
	}
	return file
}

func readRepositoryFile(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// byName yields the pairs of a map in the order of their names.
func byName[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if !yield(name, m[name]) {
				return
			}
		}
	}
}

func TestComposeRunsTheWholeStack(t *testing.T) {
	file := readCompose(t)
	got := map[string][]string{}
	for name, service := range byName(file.Services) {
		profile := strings.Join(service.Profiles, " ")
		got[profile] = append(got[profile], name)
	}
	want := map[string][]string{
		"":            {"api", "migrate", "postgres", "temporal", "temporal-login", "temporal-namespace", "temporal-schema", "worker"},
		"dev":         {"seed", "simulators"},
		"temporal-ui": {"temporal-ui"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("services by profile are %v, want %v", got, want)
	}
	for name, service := range byName(file.Services) {
		if repository, tag, found := strings.Cut(service.Image, ":"); !found || tag == "latest" || repository == "" {
			t.Errorf("%s: image %q is not pinned", name, service.Image)
		}
		if service.Restart == "unless-stopped" && service.Healthcheck == nil {
			t.Errorf("%s restarts for ever but has no health check", name)
		}
		for _, port := range service.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s publishes %s to the network", name, port)
			}
		}
	}
}

func TestComposeStartsInOrder(t *testing.T) {
	file := readCompose(t)
	for name, service := range byName(file.Services) {
		for needed, how := range byName(service.DependsOn) {
			other, exists := file.Services[needed]
			if !exists {
				t.Errorf("%s depends on %s, which is no service", name, needed)
			}
			switch condition := how["condition"]; condition {
			case "service_healthy":
				if other.Healthcheck == nil {
					t.Errorf("%s waits for the health of %s, which has no check", name, needed)
				}
			case "service_completed_successfully":
				if other.Restart == "unless-stopped" {
					t.Errorf("%s waits for the end of %s, which never ends", name, needed)
				}
			default:
				t.Errorf("%s depends on %s with condition %q", name, needed, condition)
			}
		}
	}
}

func TestComposeMountsExist(t *testing.T) {
	file := readCompose(t)
	for name, service := range byName(file.Services) {
		for _, volume := range service.Volumes {
			source, _, _ := strings.Cut(volume, ":")
			if !strings.HasPrefix(source, "./") {
				if _, declared := file.Volumes[source]; !declared {
					t.Errorf("%s mounts the volume %s, which is not declared", name, source)
				}
				continue
			}
			if _, err := os.Stat(filepath.Join("..", source)); err != nil {
				t.Errorf("%s mounts %s: %v", name, source, err)
			}
		}
	}
}

// Whoever has the image has the licences of what is in it, and the list of that.
func TestTheImageSaysWhatItIsMadeOf(t *testing.T) {
	image, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"RUN tools/bom.sh /watchfire /bom\n", "COPY --from=build /bom /src/LICENSE /src/NOTICE /licences/\n"} {
		if !strings.Contains(string(image), line) {
			t.Errorf("the Dockerfile lacks %q", line)
		}
	}
}

func TestComposeHoldsNoSecrets(t *testing.T) {
	secret := regexp.MustCompile(`(PASSWORD|PWD|TOKEN|SECRET|KEY|DATABASE_URL|OWNER_URL|SID)$`)
	fromEnvironment := regexp.MustCompile(`^\$\{[A-Z_]+:(\?[^}]+|-)\}$`)
	for name, service := range byName(readCompose(t).Services) {
		for variable, value := range byName(service.Environment) {
			if secret.MatchString(variable) && !fromEnvironment.MatchString(value) {
				t.Errorf("%s: %s must come from the environment", name, variable)
			}
		}
	}
}

func TestComposePassesEverySetting(t *testing.T) {
	passed := map[string]bool{}
	for _, service := range readCompose(t).Services {
		for variable := range service.Environment {
			passed[variable] = true
		}
	}
	var list bytes.Buffer
	config.List(&list, func(string) (string, bool) { return "", false })
	lines := strings.Split(strings.TrimSpace(list.String()), "\n")
	if len(lines) < 30 {
		t.Fatalf("only %d settings are listed", len(lines))
	}
	for _, line := range lines {
		if name, _, _ := strings.Cut(line, " "); !passed[name] {
			t.Errorf("no service gets the setting %s", name)
		}
	}
}

func TestComposeSettingsAreInTheExample(t *testing.T) {
	names := regexp.MustCompile(`\$\{([A-Z_]+)`)
	example := readRepositoryFile(t, ".env.example")
	used := map[string]bool{}
	for _, match := range names.FindAllStringSubmatch(readRepositoryFile(t, "docker-compose.yml"), -1) {
		used[match[1]] = true
		if !strings.Contains(example, "\n"+match[1]+"=\n") {
			t.Errorf("%s is missing from .env.example, or has a value there", match[1])
		}
	}
	for _, match := range regexp.MustCompile(`(?m)^([A-Z_]+)=`).FindAllStringSubmatch(example, -1) {
		if !used[match[1]] {
			t.Errorf("%s of .env.example is used nowhere", match[1])
		}
	}
}

// Temporal has a login of its own, reaches nothing outside, and shows its UI only to who asks for it.
func TestComposeKeepsTemporalApart(t *testing.T) {
	file := readCompose(t)
	for _, name := range []string{"temporal", "temporal-schema"} {
		if user := file.Services[name].Environment["POSTGRES_USER"]; user != "temporal" {
			t.Errorf("%s logs in as %q", name, user)
		}
	}
	for name, service := range byName(file.Services) {
		published := slices.Contains([]string{"api", "temporal-ui"}, name)
		if (len(service.Ports) > 0) != published {
			t.Errorf("%s publishes %v", name, service.Ports)
		}
		outside := slices.ContainsFunc(service.Networks, func(n string) bool { return !file.Networks[n]["internal"] })
		if want := published || name == "worker" || name == "simulators"; outside != want || len(service.Networks) == 0 {
			t.Errorf("%s is in the networks %v", name, service.Networks)
		}
	}
	if !slices.Equal(file.Services["temporal-ui"].Profiles, []string{"temporal-ui"}) {
		t.Error("Temporal's UI starts without being asked for")
	}
	if slices.Contains(file.Services["temporal-ui"].Networks, "database") || slices.Contains(file.Services["postgres"].Networks, "temporal") {
		t.Error("Temporal's UI and the database are in one network")
	}
}

// The login script makes a login that owns Temporal's databases and is nobody else's, also over databases that the
// superuser owned.
func TestTemporalsLoginReadsItsOwnDatabasesOnly(t *testing.T) {
	pg, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Stop)
	ask := func(login, database, query string) (string, error) {
		u, err := url.Parse(pg.URL(database))
		if err != nil {
			t.Fatal(err)
		}
		if login != "" {
			u.User = url.UserPassword(login, "the-password")
		}
		out, err := exec.CommandContext(t.Context(), "psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command", query, u.String()).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	must := func(login, database, query string) string {
		t.Helper()
		out, err := ask(login, database, query)
		if err != nil {
			t.Fatalf("%s: %v: %s", query, err, out)
		}
		return out
	}
	must("", "postgres", "create database watchfire")
	must("", "watchfire", "create table incidents (title text)")
	must("", "postgres", "create database temporal") // from before Temporal had a login
	must("", "temporal", "create table executions (id int)")
	must("", "postgres", "create role watchfire_app login password 'the-password'")
	super, err := url.Parse(pg.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := super.User.Password()
	for range 2 {
		script := exec.CommandContext(t.Context(), "/bin/sh", filepath.Join("compose", "temporal-login.sh"))
		script.Env = append(os.Environ(), "PGHOST="+super.Hostname(), "PGPORT="+super.Port(), "PGUSER="+super.User.Username(), "PGPASSWORD="+password,
			"TEMPORAL_DATABASE_PASSWORD=the-password")
		if out, err := script.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	must("temporal", "temporal", "alter table executions add column at int")
	must("temporal", "temporal_visibility", "create extension btree_gin")
	must("temporal", "temporal_visibility", "create table visible (id int)")
	if out := must("", "postgres", "select rolsuper or rolcreatedb or rolcreaterole or rolbypassrls from pg_roles where rolname = 'temporal'"); out != "f" {
		t.Errorf("Temporal's login may do more than it needs: %s", out)
	}
	for _, refused := range [][3]string{
		{"temporal", "watchfire", "select * from incidents"}, {"watchfire_app", "temporal", "select 1"}, {"watchfire_app", "temporal_visibility", "select 1"},
	} {
		if out, err := ask(refused[0], refused[1], refused[2]); err == nil {
			t.Errorf("%s in %s: %s gives %q", refused[0], refused[1], refused[2], out)
		}
	}
}
