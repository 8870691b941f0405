package auth

import (
	"context"

	"github.com/watchfire-mdr/watchfire/models"
)

// Users finds the user, or the machine, of a stored token; store.Store does. It returns Unauthorized for an unknown or
// expired one.
type Users interface {
	Authenticate(ctx context.Context, tokenHash []byte) (models.Principal, error)
}

// Authenticator identifies the sender of a request.
type Authenticator struct{ users Users }

// New makes an Authenticator.
func New(users Users) *Authenticator { return &Authenticator{users} }

// Principal returns whom a bearer token belongs to. It returns Unauthorized, with the same words, for a token that is
// missing, malformed, unknown, revoked or expired.
func (a *Authenticator) Principal(ctx context.Context, bearer string) (models.Principal, error) {
	hash, ok := Hash(bearer)
	if !ok {
		return models.Principal{}, unauthorized()
	}
	u, err := a.users.Authenticate(ctx, hash)
	if models.KindOf(err) == models.Unauthorized || models.KindOf(err) == models.NotFound {
		return models.Principal{}, unauthorized()
	}
	return u, err
}

func unauthorized() error {
	return models.Errorf(models.Unauthorized, "a valid bearer token is required")
}
