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

// sealer makes the sealer of clients' credentials, which cannot open them. Without a keyset it returns nil.
func (p *process) sealer() (*secrets.Sealer, error) {
	if p.config.SecretsPublicKeyset == "" {
		return nil, nil //nolint:nilnil // without a keyset the API takes no credentials
	}
	sealer, err := secrets.OpenSealer(p.config.SecretsPublicKeyset)
	if err != nil {
		return nil, fmt.Errorf("SECRETS_PUBLIC_KEYSET: %w", err)
	}
	return sealer, nil
}

// box opens the box of clients' credentials. Without a keyset it returns nil, and an error once credentials are stored.
func (p *process) box(ctx context.Context) (*secrets.Box, error) {
	if p.config.SecretsKeyset != "" {
		box, err := secrets.OpenBox(p.config.SecretsKeyset, p.config.SecretsOldKeyset, p.config.SecretsKMSURI)
		if err != nil {
			return nil, fmt.Errorf("SECRETS_KEYSET: %w", err)
		}
		return box, nil
	}
	stored, err := p.store.HasEDRCredentials(ctx)
	if err == nil && stored {
		err = errors.New("SECRETS_KEYSET is not set, but credentials of clients are stored: set it to the keyset that opens them")
	}
	return nil, err
}

// guard returns the rule about the addresses at which EDRs are accepted.
func guard(c config.Config) edr.Guard {
	return edr.Guard{Extra: c.EDRExtraHosts, Loopback: c.Profile == "dev"}
}

// edrs makes the connections to the clients' EDRs.
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
			if err := check(c); err != nil { // the operator may have removed a host from EDR_EXTRA_HOSTS
				return nil, err
			}
			return connectEDR(c, transport, p.config)
		},
	}, nil
}

// connectEDR makes a connection to an EDR that keeps to its vendor's pace. Simulators limit no pace, so dev does not
// either.
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

// edrProducts lists the EDR products for which the API accepts credentials, with their fields.
func edrProducts() (list []models.EDRProduct) {
	for _, p := range edr.Products() {
		list = append(list, models.EDRProduct{
			Vendor: p.Vendor, Title: p.Title, Fields: p.Fields, BaseURLRequired: p.DefaultURL == "", DefaultURL: p.DefaultURL,
			Hosts: append([]string{}, p.Hosts...),
		})
	}
	return list
}

// productOf returns the product of a vendor, or an Invalid error that names the known vendors.
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

// checkEDR returns a check whether credentials have the form of their product's, at an address that the guard permits.
// The check sends nothing. Its errors are Invalid, point at the wrong field and quote no value.
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

// checkNames rejects values whose names the product does not have. The error lists the names that it has.
func checkNames(p edr.Product, values map[string]string) error {
	var names []string
	for _, f := range p.Fields {
		names = append(names, f.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(names, name) {
			return models.InvalidField("/values/"+pointerToken(name), "is no value of %s, whose values are %s", p.Title, strings.Join(names, ", "))
		}
	}
	return nil
}

// pointerToken writes a name from a request as a token of a JSON pointer, shortened when it is very long.
func pointerToken(name string) string {
	const maxBytes = 100
	if len(name) > maxBytes {
		name = strings.ToValidUTF8(name[:maxBytes], "") + "…"
	}
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// sharedFalcons returns a function that connects to the Falcon of a client without credentials of its own, through the
// provider's parent account. It makes one connection for each member CID, because a connection keeps the access token.
func sharedFalcons(c config.Config, transport http.RoundTripper) func(models.EDR) (edr.Connection, error) {
	var mu sync.Mutex
	connections := map[string]edr.Connection{}
	return func(e models.EDR) (edr.Connection, error) {
		if e.Vendor != "crowdstrike" {
			return nil, &models.VendorError{Class: models.Config, Vendor: e.Vendor, Op: "connect", Code: "no_credentials"}
		}
		mu.Lock()
		defer mu.Unlock()
		if f := connections[e.Tenant]; f != nil {
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
		connections[e.Tenant] = f
		return f, nil
	}
}
