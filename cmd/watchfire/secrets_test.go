package main

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/config"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/secrets"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/store/storetest"
)

// credentialStore is a database with clients' credentials, and the keyset that seals them.
type credentialStore struct {
	*testing.T
	store  *store.Store
	config config.Config
}

func newCredentialStore(t *testing.T) *credentialStore {
	t.Helper()
	_, appURL := storetest.URLs(t)
	s, err := store.Open(t.Context(), appURL, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	keyset, err := secrets.GenerateBox("")
	if err != nil {
		t.Fatal(err)
	}
	return &credentialStore{T: t, store: s, config: config.Config{DatabaseURL: appURL, SecretsKeyset: keyset}}
}

func (v *credentialStore) box(keyset string) *secrets.Box {
	v.Helper()
	box, err := secrets.OpenBox(keyset, "", "")
	if err != nil {
		v.Fatal(err)
	}
	return box
}

// addClient adds a client and returns its id.
func (v *credentialStore) addClient() uuid.UUID {
	v.Helper()
	c, err := v.store.CreateClient(v.Context(), models.Client{LegalName: "Acme", TimeZone: "UTC", Language: "en", Policy: models.DefaultPolicy()}, uuid.NewString(), "")
	if err != nil {
		v.Fatal(err)
	}
	return c.ID
}

// setSecret stores credentials with a secret, sealed with a keyset, as of a time.
func (v *credentialStore) setSecret(ctx context.Context, client uuid.UUID, keyset, secret string, at time.Time) error {
	plain, err := json.Marshal(models.EDRCredentials{Vendor: "mde", Values: map[string]string{"client_secret": secret}})
	if err != nil {
		return err
	}
	sealed, err := v.box(keyset).Seal(secrets.EDRRow(client, "mde"), plain)
	if err != nil {
		return err
	}
	return v.store.ForClient(ctx, store.SOC, client, func(tx *store.Tx) error {
		return tx.SetEDRCredentials(store.EDRCredentials{Vendor: "mde", Sealed: sealed.Data, DataKey: sealed.Key, UpdatedAt: at, UpdatedBy: uuid.New()}, models.EDR{Vendor: "mde"})
	})
}

// secret returns the secret that a worker with a keyset unseals, or "".
func (v *credentialStore) secret(client uuid.UUID, keyset string) string {
	v.Helper()
	var kept store.EDRCredentials
	err := v.store.ForClient(v.Context(), store.Worker, client, func(tx *store.Tx) (err error) {
		kept, err = tx.EDRCredentials("mde")
		return err
	})
	if err != nil {
		v.Fatal(err)
	}
	plain, err := v.box(keyset).Unseal(secrets.EDRRow(client, "mde"), secrets.Sealed{Data: kept.Sealed, Key: kept.DataKey})
	var c models.EDRCredentials
	if err != nil || json.Unmarshal(plain, &c) != nil {
		return ""
	}
	return c.Values["client_secret"]
}

func TestRotateWhileCredentialsAreEntered(t *testing.T) {
	v := newCredentialStore(t)
	old := v.config.SecretsKeyset
	longer, err := secrets.ExtendBox(old, "")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().UTC().Truncate(time.Microsecond)
	var quiet, busy []uuid.UUID
	for range 5 {
		quiet, busy = append(quiet, v.addClient()), append(busy, v.addClient())
	}
	for _, c := range append(append([]uuid.UUID{}, quiet...), busy...) {
		if err := v.setSecret(t.Context(), c, old, "first", at); err != nil {
			t.Fatal(err)
		}
	}
	v.config.SecretsKeyset = longer
	var all sync.WaitGroup
	all.Go(func() {
		for n := range 20 {
			for _, c := range busy {
				if err := v.setSecret(t.Context(), c, longer, "last", at.Add(time.Duration(n+1)*time.Second)); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for range 5 {
		if err := rotate(t.Context(), v.config, io.Discard); err != nil {
			t.Error(err)
		}
	}
	all.Wait()
	for _, c := range quiet {
		if got := v.secret(c, longer); got != "first" {
			t.Errorf("after the rotation the secret is %q, want the first one", got)
		}
		if got := v.secret(c, old); got != "" {
			t.Error("the old key alone unseals rotated credentials")
		}
	}
	for _, c := range busy {
		if got := v.secret(c, longer); got != "last" {
			t.Errorf("the secret that was entered during the rotation is %q, want the last one", got)
		}
	}
}

func TestRotateCountsCredentialsThatItCannotUnseal(t *testing.T) {
	v := newCredentialStore(t)
	foreign, err := secrets.GenerateBox("")
	if err != nil {
		t.Fatal(err)
	}
	c := v.addClient()
	if err := v.setSecret(t.Context(), c, foreign, "theirs", time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := rotate(t.Context(), v.config, io.Discard); err == nil || !strings.HasPrefix(err.Error(), "1 credentials") {
		t.Errorf("rotate returned %v, want an error about 1 credentials", err)
	}
	if got := v.secret(c, foreign); got != "theirs" {
		t.Error("rotate changed credentials that it cannot unseal")
	}
}

func TestAProcessDoesNotStartWithoutTheKeyset(t *testing.T) {
	v := newCredentialStore(t)
	start := func(keyset string) error {
		_, err := (&process{store: v.store, config: config.Config{SecretsKeyset: keyset}}).box(t.Context())
		return err
	}
	if err := start(""); err != nil {
		t.Errorf("no credentials are stored, but a missing keyset is rejected: %v", err)
	}
	if err := v.setSecret(t.Context(), v.addClient(), v.config.SecretsKeyset, "x", time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := start(v.config.SecretsKeyset); err != nil {
		t.Errorf("rejected with the right keyset: %v", err)
	}
	for _, bad := range []string{"", "changeme", v.config.SecretsKeyset[1:]} {
		if err := start(bad); err == nil || !strings.Contains(err.Error(), "SECRETS_KEYSET") {
			t.Errorf("the keyset %q: got %v, want an error about SECRETS_KEYSET", bad, err)
		}
	}
}

func TestKeygenAndExtend(t *testing.T) {
	t.Setenv("SECRETS_KEYSET", "")
	var first, second strings.Builder
	if err := runSecrets(t.Context(), []string{"keygen"}, &first); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SECRETS_KEYSET", strings.TrimSpace(first.String()))
	if err := runSecrets(t.Context(), []string{"extend"}, &second); err != nil {
		t.Fatal(err)
	}
	var sealing strings.Builder
	if err := runSecrets(t.Context(), []string{"public"}, &sealing); err != nil {
		t.Fatal(err)
	}
	if _, err := secrets.OpenSealer(strings.TrimSpace(sealing.String())); err != nil {
		t.Error(err)
	}
	for _, keyset := range []string{first.String(), second.String()} {
		if _, err := secrets.OpenBox(strings.TrimSpace(keyset), "", ""); err != nil {
			t.Error(err)
		}
	}
	for _, wrong := range [][]string{{"explode"}, {"-for", "codes", "rotate"}, {"-for", "nothing", "keygen"}} {
		if err := runSecrets(t.Context(), wrong, io.Discard); err == nil {
			t.Errorf("%q is accepted", wrong)
		}
	}
	var codes, longer strings.Builder
	if err := runSecrets(t.Context(), []string{"-for", "codes", "keygen"}, &codes); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CODES_KEYSET", strings.TrimSpace(codes.String()))
	if err := runSecrets(t.Context(), []string{"-for", "codes", "extend"}, &longer); err != nil {
		t.Fatal(err)
	}
	if _, err := secrets.OpenDeriver(strings.TrimSpace(longer.String()), ""); err != nil {
		t.Error(err)
	}
}
