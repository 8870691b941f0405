package cortex

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"
)

// signer proves possession of an Advanced API key without sending it. Cortex compares the time
// with its own clock and takes a nonce once. Source: "Get Started with APIs", Advanced key.
type signer struct {
	id, key string
	now     func() time.Time
}

func (s signer) sign(h http.Header) {
	nonce := rand.Text() + rand.Text() + rand.Text() // 26 letters and digits each
	nonce = nonce[:64]
	millis := strconv.FormatInt(s.now().UnixMilli(), 10)
	sum := sha256.Sum256([]byte(s.key + nonce + millis))
	h.Set("X-Xdr-Auth-Id", s.id)
	h.Set("X-Xdr-Nonce", nonce)
	h.Set("X-Xdr-Timestamp", millis)
	h.Set("Authorization", hex.EncodeToString(sum[:]))
}
