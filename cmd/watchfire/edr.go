package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/config"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/secrets"
	"github.com/watchfire-mdr/watchfire/vendors/edr"
)

// box opens the box of the clients' credentials. Without a keyset there is none, which is refused once credentials are
// kept.
func (p *process) box(ctx context.Context) (*secrets.Box, error) {
	if p.config.SecretsKeyset != "" {
		if err := useKMS(p.config); err != nil {
			return nil, fmt.Errorf("SECRETS_KMS_URI: %w", err)
		}
		box, err := secrets.Open(p.config.SecretsKeyset, p.config.SecretsKMSURI)
		if err != nil {
			return nil, fmt.Errorf("SECRETS_KEYSET: %w", err)
		}
		return box, nil
	}
	kept, err := p.store.KeepsEDRCredentials(ctx)
	if err == nil && kept {
		err = errors.New("SECRETS_KEYSET is not set, but credentials of clients are kept")
	}
	return nil, err
}

// guard says where EDRs may be.
func guard(c config.Config) edr.Guard {
	return edr.Guard{Extra: c.EDRExtraHosts, Loopback: c.Profile == "dev"}
}

// edrs finds the clients' EDRs.
func (p *process) edrs(ctx context.Context) (*activities.Connections, error) {
	box, err := p.box(ctx)
	if err != nil {
		return nil, err
	}
	g := guard(p.config)
	transport, check := g.Transport(), checkEDR(g)
	return &activities.Connections{
		Store: p.store, Box: box, Shared: sharedFalcons(p.config, transport),
		Connect: func(c models.EDRCredentials) (activities.EDR, error) {
			if err := check(c); err != nil { // the operator may have taken a host back
				return nil, err
			}
			return connectEDR(c, transport, p.config)
		},
	}, nil
}

// connectEDR makes a connection that keeps its vendor's pace; simulators have none.
func connectEDR(c models.EDRCredentials, transport http.RoundTripper, settings config.Config) (activities.EDR, error) {
	product, ok := edr.ProductOf(c.Vendor)
	if !ok {
		return nil, models.InvalidField("/vendor", "is no EDR product Watchfire knows")
	}
	if settings.Profile != "dev" {
		transport = edr.Paced(transport, product.PerSecond)
	}
	return product.New(c, transport, settings.VendorTimeout)
}

// checkEDR returns what says whether credentials can be those of their product, at an address that may be contacted.
// It asks nobody.
func checkEDR(g edr.Guard) func(models.EDRCredentials) error {
	return func(c models.EDRCredentials) error {
		product, ok := edr.ProductOf(c.Vendor)
		if !ok {
			return models.InvalidField("/vendor", "is no EDR product Watchfire knows")
		}
		for name := range c.Values {
			if !slices.ContainsFunc(product.Fields, func(f edr.Field) bool { return f.Name == name }) {
				return models.InvalidField("/values", "has a field the product does not have")
			}
		}
		for pointer, address := range map[string]string{"/base_url": c.BaseURL, "/values/login_url": c.Values["login_url"]} {
			if address == "" {
				continue // the product's own, or New refuses it
			}
			if err := g.CheckURL(address, product.Hosts); err != nil {
				return models.InvalidField(pointer, "%s", err)
			}
		}
		if _, err := product.New(c, nil, 0); err != nil {
			return models.InvalidField("/values", "%s", err) // names the field and quotes nothing
		}
		return nil
	}
}

// sharedFalcons returns the Falcon of a client without credentials of its own, through the provider's parent account:
// one value per member CID, because it keeps the access token.
func sharedFalcons(c config.Config, transport http.RoundTripper) func(models.EDR) (activities.EDR, error) {
	var mu sync.Mutex
	known := map[string]activities.EDR{}
	return func(e models.EDR) (activities.EDR, error) {
		if e.Vendor != "crowdstrike" {
			return nil, &models.VendorError{Class: models.Config, Vendor: e.Vendor, Op: "connect", Code: "no_credentials"}
		}
		mu.Lock()
		defer mu.Unlock()
		if f := known[e.Tenant]; f != nil {
			return f, nil
		}
		credentials := models.EDRCredentials{Vendor: e.Vendor, Values: map[string]string{
			"client_id": c.CrowdStrikeClientID, "client_secret": c.CrowdStrikeClientSecret, "member_cid": e.Tenant,
		}}
		if c.CrowdStrikeURL != nil {
			credentials.BaseURL = c.CrowdStrikeURL.String()
		}
		f, err := connectEDR(credentials, transport, c)
		if err != nil {
			return nil, &models.VendorError{Class: models.Config, Vendor: e.Vendor, Op: "connect", Code: "credentials", Cause: err}
		}
		known[e.Tenant] = f
		return f, nil
	}
}
