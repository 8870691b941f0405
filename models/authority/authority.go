package authority

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
)

// Authority is a client's response authority: the signed rules of who may isolate and release what, and when. A version
// is never changed; the newest signed one holds.
type Authority struct {
	Version    int             `json:"version"` // counts from 1
	Rules      []Rule          `json:"rules"`
	Never      []string        `json:"never"`       // do not isolate: host names, with * for any characters
	TwoPersons []AssetSelector `json:"two_persons"` // assets for which two different persons must agree
	DraftedBy  uuid.UUID       `json:"drafted_by"`
	DraftedAt  time.Time       `json:"drafted_at"`
	SignedBy   uuid.UUID       `json:"signed_by,omitzero"` // a user of the client
	SignedAt   time.Time       `json:"signed_at,omitzero"`
}

// AssetSelector picks assets: by host name, class or tag. Exactly one field is set.
type AssetSelector struct {
	Host  string            `json:"host,omitempty"` // with * for any characters
	Class models.AssetClass `json:"class,omitempty"`
	Tag   string            `json:"tag,omitempty"`
}

// Rule decides about an action on the assets it matches. An empty list matches everything.
type Rule struct {
	Name       string              `json:"name"`
	Action     models.Desired      `json:"action"` // isolated or released
	Classes    []models.AssetClass `json:"classes,omitempty"`
	Tags       []string            `json:"tags,omitempty"` // the asset has one of them
	Severities []models.Severity   `json:"severities,omitempty"`
	Hours      RuleHours           `json:"hours,omitempty"`
	Decision   Decision            `json:"decision"`
}

// RuleHours says when a rule holds.
type RuleHours string

// When a rule holds: always, or by the client's business hours.
const (
	HoursAny      RuleHours = ""
	HoursBusiness RuleHours = "business"
	HoursOutside  RuleHours = "outside"
)

// Decision is the answer of a rule.
type Decision string

// The decisions, from the strictest: of several rules that match, the strictest decides.
const (
	DecideNever       Decision = "never"
	DecideAsk         Decision = "ask"
	DecideAskThenAuto Decision = "ask_then_auto" // done when every contact was tried and nobody answered
	DecideAuto        Decision = "auto"
)

// Decisions lists the decisions, the strictest first.
func Decisions() []Decision {
	return []Decision{DecideNever, DecideAsk, DecideAskThenAuto, DecideAuto}
}

// Asks reports whether the decision has the client asked.
func (d Decision) Asks() bool { return d == DecideAsk || d == DecideAskThenAuto }

// isAutomatic reports whether the decision lets an action be sent that nobody of the client agreed to.
func (d Decision) isAutomatic() bool { return d == DecideAuto || d == DecideAskThenAuto }

// Asset is a device as the response authority sees it.
type Asset struct {
	Hostname   string            `json:"hostname"`              // as it was asked for
	DeviceName string            `json:"device_name,omitempty"` // as the EDR knows it; "" while that is not known
	Class      models.AssetClass `json:"class,omitempty"`       // "" when the EDR does not say
	Tags       []string          `json:"tags,omitempty"`
	// MayBeController says that the EDR calls it a server and does not tell domain controllers from other servers.
	MayBeController bool `json:"may_be_controller,omitzero"`
	// TagsUnknown says that the EDR does not tell tags: it may have any.
	TagsUnknown bool `json:"tags_unknown,omitzero"`
}

// hasName reports whether a pattern fits one of the asset's names. A name that only shortens the EDR's own is left out:
// the longer one says which device it is.
func (a Asset) hasName(pattern string) bool {
	label, _, _ := strings.Cut(a.DeviceName, ".")
	return hostMatches(pattern, cmp.Or(a.DeviceName, a.Hostname)) || !strings.EqualFold(a.Hostname, label) && hostMatches(pattern, a.Hostname)
}

// mayBeOfClass reports whether an asset is of a class, or may be of it for all that the EDR says.
func (a Asset) mayBeOfClass(c models.AssetClass) bool {
	return a.Class == c || a.Class == "" || c == models.ClassDomainController && a.MayBeController
}

// mayBeController reports whether the EDR calls an asset a domain controller, or a server that may be one.
func (a Asset) mayBeController() bool {
	return a.Class == models.ClassDomainController || a.Class == models.ClassServer && a.MayBeController
}

// mayHaveTag reports whether an asset has a tag, or may have it for all that the EDR says.
func (a Asset) mayHaveTag(tag string) bool { return a.TagsUnknown || slices.Contains(a.Tags, tag) }

// Request asks for a ruling: on an action on an asset, in an incident of a severity, at a moment.
type Request struct {
	Action   models.Desired  `json:"action"`
	Asset    Asset           `json:"asset"`
	Severity models.Severity `json:"severity"`
	At       time.Time       `json:"at"`
	Drill    bool            `json:"drill,omitzero"`
}

// Evaluate rules on a request. The strictest rule that matches decides; the do-not-isolate list is stricter than all. A
// request that no rule matches is asked, and so is every request while no version is signed, or when two persons must
// agree on the asset. A rule that says never or ask for some class or tag also holds for an asset that may be of it or
// have it, because the EDR does not say; a rule that permits does not. A rule that permits isolations and names no
// class leaves out domain controllers, and servers that may be some. A drill never reaches a real device.
func (a Authority) Evaluate(r Request, zone *time.Location, business models.Hours) Ruling {
	ruling := Ruling{Decision: DecideAsk, Rule: "no rule matches", Version: a.Version, Persons: 1}
	if a.SignedAt.IsZero() {
		ruling.Rule, ruling.Version = "no response authority is signed", 0
	}
	if r.Drill {
		ruling.Decision, ruling.Rule = DecideNever, "a drill never reaches a real device"
	}
	if a.SignedAt.IsZero() || r.Drill {
		return ruling
	}
	if slices.ContainsFunc(a.TwoPersons, func(m AssetSelector) bool { return m.matches(r.Asset) }) {
		ruling.Persons = 2
	}
	if r.Action == models.DesiredIsolated {
		for _, pattern := range a.Never {
			if r.Asset.hasName(pattern) {
				ruling.Decision, ruling.Rule = DecideNever, "do-not-isolate list: "+pattern
				return ruling
			}
		}
	}
	strictness := func(d Decision) int { return slices.Index(Decisions(), d) }
	best := len(Decisions())
	for _, rule := range a.Rules {
		s := strictness(rule.Decision)
		switch {
		case s >= best || !rule.matches(r, zone, business):
		case rule.leavesOut(r):
			if best == len(Decisions()) {
				ruling.Rule = controllersNotNamed
			}
		default:
			best, ruling.Decision, ruling.Rule = s, rule.Decision, rule.Name
		}
	}
	if ruling.Persons > 1 && ruling.Decision != DecideNever {
		ruling.Decision = DecideAsk
	}
	if r.Asset.TagsUnknown {
		known := r
		known.Asset.TagsUnknown = false
		if other := a.Evaluate(known, zone, business); other.Decision != ruling.Decision || other.Rule != ruling.Rule || other.Persons != ruling.Persons {
			ruling.Rule += tagsUnknown
		}
	}
	return ruling
}

// leavesOut reports a rule that would let a domain controller, or a server that may be one, be isolated though it names
// no class.
func (rule Rule) leavesOut(r Request) bool {
	return rule.Decision.isAutomatic() && len(rule.Classes) == 0 && r.Action == models.DesiredIsolated && r.Asset.mayBeController()
}

// controllersNotNamed stands in for the rule of a ruling that only a rule without a class would have permitted.
const controllersNotNamed = "it may be a domain controller, and no rule that permits names its class"

// tagsUnknown is added to the rule of a ruling that an asset's unknown tags made.
const tagsUnknown = " (the EDR does not tell tags)"

func (rule Rule) matches(r Request, zone *time.Location, business models.Hours) bool {
	classed := slices.Contains(rule.Classes, r.Asset.Class)
	tagged := slices.ContainsFunc(rule.Tags, func(t string) bool { return slices.Contains(r.Asset.Tags, t) })
	if !rule.Decision.isAutomatic() {
		classed, tagged = slices.ContainsFunc(rule.Classes, r.Asset.mayBeOfClass), slices.ContainsFunc(rule.Tags, r.Asset.mayHaveTag)
	}
	hours := rule.Hours == HoursAny || business.Open(r.At, zone) == (rule.Hours == HoursBusiness)
	return rule.Action == r.Action && hours &&
		(len(rule.Classes) == 0 || classed) &&
		(len(rule.Severities) == 0 || slices.Contains(rule.Severities, r.Severity)) &&
		(len(rule.Tags) == 0 || tagged)
}

func (m AssetSelector) matches(a Asset) bool {
	switch {
	case m.Host != "":
		return a.hasName(m.Host)
	case m.Class != "":
		return a.mayBeOfClass(m.Class)
	default:
		return a.mayHaveTag(m.Tag)
	}
}

// hostMatches reports whether a host name fits a pattern, whatever the case. Where one of the two has no dot, it may be
// short for any domain: "DC-*" fits "dc-01.corp.example", and "dc-01.corp.example" fits "DC-01".
func hostMatches(pattern, hostname string) bool {
	pattern, hostname = strings.ToLower(pattern), strings.ToLower(hostname)
	hostname = strings.ReplaceAll(hostname, "/", " ") // in a path * stops at a slash, here it does not
	fits := func(pattern, name string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	}
	short, _, long := strings.Cut(hostname, ".")
	first, _, dotted := strings.Cut(pattern, ".")
	return fits(pattern, hostname) || !dotted && fits(pattern, short) || !long && fits(first, hostname)
}

// GoLive checks that the client has signed the response authority a, which says who may isolate what.
func (a Authority) GoLive() models.GoLiveCheck {
	missing := []string{}
	if a.SignedAt.IsZero() {
		missing = append(missing, "no response authority is signed: every isolation is asked for")
	}
	return models.NewGoLiveCheck("response_authority", missing)
}

const maxRules = 200

// Check reports the first thing that is wrong with a response authority, as Invalid.
func (a Authority) Check() error {
	errs := []error{}
	for _, list := range []struct {
		at string
		n  int
	}{{"/rules", len(a.Rules)}, {"/never", len(a.Never)}, {"/two_persons", len(a.TwoPersons)}} {
		if list.n > maxRules {
			errs = append(errs, models.InvalidField(list.at, "has more than %d entries", maxRules))
		}
	}
	names := map[string]bool{}
	for n, r := range a.Rules {
		at := "/rules/" + strconv.Itoa(n)
		errs = append(errs, r.check(at))
		if names[r.Name] {
			errs = append(errs, models.InvalidField(at+"/name", "is used twice"))
		}
		names[r.Name] = true
	}
	for n, p := range a.Never {
		errs = append(errs, checkPattern("/never/"+strconv.Itoa(n), p))
	}
	for n, m := range a.TwoPersons {
		errs = append(errs, m.check("/two_persons/"+strconv.Itoa(n)))
	}
	return models.FirstError(errs)
}

func (rule Rule) check(at string) error {
	errs := []error{
		models.CheckText(at+"/name", rule.Name, 100, true), models.CheckOneOf(at+"/action", rule.Action, models.DesiredIsolated, models.DesiredReleased),
		models.CheckOneOf(at+"/hours", rule.Hours, HoursAny, HoursBusiness, HoursOutside), models.CheckOneOf(at+"/decision", rule.Decision, Decisions()...),
		models.CheckCount(at+"/classes", len(rule.Classes)), models.CheckCount(at+"/severities", len(rule.Severities)), models.CheckCount(at+"/tags", len(rule.Tags)),
	}
	for n, c := range rule.Classes {
		errs = append(errs, models.CheckOneOf(at+"/classes/"+strconv.Itoa(n), c, models.ClassWorkstation, models.ClassServer, models.ClassDomainController))
	}
	for n, s := range rule.Severities {
		errs = append(errs, models.CheckOneOf(at+"/severities/"+strconv.Itoa(n), s, models.Severities()...))
	}
	for n, t := range rule.Tags {
		errs = append(errs, models.CheckText(at+"/tags/"+strconv.Itoa(n), t, 200, true))
	}
	return models.FirstError(errs)
}

func (m AssetSelector) check(at string) error {
	set := 0
	for _, s := range []string{m.Host, string(m.Class), m.Tag} {
		if s != "" {
			set++
		}
	}
	switch {
	case set != 1:
		return models.InvalidField(at, "must name exactly one of host, class and tag")
	case m.Host != "":
		return checkPattern(at+"/host", m.Host)
	case m.Class != "":
		return models.CheckOneOf(at+"/class", m.Class, models.ClassWorkstation, models.ClassServer, models.ClassDomainController)
	}
	return models.CheckText(at+"/tag", m.Tag, 200, true)
}

func checkPattern(at, pattern string) error {
	if err := models.CheckText(at, pattern, 253, true); err != nil {
		return err
	}
	if strings.Trim(pattern, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_*") != "" {
		return models.InvalidField(at, "may hold letters, digits, dots, dashes, underscores and *")
	}
	return nil
}
