package hooks_test

import (
	"net/http"
	"strings"
	"testing"

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
	return d.intend(notify.ApprovalCallEffect(i.Reference, d.client.ID, notify.ApprovalCall{ID: "a1", Endpoint: "e1"}, 1, 1, d.contact.ID))
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
	d.tells()
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

// The round of calls was lost while the phone rang.
func TestAnAnswerAboutAnApprovalWhoseRoundIsGoneReachesTheIncident(t *testing.T) {
	for digit, words := range map[string]string{"1": "approval is recorded", "9": "denial is recorded"} {
		d := newDoor(t)
		row := d.asks()
		d.engine.gone[row.Workflow] = true
		d.says(d.speaks("key", row, "?n=1&stage=2", digit), http.StatusOK, words)
		d.tells(fact(row.Incident.WorkflowID(), models.SignalPhoneConsent, notify.PhoneConsent{
			Approval: "a1", Contact: d.contact.ID, Person: d.contact.Person(), Granted: digit == "1",
		}))
		d.says(d.speaks("key", row, "?n=1&stage=2", "3"), http.StatusOK, "settled already")
	}
}
