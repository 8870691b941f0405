package secrets_test

import (
	"testing"

	"github.com/watchfire-mdr/watchfire/secrets"
)

func TestASignatureIsOfOurKeysAndOfOneMessage(t *testing.T) {
	first, err := secrets.GenerateSigner("")
	if err != nil {
		t.Fatal(err)
	}
	longer, err := secrets.ExtendSigner(first, "")
	if err != nil {
		t.Fatal(err)
	}
	sign := func(encoded string) []byte {
		s, err := secrets.OpenSigner(encoded, "")
		if err != nil {
			t.Fatal(err)
		}
		signed, err := s.Sign([]byte("message"))
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	verifier := func(encoded string) *secrets.Verifier {
		public, err := secrets.VerifierKeyset(encoded, "")
		if err != nil {
			t.Fatal(err)
		}
		v, err := secrets.OpenVerifier(public)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := secrets.OpenSigner(public, ""); err == nil {
			t.Error("a public keyset signs")
		}
		return v
	}
	old, now := sign(first), sign(longer)
	both := verifier(longer)
	for name, signed := range map[string][]byte{"the old key": old, "the new key": now} {
		if err := both.Verify([]byte("message"), signed); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if both.Verify([]byte("another"), signed) == nil {
			t.Errorf("%s has signed another message", name)
		}
	}
	if verifier(first).Verify([]byte("message"), now) == nil {
		t.Error("a key that the keyset does not have is taken")
	}
	box, err := secrets.GenerateBox("")
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"", "changeme", box, public(t, box)} {
		if _, err := secrets.OpenSigner(wrong, ""); err == nil {
			t.Error("another keyset signs")
		}
		if _, err := secrets.OpenVerifier(wrong); err == nil {
			t.Error("another keyset verifies")
		}
	}
	if _, err := secrets.OpenVerifier(first); err == nil {
		t.Error("a private keyset is taken as a public one")
	}
}
