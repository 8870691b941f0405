package authority_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/modelstest"
)

const (
	noRule   = "no rule matches"
	unsigned = "no response authority is signed"
	aDrill   = "a drill never reaches a real device"
	listed   = "do-not-isolate list: "
	notNamed = "it may be a domain controller, and no rule that permits names its class"
	noTags   = " (the EDR does not tell tags)"
)

// strictness orders the decisions as the client was told: the higher, the stricter.
var strictness = map[authority.Decision]int{"auto": 1, "ask_then_auto": 2, "ask": 3, "never": 4}

var decisions = []authority.Decision{"auto", "ask_then_auto", "ask", "never"}

func signed(rules ...authority.Rule) authority.Authority {
	return authority.Authority{Version: 3, Rules: rules, SignedBy: modelstest.ContactID(1), SignedAt: modelstest.T0}
}

func rule(name string, decision authority.Decision) authority.Rule {
	return authority.Rule{Name: name, Action: "isolated", Decision: decision}
}

// toIsolate is a request of a Monday at ten in the morning in Berlin.
func toIsolate(hostname string, class models.AssetClass, tags ...string) authority.Request {
	return authority.Request{
		Action: "isolated", Asset: authority.Asset{Hostname: hostname, Class: class, Tags: tags},
		Severity: models.SeverityHigh, At: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC),
	}
}

func checkRuling(t *testing.T, name string, a authority.Authority, r authority.Request, want authority.Ruling) {
	t.Helper()
	if got := a.Evaluate(r, modelstest.Zone(t, "Europe/Berlin"), models.OfficeHours()); got != want {
		t.Errorf("%s: %+v, want %+v", name, got, want)
	}
}

func TestEveryFieldOfARuleNarrowsIt(t *testing.T) {
	type fields = authority.Rule
	const ws, server, dc = models.ClassWorkstation, models.ClassServer, models.ClassDomainController
	all := fields{
		Classes: []models.AssetClass{ws}, Tags: []string{"finance"}, Severities: []models.Severity{"high"}, Hours: "business",
	}
	but := func(change func(*fields)) fields {
		f := all
		change(&f)
		return f
	}
	r := toIsolate("PC-1", ws, "finance", "berlin")
	for _, c := range []struct {
		name    string
		rule    fields
		matches bool
	}{
		{"an action alone", fields{}, true},
		{"another action", fields{Action: "released"}, false},
		{"lists that are empty", fields{Classes: []models.AssetClass{}, Tags: []string{}, Severities: []models.Severity{}}, true},
		{"its class", fields{Classes: []models.AssetClass{ws}}, true},
		{"one of the classes", fields{Classes: []models.AssetClass{dc, ws}}, true},
		{"other classes", fields{Classes: []models.AssetClass{dc, server}}, false},
		{"its first tag", fields{Tags: []string{"finance"}}, true},
		{"one of the tags", fields{Tags: []string{"vip", "berlin"}}, true},
		{"another tag", fields{Tags: []string{"vip"}}, false},
		{"a part of a tag", fields{Tags: []string{"fin"}}, false},
		{"a tag with a star", fields{Tags: []string{"*"}}, false},
		{"its severity", fields{Severities: []models.Severity{"high"}}, true},
		{"one of the severities", fields{Severities: []models.Severity{"critical", "high"}}, true},
		{"a worse severity", fields{Severities: []models.Severity{"critical"}}, false},
		{"business hours", fields{Hours: "business"}, true},
		{"outside business hours", fields{Hours: "outside"}, false},
		{"all at once", all, true},
		{"all but the action", but(func(f *fields) { f.Action = "released" }), false},
		{"all but the class", but(func(f *fields) { f.Classes = []models.AssetClass{server} }), false},
		{"all but the tag", but(func(f *fields) { f.Tags = []string{"vip"} }), false},
		{"all but the severity", but(func(f *fields) { f.Severities = []models.Severity{"low"} }), false},
		{"all but the hours", but(func(f *fields) { f.Hours = "outside" }), false},
	} {
		for _, d := range decisions {
			c.rule.Name, c.rule.Decision = "the rule", d
			if c.rule.Action == "" {
				c.rule.Action = "isolated"
			}
			want := authority.Ruling{Decision: "ask", Rule: noRule, Version: 3, Persons: 1}
			if c.matches {
				want.Decision, want.Rule = d, "the rule"
			}
			checkRuling(t, c.name+", "+string(d), signed(c.rule), r, want)
		}
	}
	tagless := fields{Name: "vip", Action: "isolated", Tags: []string{"vip"}, Decision: "never"}
	checkRuling(t, "an asset without tags", signed(tagless), toIsolate("PC-1", ws), authority.Ruling{Decision: "ask", Rule: noRule, Version: 3, Persons: 1})
	checkRuling(t, "no rules", signed(), r, authority.Ruling{Decision: "ask", Rule: noRule, Version: 3, Persons: 1})
}

func TestTheStricterOfTwoRulesDecides(t *testing.T) {
	for _, first := range decisions {
		for _, second := range decisions {
			want := authority.Ruling{Decision: first, Rule: "first", Version: 3, Persons: 1}
			if strictness[second] > strictness[first] {
				want.Decision, want.Rule = second, "second"
			}
			a := signed(rule("first", first), rule("second", second))
			checkRuling(t, string(first)+" and "+string(second), a, toIsolate("PC-1", "workstation"), want)
		}
	}
}

// The clocks of Berlin change on 2026-03-29 and 2026-10-25 at 01:00 UTC.
func TestRulesKeepTheClientsHoursAcrossClockChanges(t *testing.T) {
	night := modelstest.On("sun", 2*60, 3*60)
	business, outside := rule("business", "ask"), rule("outside", "auto")
	business.Hours, outside.Hours = "business", "outside"
	for _, c := range []struct {
		at, want string
		hours    models.Hours
	}{
		{"2026-03-27T06:59:59Z", "outside", models.OfficeHours()},
		{"2026-03-27T07:00:00Z", "business", models.OfficeHours()}, // Friday, 08:00 in winter
		{"2026-03-27T16:59:59Z", "business", models.OfficeHours()},
		{"2026-03-27T17:00:00Z", "outside", models.OfficeHours()},
		{"2026-03-29T10:00:00Z", "outside", models.OfficeHours()},
		{"2026-03-30T05:59:59Z", "outside", models.OfficeHours()},
		{"2026-03-30T06:00:00Z", "business", models.OfficeHours()}, // Monday, 08:00 in summer
		{"2026-03-30T16:00:00Z", "outside", models.OfficeHours()},
		{"2026-10-23T06:00:00Z", "business", models.OfficeHours()},
		{"2026-10-26T06:00:00Z", "outside", models.OfficeHours()},
		{"2026-10-26T07:00:00Z", "business", models.OfficeHours()},
		{"2026-03-29T00:59:59Z", "outside", night},
		{"2026-03-29T01:00:00Z", "outside", night}, // the hour is skipped
		{"2026-10-24T23:59:59Z", "outside", night},
		{"2026-10-25T00:00:00Z", "business", night}, // the hour comes twice
		{"2026-10-25T01:59:59Z", "business", night},
		{"2026-10-25T02:00:00Z", "outside", night},
		{"2026-10-25T02:00:00Z", "business", nil},
	} {
		r := toIsolate("PC-1", "workstation")
		r.At = modelstest.Moment(t, c.at)
		if got := signed(business, outside).Evaluate(r, modelstest.Zone(t, "Europe/Berlin"), c.hours); got.Rule != c.want {
			t.Errorf("%s: %+v, want %s", c.at, got, c.want)
		}
	}
}

func TestAnUnknownClassIsForbiddenWhatAnyClassIs(t *testing.T) {
	forServers := func(d authority.Decision, tags ...string) authority.Rule {
		return authority.Rule{Name: "servers", Action: "isolated", Classes: []models.AssetClass{"server"}, Tags: tags, Decision: d}
	}
	all := rule("all", "auto")
	for _, c := range []struct {
		name     string
		rules    []authority.Rule
		class    models.AssetClass
		decision authority.Decision
		rule     string
	}{
		{"never", []authority.Rule{forServers("never")}, "", "never", "servers"},
		{"ask", []authority.Rule{forServers("ask")}, "", "ask", "servers"},
		{"ask then auto", []authority.Rule{forServers("ask_then_auto")}, "", "ask", noRule},
		{"auto", []authority.Rule{forServers("auto")}, "", "ask", noRule},
		{"never beside auto for all", []authority.Rule{all, forServers("never")}, "", "never", "servers"},
		{"ask beside auto for all", []authority.Rule{all, forServers("ask")}, "", "ask", "servers"},
		{"ask then auto beside auto for all", []authority.Rule{all, forServers("ask_then_auto")}, "", "auto", "all"},
		{"never, without the rule's tag", []authority.Rule{forServers("never", "vip")}, "", "ask", noRule},
		{"never, a class that is known", []authority.Rule{forServers("never")}, "workstation", "ask", noRule},
		{"never beside auto for all, a class that is known", []authority.Rule{all, forServers("never")}, "workstation", "auto", "all"},
	} {
		want := authority.Ruling{Decision: c.decision, Rule: c.rule, Version: 3, Persons: 1}
		checkRuling(t, c.name, signed(c.rules...), toIsolate("X", c.class), want)
	}
}

func TestTagsThatTheEDRDoesNotTell(t *testing.T) {
	tagged := func(d authority.Decision) authority.Rule {
		r := rule("production", d)
		r.Tags = []string{"production"}
		return r
	}
	r := toIsolate("PC-1", "workstation")
	r.Asset.TagsUnknown = true
	all := rule("all", "auto")
	checkRuling(t, "never", signed(all, tagged("never")), r, authority.Ruling{Decision: "never", Rule: "production" + noTags, Version: 3, Persons: 1})
	checkRuling(t, "ask", signed(all, tagged("ask")), r, authority.Ruling{Decision: "ask", Rule: "production" + noTags, Version: 3, Persons: 1})
	checkRuling(t, "auto", signed(tagged("auto")), r, authority.Ruling{Decision: "ask", Rule: noRule, Version: 3, Persons: 1})
	checkRuling(t, "nothing by tag", signed(all), r, authority.Ruling{Decision: "auto", Rule: "all", Version: 3, Persons: 1})
	selecting := signed(all)
	selecting.TwoPersons = []authority.AssetSelector{{Tag: "production"}}
	checkRuling(t, "a selector", selecting, r, authority.Ruling{Decision: "ask", Rule: "all" + noTags, Version: 3, Persons: 2})
}

func TestHostPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, host string
		fits          bool
	}{
		{"DC-01", "DC-01", true}, {"DC-01", "dc-01", true}, {"dc-01", "DC-01", true}, {"DC-01", "DC-011", false}, {"DC-01", "ADC-01", false},
		{"DC-01", "dc-01.corp.example", true}, {"DC-*", "dc-01.corp.example", true}, {"DC-01", "corp.dc-01", false},
		{"corp", "dc-01.corp.example", false}, {"dc-01.corp.example", "DC-01.Corp.Example", true}, {"dc-01.corp.example", "dc-01.corp.example.net", false},
		{"dc-01.corp", "dc-01.corp.example", false}, {"*.corp.example", "dc-01.corp.example", true}, {"*.corp.example", "corp.example", false},
		{"*.CORP.example", "a.b.corp.EXAMPLE", true}, {"dc-01.*", "dc-01.corp.example", true}, {"dc-01.*", "dc-01", true},
		{"dc-01.corp.example", "DC-01", true}, {"dc-*.corp.example", "dc-01", true}, {"*.corp.example", "dc-01", true},
		{"dc-01.corp.example", "dc-011", false}, {"dc-01.corp.example", "dc-01.branch.example", false},
		{"dc.01", "dc-01", false}, {"dc*example", "dc-01.corp.example", true}, {"*-01", "dc-01.corp.example", true}, {"*", "x", true},
		{"*", "x.y.z", true}, {"*", "", true}, {"***", "x.y", true}, {"*a*b*", "xaxbx", true}, {"*a*b*", "xbxax", false},
		{"*ab", "abaab", true}, {"*", "shared/x", true}, {"db*", "db/prod", true}, {"db_1", "DB_1", true},
		{"*", "bücher", true}, {"dc", "", false},
	} {
		a := signed(rule("all", "auto"), authority.Rule{Name: "release", Action: "released", Decision: "auto"})
		a.Never = []string{"other", c.pattern}
		r := toIsolate(c.host, "server")
		want := authority.Ruling{Decision: "auto", Rule: "all", Version: 3, Persons: 1}
		if c.fits {
			want.Decision, want.Rule = "never", listed+c.pattern
		}
		checkRuling(t, c.pattern+" lists "+c.host, a, r, want)
		release := r
		release.Action = "released"
		checkRuling(t, c.pattern+" and a release of "+c.host, a, release, authority.Ruling{Decision: "auto", Rule: "release", Version: 3, Persons: 1})
		a.Never, a.TwoPersons = nil, []authority.AssetSelector{{Host: c.pattern}}
		want = authority.Ruling{Decision: "auto", Rule: "all", Version: 3, Persons: 1}
		if c.fits {
			want.Decision, want.Persons = "ask", 2
		}
		checkRuling(t, c.pattern+" selects "+c.host, a, r, want)
	}
}

// A device has the name somebody typed and the one its EDR knows it by.
func TestADeviceIsJudgedByBothItsNames(t *testing.T) {
	for _, c := range []struct {
		pattern, typed, device string
		fits                   bool
	}{
		{"dc01.corp.example", "dc01", "dc01.corp.example", true}, {"dc01.corp.example", "dc01", "DC01.CORP.EXAMPLE", true},
		{"dc01.corp.example", "dc01", "dc01.branch.example", false}, // what was typed is short for another one
		{"dc01.corp.example", "dc01", "DC01", true}, {"dc01.corp.example", "dc01", "", true},
		{"dc01.corp.example", "dc01.corp.example", "DC01", true}, {"fs-*", "10.0.0.5", "fs-1.corp.example", true},
		{"alias", "alias", "fs-1.corp.example", true}, {"alias", "other", "fs-1.corp.example", false},
		{"*.corp.example", "ws1", "ws1.corp.example", true}, {"*.corp.example", "ws1", "ws1.branch.example", false},
	} {
		r := toIsolate(c.typed, "server")
		r.Asset.DeviceName = c.device
		a := signed(rule("all", "auto"))
		a.Never = []string{c.pattern}
		want := authority.Ruling{Decision: "auto", Rule: "all", Version: 3, Persons: 1}
		if c.fits {
			want.Decision, want.Rule = "never", listed+c.pattern
		}
		name := c.pattern + " and " + c.typed + ", of the EDR " + c.device
		checkRuling(t, name, a, r, want)
		a.Never, a.TwoPersons = nil, []authority.AssetSelector{{Host: c.pattern}}
		want = authority.Ruling{Decision: "auto", Rule: "all", Version: 3, Persons: 1}
		if c.fits {
			want.Decision, want.Persons = "ask", 2
		}
		checkRuling(t, name+", two persons", a, r, want)
	}
}

func TestTwoPersonsAreAskedForSelectedAssets(t *testing.T) {
	for _, c := range []struct {
		name      string
		selectors []authority.AssetSelector
		asset     authority.Asset
		selected  bool
	}{
		{"no selectors", nil, authority.Asset{Hostname: "DB-1", Class: "server"}, false},
		{"by host", []authority.AssetSelector{{Host: "DB-*"}}, authority.Asset{Hostname: "db-1.corp.example"}, true},
		{"another host", []authority.AssetSelector{{Host: "DB-*"}}, authority.Asset{Hostname: "web-1"}, false},
		{"by class", []authority.AssetSelector{{Class: "server"}}, authority.Asset{Hostname: "x", Class: "server"}, true},
		{"another class", []authority.AssetSelector{{Class: "server"}}, authority.Asset{Hostname: "x", Class: "workstation"}, false},
		{"a class not known", []authority.AssetSelector{{Class: "server"}}, authority.Asset{Hostname: "x"}, true},
		{"by tag", []authority.AssetSelector{{Tag: "vip"}}, authority.Asset{Hostname: "x", Class: "server", Tags: []string{"a", "vip"}}, true},
		{"another tag", []authority.AssetSelector{{Tag: "vip"}}, authority.Asset{Hostname: "vip", Class: "server", Tags: []string{"vips"}}, false},
		{"the second selector", []authority.AssetSelector{{Host: "y"}, {Tag: "vip"}}, authority.Asset{Hostname: "x", Tags: []string{"vip"}}, true},
	} {
		for _, action := range []models.Desired{"isolated", "released"} {
			for _, d := range decisions {
				one := rule("all", d)
				one.Action = action
				a := signed(one)
				a.TwoPersons = c.selectors
				want := authority.Ruling{Decision: d, Rule: "all", Version: 3, Persons: 1}
				if c.selected {
					want.Persons = 2
					want.Decision = map[bool]authority.Decision{true: "never", false: "ask"}[d == "never"]
				}
				r := authority.Request{Action: action, Asset: c.asset, Severity: "low", At: modelstest.T0}
				checkRuling(t, c.name+", "+string(action)+" "+string(d), a, r, want)
				a.Rules = nil
				checkRuling(t, c.name+" without rules", a, r, authority.Ruling{Decision: "ask", Rule: noRule, Version: 3, Persons: want.Persons})
			}
		}
	}
	a := signed(rule("all", "auto"))
	a.TwoPersons, a.Never = []authority.AssetSelector{{Host: "db"}}, []string{"db"}
	checkRuling(t, "selected and listed", a, toIsolate("db", "server"), authority.Ruling{Decision: "never", Rule: listed + "db", Version: 3, Persons: 2})
}

func TestDrillsAndDrafts(t *testing.T) {
	r := toIsolate("db", "server")
	drill := r
	drill.Drill = true
	for _, d := range decisions {
		a := signed(rule("all", d))
		a.Never, a.TwoPersons = []string{"*"}, []authority.AssetSelector{{Host: "*"}}
		checkRuling(t, "a drill, "+string(d), a, drill, authority.Ruling{Decision: "never", Rule: aDrill, Version: 3, Persons: 1})
		a.SignedAt, a.SignedBy = time.Time{}, uuid.UUID{}
		checkRuling(t, "a draft, "+string(d), a, r, authority.Ruling{Decision: "ask", Rule: unsigned, Persons: 1})
		checkRuling(t, "a drill with a draft, "+string(d), a, drill, authority.Ruling{Decision: "never", Rule: aDrill, Persons: 1})
	}
	checkRuling(t, "nothing was ever written", authority.Authority{}, r, authority.Ruling{Decision: "ask", Rule: unsigned, Persons: 1})
}
