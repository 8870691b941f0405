package crowdstrike

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// Settings are what an operator configures for one Falcon tenant.
type Settings struct {
	ClientID, ClientSecret string
	MemberCID              string            // of a managed tenant under a parent's credentials; "" = the credentials' own tenant
	BaseURL                *url.URL          // nil = https://api.crowdstrike.com; else another Falcon cloud, or this machine
	Timeout                time.Duration     // per request, 0 = 10 s
	Transport              http.RoundTripper // nil = http.DefaultTransport, shared by all tenants
}

// Falcon is a tenant whose orders return no action ids, which Falcon has not.
type Falcon struct{ *Tenant }

// NewFalcon checks the settings as New does.
func NewFalcon(s Settings) (*Falcon, error) {
	c := models.EDRCredentials{Vendor: vendor, Values: map[string]string{
		"client_id": s.ClientID, "client_secret": s.ClientSecret, "member_cid": s.MemberCID}}
	if s.BaseURL != nil {
		c.BaseURL = s.BaseURL.String()
	}
	t, err := New(c, s.Transport, s.Timeout)
	if err != nil {
		return nil, err
	}
	return &Falcon{t}, nil
}

// Isolate is Tenant.Isolate.
func (f *Falcon) Isolate(ctx context.Context, id, comment string) error {
	_, err := f.Tenant.Isolate(ctx, id, comment)
	return err
}

// Release is Tenant.Release.
func (f *Falcon) Release(ctx context.Context, id, comment string) error {
	_, err := f.Tenant.Release(ctx, id, comment)
	return err
}
