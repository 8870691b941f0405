package desk

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/secrets"
	"github.com/watchfire-mdr/watchfire/store"
)

// edrCheckWait is how long a person waits for a check of an EDR connection.
const edrCheckWait = 20 * time.Second

// EDROptions let the desk take credentials of EDRs.
type EDROptions struct {
	Products []models.EDRProduct // every product that a client may have
	// Check refuses credentials of an unknown product, with wrong fields, or for an address that is not the vendor's.
	// Its errors are models.Error and quote no value.
	Check  func(models.EDRCredentials) error
	Sealer *secrets.Sealer // nil: the desk takes no credentials
}

// EDRProducts lists the EDR products a client may have, with the fields of their credentials.
func (d *Desk) EDRProducts(u models.User) ([]models.EDRProduct, error) {
	return d.edr.Products, auth.Allow("list-edr-products", u.Role)
}

// EDR returns the EDR of the client with a number as the store knows it, without its secrets. NotFound: the client has
// none.
func (d *Desk) EDR(ctx context.Context, u models.User, number int) (models.EDRStatus, error) {
	if err := auth.Allow("get-edr", u.Role); err != nil {
		return models.EDRStatus{}, err
	}
	s, err := store.Run(d.inClient(ctx, u, number), (*store.Tx).EDRStatus)
	if err == nil && s.Vendor == "" {
		err = noEDR()
	}
	return s, err
}

// Isolations lists the devices of the client with a number that are isolated now, or on their way there or back, with
// the incident that holds each. NotFound also when the client is not the user's.
func (d *Desk) Isolations(ctx context.Context, u models.User, number int) ([]incident.Isolation, error) {
	if err := auth.Allow("list-isolations", u.Role); err != nil {
		return nil, err
	}
	return store.Run(d.inClient(ctx, u, number), (*store.Tx).Isolations)
}

func noEDR() error { return models.Errorf(models.NotFound, "the client has no EDR") }

// SetEDRCredentials replaces the credentials of the EDR of the client with a number. They are sealed before they are
// stored, nobody can read the secrets back, and the answer holds none of them. Unavailable: the provider has no keyset
// to seal them with. Conflict: devices are isolated, and more than a secret would change.
func (d *Desk) SetEDRCredentials(ctx context.Context, u models.User, number int, c models.EDRCredentials) (models.EDR, error) {
	if err := auth.Allow("set-edr-credentials", u.Role); err != nil {
		return models.EDR{}, err
	}
	if d.edr.Sealer == nil || d.edr.Check == nil {
		return models.EDR{}, models.Errorf(models.Unavailable, "EDR credentials cannot be sealed: the operator has not set SECRETS_PUBLIC_KEYSET")
	}
	if err := cmp.Or(models.CheckTexts(c), d.edr.Check(c)); err != nil {
		return models.EDR{}, err
	}
	id, err := d.clientID(ctx, u, number)
	if err != nil {
		return models.EDR{}, err
	}
	sealed, err := sealEDR(d.edr.Sealer, secrets.EDRRow(id, c.Vendor), c)
	if err != nil {
		return models.EDR{}, err
	}
	sealed.UpdatedBy, sealed.Open = u.ID, d.openValues(c)
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
		sealed.UpdatedAt = tx.Now()
		if err := tx.SetEDRCredentials(sealed, now); err != nil {
			return "", nil, err
		}
		fields, err = differences(publicStatus(before), models.EDRStatus{EDR: now, BaseURL: sealed.BaseURL, Values: sealed.Open})
		for name := range c.Values {
			if _, known := sealed.Open[name]; !known { // nobody can tell whether a secret changed
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

// publicStatus returns the settings of a client's EDR that are not secret.
func publicStatus(s models.EDRStatus) models.EDRStatus {
	return models.EDRStatus{EDR: s.EDR, BaseURL: s.BaseURL, Values: s.Values}
}

// openValues returns the values of credentials that are not secret.
func (d *Desk) openValues(c models.EDRCredentials) map[string]string {
	for _, p := range d.edr.Products {
		if p.Vendor == c.Vendor {
			return p.Open(c)
		}
	}
	return map[string]string{}
}

// firstIdentityChange returns the first field whose change may lead to another EDR than the client's: any field but a
// secret. It returns "" when no field does, or when the client has no EDR.
func firstIdentityChange(before models.EDRStatus, now store.EDRCredentials) string {
	switch {
	case before.Vendor == "":
		return ""
	case before.Vendor != now.Vendor:
		return "/vendor"
	case before.SetAt.IsZero() || before.Values == nil: // the provider's own, or older than the column of their values
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

// requireNoIsolatedEndpoints refuses a change in a field, "" for all, that leads to another EDR while devices of the
// client are isolated through this one: nobody could release them.
func requireNoIsolatedEndpoints(tx *store.Tx, vendor, field string) error {
	held, err := tx.Isolations()
	if err != nil || len(held) == 0 {
		return err
	}
	return &models.Error{
		Kind: models.Conflict, Field: field,
		Message: "devices are isolated through " + vendor + ", or are being isolated or released; release them first, until then only secrets may change",
	}
}

// RemoveEDRCredentials drops the credentials of the EDR of the client with a number. The client then has no EDR, not
// even the provider's own. Removing them again changes nothing. Conflict: devices are isolated through the EDR.
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

// sealEDR seals credentials for their row in the store.
func sealEDR(sealer *secrets.Sealer, row string, c models.EDRCredentials) (store.EDRCredentials, error) {
	plain, err := json.Marshal(c)
	if err != nil {
		return store.EDRCredentials{}, models.Errorf(models.Invalid, "the credentials cannot be written")
	}
	sealed, err := sealer.Seal(row, plain)
	if err != nil {
		return store.EDRCredentials{}, err
	}
	return store.EDRCredentials{Vendor: c.Vendor, BaseURL: c.BaseURL, Sealed: sealed.Data, DataKey: sealed.Key}, nil
}

// CheckEDRConnection tries whether the EDR of the client with a number takes its credentials and answers, and keeps the
// result. It changes nothing in the EDR. NotFound: the client has no EDR. Unavailable: the check did not finish in
// time.
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
	if err := d.use(ctx, u, number, "check-edr-connection"); err != nil {
		return models.EDRCheck{}, err
	}
	check, err := d.tryEDR(ctx, c, now.SetAt)
	if err != nil {
		return models.EDRCheck{}, err
	}
	check.Vendor = now.Vendor
	err = d.inClient(ctx, u, number)(func(tx *store.Tx) error {
		check.At = tx.Now()
		return tx.SaveEDRCheck(check)
	})
	return check, err
}

// tryEDR waits for a check of a client's EDR with the credentials that were set at a moment, or with later ones.
func (d *Desk) tryEDR(ctx context.Context, c models.Client, setAt time.Time) (models.EDRCheck, error) {
	ctx, cancel := context.WithTimeout(ctx, edrCheckWait)
	defer cancel()
	check, err := d.runEDRCheck(ctx, c)
	if err == nil && check.SetAt.Before(setAt) { // that check began before the credentials changed
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
		d.log.WarnContext(ctx, "a check of an EDR connection did not finish", "client", c.Number, "error", err.Error())
		return models.EDRCheck{}, models.Errorf(models.Unavailable, "the check of the connection did not finish in time; try again")
	}
	return check, nil
}
