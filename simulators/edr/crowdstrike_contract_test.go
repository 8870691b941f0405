package edr

import (
	"testing"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
	"github.com/watchfire-mdr/watchfire/simulators/stage/stagetest"
)

func TestCrowdStrikeContract(t *testing.T) {
	c := stagetest.LoadContract(t, "crowdstrike/falcon_hosts_oauth2.openapi3.converted.json")
	w := newWorld(t)
	w.Web.Transport = c
	w.login()
	w.Steer(w.CrowdStrikeURL, "personas", `{"personas":{"DC-1":"protected"}}`)
	id := w.agent("PC-1")
	w.commandHost("contain", id)
	w.commandHost("contain", id)
	w.commandHost("contain", w.agent("DC-1"))
	w.commandHost("lift_containment", id)
	w.commandHost("explode", id)
	w.hostState(id)
	w.hostState(stage.HashHex("nobody"))
	w.falcon("GET", "/devices/entities/devices/v2?ids="+id, "")
	w.falcon("GET", "/devices/entities/online-state/v1?ids="+id+"&ids="+stage.HashHex("nobody"), "")
	for op, status := range map[string]string{opQueryHosts: "429", opHostDetails: "403", opDeviceAction: "500", stage.OpToken: "429"} {
		w.Fault(w.CrowdStrikeURL, `{"op":"`+op+`","kind":"status","status":`+status+`}`)
		switch op {
		case opQueryHosts:
			w.falcon("GET", "/devices/queries/devices/v1?filter=hostname%3A%27PC-1%27", "")
		case opHostDetails:
			w.hostState(id)
		case opDeviceAction:
			w.commandHost("contain", id)
		case stage.OpToken:
			w.Do("POST", w.CrowdStrikeURL+"/oauth2/token", "application/x-www-form-urlencoded", "client_id=a&client_secret=b")
		}
	}
	c.Replay(w.Journal(w.CrowdStrikeURL))
	if c.Checked < 30 {
		t.Errorf("only %d requests were checked", c.Checked)
	}
}
