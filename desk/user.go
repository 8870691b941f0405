package desk

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/address"
	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// invitationFor is how long an invitation is good for.
const invitationFor = 7 * 24 * time.Hour

// ofUsers names an operation on the users of the client with a number, or of the SOC.
func ofUsers(verb string, number int, noun string) string {
	side := "client"
	if number == theSOC {
		side = "soc"
	}
	return verb + "-" + side + "-" + noun
}

// Users lists the users of the client with a number, or of the SOC for 0, the newest first. NotFound also when the client
// is not the user's.
func (d *Desk) Users(ctx context.Context, u models.User, number int, p PageRequest) (Page[models.Account], error) {
	allow := auth.Allow(ofUsers("list", number, "users"), u.Role)
	if number == theSOC {
		allow = allowEveryClient(ofUsers("list", number, "users"), u)
	}
	if allow != nil {
		return Page[models.Account]{}, allow
	}
	return readPage(d.inLogins(ctx, u, number), p, (*store.Tx).Accounts,
		func(a models.Account) string { return store.Cursor{At: a.CreatedAt, ID: a.ID.String()}.String() })
}

// InviteUser adds a user to the client with a number, or to the SOC for 0. The secret it returns is an invitation: it buys
// one token, see CreateToken, and is never shown again. Whoever did not accept may be invited again, and by an operator also
// whoever lost every token: a colleague who sees the invitation must not become them. Invalid: the role is not one of that
// side. Conflict: the address belongs to a user already.
func (d *Desk) InviteUser(ctx context.Context, u models.User, number int, invited models.User) (a models.Account, secret string, expires time.Time, err error) {
	operation := ofUsers("invite", number, "user")
	if err := auth.Allow(operation, u.Role); err != nil {
		return a, "", expires, err
	}
	if invited, err = checkUser(number, invited); err != nil {
		return a, "", expires, err
	}
	if err := d.useLogins(ctx, u, number, operation); err != nil {
		return a, "", expires, err
	}
	secret, hash := auth.NewToken()
	err = d.inLogins(ctx, u, number)(func(tx *store.Tx) (err error) {
		expires = tx.Now().Add(invitationFor)
		a, err = tx.Invite(invited, u, models.Token{Name: "invitation", Prefix: auth.Prefix(secret), Hash: hash, ExpiresAt: expires})
		if err != nil {
			return err
		}
		return d.appendAudit(tx, u, operation, a.ID.String(), []string{"email", "name", "role"})
	})
	if err != nil {
		return models.Account{}, "", time.Time{}, err
	}
	return a, secret, expires, nil
}

// requireName refuses a name that shows nothing, or is more than one line of text.
func requireName(name string) error {
	return cmp.Or(requireText("/name", name), models.CheckTexts(map[string]string{"name": name}))
}

// checkUser returns a new user of the client with a number, or of the SOC, with the mail address in its one form.
func checkUser(number int, u models.User) (models.User, error) {
	if err := requireName(u.Name); err != nil {
		return u, err
	}
	if u.Email == "" {
		return u, models.InvalidField("/email", "is required")
	}
	email, err := address.Mail(u.Email)
	if err != nil {
		return u, models.InvalidField("/email", "%s", err)
	}
	u.Email = email
	return u, checkRole(number, u.Role)
}

func checkRole(number int, r models.Role) error {
	switch {
	case number == theSOC && r.Side() != models.SideSOC:
		return models.InvalidField("/role", "must be one of analyst, lead, operator")
	case number != theSOC && r.Side() != models.SideClient:
		return models.InvalidField("/role", "must be one of viewer, responder, admin")
	}
	return nil
}

// ChangeUser gives a user of the client with a number, or of the SOC for 0, another role, state or reach. Whoever is
// disabled loses every token at once and for good, and what they asked for does not count where it is not judged yet.
// Conflict: it is the user's own role, or nobody would be left to manage users. NotFound: there is no such user.
func (d *Desk) ChangeUser(ctx context.Context, u models.User, number int, id uuid.UUID, c store.UserChange) (now models.Account, err error) {
	operation := ofUsers("update", number, "user")
	if err := auth.Allow(operation, u.Role); err != nil {
		return now, err
	}
	if err := checkChange(number, c); err != nil {
		return now, err
	}
	if id == u.ID && c.Role != u.Role {
		return now, models.Errorf(models.Conflict, "nobody changes their own role")
	}
	if err := d.useLogins(ctx, u, number, operation); err != nil {
		return now, err
	}
	err = d.inLogins(ctx, u, number)(func(tx *store.Tx) error {
		before, after, err := tx.ChangeUser(id, c)
		if err != nil {
			return err
		}
		now = after
		fields, err := differences(before, after)
		if err != nil || len(fields) == 0 {
			return err
		}
		return d.appendAudit(tx, u, operation, id.String(), fields)
	})
	return now, err
}

func checkChange(number int, c store.UserChange) error {
	if err := checkRole(number, c.Role); err != nil {
		return err
	}
	switch {
	case c.Limited && (number != theSOC || c.Role == models.RoleOperator):
		return models.InvalidField("/limited", "is for analysts and leads alone")
	case !c.Limited && len(c.Clients) > 0:
		return models.InvalidField("/clients", "must be empty for a user who is not limited")
	}
	return nil
}

// maxTokenDays is how long a token lasts at most.
const maxTokenDays = 365

// CheckTokenDays checks how many days a token is to last.
func CheckTokenDays(days int) error {
	if days < 1 || days > maxTokenDays {
		return models.InvalidField("/days", "must be 1 to %d", maxTokenDays)
	}
	return nil
}

// Tokens lists the user's own tokens, the newest first.
func (d *Desk) Tokens(ctx context.Context, u models.User) ([]models.Token, error) {
	return store.Run(d.inOwnLogin(ctx, u), func(tx *store.Tx) ([]models.Token, error) { return tx.Tokens(u.ID) })
}

// inOwnLogin sees the user's own tokens.
func (d *Desk) inOwnLogin(ctx context.Context, u models.User) store.Scope {
	return d.store.By(u).InLogins(ctx, u.ClientID)
}

// CreateToken makes a token of the sender's own, whom an invitation may have named, and uses that up. The secret it returns
// is never shown again. Conflict: the sender has a token of this name, or as many as there may be.
func (d *Desk) CreateToken(ctx context.Context, p models.Principal, name string, days int) (t models.Token, secret string, err error) {
	if err := requireName(name); err != nil {
		return t, "", err
	}
	if err := CheckTokenDays(days); err != nil {
		return t, "", err
	}
	if err := d.useOwn(ctx, p.User); err != nil {
		return t, "", err
	}
	invitation := uuid.Nil
	if p.Invitation {
		invitation = p.Token
	}
	secret, hash := auth.NewToken()
	err = d.inOwnLogin(ctx, p.User)(func(tx *store.Tx) (err error) {
		t, err = tx.AddToken(models.Token{
			UserID: p.ID, Name: name, Prefix: auth.Prefix(secret), Hash: hash, ExpiresAt: tx.Now().AddDate(0, 0, days),
		}, invitation)
		if err != nil {
			return err
		}
		return d.appendAudit(tx, p.User, "create-token", t.ID.String(), []string{"expires_at", "name"})
	})
	if err != nil {
		return models.Token{}, "", err
	}
	return t, secret, nil
}

// RevokeToken ends a token of the user's own, at once. It takes no share: whoever has stolen the token may have used that
// up. NotFound: the user has no such token.
func (d *Desk) RevokeToken(ctx context.Context, u models.User, id uuid.UUID) error {
	return d.inOwnLogin(ctx, u)(func(tx *store.Tx) error {
		if err := tx.RevokeToken(u.ID, id); err != nil {
			return err
		}
		return d.appendAudit(tx, u, "revoke-token", id.String(), []string{"revoked"})
	})
}

// ServiceTokens lists the service tokens of the client with a number, or of the SOC for 0, that are not revoked, the newest
// first. NotFound also when the client is not the user's.
func (d *Desk) ServiceTokens(ctx context.Context, u models.User, number int) ([]models.ServiceToken, error) {
	if err := allowServiceTokens(ofUsers("list", number, "service-tokens"), u, number); err != nil {
		return nil, err
	}
	return store.Run(d.inLogins(ctx, u, number), (*store.Tx).ServiceTokens)
}

// CreateServiceToken makes a token for a machine of the client with a number, or of the SOC for 0: that one may hand in
// alerts of every client. The secret it returns is never shown again. Conflict: there is one of this name.
func (d *Desk) CreateServiceToken(ctx context.Context, u models.User, number int, name string, operations []string, days int) (t models.ServiceToken, secret string, err error) {
	operation := ofUsers("create", number, "service-token")
	if err := allowServiceTokens(operation, u, number); err != nil {
		return t, "", err
	}
	if err := checkServiceToken(name, operations, days); err != nil {
		return t, "", err
	}
	if err := d.useLogins(ctx, u, number, operation); err != nil {
		return t, "", err
	}
	secret, hash := auth.NewToken()
	err = d.inLogins(ctx, u, number)(func(tx *store.Tx) (err error) {
		t, err = tx.AddServiceToken(models.ServiceToken{
			Name: name, Prefix: auth.Prefix(secret), Hash: hash, Operations: operations, CreatedBy: u.ID, ExpiresAt: tx.Now().AddDate(0, 0, days),
		})
		if err != nil {
			return err
		}
		return d.appendAudit(tx, u, operation, t.ID.String(), []string{"expires_at", "name", "operations"})
	})
	if err != nil {
		return models.ServiceToken{}, "", err
	}
	return t, secret, nil
}

func checkServiceToken(name string, operations []string, days int) error {
	if err := requireName(name); err != nil {
		return err
	}
	for _, name := range operations {
		if !slices.Contains(auth.ServiceOperations(), name) {
			return models.InvalidField("/operations", "must name only %s", strings.Join(auth.ServiceOperations(), ", "))
		}
	}
	if len(operations) == 0 {
		return models.InvalidField("/operations", "must name at least one of %s", strings.Join(auth.ServiceOperations(), ", "))
	}
	return CheckTokenDays(days)
}

// allowServiceTokens is auth.Allow for service tokens. One of the SOC reaches every client, so that nobody makes, sees or
// revokes it who does not.
func allowServiceTokens(operation string, u models.User, number int) error {
	if number == theSOC {
		return allowEveryClient(operation, u)
	}
	return auth.Allow(operation, u.Role)
}

// allowEveryClient is auth.Allow for what concerns every client, and so is not for a user of limited reach.
func allowEveryClient(operation string, u models.User) error {
	if u.Limited {
		return models.Errorf(models.Forbidden, "this concerns every client, and your reach is limited")
	}
	return auth.Allow(operation, u.Role)
}

// RevokeServiceToken ends a service token of the client with a number, or of the SOC for 0, at once. NotFound: there is no
// such token.
func (d *Desk) RevokeServiceToken(ctx context.Context, u models.User, number int, id uuid.UUID) error {
	operation := ofUsers("revoke", number, "service-token")
	if err := allowServiceTokens(operation, u, number); err != nil {
		return err
	}
	if err := d.useLogins(ctx, u, number, operation); err != nil {
		return err
	}
	return d.inLogins(ctx, u, number)(func(tx *store.Tx) error {
		if err := tx.RevokeServiceToken(id); err != nil {
			return err
		}
		return d.appendAudit(tx, u, operation, id.String(), []string{"revoked"})
	})
}
