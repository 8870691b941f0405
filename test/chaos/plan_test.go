package chaos

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

var (
	seedFlag      = flag.Uint64("seed", 7, "decides the plan, and repeats that of an earlier run; 0 draws a new one")
	incidentsFlag = flag.Int("incidents", 6, "how many incidents live at random side by side, at least 2; the scenes bring their own")
	minutesFlag   = flag.Float64("minutes", 0.4, "how long processes are broken and vendors fail")
	withoutFlag   = flag.String("without", "", "what to leave out, with commas between: "+strings.Join(breakages, ", "))
	oracleFlag    = flag.Bool("oracle", false, "run TestOracle, which takes minutes")
)

// breakages are the things that a plan can leave out.
var breakages = []string{"kills", "stops", "faults", "sharing", "late isolation", "reset", "terminate"}

const (
	// vendorTimeout and settle are those of the processes. A late mail, call or text lands between the two.
	vendorTimeout = time.Second
	settle        = 4 * time.Second
	// worstDelay is how long after settle the product believes that an EDR may still act. The EDR is as slow as almost
	// that.
	worstDelay = 4 * time.Second
	latest     = settle + worstDelay - time.Second
	// longestStop is shorter than an attempt at an activity may take: a worker that wakes up later than that may act
	// beside the one that took its place.
	longestStop = 8 * time.Second
)

// plan is everything that a seed decides.
type plan struct {
	seed      uint64
	incidents int           // that live at random
	window    time.Duration // how long things are broken
	without   []string
	mutation  string  // the name of what is switched off in the product, "" for nothing
	spoil     float64 // how likely answers are spoiled; 1 is usual
}

// planOf reads the flags.
func planOf() (plan, error) {
	p := plan{
		spoil: 1, seed: cmp.Or(*seedFlag, uint64(time.Now().UnixNano())%1_000_000), incidents: max(*incidentsFlag, 2),
		window: time.Duration(*minutesFlag * float64(time.Minute)), without: strings.FieldsFunc(*withoutFlag, func(r rune) bool { return r == ',' }),
	}
	for _, name := range p.without {
		if !slices.Contains(breakages, name) {
			return p, fmt.Errorf("-without names %q, which is none of %v", name, breakages)
		}
	}
	return p, nil
}

// has reports whether the plan breaks a thing.
func (p plan) has(breakage string) bool { return !slices.Contains(p.without, breakage) }

// draw returns a source of chance of its own for each part of the plan.
func (p plan) draw(part string) *rand.Rand {
	var n uint64
	for _, b := range []byte(part) {
		n = n*131 + uint64(b)
	}
	return rand.New(rand.NewPCG(p.seed, n))
}

// hit is one blow to a process.
type hit struct {
	at   time.Duration // after the start
	kind string        // "kill" or "stop"
	hold time.Duration // how long it is gone
}

// hits draws the blows to a process, about one per pace, at least one.
func (p plan) hits(process string, pace time.Duration) (all []hit) {
	draw := p.draw(process)
	var kinds []string
	for _, k := range []string{"kill", "stop"} {
		if p.has(k + "s") {
			kinds = append(kinds, k)
		}
	}
	if len(kinds) == 0 {
		return nil
	}
	first := draw.IntN(2) // the kinds take turns, so that a short run sees both
	n := max(1, int(p.window/pace))
	for i := range n {
		h := hit{kind: kinds[(first+i)%len(kinds)], hold: between(draw, 100*time.Millisecond, 2*time.Second)}
		if h.kind == "stop" {
			h.hold = between(draw, 2*time.Second, longestStop)
		}
		h.at = (p.window*time.Duration(i) + between(draw, p.window/10, p.window*9/10)) / time.Duration(n)
		all = append(all, h)
	}
	return all
}

// between draws a duration.
func between(draw *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(draw.Int64N(int64(to-from)))
}

// faults returns, by vendor, the answers that are lost, late, doubled and cut. The SMTP server refuses everything: it
// cannot be asked about a mail, so a lost answer of its own would double one on purpose.
func (p plan) faults() map[string][]stage.Rule {
	all := map[string][]stage.Rule{"smtp": {{Op: "connect", Kind: stage.FaultRefuse}}}
	if !p.has("faults") {
		return all
	}
	draw := p.draw("faults")
	add := func(vendor, op, kind string, probability float64, delay time.Duration) {
		all[vendor] = append(all[vendor], stage.Rule{
			Op: op, Kind: kind, Probability: &probability, DelayMS: int(delay.Milliseconds()), Seed: draw.Uint64(),
		})
	}
	for _, deed := range [][2]string{
		{"twilio", "place_call"}, {"twilio", "create_message"}, {"sendgrid", "send_mail"}, {"crowdstrike", "device_action"},
	} {
		add(deed[0], deed[1], stage.FaultResetAfter, 0.10*p.spoil, 0)
		add(deed[0], deed[1], stage.FaultTruncate, 0.05*p.spoil, 0)
		add(deed[0], deed[1], stage.FaultLate, 0.10*p.spoil, between(draw, vendorTimeout+200*time.Millisecond, vendorTimeout+time.Second))
		// Later than the product would ask again if it did not wait.
		add(deed[0], deed[1], stage.FaultLate, 0.10*p.spoil, between(draw, settle-time.Second, settle-500*time.Millisecond))
	}
	// An EDR may be slower than the settle window: a device's own state tells, and an opposite action has to wait.
	add("crowdstrike", "device_action", stage.FaultLate, 0.10*p.spoil, between(draw, settle+time.Second, latest))
	// Three look-ups in a row that fail let a mail be sent again, which is a duplicate on purpose: few fail.
	for _, look := range [][2]string{
		{"twilio", "list_calls"}, {"twilio", "list_messages"}, {"sendgrid", "logs"}, {"crowdstrike", "host_details"},
	} {
		add(look[0], look[1], stage.FaultStatus, 0.03, 0)
		add(look[0], look[1], stage.FaultResetBefore, 0.03, 0)
	}
	for _, vendor := range []string{"twilio", "sendgrid"} {
		add(vendor, stage.OpCallback, stage.FaultDrop, 0.30, 0)
		add(vendor, stage.OpCallback, stage.FaultDuplicate, 0.20, 0)
		add(vendor, stage.OpCallback, stage.FaultDelay, 0.10, time.Second)
	}
	return all
}

// personas draws how the contacts behave on the phone: most do not acknowledge at first, and all do in the end.
func (p plan) personas(contacts []models.Contact) map[string][]string {
	draw := p.draw("personas")
	all := map[string][]string{}
	for _, c := range contacts {
		for range draw.IntN(3) {
			all[c.Phone] = append(all[c.Phone], []string{"no_answer", "busy", "silent", "passes", "voicemail"}[draw.IntN(5)])
		}
		all[c.Phone] = append(all[c.Phone], "acknowledges")
		all["sms:"+c.Phone] = []string{"text-delivered"}
	}
	return all
}
