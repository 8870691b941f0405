package auth

import (
	"context"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// Users finds the user of a stored token; store.Store does. It returns Unauthorized for an unknown or expired one.
type Users interface {
	Authenticate(ctx context.Context, tokenHash []byte, now time.Time) (models.User, error)
}

// Authenticator identifies the sender of a request.
type Authenticator struct {
	users Users
	now   func() time.Time
}

// New makes an Authenticator. Tokens expire by the clock now.
func New(users Users, now func() time.Time) *Authenticator {
	return &Authenticator{users: users, now: now}
}

// User returns the user a bearer token belongs to. It returns Unauthorized, with the same words, for a token that
// is missing, malformed, unknown or expired.
func (a *Authenticator) User(ctx context.Context, bearer string) (models.User, error) {
	hash, ok := Hash(bearer)
	if !ok {
		return models.User{}, unauthorized()
	}
	u, err := a.users.Authenticate(ctx, hash, a.now())
	if models.KindOf(err) == models.Unauthorized || models.KindOf(err) == models.NotFound {
		return models.User{}, unauthorized()
	}
	return u, err
}

func unauthorized() error {
	return models.Errorf(models.Unauthorized, "a valid bearer token is required")
}
