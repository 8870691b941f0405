package bench

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The processes whose work is read; the last one is this process, which puts the load on and simulates the vendors.
const (
	procTemporal = "temporal"
	procPostgres = "postgres"
	procAPI      = "api"
	procWorker   = "worker"
	procBare     = "bare worker"
	procLoad     = "load and simulators"
)

// tick is the unit of /proc/PID/stat and /proc/stat: USER_HZ is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// processes are the ids of the processes whose work is read, by name. PostgreSQL is its postmaster with all its
// children.
type processes map[string]int

// usage is the CPU time that the processes and the machine had used at a moment.
type usage struct {
	at          time.Time
	cpu         map[string]time.Duration // by process
	busy, total time.Duration            // of the whole machine, all cores together
}

// read reads the CPU time of every process and of the machine so far. A process that is gone has used none.
func (p processes) read() usage {
	u := usage{at: time.Now(), cpu: map[string]time.Duration{}}
	for name, pid := range p {
		u.cpu[name] = ownCPU(pid)
		if name == procPostgres {
			u.cpu[name] += childrenCPU(pid)
		}
	}
	u.busy, u.total = machineCPU()
	return u
}

// idle returns the share of a core that each process uses, read for a while.
func (p processes) idle(ctx context.Context, d time.Duration) (map[string]float64, error) {
	before := p.read()
	if err := rest(ctx, d); err != nil {
		return nil, err
	}
	after, shares := p.read(), map[string]float64{}
	for name, used := range after.since(before) {
		shares[name] = used.Seconds() / after.at.Sub(before.at).Seconds()
	}
	return shares, nil
}

// other returns the share of the machine (0 to 1) that work of other processes took since before.
func (u usage) other(before usage) float64 {
	all, mine := u.busy-before.busy, time.Duration(0)
	for name := range u.cpu {
		mine += u.cpu[name] - before.cpu[name]
	}
	return max(0, float64(all-mine)/float64(max(u.total-before.total, tick)))
}

// readStat returns the fields of /proc/PID/stat after the command's name, or nil: [0] is the state, [1] the parent's
// id.
func readStat(pid string) []string {
	b, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return nil
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 16 {
		return nil
	}
	return f
}

// sumTicks adds fields of a stat: utime is 11, stime 12, cutime 13, cstime 14.
func sumTicks(f []string, fields ...int) time.Duration {
	var sum time.Duration
	for _, n := range fields {
		v, err := strconv.ParseInt(f[n], 10, 64)
		if err == nil {
			sum += time.Duration(v) * tick
		}
	}
	return sum
}

// ownCPU returns the CPU time of a process without its children.
func ownCPU(pid int) time.Duration {
	if f := readStat(strconv.Itoa(pid)); f != nil {
		return sumTicks(f, 11, 12)
	}
	return 0
}

// childrenCPU returns the CPU time of the children of a process: of those alive, and of those it has waited for.
func childrenCPU(parent int) time.Duration {
	var sum time.Duration
	if f := readStat(strconv.Itoa(parent)); f != nil {
		sum = sumTicks(f, 13, 14)
	}
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return sum
	}
	for _, path := range all {
		if f := readStat(filepath.Base(path)); f != nil && f[1] == strconv.Itoa(parent) {
			sum += sumTicks(f, 11, 12)
		}
	}
	return sum
}

// machineCPU returns the time that all cores together were busy, and their whole time. Waiting for disks is not busy.
func machineCPU() (busy, total time.Duration) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	first, _, _ := strings.Cut(string(b), "\n")
	for n, s := range strings.Fields(first)[1:] {
		v, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n > 7 { // guests are counted in user time already
			continue
		}
		total += time.Duration(v) * tick
		if n != 3 && n != 4 {
			busy += time.Duration(v) * tick
		}
	}
	return busy, total
}

// memory returns the resident memory of every process but PostgreSQL, in MB, by name.
func (p processes) memory() map[string]float64 {
	out := map[string]float64{}
	for name, pid := range p {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if f := strings.Fields(string(b)); err == nil && len(f) > 1 && name != procPostgres {
			pages, _ := strconv.ParseFloat(f[1], 64) // the kernel writes numbers
			out[name] = pages * float64(os.Getpagesize()) / (1 << 20)
		}
	}
	return out
}

// since returns the CPU time of every process since before, by name.
func (u usage) since(before usage) map[string]time.Duration {
	out := maps.Clone(u.cpu)
	for name := range out {
		out[name] -= before.cpu[name]
	}
	return out
}
