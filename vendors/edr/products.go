package edr

import (
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/edr/carbonblack"
	"github.com/watchfire-mdr/watchfire/vendors/edr/cortex"
	"github.com/watchfire-mdr/watchfire/vendors/edr/crowdstrike"
	"github.com/watchfire-mdr/watchfire/vendors/edr/elastic"
	"github.com/watchfire-mdr/watchfire/vendors/edr/mde"
	"github.com/watchfire-mdr/watchfire/vendors/edr/sentinelone"
	"github.com/watchfire-mdr/watchfire/vendors/edr/sophos"
	"github.com/watchfire-mdr/watchfire/vendors/edr/trend"
)

// undocumented is the pace for vendors that publish no figure.
const undocumented = 5

// Products returns all products, sorted by vendor.
func Products() []Product {
	return []Product{
		{
			Vendor: "carbonblack", Title: "VMware Carbon Black Cloud", New: connect(carbonblack.New),
			Hosts:     []string{"dashboard.confer.net", "conferdeploy.net", "carbonblackcloud.vmware.com", "carbonblack-us-gov.vmware.com"},
			PerSecond: 3, // 1,000 in five minutes (developer.carbonblack.com, Rate Limiting)
			Fields: []models.EDRField{
				{Name: "org_key", Help: "Settings > API Access, above the list"},
				{Name: "api_id", Help: "Of an API key whose access level has device (read) and device.quarantine (execute)"},
				{Name: "api_secret", Secret: true, Help: "The API secret key of the same API key"},
			},
		}, {
			Vendor: "cortex", Title: "Palo Alto Networks Cortex XDR", New: connect(cortex.New),
			Hosts:     []string{"paloaltonetworks.com"},
			PerSecond: undocumented,
			Fields: []models.EDRField{
				{Name: "api_key_id", Help: "The number in the column ID of the API keys"},
				{Name: "api_key", Secret: true, Help: "Of the security level Advanced"},
			},
		}, {
			Vendor: "crowdstrike", Title: "CrowdStrike Falcon", DefaultURL: crowdstrike.BaseURL, New: connect(crowdstrike.New),
			Hosts:     []string{"crowdstrike.com", "crowdstrike.mil"},
			PerSecond: 50, // half of 6,000 a minute, which a parent shares with its members
			Fields: []models.EDRField{
				{Name: "client_id", Help: "Of an API client with the scopes Hosts: Read and Hosts: Write"},
				{Name: "client_secret", Secret: true, Help: "Shown once, when the API client is made"},
				{Name: "member_cid", Optional: true, Help: "The client's CID when the API client is its parent's, else empty"},
			},
		}, {
			Vendor: "elastic", Title: "Elastic Defend", New: connect(elastic.New),
			PerSecond: undocumented,
			Fields: []models.EDRField{
				{Name: "api_key", Secret: true, Help: "In its encoded form"},
				{Name: "space", Optional: true, Help: "The id of the Kibana space; empty for the default one"},
			},
		}, {
			Vendor: "mde", Title: "Microsoft Defender for Endpoint", DefaultURL: mde.BaseURL, New: connect(mde.New),
			Hosts:     []string{"security.microsoft.com", "securitycenter.microsoft.com", "login.microsoftonline.com"},
			PerSecond: 1.6, // 100 a minute and 1,500 an hour for each kind of request
			Fields: []models.EDRField{
				{Name: "tenant_id", Help: "Directory (tenant) id in Entra"},
				{Name: "client_id", Help: "Of an app registration with the permissions Machine.Read.All and Machine.Isolate"},
				{Name: "client_secret", Secret: true, Help: "The value of a client secret of that app, not its id; shown once"},
				{Name: "login_url", Optional: true, Help: "Empty, except for simulators"},
			},
		}, {
			Vendor: "sentinelone", Title: "SentinelOne Singularity", New: connect(sentinelone.New),
			Hosts:     []string{"sentinelone.net"},
			PerSecond: 10,
			Fields:    []models.EDRField{{Name: "api_token", Secret: true, Help: "Of a service user that may view endpoints and disconnect them from the network"}},
		}, {
			Vendor: "sophos", Title: "Sophos Central", DefaultURL: sophos.BaseURL, New: connect(sophos.New),
			Hosts:     []string{"sophos.com"},
			PerSecond: undocumented,
			Fields: []models.EDRField{
				{Name: "client_id", Help: "Of a service principal that may change endpoints"},
				{Name: "client_secret", Secret: true, Help: "Shown once, when the credential is made"},
				{Name: "login_url", Optional: true, Help: "Empty, except for simulators"},
			},
		}, {
			Vendor: "trend", Title: "Trend Vision One", New: connect(trend.New),
			Hosts:     []string{"xdr.trendmicro.com", "xdr.trendmicro.co.jp"},
			PerSecond: undocumented,
			Fields:    []models.EDRField{{Name: "api_token", Secret: true, Help: "Of a role that may view endpoints and isolate them"}},
		},
	}
}
