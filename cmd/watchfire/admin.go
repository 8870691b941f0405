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

// runMigrate brings the database to this version's schema, and makes or updates the logins that the flags name.
func runMigrate(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("migrate", flag.ContinueOnError)
	logins := []struct {
		login    store.Login
		password string
		user     *string
	}{
		{store.LoginAPI, "API_DATABASE_PASSWORD", f.String("api-user", "", "name of the login of API processes, to make or update it; API_DATABASE_PASSWORD holds its password")},
		{store.LoginWorker, "WORKER_DATABASE_PASSWORD", f.String("worker-user", "", "the same for workers; WORKER_DATABASE_PASSWORD")},
		{store.LoginOperator, "OPERATOR_DATABASE_PASSWORD", f.String("operator-user", "", "the same for commands by hand; OPERATOR_DATABASE_PASSWORD")},
	}
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
	for _, l := range logins {
		if *l.user == "" {
			continue
		}
		password := os.Getenv(l.password)
		if password == "" {
			return fmt.Errorf("%s is not set: set it to the password of the login %s", l.password, *l.user)
		}
		if err := store.EnsureLogin(ctx, c.OwnerURL, l.login, *l.user, password); err != nil {
			return err
		}
	}
	return nil
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
