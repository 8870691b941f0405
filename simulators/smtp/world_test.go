package smtp

import (
	"testing"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
	"github.com/watchfire-mdr/watchfire/simulators/stage/stagetest"
)

const (
	testSender   = "soc@watchfire.example"
	testPassword = "smtp-secret-000001"
)

// world is the mail server, with a login.
type world struct {
	*stagetest.World
	SMTPURL, SMTPAddr string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return worldWith(t, Options{User: "soc", Password: testPassword})
}

func worldWith(t *testing.T, o Options) *world {
	t.Helper()
	w := &world{World: stagetest.NewWorld(t, stagetest.Hurried)}
	j := stage.NewJournal([]string{testPassword})
	m, err := New(w.Stage, o, j)
	if err != nil {
		t.Fatal(err)
	}
	if w.SMTPURL, err = w.Stage.Serve(m, "", j); err != nil {
		t.Fatal(err)
	}
	l, err := w.Stage.Listen(m, "")
	if err != nil {
		t.Fatal(err)
	}
	w.SMTPAddr = l.Addr().String()
	m.ServeSMTP(l)
	return w
}
