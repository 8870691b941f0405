package devstack_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/devstack"
)

// parentVariable makes the test binary play the parent that gets killed.
const parentVariable = "DEVSTACK_TEST_PARENT_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentVariable); dir != "" {
		playParent(dir)
		return
	}
	os.Exit(m.Run())
}

// playParent starts a PostgreSQL and a plain process, prints their ids and waits
// to be killed.
func playParent(dir string) {
	ctx := context.Background()
	postgres, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: dir})
	if err != nil {
		fmt.Println("failed", err)
		return
	}
	plain, err := devstack.StartProcess(ctx, "plain", "sleep", []string{"600"}, nil, nil)
	if err != nil {
		fmt.Println("failed", err)
		return
	}
	fmt.Println("started", postgres.Process().PID(), plain.PID())
	select {}
}

func TestNothingSurvivesTheParent(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("only Linux has a parent-death signal")
	}
	dir := filepath.Join(t.TempDir(), "postgres")
	t.Cleanup(func() {
		if err := devstack.RemovePostgres(dir); err != nil {
			t.Error(err)
		}
	})
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentVariable+"="+dir)
	stdout, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	words := strings.Fields(line)
	if len(words) != 3 || words[0] != "started" {
		t.Fatalf("the parent said %q", line)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	for _, pid := range words[1:] {
		expectGone(t, pid)
	}
}

// expectGone waits until the process is no longer there or a zombie.
func expectGone(t *testing.T, pid string) {
	t.Helper()
	id, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "process "+pid+" ends", func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id))
		return err != nil || bytes.Contains(status, []byte(") Z "))
	})
}

func TestProcessReportsHowItEnded(t *testing.T) {
	failing, err := devstack.StartProcess(t.Context(), "failing", "sh", []string{"-c", "exit 3"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	<-failing.Done()
	var exit *exec.ExitError
	if !errors.As(failing.Err(), &exit) || exit.ExitCode() != 3 || !strings.Contains(failing.Err().Error(), "failing") {
		t.Errorf("error is %v, want exit code 3 and the process's name", failing.Err())
	}
	fine, err := devstack.StartProcess(t.Context(), "fine", "true", nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	<-fine.Done()
	if fine.Err() != nil {
		t.Errorf("error is %v, want none", fine.Err())
	}
	if _, err := devstack.StartProcess(t.Context(), "missing", "/does/not/exist", nil, nil, nil); err == nil {
		t.Error("a missing binary was started")
	}
}

func TestProcessGetsItsEnvironmentAndStopsOnTerm(t *testing.T) {
	reader, writer := io.Pipe()
	script := `trap 'echo stopped; exit 0' TERM; echo "hello $GREETED"; while :; do sleep 0.05; done`
	process, err := devstack.StartProcess(t.Context(), "polite", "sh", []string{"-c", script}, []string{"GREETED=analyst"}, writer)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(reader)
	if !lines.Scan() || lines.Text() != "hello analyst" {
		t.Fatalf("the process said %q", lines.Text())
	}
	go process.Stop()
	if !lines.Scan() || lines.Text() != "stopped" {
		t.Errorf("the process said %q, want \"stopped\"", lines.Text())
	}
	<-process.Done()
	process.Stop() // once more is harmless
	if process.Err() != nil {
		t.Errorf("error is %v, want none", process.Err())
	}
}

func TestProcessKill(t *testing.T) {
	process, err := devstack.StartProcess(t.Context(), "stubborn", "sh", []string{"-c", "trap '' TERM; exec sleep 600"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	process.Kill()
	if err := syscall.Kill(process.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the process is still there: %v", err)
	}
	if process.Err() == nil {
		t.Error("a killed process reports no error")
	}
}

// eventually waits up to ten seconds for the condition; what names it in the failure.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("not within ten seconds: %s", what)
		case <-tick.C:
		}
	}
}
