package bench

import (
	"fmt"
	"io"
)

// printReach writes how long contacts wait until a vendor gets the request to reach them.
func (r Result) printReach(out io.Writer) {
	if len(r.Reach) == 0 {
		return
	}
	fmt.Fprintf(out, "\nCritical incidents, from the request to publish until a vendor gets a request; p50 / p99 / greatest in ms; bare: from an update until its activity starts\n")
	fmt.Fprintf(out, "%-9s %24s %24s %24s %24s %9s %5s %5s %5s  p99 ≤ %.0f ms\n", "at once", "bare", "first mail", "first call", "request answered", "mail/bare", "202", "again", "tasks", reachAim)
	for _, m := range r.Reach {
		fmt.Fprintf(out, "%-9d %24s %24s %24s %24s %9.1f %5d %5d %5d  %s\n", m.AtOnce, m.Bare.Latency, m.Ours.Latency, m.Call, m.Answer, m.ratio(), m.Queued, m.Retried, m.Tasks, m.Verdict)
	}
	for _, m := range r.Reach {
		fmt.Fprintf(out, "  %d at once, CPU ms per incident: temporal %.0f, postgres %.0f, API %.0f, worker %.0f, load and vendors %.0f; bare %.0f in all; other work %.0f %% of the machine\n",
			m.AtOnce, m.Ours.CPU[procTemporal], m.Ours.CPU[procPostgres], m.Ours.CPU[procAPI], m.Ours.CPU[procWorker], m.Ours.CPU[procLoad],
			m.Bare.comparedCPU()+m.Bare.CPU[procLoad], 100*m.Ours.Other)
	}
}

// String writes a latency as p50 / p99 / greatest.
func (l Latency) String() string { return fmt.Sprintf("%.0f / %.0f / %.0f", l.P50, l.P99, l.Max) }

// print writes the result of the reports on mails.
func (h *Hooks) print(out io.Writer) {
	if h == nil {
		return
	}
	fmt.Fprintf(out, "\nOne incident, %d mails: the first %.0f ms after the request to publish, the last %.1f s later (%.0f a second)\n",
		h.Contacts, h.First, h.Mails, float64(h.Contacts)/max(h.Mails, .001))
	fmt.Fprintf(out, "  %d reports on them in %d requests at once: all in the ledger after %.1f s (%.0f a second), none lost; bare %.0f a second; API %.0f MB at most; other work %.0f %% of the machine\n",
		h.Reports, h.Requests, h.Seconds, h.PerSecond, h.Bare, h.APIMemory, 100*h.Other)
}
