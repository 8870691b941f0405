package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/watchfire-mdr/watchfire/config"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/secrets"
	"github.com/watchfire-mdr/watchfire/store"
)

// runSecrets makes and changes the keys that seal clients' credentials. To change keys: extend, give every process the
// longer keyset, rotate.
func runSecrets(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("secrets", flag.ContinueOnError)
	if err := f.Parse(args); err != nil {
		return err
	}
	c, err := config.FromEnvironment(config.Keys)
	if err == nil {
		err = useKMS(c)
	}
	if err != nil {
		return err
	}
	var keyset string
	switch f.Arg(0) {
	case "keygen":
		keyset, err = secrets.Generate(c.SecretsKMSURI)
	case "extend":
		keyset, err = secrets.Extend(c.SecretsKeyset, c.SecretsKMSURI)
	case "rotate":
		return rotate(ctx, c, out)
	default:
		return errors.New("secrets needs one of keygen, extend and rotate")
	}
	if err == nil {
		fmt.Fprintln(out, keyset)
	}
	return err
}

// useKMS makes the key available that the keyset is encrypted with.
func useKMS(c config.Config) error {
	if c.SecretsKMSURI == "" {
		return nil
	}
	return secrets.UseVault(c.SecretsKMSURI, c.VaultToken, nil)
}

// rotate seals the data keys of all kept credentials with the keyset's newest key. It may be run again, and while
// everything else runs.
func rotate(ctx context.Context, c config.Config, out io.Writer) error {
	box, err := secrets.Open(c.SecretsKeyset, c.SecretsKMSURI)
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, c.DatabaseURL, store.Options{MaxConns: 2})
	if err != nil {
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	defer db.Close()
	resealed, failed := 0, 0
	for after := 0; ; {
		var clients []models.Client
		err := db.ForSOC(ctx, func(tx *store.Tx) (err error) {
			clients, err = tx.Clients(after, 100)
			return err
		})
		if err != nil {
			return err
		}
		if len(clients) == 0 {
			break
		}
		for _, client := range clients {
			after = client.Number
			done, bad, err := reseal(ctx, db, box, client)
			if err != nil {
				return fmt.Errorf("client %d: %w", client.Number, err)
			}
			resealed, failed = resealed+done, failed+bad
		}
	}
	fmt.Fprintf(out, "%d data keys are sealed with the newest key\n", resealed)
	if failed > 0 {
		return fmt.Errorf("%d credentials could not be unsealed with this keyset and stay as they are", failed)
	}
	return nil
}

// reseal seals one client's data keys anew and says how many, and how many it could not.
func reseal(ctx context.Context, db *store.Store, box *secrets.Box, client models.Client) (done, bad int, err error) {
	var kept []store.EDRCredentials
	err = db.ForClient(ctx, store.Worker, client.ID, func(tx *store.Tx) (err error) {
		kept, err = tx.AllEDRCredentials()
		return err
	})
	for _, k := range kept {
		key, failed := box.Reseal(secrets.EDRRow(client.ID, k.Vendor), k.DataKey)
		if failed != nil {
			bad++
			continue
		}
		err := db.ForClient(ctx, store.SOC, client.ID, func(tx *store.Tx) error {
			changed, err := tx.SetEDRDataKey(k.Vendor, k.UpdatedAt, key)
			if changed {
				done++ // else it was entered anew meanwhile, and so sealed with the newest key
			}
			return err
		})
		if err != nil {
			return done, bad, err
		}
	}
	return done, bad, err
}
