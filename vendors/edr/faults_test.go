package edr_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/simulators/stage"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

// Every answer of a vendor that did not execute the action has one of the classes of its case.
func TestRejectedActions(t *testing.T) {
	for _, c := range []struct {
		rule stage.Rule
		want []models.VendorClass
	}{
		// Sophos answers 400 also when the opposite action follows too soon.
		{stage.Rule{Kind: "status", Status: 400}, []models.VendorClass{models.Rejected, models.Throttled}},
		{stage.Rule{Kind: "status", Status: 401}, []models.VendorClass{models.Config}},
		{stage.Rule{Kind: "status", Status: 403}, []models.VendorClass{models.Config}},
		{stage.Rule{Kind: "status", Status: 409}, []models.VendorClass{models.Rejected, models.Ambiguous}},
		{stage.Rule{Kind: "status", Status: 429}, []models.VendorClass{models.Throttled}},
		{stage.Rule{Kind: "status", Status: 500}, []models.VendorClass{models.Ambiguous}},
		{stage.Rule{Kind: "status", Status: 502, Body: "<html>proxy</html>"}, []models.VendorClass{models.Ambiguous}},
		{stage.Rule{Kind: "status", Status: 503, Body: "{}"}, []models.VendorClass{models.Ambiguous}},
		{stage.Rule{Kind: "status", Status: 307, Headers: map[string]string{"Location": "/elsewhere"}}, []models.VendorClass{models.Ambiguous}},
		{stage.Rule{Kind: "reset_before"}, []models.VendorClass{models.Ambiguous}},
		{stage.Rule{Kind: "status", Status: 200, Body: "[]"}, []models.VendorClass{models.Ambiguous}},
	} {
		t.Run(fmt.Sprint(c.rule.Kind, c.rule.Status, c.rule.Body), func(t *testing.T) {
			overProducts(t, func(b *bench) {
				if b.silent && c.rule.Status/100 == 2 {
					return
				}
				for _, d := range b.directions() {
					host, before := b.ready(d)
					rule := c.rule
					rule.Op = d.op
					b.fault(rule)
					action, err := d.act(b.Context(), host.ID, "SI-1042-0007")
					b.wantClass(err, c.want...)
					if action != "" {
						b.Errorf("%s: an action %q", d.name, action)
					}
					if v := b.failed(err); v.Class == models.Throttled && (v.RetryAfter <= 0 || v.RetryAfter > time.Minute) {
						b.Errorf("%s: wait for %v", d.name, v.RetryAfter)
					}
					b.noFault()
					b.wantState(host.ID, d.before)
					b.wantActions(host.Hostname, before...)
					if _, err := d.act(b.Context(), host.ID, "SI-1042-0007"); err != nil { // the next try goes through
						b.Errorf("%s: %v", d.name, err)
					}
					b.until(host.ID, d.done)
				}
				for _, e := range b.journal() {
					if strings.Contains(e.Path, "elsewhere") {
						b.Error("a redirect was followed")
					}
				}
			})
		})
	}
}

// The action was carried out and its answer lost: the state shows the truth, and nothing was
// sent twice.
func TestLostAnswers(t *testing.T) {
	for _, rule := range []stage.Rule{
		{Kind: "reset_after"}, {Kind: "truncate"}, {Kind: "empty"}, {Kind: "status_after", Status: 500}, {Kind: "slow", DelayMS: 5000},
	} {
		t.Run(rule.Kind, func(t *testing.T) {
			overProducts(t, func(b *bench) {
				if rule.Kind == "slow" { // long enough for all that goes before on a busy machine
					b.conn = b.connect(b.credentials(), 2*time.Second)
				}
				for _, d := range b.directions() {
					host, before := b.ready(d)
					rule := rule
					rule.Op, rule.Times = d.op, 1
					b.fault(rule)
					if _, err := d.act(b.Context(), host.ID, ""); err != nil {
						b.wantClass(err, models.Ambiguous)
					}
					b.noFault()
					b.wantActions(host.Hostname, append(before, d.name)...)
					b.until(host.ID, d.done)
					if _, err := d.act(b.Context(), host.ID, ""); err != nil {
						b.Errorf("%s again: %v", d.name, err)
					}
					b.wantActions(host.Hostname, append(before, d.name)...)
				}
			})
		})
	}
}

func TestFailedReads(t *testing.T) {
	for _, c := range []struct {
		rule stage.Rule
		want []models.VendorClass
	}{
		{stage.Rule{Kind: "status", Status: 401}, []models.VendorClass{models.Config}},
		{stage.Rule{Kind: "status", Status: 403}, []models.VendorClass{models.Config}},
		{stage.Rule{Kind: "status", Status: 429}, []models.VendorClass{models.Throttled}},
		{stage.Rule{Kind: "status", Status: 500}, []models.VendorClass{models.Transient, models.Ambiguous}},
		{stage.Rule{Kind: "status", Status: 502, Body: "<html>"}, []models.VendorClass{models.Transient, models.Ambiguous}},
		{stage.Rule{Kind: "status", Status: 200, Body: "{}"}, []models.VendorClass{models.Transient, models.Ambiguous}},
		{stage.Rule{Kind: "status", Status: 200, Body: "null"}, []models.VendorClass{models.Transient, models.Ambiguous}},
		{stage.Rule{Kind: "reset_after"}, []models.VendorClass{models.Transient, models.Ambiguous}},
		{stage.Rule{Kind: "truncate"}, []models.VendorClass{models.Transient, models.Ambiguous}},
		{stage.Rule{Kind: "empty"}, []models.VendorClass{models.Transient, models.Ambiguous}},
	} {
		t.Run(fmt.Sprint(c.rule.Kind, c.rule.Status, c.rule.Body), func(t *testing.T) {
			overProducts(t, func(b *bench) {
				host := b.newDevice("online")
				rule := c.rule
				rule.Op = "*"
				b.fault(rule)
				_, err := b.conn.State(b.Context(), host.ID)
				b.wantClass(err, c.want...)
				_, err = b.conn.Find(b.Context(), host.Hostname)
				b.wantClass(err, c.want...)
				b.wantClass(b.conn.Check(b.Context()), c.want...)
				if v := b.failed(err); v.Class == models.Throttled && (v.RetryAfter <= 0 || v.RetryAfter > time.Minute) {
					b.Errorf("wait for %v", v.RetryAfter)
				}
				b.noFault()
				if again := b.find(host.Hostname); again.ID != host.ID {
					b.Errorf("%+v", again)
				}
			})
		})
	}
}

// A token that became void in between costs nothing but a new one.
func TestTokensThatExpireAreReplaced(t *testing.T) {
	overProducts(t, func(b *bench) {
		expire := map[string]any{"rules": []stage.Rule{{Op: "token", Kind: "expire"}}}
		if !b.steer("faults", expire) {
			b.Log("no tokens")
			return
		}
		for _, d := range b.directions() {
			host, before := b.ready(d)
			b.steer("faults", expire)
			if _, err := d.act(b.Context(), host.ID, ""); err != nil {
				b.Errorf("%s: %v", d.name, err)
			}
			b.steer("faults", expire)
			b.until(host.ID, d.done)
			b.wantActions(host.Hostname, append(before, d.name)...)
			b.fault(stage.Rule{Op: "token", Kind: "status", Status: 500})
			fresh := b.connect(b.credentials(), 0)
			_, err := fresh.Isolate(b.Context(), host.ID, "")
			b.wantClass(err, models.Transient) // without a token nothing is sent
			b.noFault()
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	overProducts(t, func(b *bench) {
		var hosts []models.Host
		for range 10 {
			hosts = append(hosts, b.newDevice("online"))
		}
		b.steer("faults", map[string]any{"rules": []stage.Rule{{Op: "token", Kind: "expire"}}})
		var wg sync.WaitGroup
		for _, host := range hosts {
			wg.Go(func() {
				if _, err := b.conn.Isolate(b.Context(), host.ID, ""); err != nil {
					b.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
		for _, host := range hosts {
			b.until(host.ID, models.HostIsolated)
			b.wantActions(host.Hostname, "isolate")
		}
	})
}

func TestNobodyThere(t *testing.T) {
	overProducts(t, func(b *bench) {
		host := b.newDevice("online")
		c := b.credentials()
		c.BaseURL = vendortest.Nobody()
		if c.Values["login_url"] != "" {
			c.Values["login_url"] = c.BaseURL
		}
		gone := b.connect(c, 0)
		_, err := gone.Isolate(b.Context(), host.ID, "")
		b.wantClass(err, models.Transient)
		_, err = gone.State(b.Context(), host.ID)
		b.wantClass(err, models.Transient)
		b.wantClass(gone.Check(b.Context()), models.Transient)
	})
}
