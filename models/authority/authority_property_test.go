package authority_test

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/modelstest"
)

var (
	classes = []models.AssetClass{"workstation", "server", "domain_controller"}
	tags    = []string{"vip", "finance", "prod"}
)

func some[T comparable](t *rapid.T, label string, from []T) []T {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(from), 0, 2, rapid.ID[T]).Draw(t, label)
}

func anyPattern(t *rapid.T) string {
	return rapid.StringMatching(`[aAb.*-]{1,6}`).Draw(t, "pattern")
}

func anyRule(t *rapid.T, name string) authority.Rule {
	return authority.Rule{
		Name: name, Action: rapid.SampledFrom([]models.Desired{"isolated", "isolated", "released"}).Draw(t, "action"),
		Classes: some(t, "classes", classes), Tags: some(t, "tags", tags), Severities: some(t, "severities", models.Severities()),
		Hours:    rapid.SampledFrom([]authority.RuleHours{"", "business", "outside"}).Draw(t, "hours"),
		Decision: rapid.SampledFrom(decisions).Draw(t, "decision"),
	}
}

func anySelector(t *rapid.T) authority.AssetSelector {
	return rapid.SampledFrom([]authority.AssetSelector{
		{Host: anyPattern(t)}, {Class: rapid.SampledFrom(classes).Draw(t, "class")}, {Tag: rapid.SampledFrom(tags).Draw(t, "tag")},
	}).Draw(t, "selector")
}

// anyAuthority is a good one, signed.
func anyAuthority(t *rapid.T) authority.Authority {
	a := signed()
	a.Version = rapid.IntRange(1, 9).Draw(t, "version")
	for n := range rapid.IntRange(0, 6).Draw(t, "rules") {
		a.Rules = append(a.Rules, anyRule(t, "rule "+strconv.Itoa(n)))
	}
	for range rapid.IntRange(0, 2).Draw(t, "listed") {
		a.Never = append(a.Never, anyPattern(t))
	}
	for range rapid.IntRange(0, 2).Draw(t, "selectors") {
		a.TwoPersons = append(a.TwoPersons, anySelector(t))
	}
	if err := a.Check(); err != nil {
		t.Fatal(err)
	}
	return a
}

// situation is a request and what the client's hours make of its moment.
type situation struct {
	authority.Request
	zone     *time.Location
	business models.Hours
}

func anySituation(t *rapid.T) situation {
	z := modelstest.Zone(t, rapid.SampledFrom(modelstest.Zones).Draw(t, "zone"))
	class := rapid.SampledFrom(append([]models.AssetClass{""}, classes...)).Draw(t, "class")
	return situation{zone: z, business: modelstest.AnyHours(t), Request: authority.Request{
		Action: rapid.SampledFrom([]models.Desired{"isolated", "isolated", "released"}).Draw(t, "action"),
		Asset: authority.Asset{
			Hostname: rapid.StringMatching(`[aAbB./-]{0,6}`).Draw(t, "host"), DeviceName: rapid.StringMatching(`[aAbB./-]{0,6}`).Draw(t, "device"),
			Class: class, Tags: some(t, "tags", tags), MayBeController: class == "server" && rapid.Bool().Draw(t, "may be a controller"),
		},
		Severity: rapid.SampledFrom(models.Severities()).Draw(t, "severity"), At: modelstest.AnyMoment(t, z),
	}}
}

// withoutTags is the same situation with an EDR that does not tell tags.
func (s situation) withoutTags() situation {
	s.Asset.Tags, s.Asset.TagsUnknown = nil, true
	return s
}

func (s situation) decide(a authority.Authority) authority.Ruling {
	return a.Evaluate(s.Request, s.zone, s.business)
}

// fits reads a pattern as a regular expression.
func fits(pattern, host string) bool {
	matches := func(pattern, host string) bool {
		return regexp.MustCompile(`(?is)^` + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `.*`) + `$`).MatchString(host)
	}
	dotted := func(name string) bool { return strings.Contains(name, ".") }
	first := func(name string) string { return strings.Split(name, ".")[0] }
	return matches(pattern, host) || !dotted(pattern) && matches(pattern, first(host)) || !dotted(host) && matches(first(pattern), host)
}

// named says whether a pattern fits a name of the device: the EDR's, or the one that was typed where it says more than
// the EDR's first label.
func (s situation) named(pattern string) bool {
	if s.Asset.DeviceName != "" && fits(pattern, s.Asset.DeviceName) {
		return true
	}
	short := s.Asset.DeviceName != "" && strings.EqualFold(s.Asset.Hostname, strings.Split(s.Asset.DeviceName, ".")[0])
	return !short && fits(pattern, s.Asset.Hostname)
}

// holds reads a rule field by field.
func (s situation) holds(r authority.Rule) bool {
	if r.Action != s.Action || r.Hours != "" && (r.Hours == "business") != modelstest.WallOf(s.business).Open(s.At, s.zone) {
		return false
	}
	if len(r.Severities) > 0 && !slices.Contains(r.Severities, s.Severity) {
		return false
	}
	tagged := len(r.Tags) == 0
	for _, tag := range s.Asset.Tags {
		tagged = tagged || slices.Contains(r.Tags, tag)
	}
	forbids := r.Decision == "never" || r.Decision == "ask"
	tagged = tagged || s.Asset.TagsUnknown && forbids
	mayBe := s.Asset.Class == "" || s.Asset.MayBeController && slices.Contains(r.Classes, "domain_controller")
	return tagged && (len(r.Classes) == 0 || slices.Contains(r.Classes, s.Asset.Class) || mayBe && forbids)
}

// withheld reports a rule that would permit the isolation if it named the class of what may be a domain controller.
func (s situation) withheld(r authority.Rule) bool {
	return s.Action == "isolated" && s.holds(r) && len(r.Classes) == 0 && strictness[r.Decision] < 3 && (s.Asset.Class == "domain_controller" || s.Asset.MayBeController)
}

// needsTwoPersons reports whether two persons must agree.
func (s situation) needsTwoPersons(a authority.Authority) bool {
	return slices.ContainsFunc(a.TwoPersons, func(m authority.AssetSelector) bool {
		return m.Host != "" && s.named(m.Host) || m.Tag != "" && (s.Asset.TagsUnknown || slices.Contains(s.Asset.Tags, m.Tag)) ||
			m.Class != "" && (m.Class == s.Asset.Class || s.Asset.Class == "" || m.Class == "domain_controller" && s.Asset.MayBeController)
	})
}

// ruled is the decision by the rules as they are told to people, how many must agree, and what may be named for it.
func (s situation) ruled(a authority.Authority) (decision authority.Decision, persons int, names []string) {
	persons = map[bool]int{false: 1, true: 2}[s.needsTwoPersons(a)]
	for _, pattern := range a.Never {
		if s.Action == "isolated" && s.named(pattern) {
			names = append(names, listed+pattern)
		}
	}
	if len(names) > 0 {
		return "never", persons, names
	}
	for _, r := range a.Rules {
		if !s.holds(r) || s.withheld(r) || strictness[r.Decision] < strictness[decision] {
			continue
		}
		if r.Decision != decision {
			decision, names = r.Decision, nil
		}
		names = append(names, r.Name)
	}
	switch {
	case len(names) == 0 && slices.ContainsFunc(a.Rules, s.withheld):
		return "ask", persons, []string{notNamed}
	case len(names) == 0:
		return "ask", persons, []string{noRule}
	case persons == 2 && decision != "never":
		return "ask", persons, names
	}
	return decision, persons, names
}

func TestTheStrictestRuleThatMatchesDecides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, s := anyAuthority(t), anySituation(t)
		got := s.decide(a)
		decision, persons, names := s.ruled(a)
		if got.Decision != decision || got.Persons != persons || got.Version != a.Version || !slices.Contains(names, strings.TrimSuffix(got.Rule, noTags)) {
			t.Fatalf("%+v, want %s by one of %q, %d persons", got, decision, names, persons)
		}
	})
}

// A device whose tags the EDR does not tell is treated as if it had every tag that forbids, asks or needs two persons,
// and none that permits.
func TestUnknownTagsAreTheWorstTags(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, s := anyAuthority(t), anySituation(t)
		told, got := s.decide(a), s.withoutTags().decide(a)
		if decision, persons, _ := s.withoutTags().ruled(a); got.Decision != decision || got.Persons != persons {
			t.Fatalf("%+v, want %s, %d persons", got, decision, persons)
		}
		if got.Persons < told.Persons || strictness[told.Decision] > 2 && strictness[got.Decision] < strictness[told.Decision] {
			t.Fatalf("%+v became %+v", told, got)
		}
		none := s
		none.Asset.Tags = nil
		if without := none.decide(a); !strings.HasPrefix(got.Rule, listed) && (without != got) != strings.HasSuffix(got.Rule, noTags) {
			t.Fatalf("without tags %+v, not told %+v: the ruling says why, and only then", without, got)
		}
		a.Rules = slices.DeleteFunc(a.Rules, func(r authority.Rule) bool {
			return len(r.Tags) == 0 || r.Decision == "never" || r.Decision == "ask"
		})
		if got := s.withoutTags().decide(a); got.Decision == "auto" || got.Decision == "ask_then_auto" {
			t.Fatalf("permitted by a tag nobody knows: %+v", got)
		}
	})
}

func TestPatternsFitWhereAStarIsAnyCharacters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, s := signed(), anySituation(t)
		s.Action, a.Never = "isolated", []string{anyPattern(t)}
		if got := s.decide(a); (got.Decision == "never") != s.named(a.Never[0]) {
			t.Fatalf("%q and %+v: %+v", a.Never[0], s.Asset, got)
		}
	})
}

func TestTheOrderOfRulesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, s := anyAuthority(t), anySituation(t)
		was := s.decide(a)
		a.Rules, a.Never = rapid.Permutation(a.Rules).Draw(t, "rules"), rapid.Permutation(a.Never).Draw(t, "never")
		a.TwoPersons = rapid.Permutation(a.TwoPersons).Draw(t, "selectors")
		if got := s.decide(a); got.Decision != was.Decision || got.Persons != was.Persons {
			t.Fatalf("%+v became %+v", was, got)
		}
	})
}

func TestNeverWins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, s := anyAuthority(t), anySituation(t)
		never := authority.Rule{Name: "not at all", Action: s.Action, Decision: "never"}
		a.Rules = slices.Insert(a.Rules, rapid.IntRange(0, len(a.Rules)).Draw(t, "where"), never)
		if got := s.decide(a); got.Decision != "never" {
			t.Fatalf("%+v", got)
		}
	})
}

// A first rule may permit what would have been asked; any further one can only forbid.
func TestAnotherRuleNeverPermitsMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, s := anyAuthority(t), anySituation(t)
		first := authority.Rule{Name: "the first", Action: s.Action, Decision: rapid.SampledFrom(decisions).Draw(t, "first")}
		if s.Asset.Class != "" {
			first.Classes = []models.AssetClass{s.Asset.Class} // or it might not be about a domain controller
		}
		a.Rules = append(a.Rules, first)
		was := s.decide(a)
		a.Rules = slices.Insert(a.Rules, rapid.IntRange(0, len(a.Rules)).Draw(t, "where"), anyRule(t, "another"))
		if got := s.decide(a); strictness[got.Decision] < strictness[was.Decision] {
			t.Fatalf("%+v became %+v", was, got)
		}
	})
}

func TestAnActionThatTwoPersonsMustApproveIsNeverAutomatic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, s := anyAuthority(t), anySituation(t)
		selectors := []authority.AssetSelector{{Host: "*"}, {Class: rapid.SampledFrom(classes).Draw(t, "unless known")}}
		if s.Asset.Class != "" {
			selectors[1].Class = s.Asset.Class
		}
		if len(s.Asset.Tags) > 0 {
			selectors = append(selectors, authority.AssetSelector{Tag: s.Asset.Tags[0]})
		}
		selector := rapid.SampledFrom(selectors).Draw(t, "selector")
		a.TwoPersons = slices.Insert(a.TwoPersons, rapid.IntRange(0, len(a.TwoPersons)).Draw(t, "where"), selector)
		if got := s.decide(a); got.Persons != 2 || got.Decision != "ask" && got.Decision != "never" {
			t.Fatalf("%+v", got)
		}
	})
}

func TestADrillReachesNoDeviceAndADraftPermitsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, s := anyAuthority(t), anySituation(t)
		drill := s
		drill.Drill = true
		if got := drill.decide(a); got.Decision != "never" || got.Rule != aDrill {
			t.Fatalf("a drill: %+v", got)
		}
		a.SignedAt = time.Time{}
		if got, want := s.decide(a), (authority.Ruling{Decision: "ask", Rule: unsigned, Persons: 1}); got != want {
			t.Fatalf("a draft: %+v", got)
		}
		if got := drill.decide(a); got.Decision != "never" {
			t.Fatalf("a drill with a draft: %+v", got)
		}
	})
}

func TestAHostOnTheListIsNeverIsolatedButReleasedAsEver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, s := anyAuthority(t), anySituation(t)
		s.Asset.Hostname = rapid.StringMatching(`[aAbB.-]{1,6}`).Draw(t, "host")
		s.Asset.DeviceName = rapid.StringMatching(`([aAbB.-]{1,6})?`).Draw(t, "device")
		name := cmp.Or(s.Asset.DeviceName, s.Asset.Hostname)
		label, _, _ := strings.Cut(name, ".")
		pattern := rapid.SampledFrom([]string{"*", name, strings.ToUpper(name), label + "*"}).Draw(t, "listed as")
		was := s.decide(a)
		a.Never = slices.Insert(a.Never, rapid.IntRange(0, len(a.Never)).Draw(t, "where"), pattern)
		got := s.decide(a)
		if s.Action == "isolated" && got.Decision != "never" || s.Action == "released" && got != was {
			t.Fatalf("%s: %+v became %+v", s.Action, was, got)
		}
	})
}
