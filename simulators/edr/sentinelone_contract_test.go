package edr

import (
	"testing"

	"github.com/watchfire-mdr/watchfire/simulators/stage/stagetest"
)

func TestSentinelOneContract(t *testing.T) {
	c := stagetest.LoadContract(t, "sentinelone/s1_isolation.handwritten.openapi.yaml")
	w := newWorld(t)
	w.Web.Transport = c
	w.Steer(w.EDR["sentinelone"], "personas", `{"personas":{"MINE":"tagged","AWAY":"offline","GUARDED":"protected"}}`)
	for _, name := range []string{"PC-1", "MINE", "AWAY", "GUARDED"} {
		id := w.s1Agent(name)
		for _, action := range []string{"disconnect", "disconnect", "connect"} {
			w.s1Act(action, byAgent(id))
			w.s1Read(id, "networkStatus")
		}
	}
	id := w.s1Agent("PC-1")
	for _, status := range []string{"400", "401", "403", "429"} {
		w.Fault(w.EDR["sentinelone"], `{"op":"disconnect","kind":"status","status":`+status+`,"times":1}`)
		w.s1Act("disconnect", byAgent(id))
	}
	if c.Checked < 30 {
		t.Errorf("only %d requests were checked", c.Checked)
	}
}
