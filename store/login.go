package store

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// loginLock is the advisory lock that makers of logins take.
const loginLock = 7215403291

// Login says what a login of the database is for, and thereby which audiences it may become.
type Login string

// The logins. The operator's is for commands by hand, and may become every audience.
const (
	LoginAPI      Login = "api"
	LoginWorker   Login = "worker"
	LoginOperator Login = "operator"
)

// roles returns the roles that a login may become.
func (l Login) roles() []string {
	api := []string{SOC.role(), Portal.role(), Hooks.role(), logins.role()}
	switch l {
	case LoginAPI:
		return api
	case LoginWorker:
		return []string{Worker.role()}
	default:
		return append(api, Worker.role())
	}
}

// own returns the audience in whose role the login does what is about no client.
func (l Login) own() Audience {
	if l == LoginWorker {
		return Worker
	}
	return SOC
}

// memberships returns which of the audiences' roles the session's login may become.
func (s *Store) memberships(ctx context.Context) (roles []string, err error) {
	rows, err := s.pool.QueryContext(ctx, "select rolname from pg_roles where rolname = any($1) and pg_has_role(session_user, oid, 'member') order by 1",
		LoginOperator.roles())
	if err != nil {
		return nil, problem("check login", err)
	}
	defer rows.Close()
	for rows.Next() {
		var role string
		if err := rows.Scan(&role); err != nil {
			return nil, problem("check login", err)
		}
		roles = append(roles, role)
	}
	return roles, problem("check login", rows.Err())
}

// checkLoginIsNarrow returns an error for a login that may become more than the store's own needs.
func (s *Store) checkLoginIsNarrow(ctx context.Context) error {
	roles, err := s.memberships(ctx)
	for _, role := range roles {
		if !slices.Contains(s.login.roles(), role) {
			return fmt.Errorf("the login may become %s, which is not for the %s: use the login that watchfire migrate -%s-user makes", role, s.login, s.login)
		}
	}
	return err
}

// CheckLogin returns nil when the login may become every audience that it is for, else an error that says what to do.
func (s *Store) CheckLogin(ctx context.Context) error {
	roles, err := s.memberships(ctx)
	for _, role := range s.login.roles() {
		if err == nil && !slices.Contains(roles, role) {
			err = fmt.Errorf("the login may not become %s: run watchfire migrate -%s-user", role, s.login)
		}
	}
	return err
}

// EnsureLogin makes or updates a login, as the owner of the migrated database: the login has no rights of its own, is
// bound by row level security, and may become those of the audiences that the schema has and the login is for, and no
// others. The password must be printable ASCII; the server gets a SCRAM verifier of it, never the clear text.
func EnsureLogin(ctx context.Context, ownerURL string, login Login, user, password string) error {
	verifier, err := scramVerifier(password)
	if err != nil {
		return fmt.Errorf("make login: %w", err)
	}
	db, err := openOwner(ownerURL)
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return problem("make login", err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	if err := makeLogin(ctx, tx, login, user, verifier); err != nil {
		return err
	}
	return problem("make login", tx.Commit())
}

func makeLogin(ctx context.Context, tx *sql.Tx, login Login, user, verifier string) error {
	if slices.Contains(LoginOperator.roles(), user) {
		return fmt.Errorf("make login: %s is a role that logins become: choose another name", user)
	}
	if _, err := tx.ExecContext(ctx, "select pg_advisory_xact_lock($1)", int64(loginLock)); err != nil {
		return problem("make login", err)
	}
	var owner, exists, unbound bool
	var wanted, others string
	err := tx.QueryRowContext(ctx, `select $1 = current_user, count(*) > 0,
		coalesce(bool_or(rolsuper or rolbypassrls or rolinherit or rolcreaterole or rolcreatedb or rolreplication), false),
		(select coalesce(string_agg(quote_ident(rolname), ', '), '') from pg_roles where rolname = any($2)),
		(select coalesce(string_agg(quote_ident(rolname), ', '), '') from pg_roles where rolname = any($3) and rolname <> all($2))
		from pg_roles where rolname = $1`, user, login.roles(), LoginOperator.roles()).Scan(&owner, &exists, &unbound, &wanted, &others)
	if err != nil {
		return problem("make login", err)
	}
	if owner {
		return errors.New("make login: the owner of the database cannot be the application's login too: choose another name")
	}
	for _, statement := range loginStatements(pgx.Identifier{user}.Sanitize(), verifier, wanted, others, exists, unbound) {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return problem("make login", err)
		}
	}
	return nil
}

func loginStatements(user, verifier, wanted, others string, exists, unbound bool) []string {
	const bound = " nosuperuser nobypassrls noinherit nocreaterole nocreatedb noreplication"
	var all []string
	if !exists {
		all = append(all, "create role "+user+bound)
	} else if unbound {
		all = append(all, "alter role "+user+bound)
	}
	if others != "" {
		all = append(all, "revoke "+others+" from "+user)
	}
	return append(all,
		"alter role "+user+" login password '"+verifier+"'", // base64 and punctuation without quotes
		"grant "+wanted+" to "+user)
}

// scramVerifier returns the form in which PostgreSQL stores a password (RFC 5803).
func scramVerifier(password string) (string, error) {
	const rounds = 4096
	for _, r := range password {
		if r < 0x20 || r > 0x7e {
			return "", errors.New("the password must be printable ASCII")
		}
	}
	if password == "" {
		return "", errors.New("the password is empty")
	}
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("salt: %w", err)
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, rounds, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("derive key: %w", err)
	}
	stored := sha256.Sum256(sign(salted, "Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", rounds, b64(salt), b64(stored[:]), b64(sign(salted, "Server Key"))), nil
}

func sign(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text)) // never fails
	return mac.Sum(nil)
}
