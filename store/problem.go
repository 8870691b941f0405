package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"github.com/watchfire-mdr/watchfire/models"
)

// Codes raised by the triggers of the migrations.
const (
	codeUndecided = "WF001"
	codeUnchanged = "WF002"
)

// databaseError is an error of the database without its text, which may hold values.
type databaseError struct {
	code  string // SQLSTATE, "" when the server gave none
	cause error
}

// Error names the SQLSTATE.
func (e *databaseError) Error() string {
	if e.code == "" {
		return "the database driver failed"
	}
	return "the database answered with SQLSTATE " + e.code
}

// Unwrap returns the cause, for errors.As.
func (e *databaseError) Unwrap() error { return e.cause }

// problem translates an error of gorm, the driver or the server: to a models.Error where it means something to
// people, else to an error without the text. It puts the operation before it; nil stays nil.
func problem(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", op, translate(err))
}

func translate(err error) error {
	var known *models.Error
	var answered *pgconn.PgError
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case errors.Is(err, context.Canceled), errors.Is(err, sql.ErrTxDone): // the latter follows the former
		return context.Canceled
	case errors.Is(err, gorm.ErrRecordNotFound), errors.Is(err, sql.ErrNoRows), errors.Is(err, pgx.ErrNoRows):
		return models.Errorf(models.NotFound, "not found")
	case errors.As(err, &answered):
		return translateCode(answered)
	case isUnreachable(err):
		return models.Errorf(models.Unavailable, "the database does not answer")
	}
	return &databaseError{cause: err}
}

func translateCode(err *pgconn.PgError) error {
	switch class := err.Code[:2]; {
	case err.Code == "23505":
		return models.Errorf(models.Conflict, "already exists")
	case err.Code == "23503":
		return models.Errorf(models.NotFound, "it refers to something that does not exist")
	case err.Code == "42501":
		return models.Errorf(models.Forbidden, "the database does not allow this to the caller")
	case err.Code == "22021", err.Code == "22P05":
		return models.Errorf(models.Invalid, "a text contains a character that cannot be stored")
	case err.Code == "23514", err.Code == "23502", class == "22":
		return models.Errorf(models.Invalid, "a value is not one that can be stored")
	case err.Code == codeUndecided:
		return models.Errorf(models.Conflict, "decision of the client for this closure not found")
	case err.Code == codeUnchanged:
		return models.Errorf(models.Forbidden, "this record is never changed")
	case class == "08", class == "53", class == "57" && err.Code != "57014", class == "40":
		return models.Errorf(models.Unavailable, "the database cannot do it now; ask again")
	}
	return &databaseError{code: err.Code, cause: err}
}

// isUnreachable reports whether err says that there was no connection or that it broke.
func isUnreachable(err error) bool {
	var connect *pgconn.ConnectError
	var network *net.OpError
	return errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || pgconn.SafeToRetry(err)
}

// notFound names the thing that err says does not exist.
func notFound(err error, what string) error {
	if models.KindOf(err) == models.NotFound {
		return models.Errorf(models.NotFound, "%s not found", what)
	}
	return err
}

// sameRequest returns err, or Invalid for a request id that is known with another fingerprint. Rows older than the
// column have no fingerprint.
func sameRequest(known, asked string, err error) error {
	if err == nil && known != "" && known != asked {
		return reused()
	}
	return err
}

// reused returns the error for a request id that belongs to another request.
func reused() error {
	return models.Errorf(models.Invalid, "Idempotency-Key was already used for another request; send a new key")
}
