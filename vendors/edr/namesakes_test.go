package edr_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/edr"
)

// Devices of one name: the suite that every product passes. "None" is only ever said of an answer that was read to its
// end, and neither a letter's case nor a domain decides which device is isolated.

func TestADeviceIsFoundBehindACrowd(t *testing.T) {
	overProducts(t, func(b *bench) {
		name := b.newHost("crowd") // of its name, and gone, or with longer names
		host := b.find(name)
		if host.State != models.HostNormal {
			b.Errorf("found %+v", host)
		}
		if now := b.state(host.ID); now.Hostname != host.Hostname || now.State != models.HostNormal {
			b.Errorf("%+v", now)
		}
		if again := b.find(swapCase(name)); again.ID != host.ID {
			b.Errorf("%+v", again)
		}
	})
}

func TestACrowdBeyondTheBoundIsNotNobody(t *testing.T) {
	overProducts(t, func(b *bench) {
		name := b.newHost("throng")
		b.bringUp(name)
		hosts, err := b.conn.Find(b.Context(), name)
		if b.wholeFleet {
			if err != nil || len(hosts) != 1 {
				b.Errorf("%d hosts, %v", len(hosts), err)
			}
			return
		}
		b.wantClass(err, models.Rejected)
		if v := b.failed(err); v.Code != "too_many_hosts" || len(hosts) != 0 {
			b.Errorf("%d hosts, code %q", len(hosts), v.Code)
		}
	})
}

func TestTheCaseOfANameDecidesNothing(t *testing.T) {
	overProducts(t, func(b *bench) {
		for _, name := range []string{"Filesrv-Süd-01", "filesrv-02", "FILESRV-03", "FileSrv-04", "Or", "Xx"} {
			if b.product.Vendor == "trend" && strings.Contains(name, "ü") {
				continue // no filter can carry it
			}
			host := b.find(name)
			for _, other := range []string{strings.ToLower(name), strings.ToUpper(name), swapCase(name), name} {
				if again := b.find(other); again.ID != host.ID {
					b.Errorf("%s and %s are two devices: %+v", name, other, again)
				}
			}
		}
	})
}

func TestADomainIsNotGuessed(t *testing.T) {
	overProducts(t, func(b *bench) {
		const domain = ".corp.example"
		short, full, both, dead := b.newHost("online"), b.newHost("fqdn"), b.newHost("domains"), b.newHost("missing")
		b.bringUp(short, full, both, dead)
		for _, c := range []struct {
			asked string
			found []string // what the problem names; a single one without a problem is the device
			sure  bool
		}{
			{short, []string{short}, true},
			{short + domain, []string{short}, false},
			{full + domain, []string{full + domain}, true},
			{swapCase(full + domain), []string{full + domain}, true},
			{full, []string{full + domain}, false},
			{full + ".lab.example", []string{full + domain}, false},
			{both, []string{both + domain, both + ".lab.example"}, false},
			{both + ".lab.example", []string{both + ".lab.example"}, true},
			{dead, nil, false},
			{dead + domain, nil, false},
		} {
			only, problem, err := edr.Resolve(b.Context(), b.conn, c.asked)
			if err != nil {
				b.Errorf("%s: %v", c.asked, err)
				continue
			}
			if c.sure != (problem == "") || c.sure && !strings.EqualFold(only.Hostname, c.found[0]) || !c.sure && only.ID != "" {
				b.Errorf("%s: %+v, %q", c.asked, only, problem)
			}
			for _, name := range c.found {
				if !c.sure && !strings.Contains(strings.ToLower(problem), `"`+strings.ToLower(name)+`"`) {
					b.Errorf("%s: %q does not name %s", c.asked, problem, name)
				}
			}
		}
	})
}

// bringUp asks for names once: in the simulators a device comes into being when somebody first asks for it.
func (b *bench) bringUp(names ...string) {
	for _, name := range names {
		_, _ = b.conn.Find(b.Context(), name)
	}
}

func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		if upper := []rune(strings.ToUpper(string(r))); upper[0] != r {
			return upper[0]
		}
		return []rune(strings.ToLower(string(r)))[0]
	}, s)
}

// listing is an EDR with these devices of a name and of its first label.
type listing struct {
	edr.Connection
	named, labelled []models.Host
	err             error
}

func (l listing) Find(_ context.Context, hostname string) ([]models.Host, error) {
	if !strings.Contains(hostname, ".") {
		return l.labelled, l.err
	}
	return l.named, l.err
}

func TestResolve(t *testing.T) {
	host := func(id, name string) models.Host { return models.Host{ID: id, Hostname: name} }
	var many []models.Host
	for i := range 50 {
		many = append(many, host(strings.Repeat("9", i+1), "PC-7."+strings.Repeat("x", i+1)))
	}
	for _, c := range []struct {
		name, asked string
		found       []models.Host // by the name and by its label
		want        string        // the id of the device
		problem     string
	}{
		{"one", "pc-7", []models.Host{host("1", "PC-7")}, "1", ""},
		{"none", "pc-7", nil, "", "0 devices have this name"},
		{"a short name and a full one", "pc-7", []models.Host{host("2", "pc-7.corp.example"), host("1", "PC-7")}, "1", ""},
		{"two in other domains", "pc-7", []models.Host{host("2", "pc-7.lab.example"), host("1", "pc-7.corp.example")}, "",
			`0 devices have this name, which may mean "pc-7.corp.example" (agent 1), "pc-7.lab.example" (agent 2)`},
		{"only a full one", "pc-7", []models.Host{host("2", "pc-7.corp.example")}, "",
			`0 devices have this name, which may mean "pc-7.corp.example" (agent 2)`},
		{"only a short one", "pc-7.corp.example", []models.Host{host("1", "PC-7")}, "", `0 devices have this name, which may mean "PC-7" (agent 1)`},
		{"another domain", "pc-7.corp.example", []models.Host{host("1", "pc-7.lab.example")}, "",
			`0 devices have this name, which may mean "pc-7.lab.example" (agent 1)`},
		{"a device that was installed anew", "PC-7", []models.Host{host("2", "pc-7"), host("1", "PC-7")}, "",
			`2 devices have this name: "PC-7" (agent 1), "pc-7" (agent 2)`},
		{"a name that is no name", "pc-7", []models.Host{host("1\n<b>", "pc-7.\x00\u202e\"evil\r\nBcc: x")}, "",
			`0 devices have this name, which may mean "pc-7. \"evil Bcc: x" (agent 1 <b>)`},
	} {
		only, problem, err := edr.Resolve(t.Context(), listing{labelled: c.found}, c.asked)
		if only.ID != c.want || problem != c.problem || err != nil {
			t.Errorf("%s: %+v, %s, %v", c.name, only, problem, err)
		}
		slices.Reverse(c.found)
		if _, again, _ := edr.Resolve(t.Context(), listing{labelled: c.found}, c.asked); again != problem {
			t.Errorf("%s: in another order %s", c.name, again)
		}
	}
	many = append(many, host("1", "PC-7."+strings.Repeat("y", 5000)))
	if _, problem, _ := edr.Resolve(t.Context(), listing{labelled: many}, "pc-7"); len(problem) > 1000 || strings.Count(problem, "agent") != 5 || !strings.HasSuffix(problem, ", and 46 more") {
		t.Errorf("%d bytes: %s", len(problem), problem)
	}
	full := listing{named: []models.Host{host("1", "pc-7.corp.example")}, labelled: []models.Host{host("2", "pc-7")}}
	if only, problem, err := edr.Resolve(t.Context(), full, "PC-7.corp.example"); only.ID != "1" || problem != "" || err != nil {
		t.Errorf("a full name: %+v, %s, %v", only, problem, err)
	}
	full.err = &models.VendorError{Class: models.Rejected, Code: "too_many_hosts"}
	if only, problem, err := edr.Resolve(t.Context(), full, "pc-7"); only.ID != "" || problem != "" || !errors.Is(err, full.err) {
		t.Errorf("an error: %+v, %s, %v", only, problem, err)
	}
}
