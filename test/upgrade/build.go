package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/watchfire-mdr/watchfire/workflows"
)

// buildEarlier builds the commit of from.txt and returns the path of its binary, which stays in the user's cache.
func buildEarlier(ctx context.Context, dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join("test", "upgrade", "from.txt"))
	if err != nil {
		return "", fmt.Errorf("start the drill from the root of the repository: %w", err)
	}
	commit := strings.TrimSpace(string(text))
	if out, err := exec.CommandContext(ctx, "git", "cat-file", "-e", commit+"^{commit}").CombinedOutput(); err != nil {
		return "", fmt.Errorf("the history is not at hand, so nothing was tried: commit %s of test/upgrade/from.txt is missing: fetch the whole "+
			"repository (git fetch --unshallow): %w: %s", commit, err, strings.TrimSpace(string(out)))
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(cache, "watchfire", "watchfire-"+commit)
	if _, err := os.Stat(binary); err == nil {
		say("the earlier version, commit %.12s, is built", commit)
		return binary, nil
	}
	say("building the earlier version, commit %.12s", commit)
	sources := filepath.Join(dir, "earlier")
	if err := os.Mkdir(sources, 0o755); err != nil {
		return "", err
	}
	archive := filepath.Join(dir, "earlier.tar")
	for _, command := range [][]string{
		{"git", "archive", "--output", archive, commit}, {"tar", "-xf", archive, "-C", sources},
	} {
		if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, out)
		}
	}
	attempt, err := build(ctx, sources, filepath.Join(dir, "watchfire-earlier"))
	if err != nil {
		return "", err
	}
	content, err := os.ReadFile(attempt) // the cache may be on another file system
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		return "", err
	}
	partial := binary + fmt.Sprintf(".%d", os.Getpid())
	if err := os.WriteFile(partial, content, 0o700); err != nil {
		return "", err
	}
	return binary, os.Rename(partial, binary)
}

// buildPresent builds the present tree, changed as the variant wants it, and returns the path of the binary.
func buildPresent(ctx context.Context, dir string, v variant) (string, error) {
	say("building the present version")
	overlay, err := v.overlay(dir)
	if err != nil {
		return "", err
	}
	return build(ctx, ".", filepath.Join(dir, "watchfire-present"), "-overlay", overlay)
}

func build(ctx context.Context, sources, binary string, flags ...string) (string, error) {
	command := exec.CommandContext(ctx, "go", append(append([]string{"build", "-buildvcs=false", "-o", binary}, flags...), "./cmd/watchfire")...)
	command.Dir = sources
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", filepath.Base(binary), err, out)
	}
	return binary, nil
}

// seededStep is a step that incidents get in a seeded run: those that begin under the present version have it, those of
// the earlier one do not know it.
const seededStep = `package worker

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/workflows"
)

func seededIncident(ctx workflow.Context, s incident.State) error {
	if workflow.GetVersion(ctx, "upgrade-drill", workflow.DefaultVersion, 1) >= 1 {
		workflow.Go(ctx, func(ctx workflow.Context) { _ = workflow.Sleep(ctx, time.Millisecond) })
	}
	return workflows.Incident(ctx, s)
}
`

// overlay writes the file for the go command's -overlay: the changed sources by the path they stand in for.
func (v variant) overlay(dir string) (string, error) {
	replaced := map[string]string{}
	files := map[string]string{}
	for path, change := range map[string][2]string{
		filepath.Join("worker", "worker.go"):     {"(workflows.Incident,", "(seededIncident,"},
		filepath.Join("workflows", "version.go"): {fmt.Sprintf("const Version = %d\n", workflows.Version), fmt.Sprintf("const Version = %d\n", v.version())},
	} {
		if !v.seeded {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		if strings.Count(string(text), change[0]) != 1 {
			return "", fmt.Errorf("%s no longer holds %q once: adapt test/upgrade/build.go", path, change[0])
		}
		files[path] = strings.Replace(string(text), change[0], change[1], 1)
	}
	if v.seeded {
		files[filepath.Join("worker", "seeded_step.go")] = seededStep
	}
	for path, content := range files {
		file := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			return "", err
		}
		absolute, err := filepath.Abs(path)
		if err != nil {
			return "", err
		}
		replaced[absolute] = file
	}
	list, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, list, 0o600)
}
