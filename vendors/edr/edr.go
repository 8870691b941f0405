// Package edr is the table of the EDR products Watchfire can isolate devices through, and the one
// interface all of them have.
//
// Each product's requests and answers are the business of its own package. Other rooms decide who may
// isolate a device and whether an isolation has succeeded: acceptance is not isolation with any
// vendor, only the state of the device is.
package edr

import (
	"context"
	"net/http"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// Connection is one client's EDR. It is safe for concurrent use, and worth keeping, because it
// keeps access tokens. Every error is a *models.VendorError.
type Connection interface {
	// Find returns the living devices with this host name, alone or before a domain, whatever the case;
	// Resolve says which of them it is. None is an empty slice, and is only said when the answer was
	// read to its end: where the vendor has more to tell than the adapter's bound, it is Rejected,
	// too_many_hosts. Of several devices the state may be unknown; State tells it.
	Find(ctx context.Context, hostname string) ([]models.Host, error)
	// State returns what the EDR itself says about a device now. Rejected: there is no such device.
	State(ctx context.Context, id string) (models.Host, error)
	// Isolate asks for the isolation of one device and returns the action's id, "" when the vendor
	// gives none. nil means accepted or already so, not isolated. Ambiguous: read the state before
	// anything else.
	Isolate(ctx context.Context, id, comment string) (action string, err error)
	// Release asks for the end of an isolation; otherwise it is like Isolate.
	Release(ctx context.Context, id, comment string) (action string, err error)
	// Action returns what became of an action on a device. Rejected: there is no such action, or the
	// vendor's Capabilities have no Actions.
	Action(ctx context.Context, id, action string) (models.ActionState, error)
	// Check reports whether the credentials work and may read. It changes nothing.
	Check(ctx context.Context) error
	// Capabilities returns what the EDR can do beyond that.
	Capabilities() models.Capabilities
}

// Product is one EDR product.
type Product struct {
	Vendor     string            // its name in models.EDRCredentials
	Title      string            // its name for people
	Fields     []models.EDRField // the values its credentials have
	Hosts      []string          // domains the vendor's own hosts are in, https only; none where the client runs the product
	DefaultURL string            // "" when the base URL depends on the client
	PerSecond  float64           // requests to send to one client's EDR at most, on average

	// New checks the credentials and returns the connection, without contacting the vendor. Errors are
	// models.Error, point at the field in the credentials and never quote its value. Where there are
	// Hosts, a secret is only ever sent to them or, for simulators, to this machine; the caller decides
	// before which addresses may be contacted at all. A nil transport is http.DefaultTransport, a
	// timeout of 0 is 10 s for each request.
	New func(c models.EDRCredentials, transport http.RoundTripper, timeout time.Duration) (Connection, error)
}

// ProductOf returns the product of a vendor.
func ProductOf(vendor string) (Product, bool) {
	for _, p := range Products() {
		if p.Vendor == vendor {
			return p, true
		}
	}
	return Product{}, false
}

// connect gives an adapter's constructor the type Product.New has.
func connect[C Connection](newTenant func(models.EDRCredentials, http.RoundTripper, time.Duration) (C, error)) func(models.EDRCredentials, http.RoundTripper, time.Duration) (Connection, error) {
	return func(c models.EDRCredentials, transport http.RoundTripper, timeout time.Duration) (Connection, error) {
		tenant, err := newTenant(c, transport, timeout)
		if err != nil {
			return nil, err
		}
		return tenant, nil
	}
}
