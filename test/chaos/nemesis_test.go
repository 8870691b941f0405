package chaos

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/watchfire-mdr/watchfire/devstack"
)

// part is one process of the stack. A supervisor starts it again whenever it has ended, as in production.
type part struct {
	name  string
	pace  time.Duration // between blows, about
	start func(ctx context.Context) (*devstack.Process, error)

	mu      sync.Mutex
	process *devstack.Process
	down    time.Time // not started again before
}

func (p *part) current() *devstack.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.process
}

// supervise puts every process under a supervisor that works until ctx ends.
func (w *world) supervise(ctx context.Context) {
	s := w.stack
	worker := func(ctx context.Context) (*devstack.Process, error) {
		w.starting.Lock()
		defer w.starting.Unlock()
		if err := s.StartWorker(ctx); err != nil {
			return nil, err
		}
		return s.Workers[len(s.Workers)-1], nil
	}
	w.parts = []*part{
		{name: "worker 1", pace: 10 * time.Second, process: s.Workers[0], start: worker},
		{name: "worker 2", pace: 10 * time.Second, process: s.Workers[1], start: worker},
		{name: "API", pace: 12 * time.Second, process: s.API, start: func(ctx context.Context) (*devstack.Process, error) { return s.API, s.StartAPI(ctx) }},
		{name: "Temporal", pace: 30 * time.Second, process: s.Temporal.Process(), start: func(ctx context.Context) (*devstack.Process, error) {
			err := s.Temporal.Restart(ctx)
			return s.Temporal.Process(), err
		}},
		{name: "PostgreSQL", pace: 20 * time.Second, process: s.Postgres.Process(), start: func(ctx context.Context) (*devstack.Process, error) {
			err := s.Postgres.Restart(ctx)
			return s.Postgres.Process(), err
		}},
	}
	for _, p := range w.parts {
		w.supervised.Go(func() { w.keepUp(ctx, p) })
	}
}

// keepUp starts a part again each time it has ended.
func (w *world) keepUp(ctx context.Context, p *part) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.current().Done():
		}
		p.mu.Lock()
		pause := max(time.Until(p.down), 100*time.Millisecond)
		p.mu.Unlock()
		if !wait(ctx, pause) {
			return
		}
		process, err := p.start(ctx)
		if err != nil {
			w.say("%s does not start yet: %.60q", p.name, err.Error())
			continue
		}
		p.mu.Lock()
		p.process = process
		p.mu.Unlock()
		w.say("%s runs again", p.name)
	}
}

// breakThings carries out the plan's blows and returns when the last one is over.
func (w *world) breakThings(ctx context.Context) {
	var all sync.WaitGroup
	for _, p := range w.parts {
		all.Go(func() {
			begin := time.Now()
			for _, h := range w.plan.hits(p.name, p.pace) {
				if !wait(ctx, time.Until(begin.Add(h.at))) {
					return
				}
				w.say("%s %s for %s", h.kind, p.name, h.hold.Round(time.Millisecond))
				w.strike(ctx, p, h)
			}
		})
	}
	if w.plan.has("reset") {
		all.Go(func() { w.tryUntilDone(ctx, "reset", w.lives[0], w.reset) })
	}
	if w.plan.has("terminate") {
		all.Go(func() { w.tryUntilDone(ctx, "terminate", w.lives[1], w.terminate) })
	}
	all.Wait()
	wait(ctx, time.Until(w.began.Add(w.plan.window)))
}

// strike kills a part, or stops it and lets it go on.
func (w *world) strike(ctx context.Context, p *part, h hit) {
	process := p.current()
	if h.kind == "kill" {
		p.mu.Lock()
		p.down = time.Now().Add(h.hold)
		p.mu.Unlock()
		process.Kill()
		return
	}
	family := familyOf(process.PID())
	for _, pid := range family {
		_ = syscall.Kill(pid, syscall.SIGSTOP) // one that has ended needs no stop
	}
	wait(ctx, h.hold)
	for _, pid := range family {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
}

// familyOf returns a process and its children: PostgreSQL works in children.
func familyOf(pid int) []int {
	family := []int{pid}
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)) // none outside Linux
	for child := range strings.FieldsSeq(string(raw)) {
		if n, err := strconv.Atoi(child); err == nil {
			family = append(family, n)
		}
	}
	return family
}

// tryUntilDone waits for the middle of the window and for the life to be published, then does something to its workflow
// and repeats it while the engine does not answer.
func (w *world) tryUntilDone(ctx context.Context, what string, l *life, do func(ctx context.Context, id string) error) {
	at := between(w.plan.draw(what), w.plan.window/2, w.plan.window*3/4)
	if !wait(ctx, at) {
		return
	}
	for !l.isPublished() {
		if !wait(ctx, 200*time.Millisecond) {
			return
		}
	}
	for {
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := do(attempt, l.reference().WorkflowID())
		cancel()
		if err == nil {
			w.say("%s %s", what, l.reference())
			l.note(what)
			return
		}
		if !wait(ctx, time.Second) {
			w.t.Errorf("%s: %v", what, err)
			return
		}
	}
}

// terminate ends the workflow as an operator might by mistake.
func (w *world) terminate(ctx context.Context, id string) error {
	return w.engine.TerminateWorkflow(ctx, id, "", "chaos")
}

// reset takes the workflow back to a workflow task in the middle of its history.
func (w *world) reset(ctx context.Context, id string) error {
	var tasks []int64
	run := ""
	for it := w.engine.GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); {
		e, err := it.Next()
		if err != nil {
			return err
		}
		if started := e.GetWorkflowExecutionStartedEventAttributes(); started != nil {
			run = started.GetOriginalExecutionRunId()
		}
		if e.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			tasks = append(tasks, e.GetEventId())
		}
	}
	if len(tasks) < 4 {
		return fmt.Errorf("%s has only %d workflow tasks yet", id, len(tasks))
	}
	_, err := w.engine.ResetWorkflowExecution(ctx, &workflowservice.ResetWorkflowExecutionRequest{
		Namespace: w.stack.Temporal.Namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: run},
		Reason: "chaos", WorkflowTaskFinishEventId: tasks[len(tasks)/2], RequestId: fmt.Sprint("chaos-", w.plan.seed),
	})
	return err
}

// wait returns after d, or false when ctx ends first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
