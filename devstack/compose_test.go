package devstack_test

import (
	"bytes"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/watchfire-mdr/watchfire/config"
)

// composeFile is the part of docker-compose.yml that the tests check.
type composeFile struct {
	Services map[string]composeService `yaml:"services"`
	Volumes  map[string]any            `yaml:"volumes"`
}

type composeService struct {
	Image       string                       `yaml:"image"`
	Command     []string                     `yaml:"command"`
	Environment map[string]string            `yaml:"environment"`
	Ports       []string                     `yaml:"ports"`
	Volumes     []string                     `yaml:"volumes"`
	DependsOn   map[string]map[string]string `yaml:"depends_on"`
	Restart     string                       `yaml:"restart"`
	Healthcheck map[string]any               `yaml:"healthcheck"`
}

func readCompose(t *testing.T) composeFile {
	t.Helper()
	var file composeFile
	if err := yaml.Unmarshal([]byte(readRepositoryFile(t, "docker-compose.yml")), &file); err != nil {
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
	got := slices.Sorted(maps.Keys(file.Services))
	want := []string{"api", "migrate", "postgres", "temporal", "temporal-namespace", "temporal-schema", "temporal-ui", "worker"}
	if !slices.Equal(got, want) {
		t.Errorf("services are %v, want %v", got, want)
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
