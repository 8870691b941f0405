package stack

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/simulators"
	"github.com/watchfire-mdr/watchfire/store"
)

// ComposeSettings returns what profile dev of docker-compose.yml needs, as NAME=value: fresh passwords, keysets, accounts
// at the simulators, and a token for each seeded user. No value has a single quote.
func ComposeSettings() ([]string, error) {
	k, err := newKeys()
	if err == nil {
		err = k.complete()
	}
	if err != nil {
		return nil, err
	}
	people := socUsers()
	for _, c := range seedClients() {
		people = append(people, c.users()...)
	}
	for _, u := range people {
		k.Tokens[u.Email], _ = auth.NewToken()
	}
	tokens, err := json.Marshal(k.Tokens)
	if err != nil {
		return nil, err
	}
	p, superuser := DefaultPorts(), randomHex()
	login := func(user, password string) string {
		return fmt.Sprintf("postgres://%s:%s@postgres:5432/%s?sslmode=disable", user, password, database)
	}
	all := []string{
		"COMPOSE_FILE=docker-compose.yml:devstack/compose/dev.yml", "COMPOSE_PROFILES=dev", "WATCHFIRE_PROFILE=dev",
		"PUBLIC_BASE_URL=http://" + loopback(p.App),
		"POSTGRES_PASSWORD=" + superuser, "TEMPORAL_DATABASE_PASSWORD=" + randomHex(), "DATABASE_OWNER_URL=" + login("postgres", superuser),
		"API_DATABASE_PASSWORD=" + k.APIPassword, "API_DATABASE_URL=" + login(apiLogin, k.APIPassword),
		"WORKER_DATABASE_PASSWORD=" + k.WorkerPassword, "WORKER_DATABASE_URL=" + login(workerLogin, k.WorkerPassword),
		"OPERATOR_DATABASE_PASSWORD=" + k.DatabasePassword, "OPERATOR_DATABASE_URL=" + login(operatorLogin, k.DatabasePassword),
	}
	all = append(all, k.settings(&simulators.Running{
		TwilioURL: "http://" + loopback(p.Twilio), SendGridURL: "http://" + loopback(p.SendGrid),
		CrowdStrikeURL: "http://" + loopback(p.CrowdStrike), SMTPAddr: loopback(p.SMTP),
	})...)
	return append(all, "SIMULATORS_WEBHOOK_KEY="+base64.StdEncoding.EncodeToString(k.Webhook), "SEED_TOKENS="+string(tokens)), nil
}

// ComposeSimulators returns the options of the simulators of compose's profile dev. lookup finds settings by their name.
func ComposeSimulators(p Ports, lookup func(string) string) (simulators.Options, error) {
	var k keys
	var webhook, app string
	var problems []error
	for _, s := range []struct {
		name string
		to   *string
	}{
		{"TWILIO_ACCOUNT_SID", &k.TwilioSID}, {"TWILIO_AUTH_TOKEN", &k.TwilioToken}, {"SENDGRID_API_KEY", &k.SendGridKey},
		{"SMTP_PASSWORD", &k.SMTPPassword}, {"CROWDSTRIKE_CLIENT_ID", &k.FalconID}, {"CROWDSTRIKE_CLIENT_SECRET", &k.FalconSecret},
		{"SIMULATORS_WEBHOOK_KEY", &webhook}, {"PUBLIC_BASE_URL", &app},
	} {
		if *s.to = lookup(s.name); *s.to == "" {
			problems = append(problems, fmt.Errorf("%s is not set: let devstack/compose/dev-env.sh write .env", s.name))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return simulators.Options{}, err
	}
	der, err := base64.StdEncoding.DecodeString(webhook)
	if err == nil {
		k.webhook, err = readWebhookKey(der)
	}
	if err != nil {
		return simulators.Options{}, fmt.Errorf("SIMULATORS_WEBHOOK_KEY is no private key: let devstack/compose/dev-env.sh write .env: %w", err)
	}
	return k.simulators(p, app), nil
}

// Seed makes the provider that a stack has, in the database of compose's profile dev: tokens holds the users' tokens by
// their address, as SEED_TOKENS does. What an earlier call made stays. It returns the users and clients, without tokens.
func Seed(ctx context.Context, databaseURL, tokens string) ([]DevUser, []DevClient, error) {
	s := &Stack{options: Options{Policy: models.DefaultPolicy()}}
	if err := json.Unmarshal([]byte(tokens), &s.keys.Tokens); err != nil || len(s.keys.Tokens) == 0 {
		return nil, nil, errors.New("SEED_TOKENS is no JSON object of tokens by mail address: let devstack/compose/dev-env.sh write .env")
	}
	db, err := store.Open(ctx, databaseURL, store.Options{MaxConns: 2})
	if err != nil {
		return nil, nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	defer db.Close()
	if err := s.seedProvider(ctx, db); err != nil {
		return nil, nil, err
	}
	for i := range s.Dev.Users {
		s.Dev.Users[i].Token = ""
	}
	return s.Dev.Users, s.Dev.Clients, nil
}
