package auth

import (
	"encoding/base32"
	"fmt"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
)

// CallerCodeFor is how long a caller code is the present one.
const CallerCodeFor = 2 * time.Minute

// CallerCode returns the four digits that prove, at a moment, that a call is Watchfire's. The call speaks them, the
// client sees them at that moment, and they change every two minutes (RFC 6238, with few enough digits to compare by
// ear). secret is the client's.
func CallerCode(secret []byte, at time.Time) (code string, until time.Time, err error) {
	key := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)
	code, err = totp.GenerateCodeCustom(key, at, totp.ValidateOpts{
		Period: uint(CallerCodeFor / time.Second), Digits: otp.Digits(4), Algorithm: otp.AlgorithmSHA256,
	})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("caller code: %w", err)
	}
	return code, at.UTC().Truncate(CallerCodeFor).Add(CallerCodeFor), nil
}
