package auth

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/bcrypt"
)

// HashPIN returns what is kept of a PIN: a slow hash.
func HashPIN(pin string) (string, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(pin), bcrypt.DefaultCost)
	if err != nil {
		return "", fmt.Errorf("hash PIN: %w", err)
	}
	return string(hash), nil
}

// IsPIN reports whether a hash of HashPIN is that of a PIN.
func IsPIN(hash, pin string) (bool, error) {
	err := bcrypt.CompareHashAndPassword([]byte(hash), []byte(pin))
	if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) || errors.Is(err, bcrypt.ErrPasswordTooLong) {
		return false, nil
	}
	return err == nil, err
}
