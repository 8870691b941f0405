package stage

import (
	"fmt"
	"strings"
	"testing"
)

func TestProbabilityIsRepeatable(t *testing.T) {
	draw := func(seed uint64) string {
		var f Faults
		half := 0.5
		f.add([]Rule{{Op: "*", Kind: FaultStatus, Probability: &half, Seed: seed}})
		var b strings.Builder
		for range 64 {
			_, hit := f.UseRule("send_mail")
			fmt.Fprint(&b, map[bool]int{true: 1}[hit])
		}
		return b.String()
	}
	first, again, other := draw(7), draw(7), draw(8)
	if hits := strings.Count(first, "1"); first != again || first == other || hits < 16 || hits > 48 {
		t.Errorf("draws: %s %s %s", first, again, other)
	}
}
