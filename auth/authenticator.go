package auth

import (
	"context"

	"github.com/watchfire-mdr/watchfire/models"
)

// Users finds the user of a stored token; store.Store does. It returns Unauthorized for an unknown or expired one.
type Users interface {
	Authenticate(ctx context.Context, tokenHash []byte) (models.User, error)
}

// Authenticator identifies the sender of a request.
type Authenticator struct{ users Users }

// New makes an Authenticator.
func New(users Users) *Authenticator { return &Authenticator{users} }

// User returns the user a bearer token belongs to. It returns Unauthorized, with the same words, for a token that
// is missing, malformed, unknown or expired.
func (a *Authenticator) User(ctx context.Context, bearer string) (models.User, error) {
	hash, ok := Hash(bearer)
	if !ok {
		return models.User{}, unauthorized()
	}
	u, err := a.users.Authenticate(ctx, hash)
	if models.KindOf(err) == models.Unauthorized || models.KindOf(err) == models.NotFound {
		return models.User{}, unauthorized()
	}
	return u, err
}

func unauthorized() error {
	return models.Errorf(models.Unauthorized, "a valid bearer token is required")
}
