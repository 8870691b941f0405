package contracts_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
	"github.com/watchfire-mdr/watchfire/test/contracts"
)

// open opens the vendors' contracts, or skips the test.
func open(t *testing.T) *contracts.Contracts {
	t.Helper()
	c, err := contracts.Open(filepath.Join("..", "..", "..", "shared", "contracts"))
	if errors.Is(err, contracts.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The demo writes the simulators' journals; after a demo the test checks every request in them.
func TestEveryRequestOfTheLastDemoPassesTheContracts(t *testing.T) {
	c := open(t)
	raw, err := os.ReadFile(filepath.Join("..", "..", "out", "journal.json"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("there are no journals of a demo in out/journal.json: `make demo` writes them")
	}
	if err != nil {
		t.Fatal(err)
	}
	var journal []stage.Entry
	if err := json.Unmarshal(raw, &journal); err != nil {
		t.Fatal(err)
	}
	for n, e := range journal {
		if err := c.Check(e); err != nil {
			t.Errorf("%s, request %d, %s %s: %v", e.Vendor, n, e.Method, e.Path, err)
		}
	}
}

// A check that accepts everything would prove nothing.
func TestContractsRejectWrongRequests(t *testing.T) {
	c := open(t)
	const form, object = "application/x-www-form-urlencoded", "application/json"
	const calls = "/2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/Calls.json"
	right := "To=%2B15550002222&From=%2B15550001111&Url=https%3A%2F%2Fmdr.example%2Fvoice"
	if err := c.Check(stage.Entry{Vendor: "twilio", Method: "POST", Path: calls, ContentType: form, Body: right}); err != nil {
		t.Errorf("a right request is rejected: %v", err)
	}
	wrong := map[string]stage.Entry{
		"a missing field":             {Vendor: "twilio", Method: "POST", Path: calls, ContentType: form, Body: "To=%2B15550002222"},
		"an unknown form field":       {Vendor: "twilio", Method: "POST", Path: calls, ContentType: form, Body: right + "&Priority=1"},
		"an unknown query parameter":  {Vendor: "twilio", Method: "GET", Path: calls, Query: "Urgent=1"},
		"an unknown path":             {Vendor: "twilio", Method: "POST", Path: "/2010-04-01/Nowhere.json"},
		"an incomplete mail":          {Vendor: "sendgrid", Method: "POST", Path: "/v3/mail/send", ContentType: object, Body: `{"subject":"x"}`},
		"an action without its name":  {Vendor: "crowdstrike", Method: "POST", Path: "/devices/entities/devices-actions/v2", ContentType: object, Body: `{"ids":["a"]}`},
		"a token without its secret":  {Vendor: "crowdstrike", Method: "POST", Path: "/oauth2/token", ContentType: form, Body: "client_id=a"},
		"a vendor that nobody knows":  {Vendor: "acme", Method: "GET", Path: "/"},
		"another vendor's right path": {Vendor: "sendgrid", Method: "POST", Path: calls, ContentType: form, Body: right},
	}
	for _, what := range slices.Sorted(maps.Keys(wrong)) {
		if c.Check(wrong[what]) == nil {
			t.Errorf("%s is accepted", what)
		}
	}
}
