package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

func TestBadInputIsRefusedAndPointsAtItself(t *testing.T) {
	w := newWorld(t)
	ref := w.published()
	number := fmt.Sprint(w.acme.Number)
	alert := func(more string) string {
		return `{"client":` + number + `,"source":"realtime","finding_id":"f","title":"t","severity":"low"` + more + `}`
	}
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	for _, test := range []struct {
		name, who, path, body string
		status                int
		pointer               string // "" for none
	}{
		{"not JSON", "analyst", at(ref, "comment"), `{"text":`, 400, ""},
		{"not JSON at all", "analyst", at(ref, "comment"), `hello`, 400, ""},
		{"two values", "analyst", at(ref, "comment"), `{"text":"a"} {}`, 400, ""},
		{"not UTF-8", "analyst", at(ref, "comment"), "{\"text\":\"\xff\"}", 400, ""},
		{"too deep", "analyst", "/api/v1/alerts", alert(`,"detail":` + deep), 400, ""},
		{"field twice", "analyst", at(ref, "comment"), `{"text":"a","text":"b"}`, 400, "/text"},
		{"no body", "analyst", at(ref, "comment"), ``, 400, ""},
		{"unknown field", "analyst", at(ref, "comment"), `{"text":"a","phase":"closed"}`, 422, "/phase"},
		{"field in other case", "analyst", at(ref, "comment"), `{"Text":"a","text":"b"}`, 422, "/Text"},
		{"unknown field of an empty command", "analyst", at(ref, "publish"), `{"now":true}`, 422, "/now"},
		{"unknown field deep inside", "analyst", at(ref, "assess"), `{"indicators":[{"type":"ip","value":"v","x/y":1}]}`, 422, "/indicators/0/x~1y"},
		{"wrong type", "analyst", at(ref, "comment"), `{"text":7}`, 422, "/text"},
		{"null", "analyst", at(ref, "comment"), `{"text":null}`, 422, "/text"},
		{"an array", "analyst", at(ref, "comment"), `["text"]`, 422, ""},
		{"missing field", "analyst", at(ref, "verify"), `{"gone":true}`, 422, "/note"},
		{"blank text", "analyst", at(ref, "comment"), `{"text":"  "}`, 422, "/text"},
		{"NUL", "analyst", at(ref, "comment"), `{"text":"a\u0000b"}`, 422, "/text"},
		{"too long a text", "analyst", at(ref, "comment"), `{"text":"` + strings.Repeat("a", 16<<10+1) + `"}`, 422, "/text"},
		{"wrong enum", "analyst", at(ref, "assess"), `{"severity":"urgent"}`, 422, "/severity"},
		{"wrong technique", "analyst", at(ref, "assess"), `{"techniques":["T1003","X"]}`, 422, "/techniques/1"},
		{"nothing to assess", "analyst", at(ref, "assess"), `{}`, 422, ""},
		{"number out of range", "viewer", at(ref, "give-feedback"), `{"rating":6}`, 422, "/rating"},
		{"number beyond all range", "viewer", at(ref, "give-feedback"), `{"rating":1e400}`, 422, "/rating"},
		{"fraction", "viewer", at(ref, "give-feedback"), `{"rating":4.5}`, 422, "/rating"},
		{"expiry in the past", "admin", at(ref, "settle-recommendation"), `{"recommendation":"r1","outcome":"risk_accepted","reason":"r","expires_at":"2020-01-01T00:00:00Z"}`, 422, "/expires_at"},
		{"not a time", "analyst", "/api/v1/alerts", alert(`,"occurred_at":"yesterday"`), 422, "/occurred_at"},
		{"impossible day", "analyst", "/api/v1/alerts", alert(`,"occurred_at":"2026-02-31T00:00:00Z"`), 422, "/occurred_at"},
		{"no such client", "analyst", "/api/v1/alerts", strings.Replace(alert(""), number, "999999", 1), 404, "/client"},
		{"incident of no such client", "analyst", "/api/v1/incidents", `{"client":999999,"title":"t","severity":"low"}`, 404, "/client"},
		{"alert with a blank title", "analyst", "/api/v1/alerts", strings.Replace(alert(""), `"t"`, `" "`, 1), 422, "/title"},
		{"alert with a blank finding", "analyst", "/api/v1/alerts", strings.Replace(alert(""), `"f"`, `"\t"`, 1), 422, "/finding_id"},
		{"alert with nothing but blanks", "analyst", "/api/v1/alerts", strings.NewReplacer(`"t"`, `" "`, `"f"`, `" "`).Replace(alert("")), 422, "/title"},
		{"too long a text of umlauts", "analyst", at(ref, "assess"), `{"title":"` + strings.Repeat("ü", 201) + `"}`, 422, "/title"},
		{"integer with a point", "viewer", at(ref, "give-feedback"), `{"rating":5.0}`, 422, "/rating"},
		{"integer with an exponent", "lead", "/api/v1/clients", newClientWith(`"policy":{"rounds":1e1}`), 422, "/policy/rounds"},
		{"span that is no duration", "lead", "/api/v1/clients", newClientWith(`"policy":{"round_every":"999999h999999h999999h"}`), 422, "/policy/round_every"},
		{"reminder that is no duration", "lead", "/api/v1/clients", newClientWith(`"policy":{"reminders":{"low":"999999h999999h999999h"}}`), 422, "/policy/reminders/low"},
		{"client without a name", "lead", "/api/v1/clients", strings.Replace(newClientWith(`"edr":{}`), `"n"`, `" \u00a0"`, 1), 422, "/legal_name"},
		{"number that is taken", "lead", "/api/v1/clients", newClientWith(`"number":` + number), 409, "/number"},
		{"rule for a blank tag", "lead", w.clientPath("response-authority"), `{"rules":[{"name":"n","action":"isolated","decision":"ask","tags":["a"," "]}]}`, 422, "/rules/0/tags/1"},
		{"wildcard host", "analyst", at(ref, "isolate"), `{"hostname":"*","reason":"r"}`, 422, "/hostname"},
		{"approval of nothing", "admin", at(ref, "approve"), `{"approval":""}`, 422, "/approval"},
		{"approval for somebody else", "admin", at(ref, "approve"), `{"approval":"a1","person":"0123456789abcdef"}`, 422, "/person"},
		{"refusal without a reason", "admin", at(ref, "deny"), `{"approval":"a1"}`, 422, "/reason"},
		{"blank reason to extend", "admin", at(ref, "extend-isolation"), `{"endpoint":"e1","reason":" "}`, 422, "/reason"},
		{"authority without rules", "lead", w.clientPath("response-authority"), `{}`, 422, "/rules"},
		{"authority that signs itself", "lead", w.clientPath("response-authority"), `{"rules":[],"signed_at":"2026-01-01T00:00:00Z"}`, 422, "/signed_at"},
		{"rule of another action", "lead", w.clientPath("response-authority"), `{"rules":[{"name":"n","action":"delete","decision":"auto"}]}`, 422, "/rules/0/action"},
		{"rule that decides nothing", "lead", w.clientPath("response-authority"), `{"rules":[{"name":"n","action":"isolated"}]}`, 422, "/rules/0/decision"},
		{"rule of another class", "lead", w.clientPath("response-authority"), `{"rules":[{"name":"n","action":"isolated","classes":["printer"],"decision":"ask"}]}`, 422, "/rules/0/classes/0"},
		{"rule with a blank name", "lead", w.clientPath("response-authority"), `{"rules":[{"name":" ","action":"isolated","decision":"ask"}]}`, 422, "/rules/0/name"},
		{"rules of one name", "lead", w.clientPath("response-authority"), `{"rules":[{"name":"n","action":"isolated","decision":"ask"},{"name":"n","action":"released","decision":"ask"}]}`, 422, "/rules/1/name"},
		{"pattern with a range", "lead", w.clientPath("response-authority"), `{"rules":[],"never":["dc-*","dc-[0-9]"]}`, 422, "/never/1"},
		{"mark of two things", "lead", w.clientPath("response-authority"), `{"rules":[],"two_persons":[{"host":"a","tag":"b"}]}`, 422, "/two_persons/0"},
		{"mark of nothing", "lead", w.clientPath("response-authority"), `{"rules":[],"two_persons":[{}]}`, 422, "/two_persons/0"},
		{"dry run of a pattern", "viewer", w.clientPath("response-authority", "dry-run"), `{"action":"isolated","hostname":"dc-*"}`, 422, "/hostname"},
		{"dry run at no time", "viewer", w.clientPath("response-authority", "dry-run"), `{"action":"isolated","hostname":"h","at":"2026-02-30T10:00"}`, 422, "/at"},
		{"dry run of an unknown version", "viewer", w.clientPath("response-authority", "dry-run"), `{"action":"isolated","hostname":"h","version":7}`, 404, "/version"},
		{"signature under no version", "admin", w.clientPath("response-authority", "7", "sign"), ``, 404, ""},
		{"signature under version zero", "admin", w.clientPath("response-authority", "0", "sign"), ``, 404, ""},
		{"lease that is too short", "lead", "/api/v1/clients", newClientWith(`"policy":{"lease":"10ms"}`), 422, "/policy/lease"},
		{"approval that nobody can give", "lead", "/api/v1/clients", newClientWith(`"policy":{"approve_for":"1ms"}`), 422, "/policy/approve_for"},
		{"EDR without its credentials", "lead", "/api/v1/clients", newClientWith(`"edr":{"vendor":"mde","tenant":"t"}`), 422, "/edr/vendor"},
		{"over-long command", "analyst", at(ref, "comment"), `{"text":"` + strings.Repeat("a", 64<<10) + `"}`, 413, ""},
		{"over-long alert", "analyst", "/api/v1/alerts", alert(`,"detail":"` + strings.Repeat("a", 16<<20) + `"`), 413, ""},
		{"OCSF that is no object", "analyst", "/api/v1/alerts/ocsf?source=integration&client=" + number, `[1]`, 422, ""},
		{"OCSF for nobody", "analyst", "/api/v1/alerts/ocsf?source=integration", `{}`, 400, "/client"},
		{"OCSF from nowhere", "analyst", "/api/v1/alerts/ocsf?source=else&client=" + number, `{}`, 400, "/source"},
		{"no such time zone", "lead", "/api/v1/clients", `{"legal_name":"n","time_zone":"Mars/Base","language":"en","contract":{"start":"2026-01-01T00:00:00Z","end":"2030-12-31T00:00:00Z","plan":"mdr"}}`, 422, "/time_zone"},
		{"contract that ends first", "lead", "/api/v1/clients", `{"legal_name":"n","time_zone":"UTC","language":"en","contract":{"start":"2026-01-02T00:00:00Z","end":"2026-01-01T00:00:00Z","plan":"mdr"}}`, 422, "/contract/end"},
		{"client with an id", "lead", "/api/v1/clients", `{"id":"018f6a5e-0000-7000-8000-000000000001","legal_name":"n","time_zone":"UTC","language":"en","contract":{"start":"2026-01-01T00:00:00Z","end":"2030-12-31T00:00:00Z","plan":"mdr"}}`, 422, "/id"},
		{"voice without a phone", "lead", "/api/v1/clients/" + number + "/contacts", `{"name":"n","language":"en","severities":["high"],"channels":["voice"]}`, 422, "/phone"},
		{"phone that is none", "lead", "/api/v1/clients/" + number + "/contacts", `{"name":"n","language":"en","phone":"call me","severities":["high"],"channels":["voice"]}`, 422, "/phone"},
		{"blank text of zero width", "analyst", at(ref, "comment"), `{"text":"\u200b"}`, 422, "/text"},
		{"blank note of Braille", "analyst", at(ref, "verify"), `{"gone":true,"note":"\u2800"}`, 422, "/note"},
		{"blank title of Hangul", "analyst", at(ref, "assess"), `{"title":"\u3164"}`, 422, "/title"},
		{"blank reason of soft hyphens", "analyst", at(ref, "isolate"), `{"hostname":"h","reason":"\u00ad"}`, 422, "/reason"},
		{"blank reason of direction", "admin", at(ref, "deny"), `{"approval":"a1","reason":"\u202e"}`, 422, "/reason"},
		{"title of two lines", "analyst", at(ref, "assess"), `{"title":"a\nb"}`, 422, "/title"},
		{"asset that turns round", "analyst", at(ref, "assess"), `{"assets":["a","exe.\u202efdp"]}`, 422, "/assets/1"},
		{"indicator with an escape", "analyst", at(ref, "assess"), `{"indicators":[{"type":"ip","value":"a\u001bb"}]}`, 422, "/indicators/0/value"},
		{"step with a separator", "analyst", at(ref, "assess"), `{"timeline":[{"at":"2026-01-01T00:00:00Z","text":"a\u2028b"}]}`, 422, "/timeline/0/text"},
		{"text with a bell", "analyst", at(ref, "comment"), `{"text":"a\u0007b"}`, 422, "/text"},
		{"text that turns round", "analyst", at(ref, "comment"), `{"text":"a\n\u2067b"}`, 422, "/text"},
		{"answer of two lines", "analyst", at(ref, "ask-question"), `{"text":"q","answers":["a","b\nc"],"deadline":"` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"}`, 422, "/answers/1"},
		{"incident with a blank title", "analyst", "/api/v1/incidents", `{"client":` + number + `,"title":"\u2800","severity":"low"}`, 422, "/title"},
		{"incident with a title of two lines", "analyst", "/api/v1/incidents", `{"client":` + number + `,"title":"a\nb","severity":"low"}`, 422, "/title"},
		{"alert with an invisible title", "analyst", "/api/v1/alerts", strings.Replace(alert(""), `"t"`, `"\u3164\u202e"`, 1), 422, "/title"},
		{"alert with an invisible finding", "analyst", "/api/v1/alerts", strings.Replace(alert(""), `"f"`, `"\u200b"`, 1), 422, "/finding_id"},
		{"client with an invisible name", "lead", "/api/v1/clients", strings.Replace(newClientWith(`"edr":{}`), `"n"`, `"\u3164"`, 1), 422, "/legal_name"},
		{"client with a name of two lines", "lead", "/api/v1/clients", strings.Replace(newClientWith(`"edr":{}`), `"n"`, `"n\r\nBcc: x"`, 1), 422, "/legal_name"},
		{"contact with an invisible name", "lead", w.clientPath("contacts"), `{"name":"\u2800","language":"en","severities":["high"],"channels":["email"],"email":"a@b.example"}`, 422, "/name"},
		{"contact whose role turns round", "lead", w.clientPath("contacts"), `{"name":"n","role":"a\u202eb","language":"en","severities":["high"],"channels":["email"],"email":"a@b.example"}`, 422, "/role"},
		{"contact of a language without words", "lead", w.clientPath("contacts"), `{"name":"n","language":"fr","severities":["high"],"channels":["email"],"email":"a@b.example"}`, 422, "/language"},
		{"client of a language without words", "lead", "/api/v1/clients", strings.Replace(newClientWith(`"edr":{}`), `"en"`, `"fr-CA"`, 1), 422, "/language"},
		{"time zone of the machine", "lead", "/api/v1/clients", strings.Replace(newClientWith(`"edr":{}`), `"UTC"`, `"localtime"`, 1), 422, "/time_zone"},
		{"time zone in another case", "lead", "/api/v1/clients", strings.Replace(newClientWith(`"edr":{}`), `"UTC"`, `"europe/berlin"`, 1), 422, "/time_zone"},
		{"time zone of a factory", "lead", "/api/v1/clients", strings.Replace(newClientWith(`"edr":{}`), `"UTC"`, `"Factory"`, 1), 422, "/time_zone"},
		{"rule whose name turns round", "lead", w.clientPath("response-authority"), `{"rules":[{"name":"a\u202eb","action":"isolated","decision":"ask"}]}`, 422, "/rules/0/name"},
		{"invisible reason to pause", "lead", w.clientPath("pause-isolation"), `{"reason":"\u200b"}`, 422, "/reason"},
		{"reason to pause of two lines", "lead", w.clientPath("pause-isolation"), `{"reason":"a\nb"}`, 422, "/reason"},
		{"incident without anything", "analyst", "/api/v1/incidents", `{"client":` + number + `}`, 422, "/title"},
		{"alert of nobody", "analyst", "/api/v1/incidents", `{"client":` + number + `,"alerts":["018f6a5e-0000-7000-8000-000000000001"]}`, 404, "/alerts/0"},
	} {
		a := w.post(test.who, test.path, test.body)
		if a.StatusCode != test.status {
			t.Errorf("%s: want %d, got %s", test.name, test.status, a)
			continue
		}
		if a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s", test.name, a.Header.Get("Content-Type"))
		}
		if test.pointer != "" && !slices.Contains(a.pointers(t), test.pointer) {
			t.Errorf("%s: want a pointer to %s, got %s", test.name, test.pointer, a)
		}
	}
	if n := w.engine.Executed(); n != 0 {
		t.Errorf("%d refused commands had an effect", n)
	}
}

// The document counts characters, however many bytes they take.
func TestLengthsAreCountedInCharacters(t *testing.T) {
	w := newWorld(t)
	title := strings.Repeat("ü", 199) + "🔥"
	var i incident.Incident
	w.must(http.StatusCreated, w.post("analyst", "/api/v1/incidents",
		map[string]any{"client": w.acme.Number, "title": title, "severity": "high"})).into(t, &i)
	for _, body := range []map[string]any{
		{"title": title}, {"summary": strings.Repeat("ü", 16<<10)}, {"assets": []string{strings.Repeat("ü", 500)}},
	} {
		w.must(http.StatusOK, w.post("analyst", at(i.Reference, "assess"), body))
	}
}

func newClientWith(more string) string {
	return `{"legal_name":"n","time_zone":"UTC","language":"en","contract":{"start":"2026-01-01T00:00:00Z","end":"2030-12-31T00:00:00Z","plan":"mdr"},` + more + `}`
}

func TestBadParametersAreBadRequests(t *testing.T) {
	w := newWorld(t)
	ref, contact := w.published(), w.contact()
	for _, path := range []string{
		"/api/v1/incidents?limit=0", "/api/v1/incidents?limit=201", "/api/v1/incidents?limit=many", "/api/v1/incidents?phase=lost",
		"/api/v1/alerts?client=abc", "/api/v1/alerts?problem=maybe", "/api/v1/alerts?cursor=" + strings.Repeat("a", 201),
		at(ref, "deliveries?limit=201"), contactPath(w, contact, "deliveries?limit=0"),
	} {
		if a := w.get("analyst", path); a.StatusCode != http.StatusBadRequest || len(a.pointers(t)) != 1 {
			t.Errorf("%s: %s", path, a)
		}
	}
	for path, pointer := range map[string]string{
		"/api/v1/incidents?open_task=true": "/open_task", "/api/v1/incidents?limit=5&Phase=closed": "/Phase",
		at(ref) + "?revision=1": "/revision", "/api/v1/clients?a%2Fb": "/a~1b", "/api/v1/incidents?limit=%zz": "", "/api/v1/incidents?drill=perhaps": "/drill",
		"/api/v1/incidents?containment=lost": "/containment", "/api/v1/alerts?open_tasks=true": "/open_tasks",
	} {
		if a := w.get("analyst", path); a.StatusCode != http.StatusBadRequest || !slices.Equal(a.pointers(t), []string{pointer}) {
			t.Errorf("%s: %s", path, a)
		}
	}
	if a := w.post("analyst", at(ref, "comment?dry=true"), map[string]any{"text": "t"}); a.StatusCode != http.StatusBadRequest || w.engine.Executed() != 0 {
		t.Errorf("a command with a parameter it does not have: %s", a)
	}
	foreign := store.Cursor{At: time.Now(), ID: string(ref)}.String() // of the list of incidents
	for _, path := range []string{
		"/api/v1/incidents?cursor=abc", "/api/v1/alerts?cursor=MjAyNiB4", "/api/v1/clients?cursor=x", "/api/v1/alerts?cursor=" + foreign,
		at(ref, "deliveries?cursor=abc"), at(ref, "deliveries?cursor="+foreign), contactPath(w, contact, "deliveries?cursor=abc"),
		contactPath(w, contact, "deliveries?cursor="+foreign),
	} {
		if a := w.get("analyst", path); a.StatusCode != http.StatusUnprocessableEntity || !slices.Equal(a.pointers(t), []string{"/cursor"}) {
			t.Errorf("%s: %s", path, a)
		}
	}
	for _, path := range []string{"/api/v1/incidents/SI-1-1", "/api/v1/clients/7", "/api/v1/alerts/x", "/api/v2", "/api/v1/incidents/"} {
		w.must(http.StatusNotFound, w.get("analyst", path))
	}
	r := w.request("analyst", http.MethodDelete, "/api/v1/incidents", nil)
	w.must(http.StatusMethodNotAllowed, w.send(r))
}

func TestAPostNeedsItsKeyAndItsType(t *testing.T) {
	w := newWorld(t)
	ref := w.published()
	r := w.request("analyst", http.MethodPost, at(ref, "comment"), `{"text":"a"}`)
	if a := w.must(http.StatusBadRequest, w.send(r)); !slices.Contains(a.pointers(t), "/Idempotency-Key") {
		t.Error(a)
	}
	for _, key := range []string{"", "with space", strings.Repeat("k", 129), "käse"} {
		w.must(http.StatusBadRequest, w.postAs("analyst", at(ref, "comment"), key, `{"text":"a"}`))
	}
	r = w.request("analyst", http.MethodPost, at(ref, "comment"), `text=a`)
	r.Header.Set("Idempotency-Key", "k")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w.must(http.StatusUnsupportedMediaType, w.send(r))
}

func TestOnlyAValidTokenOpens(t *testing.T) {
	w := newWorld(t)
	for _, header := range []string{"", "Bearer", "Bearer ", "Basic " + w.tokens["analyst"], "Bearer " + w.tokens["analyst"] + "x", w.tokens["analyst"]} {
		r := w.request("", http.MethodGet, "/api/v1/incidents", nil)
		r.Header.Set("Authorization", header)
		if a := w.must(http.StatusUnauthorized, w.send(r)); a.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Error("the answer does not say how to authenticate")
		}
	}
	r := w.request("", http.MethodGet, "/api/v1/incidents", nil)
	r.Header.Set("Authorization", "bearer "+w.tokens["analyst"])
	w.must(http.StatusOK, w.send(r))
}

func TestTenThousandUnknownFieldsAreAnsweredBriefly(t *testing.T) {
	w := newWorld(t)
	var b strings.Builder
	for n := range 6000 {
		fmt.Fprintf(&b, `"f%d":1,`, n)
	}
	ref, body := w.published(), `{`+b.String()+`"text":"a"}`
	a := w.must(http.StatusUnprocessableEntity, w.post("analyst", at(ref, "comment"), body))
	if n := len(a.pointers(t)); n == 0 || n > 100 {
		t.Errorf("%d fields are named", n)
	}
	again := w.post("analyst", at(ref, "comment"), body)
	if string(a.body) != string(again.body) {
		t.Errorf("the same request is answered in another way:\n%s\n%s", a, again)
	}
}

// Lines, tabs and joiners are part of how people write.
func TestTextsOfPeopleAreTaken(t *testing.T) {
	w := newWorld(t)
	ref := w.published()
	for _, body := range []map[string]any{
		{"title": "می\u200Cخواهم 👩\u200D🚒"}, {"summary": "first\n\tsecond"}, {"title": "Προσοχή 日本 עברית"},
	} {
		w.must(http.StatusOK, w.post("analyst", at(ref, "assess"), body))
	}
	var now incident.Incident
	w.must(http.StatusOK, w.get("analyst", at(ref))).into(t, &now)
	if now.Assessment.Summary != "first\n\tsecond" {
		t.Errorf("the summary reads %q", now.Assessment.Summary)
	}
}
