package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/desk"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// commandLine is whoever may run the program with the database's address. The audit log knows no more of them.
var commandLine = models.User{Role: models.RoleOperator}

// userCommand is the part of the command line about users that was chosen, with its flags.
type userCommand struct {
	*flag.FlagSet
	desk   *desk.Desk
	store  *store.Store
	out    io.Writer
	client int
	name   string
	email  string
	role   string
	reach  string
	days   int
	revoke bool
	id     string
}

// userCommands lists the parts of watchfire user. Without a name it is add.
func userCommands() []command {
	part := func(help string, flags string, do func(*userCommand, context.Context) error) func(context.Context, []string, io.Writer) error {
		return func(ctx context.Context, args []string, out io.Writer) error {
			return runUserCommand(ctx, strings.Fields(flags), help, args, out, do)
		}
	}
	table := []struct {
		name, flags, help string
		do                func(*userCommand, context.Context) error
	}{
		{"list", "client", "list the users of a client, or of the SOC", (*userCommand).list},
		{"add", "client name email role days revoke", "add a user, or find the one with this address and role, and print a new token", (*userCommand).add},
		{"invite", "client name email role", "add a user and print an invitation, which buys one token", (*userCommand).invite},
		{"role", "client email role", "change a user's role", (*userCommand).changeRole},
		{"disable", "client email", "disable a user and end all their tokens", (*userCommand).disable},
		{"enable", "client email", "enable a user again; tokens stay ended", (*userCommand).enable},
		{"reach", "email reach", "limit an analyst or lead to some clients, or let them see all", (*userCommand).changeReach},
		{"tokens", "client email", "list a user's tokens", (*userCommand).tokens},
		{"new-token", "client email name days", "print a further token of a user", (*userCommand).newToken},
		{"revoke-token", "client email id", "revoke a token of a user", (*userCommand).revokeToken},
		{"service-tokens", "client", "list the service tokens of a client, or of the SOC", (*userCommand).serviceTokens},
		{"new-service-token", "client name days", "print a token with which a machine may hand in alerts", (*userCommand).newServiceToken},
		{"revoke-service-token", "client id", "revoke a service token", (*userCommand).revokeServiceToken},
	}
	list := make([]command, 0, len(table))
	for _, t := range table {
		list = append(list, command{t.name, t.help, part(t.help, t.flags, t.do)})
	}
	return list
}

// runUser manages users and tokens without the API: so the first operator is made.
func runUser(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && strings.HasPrefix(args[0], "-") && args[0] != "-h" && args[0] != "-help" && args[0] != "--help" {
		args = append([]string{"add"}, args...)
	}
	if len(args) > 0 {
		for _, c := range userCommands() {
			if c.name == args[0] {
				return c.run(ctx, args[1:], out)
			}
		}
	}
	for _, c := range userCommands() {
		fmt.Fprintf(out, "  user %-20s  %s\n", c.name, c.help)
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") || args[0] == "help" {
		return nil
	}
	return fmt.Errorf("user has no command %q: use one of the list", args[0])
}

func runUserCommand(ctx context.Context, flags []string, help string, args []string, out io.Writer, do func(*userCommand, context.Context) error) error {
	c := &userCommand{FlagSet: flag.NewFlagSet("user", flag.ContinueOnError), out: out}
	c.Usage = func() {
		fmt.Fprintln(c.Output(), help)
		c.PrintDefaults()
	}
	for _, name := range flags {
		c.define(name)
	}
	if err := c.Parse(args); err != nil {
		return err
	}
	if c.NArg() > 0 {
		return fmt.Errorf("%q is no flag: give values as in -email lea@soc.example", c.Arg(0))
	}
	for _, name := range flags {
		if err := c.check(name); err != nil {
			return err
		}
	}
	db, err := store.Open(ctx, os.Getenv("DATABASE_URL"), store.Options{MaxConns: 2})
	if err != nil {
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	defer db.Close()
	c.store, c.desk = db, desk.New(db, nil, desk.Options{})
	return plain(do(c, ctx))
}

func (c *userCommand) define(name string) {
	switch name {
	case "client":
		c.IntVar(&c.client, name, 0, "the client's number; without it the SOC is meant")
	case "name":
		c.StringVar(&c.name, name, "", "the name of the person, or of the token")
	case "email":
		c.StringVar(&c.email, name, "", "the person's mail address")
	case "role":
		c.StringVar(&c.role, name, "", "analyst, lead, operator; or viewer, responder, admin of a client")
	case "reach":
		c.StringVar(&c.reach, "clients", "", "all, none, or numbers of clients with commas between")
	case "days":
		c.IntVar(&c.days, name, 90, "days until the token expires, 1 to 365")
	case "revoke":
		c.BoolVar(&c.revoke, name, false, "revoke the user's other tokens first")
	case "id":
		c.StringVar(&c.id, name, "", "the id of the token, as the list shows it")
	}
}

// check says what is wrong with a flag.
func (c *userCommand) check(name string) error {
	text := map[string]string{"name": c.name, "email": c.email, "role": c.role, "id": c.id, "reach": c.reach}
	value, isText := text[name]
	if name == "reach" {
		name = "clients"
	}
	side := models.Role(c.role).Side()
	switch {
	case isText && strings.TrimSpace(value) == "":
		return fmt.Errorf("-%s is missing", name)
	case isText && models.CheckTexts(value) != nil:
		return fmt.Errorf("-%s: %w", name, models.CheckTexts(value))
	case name == "client" && c.client < 0:
		return fmt.Errorf("-client %d is not the number of a client", c.client)
	case name == "days":
		if desk.CheckTokenDays(c.days) != nil {
			return fmt.Errorf("-days %d is not 1 to 365", c.days)
		}
	case name == "role" && side == "":
		return fmt.Errorf("-role %s does not exist: use analyst, lead, operator; or viewer, responder, admin of a client", c.role)
	case name == "role" && side == models.SideSOC && c.client != 0:
		return fmt.Errorf("-role %s is one of the SOC: leave out -client, or use viewer, responder, admin", c.role)
	case name == "role" && side == models.SideClient && c.client == 0:
		return fmt.Errorf("-role %s is one of a client: name the client with -client", c.role)
	case name == "id":
		if _, err := uuid.Parse(c.id); err != nil {
			return fmt.Errorf("-id %s is not an id of a token", c.id)
		}
	}
	return nil
}

// plain names the flag that an error is about, instead of the field of a request.
func plain(err error) error {
	var wrong *models.Error
	if errors.As(err, &wrong) && wrong.Field != "" {
		return fmt.Errorf("-%s %s", strings.TrimPrefix(wrong.Field, "/"), wrong.Message)
	}
	return err
}

// inLogins sees the users of the client that was named, or of the SOC.
func (c *userCommand) inLogins(ctx context.Context) (store.Scope, error) {
	if c.client == 0 {
		return c.store.InLogins(ctx, uuid.Nil), nil
	}
	client, err := c.store.ClientByNumber(ctx, c.client)
	if err != nil {
		return nil, fmt.Errorf("-client %d: %w", c.client, err)
	}
	return c.store.InLogins(ctx, client.ID), nil
}

// user finds the user with the address that was given.
func (c *userCommand) user(ctx context.Context) (models.Account, error) {
	in, err := c.inLogins(ctx)
	if err != nil {
		return models.Account{}, err
	}
	a, err := store.Run(in, func(tx *store.Tx) (models.Account, error) { return tx.AccountByEmail(c.email) })
	if models.KindOf(err) == models.NotFound {
		return a, fmt.Errorf("-email %s: %s has no user with this address", c.email, c.whose())
	}
	return a, err
}

func (c *userCommand) whose() string {
	if c.client == 0 {
		return "the SOC"
	}
	return "client " + strconv.Itoa(c.client)
}

func (c *userCommand) list(ctx context.Context) error {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for next := ""; ; {
		page, err := c.desk.Users(ctx, commandLine, c.client, desk.PageRequest{Cursor: next, Limit: 100})
		if err != nil {
			return err
		}
		for _, a := range page.Items {
			state := "enabled"
			if !a.DisabledAt.IsZero() {
				state = "disabled since " + moment(a.DisabledAt)
			}
			if a.Limited {
				state += ", sees clients " + strings.Trim(fmt.Sprint(a.Clients), "[]")
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", a.Email, a.Name, a.Role, state)
		}
		if next = page.Next; next == "" {
			return w.Flush()
		}
	}
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format(time.RFC3339)
}

// add makes a user with a token, or a further token of the user who is there already.
func (c *userCommand) add(ctx context.Context) error {
	in, err := c.inLogins(ctx)
	if err != nil {
		return err
	}
	_, err = store.Run(in, func(tx *store.Tx) (models.Account, error) { return tx.AccountByEmail(c.email) })
	if models.KindOf(err) == models.NotFound {
		_, _, _, err = c.desk.InviteUser(ctx, commandLine, c.client, models.User{Name: c.name, Email: c.email, Role: models.Role(c.role)})
	}
	if err != nil {
		return err
	}
	known, err := c.user(ctx)
	switch {
	case err != nil:
		return err
	case string(known.Role) != c.role:
		return fmt.Errorf("-role %s: the user with this address has the role %s; use that role, or change it with watchfire user role", c.role, known.Role)
	case !known.DisabledAt.IsZero():
		return fmt.Errorf("-email %s: the user is disabled; enable them with watchfire user enable", c.email)
	}
	return c.addToken(ctx, known, "command line "+time.Now().UTC().Format("2006-01-02 15:04:05.000"), c.revoke)
}

// addToken prints a new token of a user. An invitation that they did not accept is taken back.
func (c *userCommand) addToken(ctx context.Context, a models.Account, name string, revoke bool) error {
	secret, hash := auth.NewToken()
	err := c.store.ForLogins(ctx, a.ClientID, func(tx *store.Tx) error {
		known, err := tx.Tokens(a.ID)
		if err != nil {
			return err
		}
		fields := []string{"expires_at", "name"}
		for _, t := range known {
			if t.Invitation || revoke {
				if err := tx.RevokeToken(a.ID, t.ID); err != nil {
					return err
				}
				fields = []string{"expires_at", "name", "revoked"}
			}
		}
		t, err := tx.AddToken(models.Token{
			UserID: a.ID, Name: name, Prefix: auth.Prefix(secret), Hash: hash, ExpiresAt: tx.Now().AddDate(0, 0, c.days),
		}, uuid.Nil)
		if err != nil {
			return err
		}
		return tx.AppendAudit(models.AuditEntry{At: tx.Now(), Side: models.SideSOC, Operation: "create-token", Subject: t.ID.String(), Fields: fields})
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(c.out, secret)
	return nil
}

func (c *userCommand) invite(ctx context.Context) error {
	_, secret, _, err := c.desk.InviteUser(ctx, commandLine, c.client, models.User{Name: c.name, Email: c.email, Role: models.Role(c.role)})
	if err == nil {
		fmt.Fprintln(c.out, secret)
	}
	return err
}

// change changes a user and leaves alone what fn does not set.
func (c *userCommand) change(ctx context.Context, fn func(*store.UserChange)) error {
	a, err := c.user(ctx)
	if err != nil {
		return err
	}
	to := store.UserChange{Role: a.Role, Disabled: !a.DisabledAt.IsZero(), Limited: a.Limited, Clients: a.Clients}
	fn(&to)
	_, err = c.desk.ChangeUser(ctx, commandLine, c.client, a.ID, to)
	return err
}

func (c *userCommand) changeRole(ctx context.Context) error {
	return c.change(ctx, func(to *store.UserChange) { to.Role = models.Role(c.role) })
}

func (c *userCommand) disable(ctx context.Context) error {
	return c.change(ctx, func(to *store.UserChange) { to.Disabled = true })
}

func (c *userCommand) enable(ctx context.Context) error {
	return c.change(ctx, func(to *store.UserChange) { to.Disabled = false })
}

func (c *userCommand) changeReach(ctx context.Context) error {
	var numbers []int
	if c.reach != "all" && c.reach != "none" {
		for _, text := range strings.Split(c.reach, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(text))
			if err != nil {
				return fmt.Errorf("-clients %s: %q is not the number of a client", c.reach, text)
			}
			numbers = append(numbers, n)
		}
	}
	return c.change(ctx, func(to *store.UserChange) { to.Limited, to.Clients = c.reach != "all", numbers })
}

func (c *userCommand) tokens(ctx context.Context) error {
	a, err := c.user(ctx)
	if err != nil {
		return err
	}
	list, err := store.Run(c.store.InLogins(ctx, a.ClientID), func(tx *store.Tx) ([]models.Token, error) { return tx.Tokens(a.ID) })
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for _, t := range list {
		fmt.Fprintf(w, "%s\t%s…\t%s\texpires %s\tused %s\n", t.ID, t.Prefix, t.Name, moment(t.ExpiresAt), moment(t.LastUsedAt))
	}
	return w.Flush()
}

func (c *userCommand) newToken(ctx context.Context) error {
	a, err := c.user(ctx)
	if err != nil {
		return err
	}
	if !a.DisabledAt.IsZero() {
		return fmt.Errorf("-email %s: the user is disabled; enable them with watchfire user enable", c.email)
	}
	return c.addToken(ctx, a, c.name, false)
}

func (c *userCommand) revokeToken(ctx context.Context) error {
	a, err := c.user(ctx)
	if err != nil {
		return err
	}
	id := uuid.MustParse(c.id)
	return c.store.ForLogins(ctx, a.ClientID, func(tx *store.Tx) error {
		if err := tx.RevokeToken(a.ID, id); err != nil {
			return err
		}
		return tx.AppendAudit(models.AuditEntry{At: tx.Now(), Side: models.SideSOC, Operation: "revoke-token", Subject: c.id, Fields: []string{"revoked"}})
	})
}

func (c *userCommand) serviceTokens(ctx context.Context) error {
	list, err := c.desk.ServiceTokens(ctx, commandLine, c.client)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for _, t := range list {
		fmt.Fprintf(w, "%s\t%s…\t%s\t%s\texpires %s\tused %s\n", t.ID, t.Prefix, t.Name, strings.Join(t.Operations, ","), moment(t.ExpiresAt), moment(t.LastUsedAt))
	}
	return w.Flush()
}

func (c *userCommand) newServiceToken(ctx context.Context) error {
	_, secret, err := c.desk.CreateServiceToken(ctx, commandLine, c.client, c.name, auth.ServiceOperations(), c.days)
	if err == nil {
		fmt.Fprintln(c.out, secret)
	}
	return err
}

func (c *userCommand) revokeServiceToken(ctx context.Context) error {
	return c.desk.RevokeServiceToken(ctx, commandLine, c.client, uuid.MustParse(c.id))
}
