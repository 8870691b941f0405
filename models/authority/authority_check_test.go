package authority_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/modelstest"
)

func TestHostilePatternsAreNotSlow(t *testing.T) {
	const limit = 5 * time.Second // two hundred of the worst take about a tenth of one
	for name, pattern := range map[string]string{
		"only stars": strings.Repeat("*", 253), "stars and letters": strings.Repeat("*a", 126) + "b",
		"a long end": "*" + strings.Repeat("a", 251) + "b", "long parts": strings.Repeat("*"+strings.Repeat("a", 20), 12) + "b",
		"halves": strings.Repeat("*a", 63) + strings.Repeat("a", 126) + "b",
	} {
		a := signed(rule("all", "auto"))
		a.Never = slices.Repeat([]string{pattern}, 200)
		if err := a.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		began := time.Now()
		got := a.Evaluate(toIsolate(strings.Repeat("a", 253), "server"), time.UTC, nil)
		if took := time.Since(began); took > limit {
			t.Errorf("%s: a decision took %s", name, took)
		}
		if (got.Decision == "never") != (name == "only stars") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestBadAuthoritiesAreRejectedWhereTheyAreWrong(t *testing.T) {
	type version = authority.Authority
	onRule := func(change func(*authority.Rule)) func(*version) {
		return func(a *version) { change(&a.Rules[1]) }
	}
	never := func(pattern string) func(*version) {
		return func(a *version) { a.Never = []string{"dc-*", pattern} }
	}
	selector := func(s authority.AssetSelector) func(*version) {
		return func(a *version) { a.TwoPersons = []authority.AssetSelector{{Host: "db"}, {Tag: "vip"}, s} }
	}
	many := func(n int) (rules []authority.Rule) {
		for i := range n {
			rules = append(rules, rule("rule "+strconv.Itoa(i), "ask"))
		}
		return rules
	}
	good := func() version {
		return signed(rule("one", "ask"), authority.Rule{
			Name: strings.Repeat("n", 100), Action: "released", Classes: []models.AssetClass{"workstation", "server", "domain_controller"},
			Tags: []string{strings.Repeat("t", 200)}, Severities: models.Severities(), Hours: "outside", Decision: "ask_then_auto",
		})
	}
	for _, c := range []struct {
		name, pointer string
		change        func(*version)
	}{
		{"201 rules", "/rules", func(a *version) { a.Rules = many(201) }},
		{"201 patterns", "/never", func(a *version) { a.Never = slices.Repeat([]string{"x"}, 201) }},
		{"201 selectors", "/two_persons", func(a *version) { a.TwoPersons = slices.Repeat([]authority.AssetSelector{{Tag: "x"}}, 201) }},
		{"no name", "/rules/1/name", onRule(func(r *authority.Rule) { r.Name = "" })},
		{"a blank name", "/rules/1/name", onRule(func(r *authority.Rule) { r.Name = " \t" })},
		{"a long name", "/rules/1/name", onRule(func(r *authority.Rule) { r.Name = strings.Repeat("n", 101) })},
		{"a name used twice", "/rules/1/name", onRule(func(r *authority.Rule) { r.Name = "one" })},
		{"no action", "/rules/1/action", onRule(func(r *authority.Rule) { r.Action = "" })},
		{"an unknown action", "/rules/1/action", onRule(func(r *authority.Rule) { r.Action = "isolate" })},
		{"an unknown class", "/rules/1/classes/1", onRule(func(r *authority.Rule) { r.Classes = []models.AssetClass{"server", "Server"} })},
		{"an empty class", "/rules/1/classes/0", onRule(func(r *authority.Rule) { r.Classes = []models.AssetClass{""} })},
		{"101 classes", "/rules/1/classes", onRule(func(r *authority.Rule) { r.Classes = slices.Repeat(r.Classes[:1], 101) })},
		{"an unknown severity", "/rules/1/severities/0", onRule(func(r *authority.Rule) { r.Severities = []models.Severity{"severe"} })},
		{"101 severities", "/rules/1/severities", onRule(func(r *authority.Rule) { r.Severities = slices.Repeat(r.Severities[:1], 101) })},
		{"an empty tag", "/rules/1/tags/1", onRule(func(r *authority.Rule) { r.Tags = []string{"a", ""} })},
		{"a long tag", "/rules/1/tags/0", onRule(func(r *authority.Rule) { r.Tags = []string{strings.Repeat("t", 201)} })},
		{"101 tags", "/rules/1/tags", onRule(func(r *authority.Rule) { r.Tags = slices.Repeat([]string{"t"}, 101) })},
		{"unknown hours", "/rules/1/hours", onRule(func(r *authority.Rule) { r.Hours = "night" })},
		{"no decision", "/rules/1/decision", onRule(func(r *authority.Rule) { r.Decision = "" })},
		{"an unknown decision", "/rules/1/decision", onRule(func(r *authority.Rule) { r.Decision = "Auto" })},
		{"an empty pattern", "/never/1", never("")},
		{"a blank pattern", "/never/1", never(" ")},
		{"a long pattern", "/never/1", never(strings.Repeat("x", 254))},
		{"a question mark", "/never/1", never("dc-0?")},
		{"a range", "/never/1", never("dc-[0-9]")},
		{"an open range", "/never/1", never("dc-[")},
		{"a backslash", "/never/1", never(`corp\dc`)},
		{"a slash", "/never/1", never("corp/dc")},
		{"two in one", "/never/1", never("dc-1,dc-2")},
		{"a line break", "/never/1", never("dc-1\n")},
		{"a letter beyond ASCII", "/never/1", never("bücher")},
		{"an empty selector", "/two_persons/2", selector(authority.AssetSelector{})},
		{"a selector by host and class", "/two_persons/2", selector(authority.AssetSelector{Host: "x", Class: "server"})},
		{"a selector by class and tag", "/two_persons/2", selector(authority.AssetSelector{Class: "server", Tag: "x"})},
		{"a selector by all", "/two_persons/2", selector(authority.AssetSelector{Host: "x", Class: "server", Tag: "x"})},
		{"a selector by a bad pattern", "/two_persons/2/host", selector(authority.AssetSelector{Host: "x?"})},
		{"a selector by an unknown class", "/two_persons/2/class", selector(authority.AssetSelector{Class: "printer"})},
		{"a selector by a blank tag", "/two_persons/2/tag", selector(authority.AssetSelector{Tag: " "})},
		{"a selector by a long tag", "/two_persons/2/tag", selector(authority.AssetSelector{Tag: strings.Repeat("t", 201)})},
	} {
		a := good()
		c.change(&a)
		var e *models.Error
		if err := a.Check(); !errors.As(err, &e) || e.Kind != models.Invalid || e.Field != c.pointer {
			t.Errorf("%s: %v, want a pointer to %s", c.name, err, c.pointer)
		}
	}
	full := good()
	full.Rules, full.Never = many(200), slices.Repeat([]string{strings.Repeat("x", 253)}, 200)
	full.TwoPersons = slices.Repeat([]authority.AssetSelector{{Host: "db_*.x"}, {Class: "server"}, {Tag: "any text, ü"}, {Tag: strings.Repeat("t", 200)}}, 50)
	for name, a := range map[string]version{"good": good(), "as much as may be": full, "empty": {}} {
		if err := a.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAuthoritiesThroughJSON(t *testing.T) {
	a := signed(rule("servers at night", "ask_then_auto"), rule("all", "never"))
	a.Rules[0].Classes, a.Rules[0].Tags = []models.AssetClass{"server"}, []string{"prod"}
	a.Rules[0].Severities, a.Rules[0].Hours = []models.Severity{"critical"}, "outside"
	a.Never, a.TwoPersons = []string{"dc-*"}, []authority.AssetSelector{{Host: "db"}, {Class: "server"}, {Tag: "vip"}}
	a.DraftedBy, a.DraftedAt = modelstest.ContactID(2), modelstest.T0
	const id = `"c0ffee00-0000-4000-8000-00000000000`
	const want = `{"version":3,"rules":[{"name":"servers at night","action":"isolated","classes":["server"],"tags":["prod"],` +
		`"severities":["critical"],"hours":"outside","decision":"ask_then_auto"},{"name":"all","action":"isolated","decision":"never"}],` +
		`"never":["dc-*"],"two_persons":[{"host":"db"},{"class":"server"},{"tag":"vip"}],"drafted_by":` + id + `2",` +
		`"drafted_at":"2026-03-01T03:00:00Z","signed_by":` + id + `1","signed_at":"2026-03-01T03:00:00Z"}`
	var again authority.Authority
	if err := json.Unmarshal([]byte(want), &again); err != nil || !reflect.DeepEqual(again, a) {
		t.Errorf("read as %+v: %v", again, err)
	}
	if got := modelstest.Snapshot(t, a); got != want {
		t.Errorf("written as %s", got)
	}
	a.SignedBy, a.SignedAt = uuid.UUID{}, time.Time{}
	if got := modelstest.Snapshot(t, a); strings.Contains(got, "signed") {
		t.Errorf("a draft says who signed: %s", got)
	}
}
