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

	"github.com/watchfire-mdr/watchfire/config"
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
