package chaos

import "testing"

// mutation replaces a text of the product by another before it is built.
type mutation struct{ file, text, with string }

// mutations switch something off that the product relies on, by name.
func mutations() map[string][]mutation {
	return map[string][]mutation{
		"ledger": {{ // every attempt is the first
			"activities/effects.go", "return l.resume(ctx, e, a, row)\n", "return l.attempt(ctx, e, a, row)\n",
		}},
		"look-up": {{ // no vendor ever knows of an earlier attempt
			"activities/effects.go", "accepted, found, err := a.Lookup(ctx, row)\n", "accepted, found, err := Acceptance{}, false, error(nil)\n",
		}},
		"settle wait": {{ // an attempt without an answer is made again at once
			"worker/worker.go", "activities.Effects{Store: p.Store, Settle: p.Settle,", "activities.Effects{Store: p.Store,",
		}},
		"reconciler": {{ // a workflow that is gone stays gone
			"cmd/watchfire/api.go", "watching.Go(func() { watch.Run(ctx) })\n", "_ = watch\n",
		}},
	}
}

// TestOracle proves that the oracle sees what it is there for: with each of these switched off in the product it goes
// red, and for the right reason. With the same seed and the same faults it is green for the product as it is.
func TestOracle(t *testing.T) {
	if !*oracleFlag {
		t.Skip("takes minutes: make chaos-oracle, a part of make nightly, runs it")
	}
	p, err := planOf()
	if err != nil {
		t.Fatal(err)
	}
	p.spoil = 2
	for _, off := range []struct{ mutation, finds, without string }{
		{"ledger", twice, "terminate"}, {"look-up", twice, "terminate"}, {"settle wait", twice, "terminate"}, {"reconciler", dead, "faults"},
	} {
		t.Run(off.mutation, func(t *testing.T) {
			p := p
			p.mutation, p.without = off.mutation, []string{"reset", "sharing", off.without}
			v := newWorld(t, p).run(off.finds)
			if len(v.problems[off.finds]) == 0 {
				t.Errorf("the product ran without the %s, and nothing was found %s", off.mutation, off.finds)
			}
			for _, problem := range v.problems[off.finds] {
				t.Logf("%s: %s", off.finds, problem)
			}
		})
	}
	t.Run("nothing switched off", func(t *testing.T) {
		p := p
		p.without = []string{"reset", "sharing"}
		newWorld(t, p).run("").report(t)
	})
}
