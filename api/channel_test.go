package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/desk/desktest"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// check is the answer to a request for a code.
type check struct {
	Channel   models.Channel
	ExpiresAt time.Time `json:"expires_at"`
}

func channel(ch models.Channel) map[string]any { return map[string]any{"channel": ch} }

func withCode(ch models.Channel, code string) map[string]any {
	return map[string]any{"channel": ch, "code": code}
}

// code lets a code be sent over a channel of a contact of Acme and returns it.
func (w *world) code(contact uuid.UUID, ch models.Channel) string {
	w.Helper()
	w.must(http.StatusAccepted, w.post("analyst", contactPath(w, contact, "verify-channel"), channel(ch)))
	row, err := w.engine.Carry(w.Context(), contact, ch)
	w.ok(err)
	return row.Code()
}

// other returns a code that is not the given one.
func other(code string) string {
	if code == "000000" {
		return "000001"
	}
	return "000000"
}

func TestAChannelIsVerifiedByItsCode(t *testing.T) {
	w := newWorld(t)
	for _, ch := range []models.Channel{models.ChannelEmail, models.ChannelSMS, models.ChannelVoice} {
		id := w.contact()
		code := w.code(id, ch)
		began := time.Now()
		confirm := func(key, code string) answer {
			return w.postAs("analyst", contactPath(w, id, "confirm-channel"), key, withCode(ch, code))
		}
		if a := w.must(http.StatusUnprocessableEntity, confirm("wrong", other(code))); !slices.Equal(a.pointers(t), []string{"/code"}) {
			t.Error(a)
		}
		first := w.must(http.StatusOK, confirm("right", code))
		again := w.must(http.StatusOK, confirm("right", code))
		var c models.Contact
		first.into(t, &c)
		if string(first.body) != string(again.body) || len(c.Verified) != 1 || c.Verified[ch].Before(began.Truncate(time.Microsecond)) {
			t.Errorf("%s\n%s", first, again)
		}
	}
}

func TestWhatACheckIsStartedWith(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		path    string
		channel models.Channel
		purpose notify.Purpose
		kind    notify.EffectKind
	}{
		{"verify-channel", models.ChannelVoice, notify.PurposeCode, notify.EffectCall},
		{"verify-channel", models.ChannelEmail, notify.PurposeCode, notify.EffectMail},
		{"test-channel", models.ChannelSMS, notify.PurposeTest, notify.EffectText},
		{"test-channel", models.ChannelEmail, notify.PurposeTest, notify.EffectMail},
	} {
		id := w.contact()
		var c check
		w.must(http.StatusAccepted, w.post("analyst", contactPath(w, id, test.path), channel(test.channel))).into(t, &c)
		o, run, starts := w.engine.Check(id, test.channel)
		e := run.Effect
		if starts != 1 || o.ID != notify.ChannelCheckWorkflowID(w.acme.Number, id, test.channel) || o.TaskQueue != models.QueueIncidents || run.Channel != test.channel ||
			e.Kind != test.kind || e.Purpose != test.purpose || e.Contact != id || e.ClientID != w.acme.ID || e.Incident != "" || e.Workflow != o.ID ||
			run.RingFor != models.DefaultPolicy().RingFor {
			t.Errorf("%+v: %d %+v %+v", test, starts, o, run)
		}
		if code := test.purpose == notify.PurposeCode; c.Channel != test.channel || c.ExpiresAt.IsZero() == code {
			t.Errorf("%+v: %+v", test, c)
		}
		if left := time.Until(c.ExpiresAt); test.purpose == notify.PurposeCode && (left > 10*time.Minute || left < 9*time.Minute) {
			t.Errorf("the code is good for %s", left)
		}
	}
}

// One check of a channel at a time; the same request again is not another one, whatever became of it since.
func TestTheSameKeyForACheck(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"verify-channel", "test-channel"} {
		id := w.contact()
		ask := func(key string) answer {
			return w.postAs("analyst", contactPath(w, id, path), key, channel(models.ChannelSMS))
		}
		first := w.must(http.StatusAccepted, ask("k"))
		under := func(when string) {
			t.Helper()
			again := w.must(http.StatusAccepted, ask("k"))
			if _, _, starts := w.engine.Check(id, models.ChannelSMS); string(again.body) != string(first.body) || starts != 1 {
				t.Errorf("%s, %s: %s\n%s, %d starts", path, when, first, again, starts)
			}
		}
		under("while it runs")
		if a := w.must(http.StatusConflict, ask("another")); !strings.Contains(string(a.body), "another check of this channel is under way") {
			t.Error(a)
		}
		w.must(http.StatusAccepted, w.post("analyst", contactPath(w, id, path), channel(models.ChannelEmail))) // another channel
		_, err := w.engine.Carry(t.Context(), id, models.ChannelSMS)
		w.ok(err)
		under("when it is over")
		w.must(http.StatusAccepted, ask("another"))
		if _, _, starts := w.engine.Check(id, models.ChannelSMS); starts != 2 {
			t.Errorf("%s: %d starts", path, starts)
		}
	}
}

// A key belongs to one contact's one channel, also when nothing came of the request.
func TestAKeyOfAnotherCheck(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"verify-channel", "test-channel"} {
		id, another := w.contact(), w.contact()
		ask := func(id uuid.UUID, key string, ch models.Channel) answer {
			return w.postAs("analyst", contactPath(w, id, path), path+key, channel(ch))
		}
		w.must(http.StatusAccepted, ask(id, "k", models.ChannelEmail))
		w.must(http.StatusConflict, ask(id, "late", models.ChannelEmail))
		for n, a := range []answer{
			ask(id, "k", models.ChannelSMS), ask(another, "k", models.ChannelEmail), ask(another, "k", models.ChannelSMS),
			ask(id, "late", models.ChannelSMS),
		} {
			if a.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(a.body), "Idempotency-Key was already used for another request") {
				t.Errorf("%s, %d: %s", path, n, a)
			}
		}
		for contact, ch := range map[uuid.UUID]models.Channel{id: models.ChannelSMS, another: models.ChannelEmail} {
			if _, _, starts := w.engine.Check(contact, ch); starts != 0 {
				t.Errorf("%s: a refused check was started", path)
			}
		}
	}
}

// Later changes of the contact do not change the answer to a request that was carried out.
func TestTheSameCheckOfAContactThatChanged(t *testing.T) {
	w := newWorld(t)
	id := w.contact()
	verify := func() answer {
		return w.postAs("analyst", contactPath(w, id, "verify-channel"), "k", channel(models.ChannelSMS))
	}
	first := w.must(http.StatusAccepted, verify())
	w.must(http.StatusOK, w.put("analyst", contactPath(w, id), ada(map[string]any{"channels": []string{"email"}, "phone": nil})))
	if again := w.must(http.StatusAccepted, verify()); string(again.body) != string(first.body) {
		t.Errorf("%s\n%s", first, again)
	}
	w.must(http.StatusNoContent, w.remove("analyst", contactPath(w, id)))
	if again := w.must(http.StatusAccepted, verify()); string(again.body) != string(first.body) {
		t.Errorf("%s\n%s", first, again)
	}
}

// The request of an older code, sent again, must not bring it back, nor give new tries at it.
func TestAnOlderCodeStaysReplaced(t *testing.T) {
	w := newWorld(t)
	id := w.contact()
	verify := func(key string) string {
		w.must(http.StatusAccepted, w.postAs("analyst", contactPath(w, id, "verify-channel"), key, channel(models.ChannelSMS)))
		row, err := w.engine.Carry(t.Context(), id, models.ChannelSMS)
		w.ok(err)
		return row.Code()
	}
	older, newer := verify("first"), verify("second")
	if older == newer {
		t.Skip("both codes are the same, which happens once in a million")
	}
	w.must(http.StatusAccepted, w.postAs("analyst", contactPath(w, id, "verify-channel"), "first", channel(models.ChannelSMS)))
	w.must(http.StatusUnprocessableEntity, w.post("analyst", contactPath(w, id, "confirm-channel"), withCode(models.ChannelSMS, older)))
	w.must(http.StatusOK, w.post("analyst", contactPath(w, id, "confirm-channel"), withCode(models.ChannelSMS, newer)))
}

func TestFiveWrongCodesAreEnough(t *testing.T) {
	w := newWorld(t)
	id := w.contact()
	confirm := func(code string) answer {
		return w.post("analyst", contactPath(w, id, "confirm-channel"), withCode(models.ChannelSMS, code))
	}
	first := w.code(id, models.ChannelSMS)
	for range 5 {
		w.must(http.StatusUnprocessableEntity, confirm(other(first)))
	}
	for _, code := range []string{other(first), first} {
		if a := w.must(http.StatusConflict, confirm(code)); !strings.Contains(string(a.body), "too many wrong codes; send a new one") {
			t.Error(a)
		}
	}
	if c := w.contacts("analyst")[0]; len(c.Verified) != 0 {
		t.Errorf("%+v", c.Verified)
	}
	w.must(http.StatusOK, confirm(w.code(id, models.ChannelSMS)))
}

// Tries at the same moment are counted like tries one after the other.
func TestManyWrongCodesAtOnce(t *testing.T) {
	w := newWorld(t)
	id := w.contact()
	wrong := other(w.code(id, models.ChannelSMS))
	statuses := make(chan int, 20)
	for range cap(statuses) {
		go func() {
			statuses <- w.post("analyst", contactPath(w, id, "confirm-channel"), withCode(models.ChannelSMS, wrong)).StatusCode
		}()
	}
	counted := map[int]int{}
	for range cap(statuses) {
		counted[<-statuses]++
	}
	if counted[http.StatusUnprocessableEntity] != 5 || counted[http.StatusConflict] != 15 {
		t.Errorf("%v", counted)
	}
}

func TestACodeThatCannotBeConfirmed(t *testing.T) {
	w := newWorld(t)
	id := w.contact()
	confirm := func() answer {
		return w.post("analyst", contactPath(w, id, "confirm-channel"), withCode(models.ChannelSMS, "123456"))
	}
	if a := w.must(http.StatusConflict, confirm()); !strings.Contains(string(a.body), "no code was sent") {
		t.Error(a)
	}
	w.must(http.StatusAccepted, w.post("analyst", contactPath(w, id, "verify-channel"), channel(models.ChannelSMS)))
	if a := w.must(http.StatusConflict, confirm()); !strings.Contains(string(a.body), "has not been sent yet") {
		t.Error(a)
	}
	row, err := w.engine.Carry(t.Context(), id, models.ChannelSMS)
	w.ok(err)
	// Ten minutes by the database's clock.
	w.owner("update channel_codes set expires_at = expires_at - interval '10 minutes'")
	_, err = w.desk.ConfirmChannel(t.Context(), w.users["analyst"], w.acme.Number, id, models.ChannelSMS, row.Code())
	if models.KindOf(err) != models.Conflict || !strings.Contains(err.Error(), "expired") {
		t.Errorf("ten minutes later: %v", err)
	}
	w.owner("update channel_codes set expires_at = expires_at + interval '5 minutes'")
	_, err = w.desk.ConfirmChannel(t.Context(), w.users["analyst"], w.acme.Number, id, models.ChannelSMS, row.Code())
	if err != nil {
		t.Errorf("five minutes later: %v", err)
	}
}

func TestAnotherAddressIsVerifiedAnew(t *testing.T) {
	w := newWorld(t)
	id := w.contact()
	code := w.code(id, models.ChannelEmail)
	w.must(http.StatusOK, w.post("analyst", contactPath(w, id, "confirm-channel"), withCode(models.ChannelSMS, w.code(id, models.ChannelSMS))))
	w.must(http.StatusOK, w.put("analyst", contactPath(w, id), ada(map[string]any{"email": "new@acme.example"})))
	w.must(http.StatusConflict, w.post("analyst", contactPath(w, id, "confirm-channel"), withCode(models.ChannelEmail, code)))
	w.must(http.StatusOK, w.put("analyst", contactPath(w, id), ada(map[string]any{"email": "new@acme.example", "phone": "+12025550101"})))
	if c := w.contacts("analyst")[0]; len(c.Verified) != 0 {
		t.Errorf("%+v", c.Verified)
	}
}

func TestChecksThatCannotBe(t *testing.T) {
	w := newWorld(t)
	id := w.contactWith(map[string]any{"channels": []string{"email"}}).ID
	for n, test := range []struct {
		path    string
		body    map[string]any
		pointer string
	}{
		{"verify-channel", channel("sms"), "/channel"},
		{"test-channel", channel("sms"), "/channel"},
		{"test-channel", channel("voice"), "/channel"},
		{"confirm-channel", withCode("sms", "123456"), "/channel"},
		{"verify-channel", channel("fax"), "/channel"},
		{"verify-channel", map[string]any{}, "/channel"},
		{"confirm-channel", withCode("email", "12345"), "/code"},
		{"confirm-channel", withCode("email", "1234567"), "/code"},
		{"confirm-channel", withCode("email", "12345a"), "/code"},
	} {
		a := w.post("analyst", contactPath(w, id, test.path), test.body)
		if a.StatusCode != http.StatusUnprocessableEntity || !slices.Equal(a.pointers(t), []string{test.pointer}) {
			t.Errorf("%d: %s", n, a)
		}
	}
	a := w.post("analyst", contactPath(w, id, "test-channel"), channel("voice"))
	if !strings.Contains(string(a.body), "to test a call, verify the channel") {
		t.Error(a)
	}
	for _, path := range []string{"verify-channel", "test-channel"} {
		r := w.request("analyst", http.MethodPost, contactPath(w, id, path), channel("email"))
		w.must(http.StatusBadRequest, w.send(r)) // no key
	}
}

func TestWithoutAnEngineNoCheckIsPromised(t *testing.T) {
	w := newWorld(t)
	id := w.contact()
	w.engine.Become(desktest.NoService)
	for n, path := range []string{"verify-channel", "test-channel"} {
		key := fmt.Sprint(n)
		w.must(http.StatusServiceUnavailable, w.postAs("analyst", contactPath(w, id, path), key, channel(models.ChannelSMS)))
		w.engine.Become(desktest.NoWorker) // the check waits in the engine
		w.must(http.StatusAccepted, w.postAs("analyst", contactPath(w, id, path), key, channel(models.ChannelSMS)))
		_, err := w.engine.Carry(t.Context(), id, models.ChannelSMS)
		w.ok(err)
		w.engine.Become(desktest.NoService)
	}
}

// An admin of the client manages the client's contacts from the first to the last step; the audit log says so.
func TestTheClientsAdminManagesItsContacts(t *testing.T) {
	w := newWorld(t)
	var made models.Contact
	w.must(http.StatusCreated, w.post("admin", w.clientPath("contacts"), ada(nil))).into(t, &made)
	w.must(http.StatusAccepted, w.post("admin", contactPath(w, made.ID, "test-channel"), channel(models.ChannelEmail)))
	w.must(http.StatusAccepted, w.post("admin", contactPath(w, made.ID, "verify-channel"), channel(models.ChannelSMS)))
	row, err := w.engine.Carry(t.Context(), made.ID, models.ChannelSMS)
	w.ok(err)
	confirm := contactPath(w, made.ID, "confirm-channel")
	w.must(http.StatusUnprocessableEntity, w.post("admin", confirm, withCode(models.ChannelSMS, other(row.Code()))))
	w.must(http.StatusConflict, w.post("admin", confirm, withCode(models.ChannelVoice, row.Code()))) // none was sent
	w.must(http.StatusOK, w.post("admin", confirm, withCode(models.ChannelSMS, row.Code()))).into(t, &made)
	if made.Verified[models.ChannelSMS].IsZero() {
		t.Errorf("not verified: %+v", made)
	}
	w.must(http.StatusOK, w.put("admin", contactPath(w, made.ID), ada(map[string]any{"phone": "+12025550199"})))
	if now := w.contacts("admin")[0]; now.Phone != "+12025550199" || len(now.Verified) != 0 {
		t.Errorf("the number leads elsewhere now: %+v", now)
	}
	w.must(http.StatusNoContent, w.remove("admin", contactPath(w, made.ID)))
	if list := w.contacts("admin"); len(list) != 0 {
		t.Errorf("left: %+v", list)
	}
	var did []string
	for _, e := range w.changes("admin") {
		if e.Subject != made.ID.String() { // of before
			continue
		}
		if e.By != w.users["admin"].ID || e.ByName == "" || e.Side != models.SideClient {
			t.Errorf("%+v", e)
		}
		did = append(did, e.Operation)
	}
	want := []string{"remove-contact", "update-contact", "confirm-channel", "verify-channel", "test-channel", "create-contact"}
	if !slices.Equal(did, want) {
		t.Errorf("the audit log has %v, want %v", did, want)
	}
}
