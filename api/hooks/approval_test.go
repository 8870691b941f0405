package hooks_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

const device = "FILESRV-01" // as the EDR knows it; somebody typed another name

// asks puts a call about an approval to isolate a device on the ledger.
func (d *door) asks() store.LedgerRow {
	d.Helper()
	i := &d.incident
	d.record(i, analyst, &incident.IsolationRequested{Endpoint: "e1", Hostname: "files", Reason: "encrypting"})
	d.record(i, models.System(), &incident.EndpointObserved{Endpoint: "e1", Generation: 1, AgentID: "aid-1", DeviceName: device, State: models.HostNormal, Online: true})
	d.record(i, models.System(), &incident.ContainmentRuled{
		Endpoint: "e1", Generation: 1, Approval: "a1", AgentID: "aid-1", Asset: authority.Asset{Hostname: "files", DeviceName: device},
		Ruling: authority.Ruling{Decision: authority.DecideAsk, Rule: "ask", Persons: 1}, ApproveFor: models.DefaultPolicy().ApproveFor,
	})
	return d.intend(notify.ApprovalCallEffect(i.Reference, d.client.ID, "a1", "e1", 1, 1, d.contact.ID))
}

func spelledOut(name string) string {
	var parts []string
	for part := range strings.SplitSeq(name, "-") {
		parts = append(parts, strings.Join(strings.Split(part, ""), " "))
	}
	return strings.Join(parts, ", ")
}

func TestAnApprovalNamesTheDeviceOnlyAfterAKeyPress(t *testing.T) {
	d := newDoor(t)
	row := d.asks()
	first := d.speaks("voice", row, "", "")
	d.says(first, http.StatusOK, "approval to isolate a device", "<Gather")
	if strings.Contains(first.Body.String(), spelledOut(device)) || strings.Contains(first.Body.String(), device) {
		t.Errorf("the device is named before a key press: %s", first.Body)
	}
	d.says(d.speaks("key", row, "?n=1&stage=1", "9"), http.StatusOK, "no meaning", "stage=1") // nothing can be denied unheard
	d.tells()
	d.says(d.speaks("key", row, "?n=1&stage=1", "1"), http.StatusOK, spelledOut(device), "stage=2")
	d.tells(d.heard(row))
	d.says(d.speaks("key", row, "?n=1&stage=2", "1"), http.StatusOK, "approval is recorded")
	d.tells(fact(row.Workflow, models.SignalKeyPress, notify.KeyPress{Effect: row.Key, Contact: d.contact.ID, Digit: notify.KeyAcknowledge}))
	d.says(d.speaks("key", row, "?n=1&stage=2", "9"), http.StatusOK, "denial is recorded")
	d.tells(fact(row.Workflow, models.SignalKeyPress, notify.KeyPress{Effect: row.Key, Contact: d.contact.ID, Digit: notify.KeyDeny}))
}

func TestAnApprovalThatIsSettledIsNotAskedOnThePhone(t *testing.T) {
	d := newDoor(t)
	row := d.asks()
	d.record(&d.incident, models.Actor{Side: models.SideClient, ID: "user", Role: models.RoleAdmin}, &incident.ApprovalDenied{Approval: "a1", Via: "portal"})
	w := d.speaks("voice", row, "", "")
	d.says(w, http.StatusOK, "settled already", "<Hangup")
	if strings.Contains(w.Body.String(), "<Gather") {
		t.Errorf("a key is asked for: %s", w.Body)
	}
}

func TestAnAnswerAboutAnApprovalIsRecordedOnlyWhenItIs(t *testing.T) {
	d := newDoor(t)
	row := d.asks()
	d.engine.down = true
	d.says(d.speaks("key", row, "?n=1&stage=2", "1"), http.StatusOK, "could not be recorded", "<Gather", "stage=2")
	d.says(d.speaks("key", row, "?n=3&stage=2", "1"), http.StatusServiceUnavailable)
	d.engine.down = false
	d.engine.gone[row.Workflow], d.engine.gone[row.Incident.WorkflowID()] = true, true
	d.record(&d.incident, models.Actor{Side: models.SideClient, ID: "user", Role: models.RoleAdmin}, &incident.ApprovalDenied{Approval: "a1", Via: "portal"})
	d.says(d.speaks("key", row, "?n=1&stage=2", "1"), http.StatusOK, "settled already")
	d.tells()
}

// The device is asked about anew while the phone rings because of the first question.
func TestACallAboutAnEarlierApprovalIsSettled(t *testing.T) {
	d := newDoor(t)
	row := d.asks()
	d.record(&d.incident, analyst, &incident.ReleaseRequested{Endpoint: "e1", Reason: "another device"})
	d.record(&d.incident, analyst, &incident.IsolationRequested{Endpoint: "e1", Hostname: "files", Reason: "encrypting"})
	d.record(&d.incident, models.System(), &incident.ContainmentRuled{
		Endpoint: "e1", Generation: 3, Approval: "a2", AgentID: "aid-1", Asset: authority.Asset{Hostname: "files", DeviceName: device},
		Ruling: authority.Ruling{Decision: authority.DecideAsk, Rule: "ask", Persons: 1}, ApproveFor: models.DefaultPolicy().ApproveFor,
	})
	for digit := range strings.SplitSeq("1,9,3", ",") {
		d.says(d.speaks("key", row, "?n=1&stage=2", digit), http.StatusOK, "settled already")
	}
	if got := d.consents(); len(got) != 0 {
		t.Errorf("kept %v", got)
	}
	d.tells()
}

// heard is the fact that the contact heard in a call which incident it is about.
func (d *door) heard(row store.LedgerRow) told {
	return fact(row.Incident.WorkflowID(), models.SignalKeyPress, notify.KeyPress{Effect: row.Key, Contact: d.contact.ID, Digit: notify.KeyHeard})
}

func TestWhoeverHearsTheReferenceIsKeptToHaveHeardIt(t *testing.T) {
	d := newDoor(t)
	row := d.asks()
	d.speaks("key", row, "?n=1&stage=1", "2")
	if said := d.statements(); len(said) != 0 {
		t.Errorf("after the key to repeat: %+v", said)
	}
	d.speaks("key", row, "?n=1&stage=1", "1")
	if said := d.statements(); len(said) != 1 || said[0].Key != notify.KeyHeard || said[0].Effect != row.Key {
		t.Errorf("kept %+v", said)
	}
	d.engine.down = true // it is no reason not to ask
	d.says(d.speaks("key", row, "?n=1&stage=1", "1"), http.StatusOK, spelledOut(device), "stage=2")
}

// confirms lets an admin of the client let the contact approve, with a PIN.
func (d *door) confirms(pin string) {
	d.Helper()
	hash, err := auth.HashPIN(pin)
	d.ok(err)
	admin, err := d.store.CreateUser(d.Context(), models.User{ClientID: d.client.ID, Name: "A", Email: uuid.NewString() + "@acme.example", Role: models.RoleAdmin})
	d.ok(err)
	d.ok(d.store.ForClient(d.Context(), store.Portal, d.client.ID, func(tx *store.Tx) error {
		_, err := tx.ConfirmApprover(d.contact.ID, admin.ID, hash, tx.Now())
		return err
	}))
}

// consents returns what the contact is kept to have answered, without what they heard.
func (d *door) consents() (keys []notify.Key) {
	d.Helper()
	for _, s := range d.statements() {
		if s.Key != notify.KeyHeard {
			keys = append(keys, s.Key)
		}
	}
	return keys
}

func TestAnApprovalCountsWithItsPINOnly(t *testing.T) {
	d := newDoor(t)
	d.confirms("4711")
	row := d.asks()
	w := d.speaks("key", row, "?n=1&stage=2", "1")
	d.says(w, http.StatusOK, "enter your PIN", `numDigits="8"`, "stage=2", "pin=1")
	d.says(d.speaks("key", row, "?n=1&stage=2&pin=1", ""), http.StatusOK, "enter your PIN", "n=2")
	d.says(d.speaks("key", row, "?n=1&stage=2&pin=1", "47110"), http.StatusOK, "PIN is wrong", "enter your PIN", "n=2")
	d.tells()
	if got := d.consents(); len(got) != 0 {
		t.Errorf("without the PIN: %v", got)
	}
	d.says(d.speaks("key", row, "?n=2&stage=2&pin=1", "4711"), http.StatusOK, "approval is recorded")
	d.tells(fact(row.Workflow, models.SignalKeyPress, notify.KeyPress{Effect: row.Key, Contact: d.contact.ID, Digit: notify.KeyAcknowledge}))
	if got := d.consents(); !slices.Equal(got, []notify.Key{notify.KeyAcknowledge}) {
		t.Errorf("with the PIN: %v", got)
	}
}

func TestADenialNeedsNoPIN(t *testing.T) {
	d := newDoor(t)
	d.confirms("4711")
	row := d.asks()
	d.says(d.speaks("key", row, "?n=1&stage=2", "9"), http.StatusOK, "denial is recorded")
	d.tells(fact(row.Workflow, models.SignalKeyPress, notify.KeyPress{Effect: row.Key, Contact: d.contact.ID, Digit: notify.KeyDeny}))
}

// Three in a call, five in an hour; then the right one does not count either.
func TestWrongPINsEndTheCall(t *testing.T) {
	d := newDoor(t)
	d.confirms("4711")
	first := d.asks()
	enter := func(row store.LedgerRow, pin string, words ...string) {
		t.Helper()
		w := d.speaks("key", row, "?n=1&stage=2&pin=1", pin)
		d.says(w, http.StatusOK, words...)
		if strings.Contains(w.Body.String(), pin) {
			t.Errorf("the answer holds the PIN: %s", w.Body)
		}
	}
	enter(first, "0001", "PIN is wrong", "<Gather")
	enter(first, "0002", "PIN is wrong", "<Gather")
	enter(first, "0003", "Too many", "<Hangup")
	enter(first, "4711", "Too many", "<Hangup")
	again := func(try int) store.LedgerRow {
		t.Helper()
		return d.intend(notify.ApprovalCallEffect(d.incident.Reference, d.client.ID, "a1", "e1", 2, try, d.contact.ID))
	}
	second := again(1)
	enter(second, "0004", "PIN is wrong", "<Gather")
	enter(second, "0005", "Too many", "<Hangup")
	third := again(2)
	d.says(d.speaks("key", third, "?n=1&stage=2", "1"), http.StatusOK, "Too many", "<Hangup")
	d.tells()
	if got := d.consents(); len(got) != 0 {
		t.Errorf("kept %v", got)
	}
	d.asOwner("alter table wrong_pins disable trigger keep_rows")
	d.asOwner("update wrong_pins set at = at - interval '61 minutes'")
	enter(third, "4711", "approval is recorded")
}
