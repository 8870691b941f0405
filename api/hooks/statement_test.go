package hooks_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

func TestWhatAContactSaysIsKeptBeforeAnybodyIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		say func(*door) (effect string)
		key notify.Key
	}{
		"a key":    {func(d *door) string { d.speaks("key", d.call, "?n=1", "1"); return d.call.Key }, notify.KeyAcknowledge},
		"a reply":  {func(d *door) string { d.replies(phone, d.text.Code()); return d.text.Key }, notify.KeyReply},
		"a denial": {func(d *door) string { row := d.asks(); d.speaks("key", row, "?n=1&stage=2", "9"); return row.Key }, notify.KeyDeny},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			var known []store.Statement
			asked := 0
			d.engine.before = func() {
				if asked++; asked == 1 {
					known = d.statements()
				}
			}
			effect := c.say(d)
			if asked != 1 || len(known) != 1 {
				t.Fatalf("%d workflows were told; before that %+v was kept", asked, known)
			}
			got := known[0]
			want := store.Statement{Effect: effect, Key: c.key, Incident: d.incident.Reference, Contact: d.contact.ID, Seq: d.incident.Seq, At: got.At}
			if got != want || time.Since(got.At) > time.Minute {
				t.Errorf("kept %+v, want %+v", got, want)
			}
		})
	}
}

func TestWhatCannotBeKeptIsNotRecorded(t *testing.T) {
	d := newDoor(t)
	d.asOwner("revoke insert on contact_statements from watchfire_hooks")
	d.says(d.speaks("key", d.call, "?n=1", "1"), http.StatusOK, "<Gather")
	if w := d.replies(phone, d.text.Code()); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a reply was answered with %d", w.Code)
	}
	d.tells()
	d.asOwner("grant insert on contact_statements to watchfire_hooks")
	d.says(d.speaks("key", d.call, "?n=2", "1"), http.StatusOK, "is recorded")
	d.tells(fact(d.call.Workflow, models.SignalKeyPress, notify.KeyPress{Effect: d.call.Key, Contact: d.contact.ID, Digit: notify.KeyAcknowledge}))
}
