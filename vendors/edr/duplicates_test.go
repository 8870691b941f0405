package edr_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/edr"
)

// Defender may take a second isolation of the same device and run it after the release
// (github.com/MicrosoftDocs/microsoft-365-docs issue 5903). The adapter neither causes that nor
// suffers from it.
func TestDefendersDuplicates(t *testing.T) {
	product, _ := edr.ProductOf("mde")
	b := &bench{T: t, product: product, hosts: &atomic.Int32{}, base: startSimulators(t).EDR["mde"]}
	b.conn = b.connect(b.credentials(), 0)

	t.Run("asking twice is sending once", func(t *testing.T) {
		b := b.with(t)
		host := b.newDevice("double_isolate")
		b.isolateTwice(host.ID)
		b.until(host.ID, models.HostIsolated)
		b.isolateTwice(host.ID)
		b.releaseForGood(host.ID)
		b.wantActions(host.Hostname, "isolate", "release")
	})
	t.Run("one from elsewhere comes back after a release", func(t *testing.T) {
		b := b.with(t)
		host := b.newDevice("double_isolate")
		b.isolateTwice(host.ID)
		b.until(host.ID, models.HostIsolated)
		b.elsewhere(host.ID, "isolate", `{"Comment":"portal","IsolationType":"Full"}`)
		b.wantState(host.ID, models.HostIsolated)
		b.elsewhere(host.ID, "unisolate", `{"Comment":"portal"}`)
		b.eventually("the duplicate runs", func() bool { return len(b.actions(host.Hostname)) == 3 })
		b.until(host.ID, models.HostIsolated) // and the adapter sees that it did
		b.releaseForGood(host.ID)
		b.wantActions(host.Hostname, "isolate", "release", "isolate", "release")
	})
	t.Run("our release takes it away", func(t *testing.T) {
		b := b.with(t)
		host := b.newDevice("double_isolate")
		b.isolateTwice(host.ID)
		b.until(host.ID, models.HostIsolated)
		b.elsewhere(host.ID, "isolate", `{"Comment":"portal","IsolationType":"Full"}`)
		b.releaseForGood(host.ID)
		b.wantActions(host.Hostname, "isolate", "release")
	})
	t.Run("the pending action may be the answer", func(t *testing.T) {
		b := b.with(t)
		host := b.newDevice("returns_pending")
		b.persona(host.Hostname, "offline")
		b.isolateTwice(host.ID)
		b.wantActions(host.Hostname, "isolate")
	})
	b.wantCleanHands()
}

func (b *bench) with(t *testing.T) *bench {
	own := *b
	own.T = t
	return &own
}

func (b *bench) isolateTwice(id string) {
	b.Helper()
	first, err := b.conn.Isolate(b.Context(), id, "SI-1042-0007")
	if err != nil {
		b.Fatal(err)
	}
	if second, err := b.conn.Isolate(b.Context(), id, "SI-1042-0007"); err != nil || second != first {
		b.Errorf("%q and %q, %v", first, second, err)
	}
}

// releaseForGood releases and watches that it stays so.
func (b *bench) releaseForGood(id string) {
	b.Helper()
	if _, err := b.conn.Release(b.Context(), id, "SI-1042-0007"); err != nil {
		b.Fatal(err)
	}
	b.until(id, models.HostNormal)
	for range 20 {
		b.wantState(id, models.HostNormal)
	}
}

// elsewhere takes an action as somebody does in the vendor's portal.
func (b *bench) elsewhere(id, what, body string) {
	b.Helper()
	values := b.credentials().Values
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"https://api.securitycenter.microsoft.com/.default"},
		"client_id": {values["client_id"]}, "client_secret": {values["client_secret"]}}
	var token struct {
		Token string `json:"access_token"`
	}
	raw := b.post("/"+values["tenant_id"]+"/oauth2/v2.0/token", "application/x-www-form-urlencoded", form.Encode(), "")
	if err := json.Unmarshal(raw, &token); err != nil {
		b.Fatal(err)
	}
	b.post("/api/machines/"+id+"/"+what, "application/json", body, token.Token)
}

func (b *bench) post(path, kind, body, token string) []byte {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, b.base+path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		b.Fatalf("%s: %d %s, %v", path, resp.StatusCode, raw, err)
	}
	return raw
}
