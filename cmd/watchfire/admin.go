package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/address"
	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/config"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// runMigrate brings the database to this version's schema, and makes or updates the application's login when -app-user
// names one.
func runMigrate(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("migrate", flag.ContinueOnError)
	login := f.String("app-user", "", "name of the application's login, to make or update it; APP_DATABASE_PASSWORD holds its password")
	if err := f.Parse(args); err != nil {
		return err
	}
	c, err := config.FromEnvironment(config.Migrate)
	if err != nil {
		return err
	}
	for _, warning := range config.Warnings(os.LookupEnv) {
		fmt.Fprintln(out, "warning:", warning)
	}
	if err := store.Migrate(ctx, c.OwnerURL); err != nil {
		return err
	}
	fmt.Fprintln(out, "the schema is current")
	if *login == "" {
		return nil
	}
	password := os.Getenv("APP_DATABASE_PASSWORD")
	if password == "" {
		return errors.New("APP_DATABASE_PASSWORD is not set: set it to the password of the application's login")
	}
	return store.EnsureLogin(ctx, c.OwnerURL, *login, password)
}

// runUser adds a user, or finds the one with this address and role, and prints a new bearer token. Operators make the
// first lead with it, and renew and revoke tokens.
func runUser(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("user", flag.ContinueOnError)
	name := f.String("name", "", "the person's name")
	email := f.String("email", "", "their e-mail address")
	role := f.String("role", "", "analyst, lead, operator; or viewer, responder, admin of a client")
	number := f.Int("client", 0, "the client's number, for a client's user")
	days := f.Int("days", 90, "days until the token expires")
	revoke := f.Bool("revoke", false, "revoke the user's other tokens first")
	if err := f.Parse(args); err != nil {
		return err
	}
	u := models.User{Name: *name, Email: *email, Role: models.Role(*role)}
	if *name == "" || u.Role.Side() == "" || *days < 1 {
		return errors.New("the user is incomplete: give -name, -email, -role and a positive -days")
	}
	if _, err := address.Mail(*email); err != nil {
		return fmt.Errorf("-email %w", err)
	}
	if (u.Role.Side() == models.SideClient) != (*number > 0) {
		return errors.New("-client and -role do not fit: give -client with the roles viewer, responder and admin, and with no other")
	}
	db, err := store.Open(ctx, os.Getenv("DATABASE_URL"), store.Options{MaxConns: 2})
	if err != nil {
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	defer db.Close()
	if *number > 0 {
		c, err := db.ClientByNumber(ctx, *number)
		if err != nil {
			return fmt.Errorf("client %d: %w", *number, err)
		}
		u.ClientID = c.ID
	}
	if u, err = ensureUser(ctx, db, u); err != nil {
		return err
	}
	if *revoke {
		if err := db.RevokeTokens(ctx, u.ID); err != nil {
			return err
		}
	}
	secret, hash := auth.NewToken()
	t := models.Token{ID: uuid.New(), UserID: u.ID, Hash: hash, ExpiresAt: time.Now().AddDate(0, 0, *days)}
	if err := db.CreateToken(ctx, t); err != nil {
		return err
	}
	fmt.Fprintln(out, secret)
	return nil
}

// ensureUser returns the user with u's address, after adding u when there is none. It returns a Conflict when the user
// with that address has another role.
func ensureUser(ctx context.Context, db *store.Store, u models.User) (models.User, error) {
	made, err := db.CreateUser(ctx, u)
	if models.KindOf(err) != models.Conflict {
		return made, err
	}
	known, err := db.UserByEmail(ctx, u.ClientID, u.Email)
	if err == nil && known.Role != u.Role {
		return known, models.Errorf(models.Conflict, "the user with this address has the role %s: use that role or another address", known.Role)
	}
	return known, err
}

// runHealth sends a GET to an address and returns an error unless the answer is 200.
func runHealth(ctx context.Context, args []string, _ io.Writer) error {
	if len(args) != 1 {
		return errors.New("health got no address or too many: give one, such as http://127.0.0.1:8080/healthz")
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, args[0], nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("not healthy: %s", res.Status)
	}
	return nil
}
