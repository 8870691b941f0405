package sendgrid

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"

	"github.com/watchfire-mdr/watchfire/simulators/stage/stagetest"
)

const (
	testMailKey = "SG.sendgrid-secret-key-000001"
	testSender  = "soc@watchfire.example"
)

// world is the simulator with a product behind it that takes events.
type world struct {
	*stagetest.World
	SendGridURL string
	key         *ecdsa.PrivateKey // signs the events
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return worldAt(t, stagetest.Hurried)
}

func unhurried(t *testing.T) *world {
	t.Helper()
	return worldAt(t, stagetest.Unhurried)
}

func worldAt(t *testing.T, pace float64) *world {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := stagetest.NewWorld(t, pace)
	v, err := New(w.Stage, Options{APIKey: testMailKey, From: testSender, WebhookURL: w.Product.URL + "/events", WebhookKey: key})
	if err != nil {
		t.Fatal(err)
	}
	return &world{World: w, SendGridURL: w.Serve(v, testMailKey), key: key}
}
