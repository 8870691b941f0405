package api_test

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/desk"
	"github.com/watchfire-mdr/watchfire/models"
)

func (w *world) plan(who, query string) desk.Preview {
	w.Helper()
	var p desk.Preview
	w.must(http.StatusOK, w.get(who, w.clientPath("plan"+query))).into(w, &p)
	return p
}

func namesOf(list []desk.PlannedRecipient) string {
	var names []string
	for _, r := range list {
		names = append(names, r.Name+" "+string(r.Channel))
	}
	return strings.Join(names, ", ")
}

func TestThePlanSaysWhoIsReachedWhen(t *testing.T) {
	w := newWorld(t) // Acme is in Prague
	days := []any{map[string]any{"days": []string{"mon", "tue", "wed", "thu", "fri"}, "from": "08:30", "to": "18:00"}}
	w.contactWith(map[string]any{"name": "Ada", "order": 1})
	w.contactWith(map[string]any{"name": "Bob", "order": 2, "phone": "+12025550101", "channels": []string{"voice", "sms"}, "hours": days, "hours_for_critical": true})
	w.contactWith(map[string]any{"name": "Cyd", "order": 3, "hours": days, "severities": []string{"high"}})

	sunday := w.plan("viewer", "?at=2026-11-29T03:00") // critical
	if !sunday.At.Equal(time.Date(2026, 11, 29, 2, 0, 0, 0, time.UTC)) || sunday.Local.Format(time.RFC3339) != "2026-11-29T03:00:00+01:00" ||
		sunday.Severity != models.SeverityCritical || sunday.TimeZone != "Europe/Prague" {
		t.Errorf("%+v", sunday)
	}
	if namesOf(sunday.Messages) != "Ada email, Bob sms" || namesOf(sunday.Calls) != "Ada voice" {
		t.Errorf("%+v", sunday)
	}
	if at := sunday.Messages[1].At; !at.Equal(time.Date(2026, 11, 30, 7, 30, 0, 0, time.UTC)) {
		t.Errorf("Bob is written to at %s", at)
	}
	if len(sunday.Skipped) != 2 || sunday.Skipped[0].Name != "Bob" || sunday.Skipped[1].Name != "Cyd" || sunday.Skipped[0].Reason == "" {
		t.Errorf("%+v", sunday.Skipped)
	}
	monday := w.plan("analyst", "?severity=critical&at=2026-11-30T09:00:00%2B01:00")
	if namesOf(monday.Calls) != "Ada voice, Bob voice" {
		t.Errorf("%+v", monday)
	}
	high := w.plan("analyst", "?severity=high&at=2026-11-29T02:00Z")
	if namesOf(high.Messages) != "Ada email, Bob sms, Cyd email" || len(high.Calls) != 0 {
		t.Errorf("%+v", high)
	}
	now := w.plan("analyst", "")
	if since := time.Since(now.At); since < 0 || since > time.Minute {
		t.Errorf("now is %s", now.At)
	}
}

func TestMomentsOfAPlan(t *testing.T) {
	w := newWorld(t)
	for at, want := range map[string]string{
		"2026-03-29T01:59":            "2026-03-29T00:59:00Z", // before the clocks in Prague skip an hour
		"2026-03-29T03:00":            "2026-03-29T01:00:00Z",
		"2026-10-25T04:00:30":         "2026-10-25T03:00:30Z",
		"2026-10-25T02:30%2B02:00":    "2026-10-25T00:30:00Z", // the hour that comes twice
		"2026-10-25T02:30:00%2B01:00": "2026-10-25T01:30:00Z",
		"2026-07-01T12:00:00-07:00":   "2026-07-01T19:00:00Z",
		"2026-07-01T12:00:00Z":        "2026-07-01T12:00:00Z",
		"2028-02-29T12:00":            "2028-02-29T11:00:00Z",
	} {
		if got := w.plan("analyst", "?at="+at).At.Format(time.RFC3339); got != want {
			t.Errorf("%s: want %s, got %s", at, want, got)
		}
	}
	twice := w.plan("analyst", "?at=2026-10-25T02:30").At.Format(time.RFC3339)
	if twice != "2026-10-25T00:30:00Z" && twice != "2026-10-25T01:30:00Z" {
		t.Error(twice)
	}
	for at, status := range map[string]int{
		"2026-03-29T02:30": 422, "2026-02-30T10:00": 422, "2026-01-01T24:00": 422, "1026-01-01T10:00": 422,
		"tomorrow": 400, "2026-01-01": 400, "2026-01-01T10:00 01:00": 400,
	} {
		a := w.get("analyst", w.clientPath("plan?at="+strings.ReplaceAll(at, " ", "+")))
		if a.StatusCode != status || !slices.Equal(a.pointers(t), []string{"/at"}) {
			t.Errorf("%s: %s", at, a)
		}
	}
	w.must(http.StatusBadRequest, w.get("analyst", w.clientPath("plan?severity=urgent")))
}

func TestGoLiveNamesWhatIsMissing(t *testing.T) {
	w := newWorld(t)
	check := func() desk.GoLive {
		var g desk.GoLive
		w.must(http.StatusOK, w.get("viewer", w.clientPath("go-live"))).into(t, &g)
		return g
	}
	missing := func(g desk.GoLive) string {
		var all []string
		for _, f := range g.Checks {
			if f.Passed != (len(f.Details) == 0) {
				t.Errorf("%+v", f)
			}
			all = append(all, f.Details...)
		}
		return strings.Join(all, "; ")
	}
	var nobodyTold string
	for _, s := range models.Severities() {
		nobodyTold += "; nobody is told of severity " + string(s) + " at any time"
	}
	const noEDR, unsigned = "the client has no EDR", "no response authority is signed: every isolation is asked for"
	if g := check(); g.Ready || missing(g) != "nobody can be called at any time"+nobodyTold+"; "+noEDR+"; "+unsigned {
		t.Errorf("%+v", g)
	}
	w.must(http.StatusOK, w.put("lead", w.clientPath("edr"), edrCredentials()))
	w.must(http.StatusOK, w.post("admin", w.clientPath("response-authority", strconv.Itoa(w.draft("at all")), "sign"), nil))
	const noApprover = "severity critical, high, medium, low: no approver can be called at any time"
	const single = "two persons must agree, severity critical, high, medium, low: fewer than 2 approvers with different mail addresses can be called at any time"
	const asked = `rule "at all" past the limit of isolations, ` + noApprover + "; " + single + "; it may be a domain controller, and no rule that permits names its class, " + noApprover
	if g := check(); g.Ready || missing(g) != "nobody can be called at any time"+nobodyTold+"; the connection to the EDR was never checked; "+asked {
		t.Errorf("%+v", g)
	}
	w.must(http.StatusOK, w.post("analyst", w.clientPath("edr", "check"), nil))
	ada := w.contactWith(map[string]any{"name": "Ada Example", "channels": []string{"voice", "email"}, "severities": models.Severities()}).ID
	bob := w.contactWith(map[string]any{"name": "Bob Example", "order": 2, "channels": []string{"voice"}, "phone": "+12025550101", "email": "bob@acme.example", "severities": models.Severities()}).ID
	if g := check(); g.Ready || missing(g) != "contact Ada Example: voice is not verified; contact Ada Example: email is not verified; contact Bob Example: voice is not verified; "+asked {
		t.Errorf("%+v", g)
	}
	w.must(http.StatusOK, w.post("analyst", contactPath(w, ada, "confirm-channel"), withCode("voice", w.code(ada, "voice"))))
	w.must(http.StatusOK, w.post("analyst", contactPath(w, ada, "confirm-channel"), withCode("email", w.code(ada, "email"))))
	w.must(http.StatusOK, w.post("analyst", contactPath(w, bob, "confirm-channel"), withCode("voice", w.code(bob, "voice"))))
	if g := check(); g.Ready || missing(g) != asked {
		t.Errorf("%+v", g)
	}
	w.must(http.StatusOK, w.confirmApprover("admin", ada, nil))
	w.must(http.StatusOK, w.confirmApprover("admin", bob, map[string]any{"email": "bob@acme.example", "phone": "+12025550101"}))
	if g := check(); !g.Ready || missing(g) != "" || len(g.Checks) != 8 {
		t.Errorf("%+v", g)
	}
	w.must(http.StatusNoContent, w.remove("analyst", contactPath(w, bob)))
	if g := check(); g.Ready || missing(g) != "only one person can be called at any time; "+single {
		t.Errorf("%+v", g)
	}
}

// Both sides read the same code at the same moment; another client reads another one.
func TestTheCallerCode(t *testing.T) {
	w := newWorld(t)
	code := func(who string, number int) desk.CallerCode {
		t.Helper()
		c, err := w.desk.CallerCode(t.Context(), w.users[who], number)
		w.ok(err)
		return c
	}
	first, second := code("analyst", w.acme.Number), code("viewer", w.acme.Number)
	if second != first && (second.Previous != first.Code || !second.ValidUntil.Equal(first.ValidUntil.Add(auth.CallerCodeFor))) {
		t.Errorf("%+v, then %+v", first, second)
	}
	if left := time.Until(second.ValidUntil); left <= -time.Minute || left > auth.CallerCodeFor {
		t.Errorf("the code holds for %s", left)
	}
	other := code("stranger", w.other.Number)
	if other.Code == second.Code && other.Previous == second.Previous { // four digits may be the same by chance, not twice
		t.Error("two clients have the same codes")
	}
	var c desk.CallerCode
	w.must(http.StatusOK, w.get("viewer", w.clientPath("caller-code"))).into(t, &c)
	if !regexp.MustCompile(`^[0-9]{4}$`).MatchString(c.Code) {
		t.Errorf("%+v", c)
	}
}
