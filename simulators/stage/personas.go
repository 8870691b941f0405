package stage

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Personas tell how a number, an address or a host behaves.
type Personas struct {
	Known func(key string) []string // the personas that a folded key may have; the first is the default

	fold     func(key string) string
	mu       sync.Mutex
	assigned map[string][]string // the nth use takes the nth persona, the last one repeats
	used     map[string]int
}

// NewPersonas makes personas that every key may have. Fold maps all spellings of a key to one.
func NewPersonas(fold func(string) string, known ...string) *Personas {
	return &Personas{Known: func(string) []string { return known }, fold: fold,
		assigned: map[string][]string{}, used: map[string]int{}}
}

// PersonaSteering is the body of POST /_sim/personas.
type PersonaSteering struct {
	Clear    bool                `json:"clear"`
	Personas map[string]string   `json:"personas"`
	Sequence map[string][]string `json:"sequence"`
}

// Set changes the personas, all or, when it returns an error, none.
func (p *Personas) Set(s PersonaSteering) error {
	if err := p.check(s); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.Clear {
		clear(p.assigned)
		clear(p.used)
	}
	for key, name := range s.Personas {
		p.assigned[p.fold(key)] = []string{name}
		delete(p.used, p.fold(key))
	}
	for key, names := range s.Sequence {
		p.assigned[p.fold(key)] = slices.Clone(names)
		delete(p.used, p.fold(key))
	}
	return nil
}

func (p *Personas) check(s PersonaSteering) error {
	for _, key := range slices.Sorted(maps.Keys(s.Personas)) {
		if err := p.checkName(key, s.Personas[key]); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.Sequence)) {
		for _, name := range s.Sequence[key] {
			if err := p.checkName(key, name); err != nil {
				return err
			}
		}
		if len(s.Sequence[key]) == 0 {
			return fmt.Errorf("the sequence for %q is empty, name at least one persona", key)
		}
	}
	return nil
}

func (p *Personas) checkName(key, name string) error {
	if known := p.Known(p.fold(key)); !slices.Contains(known, name) {
		return fmt.Errorf("unknown persona %q for %q, there are %v", name, key, known)
	}
	return nil
}

// Next returns the persona for one more use of key.
func (p *Personas) Next(key string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	key = p.fold(key)
	names := p.assigned[key]
	if len(names) == 0 {
		return p.Known(key)[0]
	}
	n := min(p.used[key], len(names)-1)
	p.used[key]++
	return names[n]
}

// Current returns the persona of a key that keeps its persona, such as a host: the first of a
// sequence, which is never used up.
func (p *Personas) Current(key string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	key = p.fold(key)
	names := p.assigned[key]
	if len(names) == 0 {
		return p.Known(key)[0]
	}
	return names[0]
}

func (p *Personas) all() map[string][]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string][]string{}
	for k, v := range p.assigned {
		out[k] = slices.Clone(v)
	}
	return out
}
