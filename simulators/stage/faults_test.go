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

func TestRuleIsForRequestsThatHoldAText(t *testing.T) {
	var f Faults
	f.add([]Rule{{Op: "act", Kind: FaultLate, Times: 1, Holds: "SI-1042-0007/isolate/"}})
	for _, step := range []struct {
		op, body string
		want     bool
	}{
		{"act", `{"comment": "SI-1042-0007/release/2"}`, false}, {"look", "SI-1042-0007/isolate/1", false},
		{"act", `{"comment": "SI-1042-0007/isolate/1"}`, true}, {"act", `{"comment": "SI-1042-0007/isolate/1"}`, false},
	} {
		if _, hit := f.useRule(step.op, []byte(step.body)); hit != step.want {
			t.Errorf("%s %s: the rule applied: %t, want %t", step.op, step.body, hit, step.want)
		}
	}
}
