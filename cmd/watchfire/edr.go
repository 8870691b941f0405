package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
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
	kept, err := p.store.HasEDRCredentials(ctx)
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
		Connect: func(c models.EDRCredentials) (edr.Connection, error) {
			if err := check(c); err != nil { // the operator may have taken a host back
				return nil, err
			}
			return connectEDR(c, transport, p.config)
		},
	}, nil
}

// connectEDR makes a connection that keeps its vendor's pace; simulators have none.
func connectEDR(c models.EDRCredentials, transport http.RoundTripper, settings config.Config) (edr.Connection, error) {
	product, err := productOf(c.Vendor)
	if err != nil {
		return nil, err
	}
	if settings.Profile != "dev" {
		transport = edr.Paced(transport, product.PerSecond)
	}
	return product.New(c, transport, settings.VendorTimeout)
}

// edrProducts are the products credentials are taken for, as people are told of them.
func edrProducts() (list []models.EDRProduct) {
	for _, p := range edr.Products() {
		list = append(list, models.EDRProduct{
			Vendor: p.Vendor, Title: p.Title, Fields: p.Fields, BaseURLRequired: p.DefaultURL == "", DefaultURL: p.DefaultURL,
			Hosts: append([]string{}, p.Hosts...),
		})
	}
	return list
}

// productOf returns the product of a vendor, or an error that names those there are.
func productOf(vendor string) (edr.Product, error) {
	product, ok := edr.ProductOf(vendor)
	if ok {
		return product, nil
	}
	var known []string
	for _, p := range edr.Products() {
		known = append(known, p.Vendor)
	}
	return product, models.InvalidField("/vendor", "is none of %s", strings.Join(known, ", "))
}

// checkEDR returns what says whether credentials can be those of their product, at an address that may be contacted.
// It asks nobody. Its errors point at what is wrong and quote no value.
func checkEDR(g edr.Guard) func(models.EDRCredentials) error {
	return func(c models.EDRCredentials) error {
		product, err := productOf(c.Vendor)
		if err != nil {
			return err
		}
		if err := checkNames(product, c.Values); err != nil {
			return err
		}
		if c.BaseURL == "" && product.DefaultURL == "" {
			return models.InvalidField("/base_url", "must be given: %s has a different one for each client", product.Title)
		}
		for _, at := range []struct{ pointer, address string }{{"/base_url", c.BaseURL}, {"/values/login_url", c.Values["login_url"]}} {
			if at.address == "" {
				continue // the product's own
			}
			if err := g.CheckURL(at.address, product.Hosts); err != nil {
				return models.InvalidField(at.pointer, "%s", err)
			}
		}
		_, err = product.New(c, nil, 0)
		return err
	}
}

// checkNames refuses values of names a product does not have, and says which it has.
func checkNames(p edr.Product, values map[string]string) error {
	var names []string
	for _, f := range p.Fields {
		names = append(names, f.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(names, name) {
			return models.InvalidField("/values/"+inPointer(name), "is no value of %s, whose values are %s", p.Title, strings.Join(names, ", "))
		}
	}
	return nil
}

// inPointer writes a name somebody made up as a part of a JSON pointer, shortened where it is very long.
func inPointer(name string) string {
	const most = 100
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "") + "…"
	}
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// sharedFalcons returns the Falcon of a client without credentials of its own, through the provider's parent account:
// one value per member CID, because it keeps the access token.
func sharedFalcons(c config.Config, transport http.RoundTripper) func(models.EDR) (edr.Connection, error) {
	var mu sync.Mutex
	known := map[string]edr.Connection{}
	return func(e models.EDR) (edr.Connection, error) {
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
