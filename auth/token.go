package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

const (
	tokenPrefix = "wf_"
	tokenBytes  = 32 // 256 bits
	// prefixLength is how many characters of 43 Prefix shows.
	prefixLength = 6
)

// NewToken makes a bearer token: the secret to hand over once, and the SHA-256 to store.
// The secret is "wf_" and 43 characters of unpadded base64url.
func NewToken() (secret string, hash []byte) {
	b := make([]byte, tokenBytes)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	secret = tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
	return secret, hashOf(secret)
}

// Hash returns the SHA-256 under which a secret is stored, and whether the secret has the form of a token at all.
func Hash(secret string) ([]byte, bool) {
	body, ok := strings.CutPrefix(secret, tokenPrefix)
	if !ok {
		return nil, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || len(b) != tokenBytes {
		return nil, false
	}
	return hashOf(secret), true
}

// Prefix returns the first characters of a secret, by which people tell their tokens apart: too few to help in guessing the
// rest. "" for what does not have the form of a token.
func Prefix(secret string) string {
	if _, ok := Hash(secret); !ok {
		return ""
	}
	return secret[:len(tokenPrefix)+prefixLength]
}

func hashOf(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}
