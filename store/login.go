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

	"github.com/jackc/pgx/v5"
)

// loginLock is the advisory lock that makers of logins take.
const loginLock = 7215403291

// EnsureLogin makes or updates the application's login, as the owner of the migrated database: the login has no rights
// of its own, is bound by row level security, and may become each of the audiences that the schema has. The password must
// be printable ASCII; the server gets a SCRAM verifier of it, never the clear text.
func EnsureLogin(ctx context.Context, ownerURL, user, password string) error {
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
	if err := makeLogin(ctx, tx, user, verifier); err != nil {
		return err
	}
	return problem("make login", tx.Commit())
}

func makeLogin(ctx context.Context, tx *sql.Tx, user, verifier string) error {
	if _, err := tx.ExecContext(ctx, "select pg_advisory_xact_lock($1)", int64(loginLock)); err != nil {
		return problem("make login", err)
	}
	var owner, exists, unbound bool
	var audiences string
	err := tx.QueryRowContext(ctx, `select $1 = current_user, count(*) > 0,
		coalesce(bool_or(rolsuper or rolbypassrls or rolinherit or rolcreaterole or rolcreatedb or rolreplication), false),
		(select string_agg(quote_ident(rolname), ', ') from pg_roles where rolname in
			('watchfire_soc', 'watchfire_portal', 'watchfire_worker', 'watchfire_auth', 'watchfire_hooks'))
		from pg_roles where rolname = $1`, user).Scan(&owner, &exists, &unbound, &audiences)
	if err != nil {
		return problem("make login", err)
	}
	if owner {
		return errors.New("make login: the owner of the database cannot be the application's login too: choose another name")
	}
	for _, statement := range loginStatements(pgx.Identifier{user}.Sanitize(), verifier, audiences, exists, unbound) {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return problem("make login", err)
		}
	}
	return nil
}

func loginStatements(user, verifier, audiences string, exists, unbound bool) []string {
	const bound = " nosuperuser nobypassrls noinherit nocreaterole nocreatedb noreplication"
	var all []string
	if !exists {
		all = append(all, "create role "+user+bound)
	} else if unbound {
		all = append(all, "alter role "+user+bound)
	}
	return append(all,
		"alter role "+user+" login password '"+verifier+"'", // base64 and punctuation without quotes
		"grant "+audiences+" to "+user)
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
