package vendortest

import (
	"errors"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
)

// Secret is the secret of the credentials in all tests, whatever the vendor calls it. Access tokens
// begin with "token-".
const Secret = "averytopsecretvalue"

// ErrorOf returns the vendor error that err has to be. No text of it may hold a secret.
func ErrorOf(t *testing.T, err error) *models.VendorError {
	t.Helper()
	var v *models.VendorError
	if !errors.As(err, &v) {
		t.Fatalf("not a vendor error: %v", err)
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if strings.Contains(e.Error(), Secret) || strings.Contains(e.Error(), "token-") {
			t.Errorf("an error text holds a secret: %v", e)
		}
	}
	return v
}

// WantClass checks the class of err; "" wants none.
func WantClass(t *testing.T, err error, want models.VendorClass) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("failed: %v", err)
		}
		return
	}
	if v := ErrorOf(t, err); v.Class != want {
		t.Errorf("got %+v, want %s", v, want)
	}
}
