package main

import (
	"testing"
	"time"
)

func TestOptionsComeFromFlagsAndThePasswordFromTheEnvironment(t *testing.T) {
	t.Setenv(passwordVariable, "s3cret")
	o, err := parseOptions([]string{"-port", "7000", "-database", "bench", "-max-conns", "50", "-retention", "24h"})
	if err != nil {
		t.Fatal(err)
	}
	if o.port != 7000 || o.database != "bench" || o.maxConns != 50 || o.retention != 24*time.Hour || o.pgPassword != "s3cret" {
		t.Errorf("options are %+v", o)
	}
	stores := persistence(o).DataStores
	if got := stores[mainStore].SQL.MaxConns; got != 50 {
		t.Errorf("main store has %d connections, want 50", got)
	}
	if got := stores[visibilityStore].SQL.DatabaseName; got != "bench_visibility" {
		t.Errorf("visibility database is %q", got)
	}
}

func TestOptionsRejectStrayArguments(t *testing.T) {
	if _, err := parseOptions([]string{"-port", "7000", "start"}); err == nil {
		t.Error("a stray argument was accepted")
	}
}

func TestFreePortsDifferAndAvoidTheTaken(t *testing.T) {
	ports, err := freePorts(50, firstPort)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{firstPort: true}
	for _, port := range ports {
		if seen[port] {
			t.Errorf("port %d was given twice or although taken", port)
		}
		seen[port] = true
	}
}
