package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/watchfire-mdr/watchfire/models/incident"
)

func TestAnOrderTakesTextsLikeEveryDoor(t *testing.T) {
	for body, command := range map[string]string{
		`{"text":"\u202egnirts\u0007"}`: "comment", `{"text":"\u200b"}`: "comment", `{"title":"a\u202eb\nc"}`: "assess",
	} {
		file := filepath.Join(t.TempDir(), "body.json")
		if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readOrder("SI-1042-0007", command, "6f1f2f6e-0000-4000-8000-000000000001", "analyst", "r", file); err == nil {
			t.Errorf("%s is taken", body)
		}
	}
}

// The fingerprint is of what arrives, however the file is written: a workflow refuses an order without it.
func TestAnOrderSaysWhatItAsksFor(t *testing.T) {
	file := filepath.Join(t.TempDir(), "body.json")
	if err := os.WriteFile(file, []byte("{ \"note\": \"<quiet> since noon\",\n  \"gone\": true }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sent, err := readOrder("SI-1042-0007", "verify", "6f1f2f6e-0000-4000-8000-000000000001", "analyst", "r", file)
	if err != nil {
		t.Fatal(err)
	}
	written, err := json.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	var got incident.CommandRequest
	if err := json.Unmarshal(written, &got); err != nil {
		t.Fatal(err)
	}
	if got.Fingerprint != incident.Fingerprint("verify", got.Body) {
		t.Errorf("fingerprint %q of %s", got.Fingerprint, got.Body)
	}
	if c, err := incident.ParseCommand("verify", got.Body); err != nil || *c.(*incident.Verify) != (incident.Verify{Gone: true, Note: "<quiet> since noon"}) {
		t.Errorf("%+v, %v", c, err)
	}
}
