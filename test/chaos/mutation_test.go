package chaos

import "testing"

// mutation replaces a text of the product by another before it is built.
type mutation struct{ file, text, with string }

// mutations switch something off that the product relies on, by name.
func mutations() map[string][]mutation {
	return map[string][]mutation{
		"ledger": {{
			"activities/effects.go", "return l.resume(ctx, e, a, row)\n", "return l.attempt(ctx, e, a, row)\n",
		}},
		"look-up": {{
			"activities/effects.go", "accepted, found, err := a.Lookup(ctx, row)\n", "accepted, found, err := Acceptance{}, false, error(nil)\n",
		}},
		"settle wait": {{
			"worker/worker.go", "activities.Effects{Store: p.Store, Settle: p.Settle,", "activities.Effects{Store: p.Store,",
		}},
	}
}

// TestOracle proves that the oracle sees each of these: with one of them switched off in the product it finds things
// done twice.
func TestOracle(t *testing.T) {
	if !*oracleFlag {
		t.Skip("takes minutes: make chaos-oracle, in make nightly, runs it")
	}
	p, err := planOf()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ledger", "look-up", "settle wait"} {
		t.Run(name, func(t *testing.T) {
			p.mutation, p.without = name, []string{"reset", "terminate"}
			if v := newWorld(t, p).run(twice); len(v.problems[twice]) == 0 {
				t.Errorf("the product ran without the %s, and nothing was done twice", name)
			}
		})
	}
}
