package simulators

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

func TestSentinelOneContract(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(contractDir(t), "sentinelone", "s1_isolation.handwritten.openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		t.Fatal(err)
	}
	doc.Servers = openapi3.Servers{{URL: "/"}}
	r, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	c := &contract{t: t, answers: true}
	c.routers = append(c.routers, r)
	w := newWorld(t)
	w.web.Transport = c
	w.steer(w.EDR["sentinelone"], "personas", `{"personas":{"MINE":"tagged","AWAY":"offline","GUARDED":"protected"}}`)
	for _, name := range []string{"PC-1", "MINE", "AWAY", "GUARDED"} {
		id := w.s1Agent(name)
		for _, action := range []string{"disconnect", "disconnect", "connect"} {
			w.s1Act(action, byAgent(id))
			w.s1Read(id, "networkStatus")
		}
	}
	id := w.s1Agent("PC-1")
	for _, status := range []string{"400", "401", "403", "429"} {
		w.fault(w.EDR["sentinelone"], `{"op":"disconnect","kind":"status","status":`+status+`,"times":1}`)
		w.s1Act("disconnect", byAgent(id))
	}
	if c.checked < 30 {
		t.Errorf("only %d requests were checked", c.checked)
	}
}
