package desk

import (
	"context"
	"encoding/json"
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

// EDRCheck is what came of trying a client's EDR connection.
type EDRCheck = models.EDRCheck

// EDROptions are what the desk needs to take credentials of EDRs.
type EDROptions struct {
	// Check refuses credentials of an unknown product, with wrong fields, or for an address that is not the vendor's.
	// Its errors are models.Error and quote no value.
	Check func(models.EDRCredentials) error
	Box   *secrets.Box // nil: no credentials are taken
}

// SetEDRCredentials makes c what the EDR of the client with a number is reached with, in place of any before. They are
// sealed before they are kept, and nobody can read them back. The answer holds none of them. Unavailable: the provider
// has no keyset to seal them with.
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
	sealed.UpdatedAt, sealed.UpdatedBy = d.moment(), u.ID
	var now models.EDR
	err = d.inClient(ctx, u, number, func(tx *store.Tx) error {
		before, err := tx.Client()
		if err != nil {
			return err
		}
		if before.EDR.Vendor != "" && before.EDR.Vendor != c.Vendor {
			held, err := tx.HoldsEndpoints()
			if err != nil {
				return err
			}
			if held {
				return models.Errorf(models.Conflict, "endpoints are isolated through %s: release them first", before.EDR.Vendor)
			}
		}
		now = models.EDR{Vendor: c.Vendor}
		if before.EDR.Vendor == c.Vendor {
			now.Tenant = before.EDR.Tenant
		}
		return tx.SetEDRCredentials(sealed, now)
	})
	if err != nil {
		return models.EDR{}, err
	}
	d.log.InfoContext(ctx, "EDR credentials were set", "client", number, "vendor", c.Vendor, "user", u.ID.String())
	return now, nil
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
// waits for the answer. It changes nothing. NotFound: the client has no EDR. Unavailable: no answer came in time.
func (d *Desk) CheckEDRConnection(ctx context.Context, u models.User, number int) (EDRCheck, error) {
	if err := auth.Allow("check-edr-connection", u.Role); err != nil {
		return EDRCheck{}, err
	}
	var c models.Client
	var setAt time.Time
	err := d.inClient(ctx, u, number, func(tx *store.Tx) (err error) {
		if c, err = tx.Client(); err != nil {
			return err
		}
		if c.EDR.Vendor == "" {
			return models.Errorf(models.NotFound, "the client has no EDR")
		}
		setAt, err = tx.EDRCredentialsSetAt(c.EDR.Vendor)
		return err
	})
	if err != nil {
		return EDRCheck{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, edrCheckWait)
	defer cancel()
	check, err := d.runEDRCheck(ctx, c)
	if err == nil && check.SetAt.Before(setAt) { // it had begun before the credentials were changed
		check, err = d.runEDRCheck(ctx, c)
	}
	return check, err
}

// runEDRCheck waits for the check that is under way, or for a new one.
func (d *Desk) runEDRCheck(ctx context.Context, c models.Client) (check EDRCheck, err error) {
	run, err := d.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: models.EDRCheckWorkflowID(c.Number), TaskQueue: models.QueueIncidents, WorkflowExecutionTimeout: time.Minute,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		StaticSummary:            "try the EDR connection",
	}, models.EDRCheckWorkflow, models.EDRCheckRun{ClientID: c.ID})
	if err == nil {
		err = run.Get(ctx, &check)
	}
	if err != nil {
		d.log.WarnContext(ctx, "an EDR connection could not be tried", "client", c.Number, "error", err.Error())
		return EDRCheck{}, models.Errorf(models.Unavailable, "the connection could not be tried in time: try again")
	}
	return check, nil
}
