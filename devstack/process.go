package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// StopGrace is how long Stop waits after its signal before it kills.
const StopGrace = 10 * time.Second

// outputGrace is how long children of an ended process may keep its output open.
const outputGrace = 5 * time.Second

// Process is one started process. Its methods signal it by its own id only, never
// by name or group. On Linux the kernel kills it when the process that started it
// dies, however that dies.
type Process struct {
	name       string
	cmd        *exec.Cmd
	stopSignal syscall.Signal
	done       chan struct{}
	err        error // set before done is closed
	stop       sync.Once
}

// command says which program to start, and how.
type command struct {
	name        string
	binary      string
	args        []string
	env         []string // added to the parent's
	dir         string
	stdout      io.Writer
	stderr      io.Writer
	user        *syscall.Credential // nil: the parent's
	stopSignal  syscall.Signal
	deathSignal syscall.Signal
}

// StartProcess starts binary with args, with env added to this process's
// environment and both outputs written to log (nil: dropped). The name is used
// in errors only. ctx bounds the start, not the life: end it with Stop or Kill.
//
// The process is in a process group of its own, so Ctrl-C at the terminal
// reaches the parent only, which then stops its parts in the order it needs.
func StartProcess(ctx context.Context, name, binary string, args, env []string, log io.Writer) (*Process, error) {
	return start(ctx, command{
		name: name, binary: binary, args: args, env: env, stdout: log, stderr: log,
		stopSignal: syscall.SIGTERM, deathSignal: syscall.SIGKILL,
	})
}

// start runs the process from a goroutine that keeps its operating system
// thread until the process ends: the kernel's parent-death signal is tied to
// the thread that forked, not to the process.
func start(ctx context.Context, c command) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), c.binary, c.args...)
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Dir = c.dir
	cmd.Stdout, cmd.Stderr = c.stdout, c.stderr
	cmd.WaitDelay = outputGrace
	cmd.SysProcAttr = processAttributes(c.user, c.deathSignal)
	p := &Process{name: c.name, cmd: cmd, stopSignal: c.stopSignal, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	return p, nil
}

// PID returns the process id, also after the process has ended.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done returns a channel that is closed when the process has ended and its output
// is written.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns nil while the process runs and after it ended with code 0, else an
// error that says which process ended, and how.
func (p *Process) Err() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	if p.err == nil || errors.Is(p.err, exec.ErrWaitDelay) {
		return nil
	}
	return fmt.Errorf("%s ended: %w", p.name, p.err)
}

// Stop asks the process to end, waits up to StopGrace and then kills it. It
// returns when the process has ended and may be called again.
func (p *Process) Stop() {
	p.stop.Do(func() { p.signal(p.stopSignal) })
	select {
	case <-p.done:
	case <-time.After(StopGrace):
		p.Kill()
	}
}

// Kill ends the process with SIGKILL and returns when it has ended.
func (p *Process) Kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// signal drops the error: the only one possible is that the process has ended.
func (p *Process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }
