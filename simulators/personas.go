package simulators

import (
	"fmt"
	"slices"
	"sync"
)

// personas say how a number, an address or a host behaves.
type personas struct {
	known    func(key string) []string // of a folded key; the first is the default
	fold     func(key string) string
	mu       sync.Mutex
	assigned map[string][]string // the nth use takes the nth, the last one repeats
	used     map[string]int
}

func newPersonas(fold func(string) string, known ...string) *personas {
	return &personas{known: func(string) []string { return known }, fold: fold,
		assigned: map[string][]string{}, used: map[string]int{}}
}

// personaSteering is the body of POST /_sim/personas.
type personaSteering struct {
	Clear    bool                `json:"clear"`
	Personas map[string]string   `json:"personas"`
	Sequence map[string][]string `json:"sequence"`
}

func (p *personas) set(s personaSteering) error {
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

func (p *personas) check(s personaSteering) error {
	for key, name := range s.Personas {
		if err := p.checkName(key, name); err != nil {
			return err
		}
	}
	for key, names := range s.Sequence {
		for _, name := range names {
			if err := p.checkName(key, name); err != nil {
				return err
			}
		}
		if len(names) == 0 {
			return fmt.Errorf("empty sequence for %q", key)
		}
	}
	return nil
}

func (p *personas) checkName(key, name string) error {
	if known := p.known(p.fold(key)); !slices.Contains(known, name) {
		return fmt.Errorf("unknown persona %q for %q, there are %v", name, key, known)
	}
	return nil
}

// next returns the persona for one more use of key.
func (p *personas) next(key string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	key = p.fold(key)
	names := p.assigned[key]
	if len(names) == 0 {
		return p.known(key)[0]
	}
	n := min(p.used[key], len(names)-1)
	p.used[key]++
	return names[n]
}

// current returns the persona of something that stays what it is, such as a host: the
// first of a sequence, which is never used up.
func (p *personas) current(key string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	key = p.fold(key)
	names := p.assigned[key]
	if len(names) == 0 {
		return p.known(key)[0]
	}
	return names[0]
}

func (p *personas) all() map[string][]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string][]string{}
	for k, v := range p.assigned {
		out[k] = slices.Clone(v)
	}
	return out
}
