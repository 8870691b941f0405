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

// runSecrets makes and changes the keys that seal clients' credentials and payloads, from which codes follow,
// and that sign checkpoints. An operator changes the first in three steps: extend the keyset, give workers the longer one
// and then the API its public part, rotate; those of payloads in four: extend the keyset, give every process the longer
// one, use its newest key, give every process that one.
func runSecrets(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("secrets", flag.ContinueOnError)
	purpose := f.String("for", "credentials", "credentials: the keyset SECRETS_KEYSET; codes: CODES_KEYSET; checkpoints: CHECKPOINT_KEYSET; payloads: PAYLOAD_KEYSET")
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
	if *purpose == "credentials" && f.Arg(0) == "rotate" {
		return rotate(ctx, c, out)
	}
	keyset, err := changeKeys(*purpose+" "+f.Arg(0), c)
	if err == nil {
		fmt.Fprintln(out, keyset)
	}
	return err
}

// changeKeys does what a subcommand does for a purpose, and returns the keyset to be printed.
func changeKeys(what string, c config.Config) (string, error) {
	switch what {
	case "credentials keygen":
		return secrets.GenerateBox(c.SecretsKMSURI)
	case "credentials extend":
		return secrets.ExtendBox(c.SecretsKeyset, c.SecretsKMSURI)
	case "credentials public":
		return secrets.PublicKeyset(c.SecretsKeyset, c.SecretsKMSURI)
	case "codes keygen":
		return secrets.GenerateDeriver(c.SecretsKMSURI)
	case "codes extend":
		return secrets.ExtendDeriver(c.CodesKeyset, c.SecretsKMSURI)
	case "payloads keygen":
		return secrets.Generate(c.SecretsKMSURI)
	case "payloads extend":
		return secrets.AddPayloadKey(c.PayloadKeyset, c.SecretsKMSURI)
	case "payloads use":
		return secrets.UsePayloadKey(c.PayloadKeyset, c.SecretsKMSURI)
	case "checkpoints keygen":
		return secrets.GenerateSigner(c.SecretsKMSURI)
	case "checkpoints extend":
		return secrets.ExtendSigner(c.CheckpointKeyset, c.SecretsKMSURI)
	case "checkpoints public":
		return secrets.VerifierKeyset(c.CheckpointKeyset, c.SecretsKMSURI)
	}
	return "", errors.New("secrets got no subcommand that it knows: give keygen or extend; public, for credentials and checkpoints; rotate, for credentials; or use, for payloads")
}

// useKMS makes the key that encrypts the keyset available, when SECRETS_KMS_URI names one.
func useKMS(c config.Config) error {
	if c.SecretsKMSURI == "" {
		return nil
	}
	return secrets.UseVault(c.SecretsKMSURI, c.VaultToken, nil)
}

// rotate seals the data keys of all stored credentials with the keyset's newest key. It may run repeatedly, and while
// all other processes run. It returns an error after the last client when some credentials could not be unsealed.
func rotate(ctx context.Context, c config.Config, out io.Writer) error {
	box, err := secrets.OpenBox(c.SecretsKeyset, c.SecretsOldKeyset, c.SecretsKMSURI)
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
		clients, err := store.Run(db.InEveryClient(ctx), func(tx *store.Tx) ([]models.Client, error) { return tx.Clients(after, 100) })
		if err != nil {
			return err
		}
		if len(clients) == 0 {
			break
		}
		for _, client := range clients {
			after = client.Number
			done, unreadable, err := reseal(ctx, db, box, client)
			if err != nil {
				return fmt.Errorf("client %d: %w", client.Number, err)
			}
			resealed, failed = resealed+done, failed+unreadable
		}
	}
	fmt.Fprintf(out, "%d data keys are now sealed with the newest key\n", resealed)
	if failed > 0 {
		return fmt.Errorf("%d credentials cannot be unsealed with this keyset and stay as they are: enter them anew, or give the keyset that sealed them", failed)
	}
	return nil
}

// reseal seals one client's data keys anew. It returns how many it sealed, and how many it cannot unseal.
func reseal(ctx context.Context, db *store.Store, box *secrets.Box, client models.Client) (done, unreadable int, err error) {
	stored, err := store.Run(db.InClient(ctx, store.Worker, client.ID), (*store.Tx).AllEDRCredentials)
	for _, k := range stored {
		key, failed := box.Reseal(secrets.EDRRow(client.ID, k.Vendor), k.DataKey)
		if failed != nil {
			unreadable++
			continue
		}
		changed, err := store.Run(db.InClient(ctx, store.SOC, client.ID), func(tx *store.Tx) (bool, error) {
			return tx.SetEDRDataKey(k.Vendor, k.UpdatedAt, key)
		})
		if err != nil {
			return done, unreadable, err
		}
		if changed {
			done++ // else somebody has entered the credentials anew meanwhile, sealed with the newest key
		}
	}
	return done, unreadable, err
}
