package bench

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The processes by whose work the sides are compared, and this one, which puts the load on and plays the vendors.
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

// processes are what is accounted, by name. PostgreSQL is its postmaster with all its children.
type processes map[string]int

// usage is what had been used at a moment.
type usage struct {
	at          time.Time
	cpu         map[string]time.Duration // by process
	busy, total time.Duration            // of the whole machine, all cores together
}

// read reads what every process and the machine have used so far. A process that is gone has used nothing.
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

// other is the part of the machine (0 to 1) that work which is none of ours took since before.
func (u usage) other(before usage) float64 {
	all, mine := u.busy-before.busy, time.Duration(0)
	for name := range u.cpu {
		mine += u.cpu[name] - before.cpu[name]
	}
	return max(0, float64(all-mine)/float64(max(u.total-before.total, tick)))
}

// stat are the numbers of /proc/PID/stat after the command's name: [0] is the state, [1] the parent's id.
func stat(pid string) []string {
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

// ticks adds fields of a stat: utime is 11, stime 12, cutime 13, cstime 14.
func ticks(f []string, fields ...int) time.Duration {
	var sum time.Duration
	for _, n := range fields {
		v, err := strconv.ParseInt(f[n], 10, 64)
		if err == nil {
			sum += time.Duration(v) * tick
		}
	}
	return sum
}

func ownCPU(pid int) time.Duration {
	if f := stat(strconv.Itoa(pid)); f != nil {
		return ticks(f, 11, 12)
	}
	return 0
}

// childrenCPU is what the children of a process use: those alive, and those it has buried.
func childrenCPU(parent int) time.Duration {
	var sum time.Duration
	if f := stat(strconv.Itoa(parent)); f != nil {
		sum = ticks(f, 13, 14)
	}
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return sum
	}
	for _, path := range all {
		if f := stat(filepath.Base(path)); f != nil && f[1] == strconv.Itoa(parent) {
			sum += ticks(f, 11, 12)
		}
	}
	return sum
}

// machineCPU is the time all cores were busy, and the time there was. Waiting for disks is not busy.
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

// memory is the resident memory of every process but PostgreSQL's children, in MB.
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

// since is what was used between two moments by every process.
func (u usage) since(before usage) map[string]time.Duration {
	out := maps.Clone(u.cpu)
	for name := range out {
		out[name] -= before.cpu[name]
	}
	return out
}
