package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/desk"
	"github.com/watchfire-mdr/watchfire/models"
)

func (w *world) clientPath(rest ...string) string {
	return strings.Join(append([]string{"/api/v1/clients", fmt.Sprint(w.acme.Number)}, rest...), "/")
}

func contactPath(w *world, id uuid.UUID, rest ...string) string {
	return w.clientPath(append([]string{"contacts", id.String()}, rest...)...)
}

// ada is a contact as a caller describes them, with changes; nil takes a field away.
func ada(changes map[string]any) map[string]any {
	body := map[string]any{"name": "Ada Example", "role": "CISO", "email": "ada@acme.example", "phone": "+12025550100", "language": "en",
		"order": 1, "severities": []string{"critical", "high"}, "channels": []string{"email", "sms", "voice"}}
	maps.Copy(body, changes)
	maps.DeleteFunc(body, func(_ string, v any) bool { return v == nil })
	return body
}

// contact adds a contact of Acme who has every channel.
func (w *world) contact() uuid.UUID {
	w.Helper()
	return w.contactWith(nil).ID
}

func (w *world) contactWith(changes map[string]any) models.Contact {
	w.Helper()
	var c models.Contact
	w.must(http.StatusCreated, w.post("analyst", w.clientPath("contacts"), ada(changes))).into(w, &c)
	return c
}

func (w *world) put(who, path string, body any) answer {
	w.Helper()
	return w.send(w.request(who, http.MethodPut, path, body))
}

func (w *world) remove(who, path string) answer {
	w.Helper()
	return w.send(w.request(who, http.MethodDelete, path, nil))
}

func (w *world) contacts(who string) []models.Contact {
	w.Helper()
	var list struct{ Items []models.Contact }
	w.must(http.StatusOK, w.get(who, w.clientPath("contacts"))).into(w, &list)
	return list.Items
}

func TestAContactKeepsItsHours(t *testing.T) {
	w := newWorld(t)
	hours := []map[string]any{{"days": []string{"mon", "fri"}, "from": "08:30", "to": "18:00"}, {"days": []string{"sat"}, "from": "22:00", "to": "06:00"}}
	body := ada(map[string]any{"hours": hours, "hours_for_critical": true})
	first := w.must(http.StatusCreated, w.postAs("analyst", w.clientPath("contacts"), "k", body))
	again := w.must(http.StatusCreated, w.postAs("analyst", w.clientPath("contacts"), "k", body))
	if string(first.body) != string(again.body) {
		t.Errorf("%s\n%s", first, again)
	}
	list := w.contacts("viewer")
	if len(list) != 1 || !list[0].HoursForCritical || len(list[0].Hours) != 2 {
		t.Fatalf("%+v", list)
	}
	if h := list[0].Hours[0]; h.From.String() != "08:30" || h.To.String() != "18:00" || !slices.Equal(h.Days, []models.Day{"mon", "fri"}) {
		t.Errorf("%+v", h)
	}
}

func TestAContactIsReplacedAndRemoved(t *testing.T) {
	w := newWorld(t)
	id := w.contact()
	change := ada(map[string]any{"name": "Ada Changed", "role": nil, "order": 7, "channels": []string{"email"}, "phone": nil})
	first := w.must(http.StatusOK, w.put("analyst", contactPath(w, id), change))
	if again := w.must(http.StatusOK, w.put("analyst", contactPath(w, id), change)); string(again.body) != string(first.body) {
		t.Errorf("%s\n%s", first, again)
	}
	list := w.contacts("viewer")
	if len(list) != 1 || list[0].ID != id || list[0].Name != "Ada Changed" || list[0].Role != "" || list[0].Phone != "" || list[0].Order != 7 {
		t.Fatalf("%+v", list)
	}
	if a := w.must(http.StatusNoContent, w.remove("lead", contactPath(w, id))); len(a.body) != 0 {
		t.Errorf("%s", a)
	}
	w.must(http.StatusNoContent, w.remove("lead", contactPath(w, id)))
	if list := w.contacts("analyst"); len(list) != 0 {
		t.Errorf("%+v", list)
	}
	w.must(http.StatusNotFound, w.put("analyst", contactPath(w, id), change))
}

func TestTheSameKeyForAContact(t *testing.T) {
	w := newWorld(t)
	create := func(changes map[string]any) answer {
		return w.postAs("analyst", w.clientPath("contacts"), "k", ada(changes))
	}
	var c, again models.Contact
	w.must(http.StatusCreated, create(nil)).into(t, &c)
	refused := func(when string) {
		t.Helper()
		for field, value := range map[string]any{"name": "Eve", "email": "eve@acme.example", "order": 2, "hours_for_critical": true} {
			a := create(map[string]any{field: value})
			if a.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(a.body), "Idempotency-Key was already used for another request") {
				t.Errorf("%s, another %s: %s", when, field, a)
			}
		}
	}
	refused("as it was made")
	w.must(http.StatusOK, w.put("lead", contactPath(w, c.ID), ada(map[string]any{"name": "Eve"})))
	w.must(http.StatusCreated, create(nil)).into(t, &again)
	if again.ID != c.ID || again.Name != "Eve" {
		t.Errorf("after a change the request again gives %+v", again)
	}
	refused("after a change")
	w.must(http.StatusNoContent, w.remove("lead", contactPath(w, c.ID)))
	w.must(http.StatusCreated, create(nil)).into(t, &again)
	if again.ID != c.ID || again.RemovedAt.IsZero() || len(w.contacts("analyst")) != 0 {
		t.Errorf("after the removal the request again gives %+v", again)
	}
}

func TestTheSameKeyForAClient(t *testing.T) {
	w := newWorld(t)
	contract := func(end string) map[string]any {
		return map[string]any{"start": "2026-01-01T00:00:00Z", "end": end, "plan": "mdr"}
	}
	create := func(changes map[string]any) answer {
		b := map[string]any{"legal_name": "New", "time_zone": "UTC", "language": "en", "contract": contract("2030-12-31T00:00:00Z")}
		maps.Copy(b, changes)
		return w.postAs("lead", "/api/v1/clients", "k", b)
	}
	first := w.must(http.StatusCreated, create(nil))
	if again := w.must(http.StatusCreated, create(nil)); string(again.body) != string(first.body) {
		t.Errorf("%s\n%s", first, again)
	}
	for field, value := range map[string]any{
		"legal_name": "Newer", "time_zone": "Europe/Berlin", "language": "de", "contract": contract("2027-12-31T00:00:00Z"),
		"policy": map[string]any{"rounds": 7}, "business_hours": []any{}, "number": 4711,
		"edr": map[string]any{"vendor": "crowdstrike", "tenant": "t"},
	} {
		a := create(map[string]any{field: value})
		if a.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(a.body), "Idempotency-Key was already used for another request") {
			t.Errorf("another %s: %s", field, a)
		}
	}
	var c, again models.Client
	first.into(t, &c)
	w.must(http.StatusOK, w.put("lead", fmt.Sprintf("/api/v1/clients/%d", c.Number), map[string]any{
		"legal_name": "Newer", "time_zone": "UTC", "language": "en", "contract": contract("2030-12-31T00:00:00Z")}))
	w.must(http.StatusCreated, create(nil)).into(t, &again)
	if again.ID != c.ID || again.LegalName != "Newer" {
		t.Errorf("after a change the request again gives %+v", again)
	}
}

// A contact of another client, one that was removed and one that never was look alike, for everyone.
func TestAnotherClientsContactIsNone(t *testing.T) {
	w := newWorld(t)
	foreign, removed := w.contact(), w.contact()
	w.must(http.StatusNoContent, w.remove("analyst", contactPath(w, removed)))
	other := func(id uuid.UUID, rest ...string) string {
		return strings.Join(append([]string{"/api/v1/clients", fmt.Sprint(w.other.Number), "contacts", id.String()}, rest...), "/")
	}
	nobody := uuid.MustParse("018f6a5e-0000-7000-8000-000000000001")
	same(t, w.put("analyst", other(foreign), ada(nil)), w.put("analyst", other(nobody), ada(nil)))
	same(t, w.put("analyst", contactPath(w, removed), ada(nil)), w.put("analyst", contactPath(w, nobody), ada(nil)))
	same(t, w.remove("analyst", other(foreign)), w.remove("analyst", other(nobody)))
	same(t, w.get("analyst", other(foreign, "deliveries")), w.get("analyst", other(nobody, "deliveries")))
	same(t, w.get("stranger", contactPath(w, foreign, "deliveries")), w.get("stranger", contactPath(w, nobody, "deliveries")))
	for command, body := range map[string]any{
		"verify-channel": map[string]any{"channel": "sms"}, "test-channel": map[string]any{"channel": "email"},
		"confirm-channel": map[string]any{"channel": "sms", "code": "123456"},
	} {
		same(t, w.post("analyst", other(foreign, command), body), w.post("analyst", other(nobody, command), body))
		same(t, w.post("analyst", contactPath(w, removed, command), body), w.post("analyst", contactPath(w, nobody, command), body))
		same(t, w.post("stranger", contactPath(w, foreign, command), body), w.post("stranger", contactPath(w, nobody, command), body))
	}
	if _, _, starts := w.engine.Check(foreign, models.ChannelSMS); starts != 0 {
		t.Error("a check was started")
	}
	if len(w.contacts("analyst")) != 1 {
		t.Error("the contact is gone")
	}
}

func TestNumbersAreHeldAgainstTheirNumberingPlan(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct{ phone, channel, pointer, reason string }{
		{"+12025550100", "sms", "", ""},   // reserved for fiction; fixed and mobile numbers look alike there
		{"+13035550100", "sms", "", ""},   // the same
		{"+49305555100", "voice", "", ""}, // Berlin
		{"+442079460100", "voice", "", ""},
		{"+4915112345678", "sms", "", ""},
		{"+49305555100", "sms", "/channels", "fixed line"},
		{"+442079460100", "sms", "/channels", "fixed line"},
		{"+4930555510000000", "voice", "/phone", ""},
		{"+1202555010", "voice", "/phone", "too short"},
		{"+120255501000", "voice", "/phone", "too long"},
		{"+999123456", "voice", "/phone", "international form"},
		{"+10005550100", "voice", "/phone", "numbering plan"},
		{"+490305555100", "voice", "/phone", "E.164"},
		{"+4930/5555100", "voice", "/phone", ""},
		{"030 5555100", "voice", "/phone", ""},
		{"+41446681800", "voice", "", ""},
		{"+499003123456", "voice", "/phone", "price of their own"}, // premium
		{"+491801234567", "voice", "/phone", "price of their own"}, // shared cost
		{"+448712345678", "voice", "/phone", "price of their own"}, // premium, in Britain
		{"+447012345678", "voice", "/phone", "price of their own"}, // looks like a mobile phone
		{"+18005550100", "voice", "/phone", "price of their own"},  // free
		{"+881612345678", "voice", "/phone", "no country"},         // a satellite
		{"+80012345678", "voice", "/phone", "no country"},
	} {
		a := w.post("analyst", w.clientPath("contacts"), ada(map[string]any{"phone": test.phone, "channels": []string{test.channel}}))
		switch {
		case test.pointer == "":
			if a.StatusCode != http.StatusCreated {
				t.Errorf("%s %s: %s", test.phone, test.channel, a)
			}
		case a.StatusCode != http.StatusUnprocessableEntity || !slices.Equal(a.pointers(t), []string{test.pointer}):
			t.Errorf("%s %s: %s", test.phone, test.channel, a)
		case !strings.Contains(string(a.body), test.reason) || strings.Contains(string(a.body), test.phone):
			t.Errorf("%s %s: %s", test.phone, test.channel, a)
		}
	}
}

func TestNumbersOfOtherCountriesAreRefusedAndThoseFromBeforeAreShown(t *testing.T) {
	w := newWorld(t)
	id := w.contact() // of a number in the United States
	w.countries = []string{"DE", "CH"}
	w.serve()
	a := w.must(http.StatusUnprocessableEntity, w.post("analyst", w.clientPath("contacts"), ada(nil)))
	if !slices.Equal(a.pointers(t), []string{"/phone"}) || !strings.Contains(string(a.body), "US; the operator allows DE, CH") {
		t.Error(a)
	}
	for _, phone := range []string{"+4915112345678", "+41446681800"} {
		w.must(http.StatusCreated, w.post("analyst", w.clientPath("contacts"), ada(map[string]any{"phone": phone, "channels": []string{"voice"}})))
	}
	w.must(http.StatusUnprocessableEntity, w.put("analyst", contactPath(w, id), ada(map[string]any{"name": "Ada Changed"})))
	w.must(http.StatusUnprocessableEntity, w.post("analyst", contactPath(w, id, "verify-channel"), channel(models.ChannelVoice)))
	w.must(http.StatusAccepted, w.post("analyst", contactPath(w, id, "verify-channel"), channel(models.ChannelEmail)))
	var live struct{ Checks []models.GoLiveCheck }
	w.must(http.StatusOK, w.get("analyst", w.clientPath("go-live"))).into(t, &live)
	n := slices.IndexFunc(live.Checks, func(c models.GoLiveCheck) bool { return c.Name == "allowed_numbers" })
	if n < 0 || live.Checks[n].Passed || len(live.Checks[n].Details) != 1 || !strings.Contains(live.Checks[n].Details[0], "Ada Example: the phone number is of a country") {
		t.Fatalf("%+v", live.Checks)
	}
	var plan struct{ Calls []struct{ Contact uuid.UUID } }
	w.must(http.StatusOK, w.get("analyst", w.clientPath("plan?severity=critical"))).into(t, &plan)
	if !slices.ContainsFunc(plan.Calls, func(c struct{ Contact uuid.UUID }) bool { return c.Contact == id }) {
		t.Error("the contact from before is not called any more")
	}
	if err := desk.CheckCountries([]string{"DE", "UK"}); err == nil || !strings.Contains(err.Error(), "names UK:") {
		t.Error(err)
	}
}

func TestAContactsMailAddressIsOneAMailerTakes(t *testing.T) {
	w := newWorld(t)
	id := w.contact()
	for _, good := range []string{"ada@acme.example", "o'neil+soc@mail-1.acme.example", "ADA_X@Acme.Example", "ada@büro.example", "ada@acme.example.", "ａｄａ@acme.example"} {
		w.must(http.StatusOK, w.put("analyst", contactPath(w, id), ada(map[string]any{"email": good})))
	}
	for _, bad := range []string{
		"a,b@c.de", "a<b>@c.de", "ops@client..example", "a@b.c,d", "a@b.c;d@e.f", ".a@b.de", "a.@b.de", "a..b@c.de", "<a@b.de>", `"a"@b.de`,
		"a@b.de..", "a@.b.de", "a@-b.de", "a@b-.de", "a@b_c.de", "a@[192.0.2.1]", "a@b!c.de", "a(x)@b.de", "a@b.de(x)", "ada", "ada@acme",
	} {
		for _, a := range []answer{
			w.post("analyst", w.clientPath("contacts"), ada(map[string]any{"email": bad})),
			w.put("analyst", contactPath(w, id), ada(map[string]any{"email": bad, "channels": []string{"voice"}})),
		} {
			if a.StatusCode != http.StatusUnprocessableEntity || !slices.Equal(a.pointers(t), []string{"/email"}) {
				t.Errorf("%s: %s", bad, a)
			}
		}
	}
}

func TestAContactsFieldsPointAtThemselves(t *testing.T) {
	w := newWorld(t)
	id := w.contact()
	window := func(days, from, to string) map[string]any {
		return map[string]any{"hours": []any{
			map[string]any{"days": []string{"mon"}, "from": "08:00", "to": "18:00"},
			map[string]any{"days": strings.Fields(days), "from": from, "to": to},
		}}
	}
	many := make([]any, 22)
	for n := range many {
		many[n] = map[string]any{"days": []string{"mon"}, "from": "08:00", "to": "18:00"}
	}
	for name, test := range map[string]struct {
		change  map[string]any
		pointer string
	}{
		"no day":             {window("", "08:00", "18:00"), "/hours/1/days"},
		"no such day":        {window("mon funday", "08:00", "18:00"), "/hours/1/days/1"},
		"day twice":          {window("mon mon", "08:00", "18:00"), "/hours/1/days"},
		"no quarter":         {window("mon", "08:20", "18:00"), "/hours/1/from"},
		"no time":            {window("mon", "8", "18:00"), "/hours/1/from"},
		"minute 60":          {window("mon", "08:00", "17:60"), "/hours/1/to"},
		"begins at the end":  {window("mon", "24:00", "18:00"), "/hours/1/from"},
		"beyond the day":     {window("mon", "08:00", "24:15"), "/hours/1/to"},
		"no length":          {window("mon", "08:00", "08:00"), "/hours/1/to"},
		"too many windows":   {map[string]any{"hours": many}, "/hours"},
		"no such language":   {map[string]any{"language": "zz-Zzzzz-9"}, "/language"},
		"no such channel":    {map[string]any{"channels": []string{"fax"}}, "/channels/0"},
		"sms without phone":  {map[string]any{"channels": []string{"sms"}, "phone": nil}, "/phone"},
		"mail without email": {map[string]any{"email": nil}, "/email"},
		"blank name":         {map[string]any{"name": " \t"}, "/name"},
		"verified by hand":   {map[string]any{"verified": map[string]any{}}, "/verified"},
	} {
		for _, a := range []answer{w.post("analyst", w.clientPath("contacts"), ada(test.change)), w.put("analyst", contactPath(w, id), ada(test.change))} {
			if a.StatusCode != http.StatusUnprocessableEntity || !slices.Contains(a.pointers(t), test.pointer) {
				t.Errorf("%s: want a pointer to %s, got %s", name, test.pointer, a)
			}
		}
	}
	for _, path := range []string{"x", "018F6A5E-0000-7000-8000-000000000001"} {
		w.must(http.StatusNotFound, w.put("analyst", w.clientPath("contacts", path), ada(nil)))
	}
	w.must(http.StatusRequestEntityTooLarge, w.put("analyst", contactPath(w, id), `{"name":"`+strings.Repeat("a", 64<<10)+`"}`))
	w.must(http.StatusBadRequest, w.put("analyst", contactPath(w, id), ""))
	w.must(http.StatusBadRequest, w.put("analyst", contactPath(w, id), `{"name":"a","name":"b"}`))
}

func TestAClientHasBusinessHours(t *testing.T) {
	w := newWorld(t)
	body := func(hours any) map[string]any {
		b := map[string]any{"legal_name": "L", "time_zone": "Europe/Berlin", "language": "de",
			"contract": map[string]any{"start": "2026-01-01T00:00:00Z", "end": "2030-12-31T00:00:00Z", "plan": "mdr"}}
		if hours != nil {
			b["business_hours"] = hours
		}
		return b
	}
	window := func(from string) []any {
		return []any{map[string]any{"days": []string{"sun"}, "from": from, "to": "15:00"}}
	}
	for _, test := range []struct {
		given any
		want  string
	}{{nil, "mon 08:00"}, {window("10:00"), "sun 10:00"}, {[]any{}, "always"}} {
		var c models.Client
		w.must(http.StatusCreated, w.post("lead", "/api/v1/clients", body(test.given))).into(t, &c)
		w.must(http.StatusOK, w.get("lead", fmt.Sprintf("/api/v1/clients/%d", c.Number))).into(t, &c)
		got := "always"
		if len(c.Business) > 0 {
			got = string(c.Business[0].Days[0]) + " " + c.Business[0].From.String()
		}
		if got != test.want {
			t.Errorf("%v: %s", test.given, got)
		}
	}
	a := w.must(http.StatusUnprocessableEntity, w.post("lead", "/api/v1/clients", body(window("10:05"))))
	if !slices.Contains(a.pointers(t), "/business_hours/0/from") {
		t.Error(a)
	}
}

func TestAClientsTermsAreChanged(t *testing.T) {
	w := newWorld(t)
	path := fmt.Sprintf("/api/v1/clients/%d", w.acme.Number)
	var before, after models.Client
	w.must(http.StatusOK, w.get("lead", path)).into(t, &before)
	terms := func(field string, value any) map[string]any {
		b := map[string]any{"legal_name": "Acme Holding", "time_zone": "Asia/Kathmandu", "language": "de",
			"business_hours": []any{map[string]any{"days": []string{"sun"}, "from": "10:00", "to": "15:00"}},
			"contract":       map[string]any{"start": "2026-01-01T00:00:00Z", "end": "2030-12-31T00:00:00Z", "plan": "mdr"},
			"policy":         map[string]any{"rounds": 7}}
		if field != "" {
			b[field] = value
		}
		return b
	}
	w.must(http.StatusOK, w.put("lead", path, terms("", nil))).into(t, &after)
	if after.LegalName != "Acme Holding" || after.TimeZone != "Asia/Kathmandu" || after.Language != "de" || len(after.Business) != 1 ||
		after.Contract.End.Year() != 2030 || after.Policy.Rounds != 7 || after.Policy.RingFor != models.DefaultPolicy().RingFor {
		t.Errorf("now it is %+v", after)
	}
	if after.ID != before.ID || after.Number != before.Number || after.EDR != before.EDR || !after.CreatedAt.Equal(before.CreatedAt) {
		t.Errorf("it was %+v, now it is %+v", before, after)
	}
	var read models.Client
	w.must(http.StatusOK, w.get("admin", path)).into(t, &read)
	if !reflect.DeepEqual(read, after) {
		t.Errorf("read again: %+v, want %+v", read, after)
	}
	for pointer, body := range map[string]map[string]any{
		"/legal_name":              terms("legal_name", "  "),
		"/time_zone":               terms("time_zone", "Mars/Olympus"),
		"/contract/end":            terms("contract", map[string]any{"start": "2026-01-01T00:00:00Z", "end": "2025-12-31T00:00:00Z", "plan": "mdr"}),
		"/policy/slow_round_every": terms("policy", map[string]any{"slow_round_every": "1ms"}),
		"/policy/reminders/high":   terms("policy", map[string]any{"reminders": map[string]any{"high": "10000h"}}),
		"/policy/rounds":           terms("policy", map[string]any{"rounds": 101}),
		"/edr":                     terms("edr", map[string]any{"vendor": "crowdstrike", "tenant": "t"}),
	} {
		if a := w.must(http.StatusUnprocessableEntity, w.put("lead", path, body)); !slices.Contains(a.pointers(t), pointer) {
			t.Errorf("%s: %s", pointer, a)
		}
	}
	w.must(http.StatusNotFound, w.put("lead", "/api/v1/clients/999999", terms("", nil)))
	w.must(http.StatusOK, w.get("lead", path)).into(t, &read)
	if !reflect.DeepEqual(read, after) {
		t.Errorf("after what was refused: %+v, want %+v", read, after)
	}
}
