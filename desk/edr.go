package desk

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/secrets"
	"github.com/watchfire-mdr/watchfire/store"
)

// edrCheckWait is how long a person waits for a check of an EDR connection.
const edrCheckWait = 20 * time.Second

// EDROptions are what the desk needs to take credentials of EDRs.
type EDROptions struct {
	Products []models.EDRProduct // those there are
	// Check refuses credentials of an unknown product, with wrong fields, or for an address that is not the vendor's.
	// Its errors are models.Error and quote no value.
	Check func(models.EDRCredentials) error
	Box   *secrets.Box // nil: no credentials are taken
}

// EDRProducts lists the EDR products a client may have, and what the credentials of each consist of.
func (d *Desk) EDRProducts(u models.User) ([]models.EDRProduct, error) {
	return d.edr.Products, auth.Allow("list-edr-products", u.Role)
}

// EDR returns what is known of the EDR of the client with a number, without asking it: no secret. NotFound: the client
// has none.
func (d *Desk) EDR(ctx context.Context, u models.User, number int) (models.EDRStatus, error) {
	if err := auth.Allow("get-edr", u.Role); err != nil {
		return models.EDRStatus{}, err
	}
	s, err := read(d.inClient(ctx, u, number), (*store.Tx).EDRStatus)
	if err == nil && s.Vendor == "" {
		err = noEDR()
	}
	return s, err
}

func noEDR() error { return models.Errorf(models.NotFound, "the client has no EDR") }

// SetEDRCredentials makes c what the EDR of the client with a number is reached with, in place of any before. They are
// sealed before they are kept, and nobody can read the secrets back. The answer holds none of them. Unavailable: the
// provider has no keyset to seal them with. Conflict: devices are isolated, and more than a secret would change.
func (d *Desk) SetEDRCredentials(ctx context.Context, u models.User, number int, c models.EDRCredentials) (models.EDR, error) {
	if err := auth.Allow("set-edr-credentials", u.Role); err != nil {
		return models.EDR{}, err
	}
	if d.edr.Box == nil || d.edr.Check == nil {
		return models.EDR{}, models.Errorf(models.Unavailable, "no EDR credentials are taken: the operator has set no SECRETS_KEYSET")
	}
	if err := d.edr.Check(c); err != nil {
		return models.EDR{}, err
	}
	id, err := d.clientID(ctx, number)
	if err != nil {
		return models.EDR{}, err
	}
	sealed, err := sealEDR(d.edr.Box, secrets.EDRRow(id, c.Vendor), c)
	if err != nil {
		return models.EDR{}, err
	}
	sealed.UpdatedAt, sealed.UpdatedBy, sealed.Open = d.moment(), u.ID, d.openValues(c)
	var now models.EDR
	err = d.changeSettings(ctx, u, number, "set-edr-credentials", func(tx *store.Tx) (_ string, fields []string, err error) {
		before, err := tx.EDRStatus()
		if err != nil {
			return "", nil, err
		}
		if field := firstIdentityChange(before, sealed); field != "" {
			if err := requireNoIsolatedEndpoints(tx, before.Vendor, field); err != nil {
				return "", nil, err
			}
		}
		now = models.EDR{Vendor: c.Vendor}
		if before.Vendor == c.Vendor {
			now.Tenant = before.Tenant
		}
		if err := tx.SetEDRCredentials(sealed, now); err != nil {
			return "", nil, err
		}
		fields, err = differences(publicStatus(before), models.EDRStatus{EDR: now, BaseURL: sealed.BaseURL, Values: sealed.Open})
		for name := range c.Values {
			if _, known := sealed.Open[name]; !known { // a secret: whether it is another one nobody can tell
				fields = append(fields, "values/"+name)
			}
		}
		slices.Sort(fields)
		return c.Vendor, fields, err
	})
	if err != nil {
		return models.EDR{}, err
	}
	d.log.InfoContext(ctx, "EDR credentials were set", "client", number, "vendor", c.Vendor, "user", u.ID.String())
	return now, nil
}

// publicStatus returns what of a client's EDR was set by somebody and is no secret.
func publicStatus(s models.EDRStatus) models.EDRStatus {
	return models.EDRStatus{EDR: s.EDR, BaseURL: s.BaseURL, Values: s.Values}
}

// openValues returns the values of credentials that are no secrets.
func (d *Desk) openValues(c models.EDRCredentials) map[string]string {
	for _, p := range d.edr.Products {
		if p.Vendor == c.Vendor {
			return p.Open(c)
		}
	}
	return map[string]string{}
}

// firstIdentityChange returns the first field in which credentials may lead to another EDR than the client has: each but a
// secret. "" when they lead to the same one, or the client has none.
func firstIdentityChange(before models.EDRStatus, now store.EDRCredentials) string {
	switch {
	case before.Vendor == "":
		return ""
	case before.Vendor != now.Vendor:
		return "/vendor"
	case before.SetAt.IsZero() || before.Values == nil: // the provider's own, or set before their values were kept
		return "/values"
	case before.BaseURL != now.BaseURL:
		return "/base_url"
	}
	names := slices.AppendSeq(slices.Collect(maps.Keys(before.Values)), maps.Keys(now.Open))
	slices.Sort(names)
	for _, name := range names {
		if before.Values[name] != now.Open[name] {
			return "/values/" + name
		}
	}
	return ""
}

// requireNoIsolatedEndpoints refuses a change in a field, "" for all, that leads away from an EDR devices of the client are isolated
// through: nobody could release them.
func requireNoIsolatedEndpoints(tx *store.Tx, vendor, field string) error {
	held, err := tx.HasIsolatedEndpoints()
	if err != nil || !held {
		return err
	}
	return &models.Error{
		Kind: models.Conflict, Field: field,
		Message: "devices are isolated through " + vendor + ", or on their way there or back: release them first; until then only a secret may change",
	}
}

// RemoveEDRCredentials takes back what the EDR of the client with a number is reached with: the client has no EDR
// then, the provider's own neither. Again changes nothing. Conflict: devices are isolated through it.
func (d *Desk) RemoveEDRCredentials(ctx context.Context, u models.User, number int) error {
	if err := auth.Allow("remove-edr-credentials", u.Role); err != nil {
		return err
	}
	return d.changeSettings(ctx, u, number, "remove-edr-credentials", func(tx *store.Tx) (string, []string, error) {
		before, err := tx.EDRStatus()
		if err != nil || before.Vendor == "" {
			return "", nil, err
		}
		if err := requireNoIsolatedEndpoints(tx, before.Vendor, ""); err != nil {
			return "", nil, err
		}
		d.log.InfoContext(ctx, "EDR credentials are removed", "client", number, "vendor", before.Vendor, "user", u.ID.String())
		if err := tx.RemoveEDR(); err != nil {
			return "", nil, err
		}
		fields, err := differences(publicStatus(before), models.EDRStatus{})
		return before.Vendor, fields, err
	})
}

// sealEDR seals credentials for the row they are kept in.
func sealEDR(box *secrets.Box, row string, c models.EDRCredentials) (store.EDRCredentials, error) {
	plain, err := json.Marshal(c)
	if err != nil {
		return store.EDRCredentials{}, models.Errorf(models.Invalid, "the credentials cannot be written")
	}
	sealed, err := box.Seal(row, plain)
	if err != nil {
		return store.EDRCredentials{}, err
	}
	return store.EDRCredentials{Vendor: c.Vendor, BaseURL: c.BaseURL, Sealed: sealed.Data, DataKey: sealed.Key}, nil
}

// CheckEDRConnection tries whether the EDR of the client with a number takes its credentials and can be read, and
// waits for the answer, which is kept. It changes nothing there. NotFound: the client has no EDR. Unavailable: no answer
// came in time.
func (d *Desk) CheckEDRConnection(ctx context.Context, u models.User, number int) (models.EDRCheck, error) {
	if err := auth.Allow("check-edr-connection", u.Role); err != nil {
		return models.EDRCheck{}, err
	}
	var c models.Client
	var now models.EDRStatus
	err := d.inClient(ctx, u, number)(func(tx *store.Tx) (err error) {
		if c, err = tx.Client(); err != nil {
			return err
		}
		now, err = tx.EDRStatus()
		return err
	})
	if err == nil && now.Vendor == "" {
		err = noEDR()
	}
	if err != nil {
		return models.EDRCheck{}, err
	}
	check, err := d.tryEDR(ctx, c, now.SetAt)
	if err != nil {
		return models.EDRCheck{}, err
	}
	check.Vendor, check.At = now.Vendor, d.moment()
	return check, d.inClient(ctx, u, number)(func(tx *store.Tx) error { return tx.SaveEDRCheck(check) })
}

// tryEDR waits for a check of a client's EDR with the credentials that were set at a moment, or later ones.
func (d *Desk) tryEDR(ctx context.Context, c models.Client, setAt time.Time) (models.EDRCheck, error) {
	ctx, cancel := context.WithTimeout(ctx, edrCheckWait)
	defer cancel()
	check, err := d.runEDRCheck(ctx, c)
	if err == nil && check.SetAt.Before(setAt) { // it had begun before the credentials were changed
		check, err = d.runEDRCheck(ctx, c)
	}
	return check, err
}

// runEDRCheck waits for the check that is under way, or for a new one.
func (d *Desk) runEDRCheck(ctx context.Context, c models.Client) (check models.EDRCheck, err error) {
	run, err := d.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: models.EDRCheckWorkflowID(c.Number), TaskQueue: models.QueueIncidents, WorkflowExecutionTimeout: time.Minute,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		StaticSummary:            "try the EDR connection",
	}, models.EDRCheckWorkflow, models.EDRCheckInput{ClientID: c.ID})
	if err == nil {
		err = run.Get(ctx, &check)
	}
	if err != nil {
		d.log.WarnContext(ctx, "an EDR connection could not be tried", "client", c.Number, "error", err.Error())
		return models.EDRCheck{}, models.Errorf(models.Unavailable, "the connection could not be tried in time: try again")
	}
	return check, nil
}
