package devstack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
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
	err = fs.WalkDir(os.DirFS(sources), ".", func(file string, _ fs.DirEntry, err error) error {
		isSource := path.Ext(file) == ".go" && !strings.HasSuffix(file, "_test.go") || slices.Contains([]string{"go.mod", "go.sum"}, path.Base(file))
		if err != nil || !isSource {
			return err
		}
		content, err := os.ReadFile(filepath.Join(sources, file))
		fmt.Fprintf(hash, "%s %d\n", file, len(content))
		hash.Write(content)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read sources: %w", err)
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

// buildFlags are those of the build, and of the question what it has to compile.
var buildFlags = []string{"-buildvcs=false", "-ldflags=-s -w"}

// buildInto downloads the modules that the build needs, runs `go build` and moves the binary into place only when it is
// complete.
func buildInto(ctx context.Context, sources, binary string, progress io.Writer) error {
	fmt.Fprintln(progress, "building the Temporal server, once")
	attempt := fmt.Sprintf("%s.%d", binary, os.Getpid())
	defer os.Remove(attempt)
	run := func(output *buildOutput, arguments ...string) error {
		c := exec.CommandContext(ctx, "go", arguments...)
		c.Dir = sources
		c.Env = append(os.Environ(), "GOWORK=off", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
		c.Stdout, c.Stderr = output, output
		defer showProgress(progress, output)()
		if err := c.Run(); err != nil {
			return fmt.Errorf("go %s: %w\n%s", arguments[0], err, output.text.Bytes())
		}
		return nil
	}
	modules := &buildOutput{what: "downloading what the Temporal server is built of", of: "modules"}
	list := append([]string{"list", "-deps", "-f", "{{if .Stale}}" + stale + "{{end}}"}, buildFlags...)
	if err := run(modules, append(list, ".")...); err != nil {
		return err
	}
	packages := &buildOutput{what: "building the Temporal server", of: "packages", all: int64(bytes.Count(modules.text.Bytes(), []byte(stale)))}
	if err := run(packages, append(append([]string{"build", "-v", "-o", attempt}, buildFlags...), ".")...); err != nil {
		return err
	}
	if err := os.Rename(attempt, binary); err != nil {
		return fmt.Errorf("put the binary in place: %w", err)
	}
	return nil
}

// stale is the line about a package that has to be compiled.
const stale = "to be compiled"

// buildOutput keeps the output of a go command and counts its lines, of which each is about one module or package.
type buildOutput struct {
	what, of string
	all      int64 // lines there will be, 0 if nobody knows
	text     bytes.Buffer
	lines    atomic.Int64
}

// Write implements io.Writer.
func (o *buildOutput) Write(p []byte) (int, error) {
	o.lines.Add(int64(bytes.Count(p, []byte("\n"))))
	return o.text.Write(p)
}

// progressAfter returns the line of progress some time after the beginning.
func (o *buildOutput) progressAfter(took time.Duration) string {
	line, done := fmt.Sprintf("%s ... %s, %d %s", o.what, took.Round(time.Second), o.lines.Load(), o.of), o.lines.Load()
	if o.all == 0 || done == 0 {
		return line
	}
	left := time.Duration(float64(took) * float64(max(o.all-done, 0)) / float64(done))
	return fmt.Sprintf("%s of %d, about %s left", line, o.all, left.Round(10*time.Second))
}

// showProgress prints a line after every pause until the caller stops it, and then a last one.
func showProgress(progress io.Writer, output *buildOutput) (stop func()) {
	begin, end, ended := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		for {
			select {
			case <-end:
				return
			case <-ticker.C:
				fmt.Fprintln(progress, output.progressAfter(time.Since(begin)))
			}
		}
	}()
	return func() {
		close(end)
		<-ended
		fmt.Fprintf(progress, "%s took %s\n", output.what, elapsed(begin))
	}
}

func elapsed(begin time.Time) time.Duration { return time.Since(begin).Round(time.Second) }
