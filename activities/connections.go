package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/secrets"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/vendors/edr"
)

// Connections finds the clients' EDRs and keeps the connections, because they keep access tokens: one for every client
// and version of its credentials. It is safe for concurrent use.
type Connections struct {
	Store *store.Store
	Box   *secrets.Box // nil: kept credentials cannot be used
	// Connect makes a connection from credentials, without asking the vendor.
	Connect func(models.EDRCredentials) (edr.Connection, error)
	// Shared returns the connection of a client without credentials of its own, through the provider's account. Config:
	// the provider has none with that vendor.
	Shared func(models.EDR) (edr.Connection, error)

	mu    sync.Mutex
	known map[uuid.UUID]keptConnection
}

// keptConnection is a client's connection, for as long as its credentials and its place in the provider's account stay.
type keptConnection struct {
	client ClientEDR
	shared models.EDR
}

// Of returns the EDR of the client with an id. NotFound: the client has none. Config: no connection can be made of its
// credentials.
func (c *Connections) Of(ctx context.Context, client uuid.UUID) (ClientEDR, error) {
	var e models.EDR
	var sealed store.EDRCredentials
	err := c.Store.ForClient(ctx, store.Worker, client, func(tx *store.Tx) error {
		now, err := tx.Client()
		if err != nil {
			return err
		}
		if e = now.EDR; e.Vendor == "" {
			return models.Errorf(models.NotFound, "the client has no EDR")
		}
		sealed, err = tx.EDRCredentials(e.Vendor)
		if models.KindOf(err) == models.NotFound {
			return nil
		}
		return err
	})
	if models.KindOf(err) == models.NotFound {
		return ClientEDR{}, err
	}
	if err != nil {
		return ClientEDR{}, fmt.Errorf("read the client's EDR: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before, ok := c.known[client]
	if ok && before.shared == e && before.client.SetAt.Equal(sealed.UpdatedAt) {
		return before.client, nil
	}
	conn, err := c.connect(client, e, sealed)
	now := ClientEDR{Connection: conn, Vendor: e.Vendor, SetAt: sealed.UpdatedAt}
	if err != nil {
		return ClientEDR{Vendor: e.Vendor, SetAt: sealed.UpdatedAt}, err
	}
	if c.known == nil {
		c.known = map[uuid.UUID]keptConnection{}
	}
	c.known[client] = keptConnection{now, e}
	return now, nil
}

func (c *Connections) connect(client uuid.UUID, e models.EDR, sealed store.EDRCredentials) (edr.Connection, error) {
	if sealed.UpdatedAt.IsZero() {
		return c.Shared(e)
	}
	credentials, err := c.unseal(client, sealed)
	if err != nil {
		return nil, &models.VendorError{Class: models.Config, Vendor: e.Vendor, Op: "connect", Code: "sealed", Cause: err}
	}
	conn, err := c.Connect(credentials)
	if err != nil {
		return nil, &models.VendorError{Class: models.Config, Vendor: e.Vendor, Op: "connect", Code: "credentials", Cause: err}
	}
	return conn, nil
}

// unseal returns the credentials. The address they hold is the one that counts: that of the row is for people.
func (c *Connections) unseal(client uuid.UUID, sealed store.EDRCredentials) (models.EDRCredentials, error) {
	var credentials models.EDRCredentials
	if c.Box == nil {
		return credentials, errors.New("keyset not found")
	}
	plain, err := c.Box.Unseal(secrets.EDRRow(client, sealed.Vendor), secrets.Sealed{Data: sealed.Sealed, Key: sealed.DataKey})
	if err != nil {
		return credentials, err
	}
	if json.Unmarshal(plain, &credentials) != nil || credentials.Vendor != sealed.Vendor || credentials.BaseURL != sealed.BaseURL {
		return models.EDRCredentials{}, errors.New("the row was changed")
	}
	return credentials, nil
}
