package simulators

import (
	"maps"
	"strings"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// edrVendors make the simulated EDRs, by the vendor's name. CrowdStrike has an address and an
// account of its own in Options.
var edrVendors = map[string]func(*stage.Stage) stage.Vendor{
	"carbonblack": newCarbonBlack,
	"cortex":      newCortex,
	"elastic":     newElastic,
	"mde":         newMDE,
	"sentinelone": newSentinelOne,
	"sophos":      newSophos,
	"trend":       newTrend,
}

// edrValues are what each simulated EDR takes for credentials. They open nothing else.
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

// EDRCredentials returns what the simulated product takes: the values an operator would enter,
// without the base URL.
func EDRCredentials(vendor string) map[string]string { return maps.Clone(edrValues[vendor]) }

// edrSecrets are the values of a simulated EDR that must never appear in a journal.
func edrSecrets(vendor string) (secrets []string) {
	for name, value := range edrValues[vendor] {
		for _, word := range []string{"secret", "token", "key", "password"} {
			if strings.Contains(name, word) {
				secrets = append(secrets, value)
				break
			}
		}
	}
	return secrets
}
