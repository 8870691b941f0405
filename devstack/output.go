package devstack

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// tailLines is how many last lines of a process's output go into an error message.
const tailLines = 15

// output passes a process's output on to a log, keeps its last lines for error
// messages and announces the first line with a prefix. Several goroutines may
// write to it.
type output struct {
	mu      sync.Mutex
	log     io.Writer
	partial []byte
	tail    []string
	prefix  string
	found   chan string // receives the first line with the prefix
}

// newOutput returns an output that writes to log (nil: nowhere) and looks for
// prefix ("": for nothing).
func newOutput(log io.Writer, prefix string) *output {
	if log == nil {
		log = io.Discard
	}
	return &output{log: log, prefix: prefix, found: make(chan string, 1)}
}

// Write implements io.Writer. A failing log never stops the process.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, _ = o.log.Write(p)
	o.partial = append(o.partial, p...)
	for {
		line, rest, complete := bytes.Cut(o.partial, []byte("\n"))
		if !complete {
			return len(p), nil
		}
		o.addLine(string(line))
		o.partial = rest
	}
}

// addLine keeps a complete line and announces it when it has the prefix.
func (o *output) addLine(line string) {
	o.tail = append(o.tail, line)
	if len(o.tail) > tailLines {
		o.tail = o.tail[1:]
	}
	if o.prefix != "" && strings.HasPrefix(line, o.prefix) {
		select {
		case o.found <- line:
		default:
		}
	}
}

// Tail returns the last lines, indented to stand under an error message, or "".
func (o *output) Tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.tail) == 0 {
		return ""
	}
	return "\n  " + strings.Join(o.tail, "\n  ")
}
