package devstack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// modulePath is the module that contains the folder devstack/temporal.
	modulePath = "github.com/watchfire-mdr/watchfire"
	// progressEvery is the pause between two lines of progress.
	progressEvery = 10 * time.Second
	lockPoll      = 500 * time.Millisecond // between two attempts to take the lock
)

// BuildTemporal returns the path of the Temporal server's binary in the user's
// cache. It builds the binary when the sources in devstack/temporal, their
// dependencies or the Go version have changed; it looks for the sources from the
// working directory upwards. A build takes minutes: lines about it go to progress
// (nil: nowhere). Two processes never build at once: the second one waits.
func BuildTemporal(ctx context.Context, progress io.Writer) (binary string, err error) {
	if progress == nil {
		progress = io.Discard
	}
	sources, err := temporalSources()
	if err != nil {
		return "", fmt.Errorf("build the Temporal server: %w", err)
	}
	binary, err = temporalBinary(ctx, sources)
	if err != nil {
		return "", fmt.Errorf("build the Temporal server: %w", err)
	}
	if isExecutable(binary) {
		return binary, nil
	}
	unlock, err := lockFile(ctx, binary+".lock", progress)
	if err != nil {
		return "", fmt.Errorf("build the Temporal server: %w", err)
	}
	defer unlock()
	if isExecutable(binary) { // by the process that had the lock
		return binary, nil
	}
	if err := buildInto(ctx, sources, binary, progress); err != nil {
		return "", fmt.Errorf("build the Temporal server: %w", err)
	}
	return binary, nil
}

// temporalSources finds the folder devstack/temporal of the module that contains the working directory.
func temporalSources() (string, error) {
	working, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("working directory: %w", err)
	}
	for dir := working; ; dir = filepath.Dir(dir) {
		content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		first, _, _ := strings.Cut(string(content), "\n")
		if err == nil && strings.TrimSpace(first) == "module "+modulePath {
			return filepath.Join(dir, "devstack", "temporal"), nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside the sources of %s: run from a checkout", working, modulePath)
		}
	}
}

// temporalBinary returns the path of the cached binary. Its name is a hash of everything that the binary depends on.
func temporalBinary(ctx context.Context, sources string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cache folder: %w", err)
	}
	goVersion := exec.CommandContext(ctx, "go", "version")
	goVersion.Dir = sources // whose go.mod may choose another toolchain
	version, err := goVersion.Output()
	if err != nil {
		return "", fmt.Errorf("the go command does not run: install Go and put it on the PATH: %w", err)
	}
	hash := sha256.New()
	hash.Write(version)
	files, err := filepath.Glob(filepath.Join(sources, "*.go"))
	if err != nil {
		return "", fmt.Errorf("list sources: %w", err)
	}
	slices.Sort(files)
	for _, file := range append(files, filepath.Join(sources, "go.mod"), filepath.Join(sources, "go.sum")) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("read sources: %w", err)
		}
		fmt.Fprintf(hash, "%s %d\n", filepath.Base(file), len(content))
		hash.Write(content)
	}
	return filepath.Join(cache, "watchfire", "temporal-"+hex.EncodeToString(hash.Sum(nil))[:16]), nil
}

// lockFile waits for an exclusive lock, which ends with the process at the latest.
func lockFile(ctx context.Context, path string, progress io.Writer) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("create cache folder: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	var shown time.Time
	for begin := time.Now(); ; {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock: %w", err), file.Close())
		}
		if time.Since(shown) > progressEvery {
			shown = time.Now()
			fmt.Fprintf(progress, "another process is building the Temporal server, waiting ... %s\n", elapsed(begin))
		}
		if err := sleep(ctx, lockPoll); err != nil {
			return nil, errors.Join(fmt.Errorf("wait for the other build: %w", err), file.Close())
		}
	}
}

// buildInto runs `go build` and moves the binary into place only when it is complete.
func buildInto(ctx context.Context, sources, binary string, progress io.Writer) error {
	attempt := fmt.Sprintf("%s.%d", binary, os.Getpid())
	defer os.Remove(attempt)
	output := &buildOutput{}
	build := exec.CommandContext(ctx, "go", "build", "-v", "-buildvcs=false", "-ldflags=-s -w", "-o", attempt, ".")
	build.Dir = sources
	build.Env = append(os.Environ(), "GOWORK=off", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	build.Stdout, build.Stderr = output, output
	stopProgress := showProgress(progress, output)
	err := build.Run()
	stopProgress()
	if err != nil {
		return fmt.Errorf("go build: %w\n%s", err, output.text.Bytes())
	}
	if err := os.Rename(attempt, binary); err != nil {
		return fmt.Errorf("put the binary in place: %w", err)
	}
	return nil
}

// buildOutput keeps the output of `go build -v` and counts its lines.
type buildOutput struct {
	text  bytes.Buffer
	lines atomic.Int64
}

// Write implements io.Writer.
func (o *buildOutput) Write(p []byte) (int, error) {
	o.lines.Add(int64(bytes.Count(p, []byte("\n"))))
	return o.text.Write(p)
}

// showProgress prints a line now, one after every pause, and a last one when the caller stops it.
func showProgress(progress io.Writer, output *buildOutput) (stop func()) {
	begin, end, ended := time.Now(), make(chan struct{}), make(chan struct{})
	fmt.Fprintln(progress, "building the Temporal server, once, 5 to 15 minutes on two cores")
	go func() {
		defer close(ended)
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		for {
			select {
			case <-end:
				return
			case <-ticker.C:
				fmt.Fprintf(progress, "building the Temporal server ... %s, %d packages\n", elapsed(begin), output.lines.Load())
			}
		}
	}()
	return func() {
		close(end)
		<-ended
		fmt.Fprintf(progress, "building the Temporal server took %s\n", elapsed(begin))
	}
}

func elapsed(begin time.Time) time.Duration { return time.Since(begin).Round(time.Second) }
