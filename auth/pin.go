package auth

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/bcrypt"
)

// pinCost makes one try of a PIN take about a quarter of a second.
const pinCost = 12

// HashPIN returns what is kept of a PIN.
func HashPIN(pin string) (string, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(pin), pinCost)
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
