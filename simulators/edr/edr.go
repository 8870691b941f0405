// Package edr pretends to be the endpoint detection products of eight vendors. All stand on one fleet of simulated
// devices (fleet*.go); each product adds its wire format, in files that begin with the product's name.
package edr

import (
	"maps"
	"slices"
	"strings"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// edrVendors make the simulators of all products but CrowdStrike, which NewCrowdStrike makes.
var edrVendors = map[string]func(*stage.Stage) stage.Vendor{
	"carbonblack": newCarbonBlack,
	"cortex":      newCortex,
	"elastic":     newElastic,
	"mde":         newMDE,
	"sentinelone": newSentinelOne,
	"sophos":      newSophos,
	"trend":       newTrend,
}

// edrValues are the credentials that each simulated product takes. They open nothing else.
var edrValues = map[string]map[string]string{
	"carbonblack": {"org_key": "SIMORG01", "api_id": "SIMAPIID01", "api_secret": "SIMCARBONBLACKSECRET0001"},
	"cortex":      {"api_key_id": "17", "api_key": "SimCortexAdvancedKey0001SimCortexAdvancedKey0001"},
	"crowdstrike": {"client_id": "sim-falcon-client", "client_secret": "sim-falcon-secret-0001"}, //nolint:gosec // G101: opens a simulator only
	"elastic":     {"api_key": "c2ltLWVsYXN0aWM6c2ltLWVsYXN0aWMtc2VjcmV0LTAwMDE="},
	"mde": {
		"tenant_id": "5a0e7c1e-0000-4000-8000-000000000001", "client_id": "5a0e7c1e-0000-4000-8000-000000000002",
		"client_secret": "sim-defender-secret-0001",
	},
	"sentinelone": {"api_token": "sim-sentinelone-token-0001"},
	"sophos":      {"client_id": "50b05000-0000-4000-8000-000000000001", "client_secret": "sim-sophos-secret-0001"}, //nolint:gosec // G101: opens a simulator only
	"trend":       {"api_token": "sim-trend-token-0001"},                                                            //nolint:gosec // G101: opens a simulator only
}

// Products returns the products that New makes, sorted.
func Products() []string { return slices.Sorted(maps.Keys(edrVendors)) }

// New makes the simulator of one of the Products.
func New(s *stage.Stage, product string) stage.Vendor { return edrVendors[product](s) }

// Credentials returns the values that open a simulated product, as an operator would enter them,
// without the base URL.
func Credentials(product string) map[string]string { return maps.Clone(edrValues[product]) }

// Secrets returns the credentials of a product that must never appear in its journal.
func Secrets(product string) (secrets []string) {
	for name, value := range edrValues[product] {
		for _, word := range []string{"secret", "token", "key", "password"} {
			if strings.Contains(name, word) {
				secrets = append(secrets, value)
				break
			}
		}
	}
	return secrets
}
