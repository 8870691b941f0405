package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// Codes derives, from keys that are not in the database, what proves a person or a call; a secrets.Deriver is one.
type Codes interface {
	Newest() string // names the key to derive from
	Derive(key string, names ...string) ([]byte, error)
}

// ledgerRow returns an effect as the ledger knows it.
func (tx *Tx) ledgerRow(r effectRow) LedgerRow {
	l := r.model()
	l.codes = tx.codes
	return l
}

// codeKey names the key of the codes of effects that are intended now; "" is no key.
func (tx *Tx) codeKey() string {
	if tx.codes == nil {
		return ""
	}
	return tx.codes.Newest()
}

// Code returns the six digits that prove a channel when its contact says them back. They follow from the token, which
// nobody is shown, and from a key that is not in the database: only a person whom the message of this effect reached
// knows them. A row of before, or of a store without keys, has them from the token alone. It returns "", which is no
// code, when the key is not there.
func (r LedgerRow) Code() string {
	if r.codeKey == "" {
		return digits(sha256.Sum256([]byte("watchfire channel code\n" + r.Token)))
	}
	if r.codes == nil {
		return ""
	}
	derived, err := r.codes.Derive(r.codeKey, "channel code", r.Token)
	if err != nil {
		return ""
	}
	return digits([sha256.Size]byte(derived))
}

func digits(of [sha256.Size]byte) string {
	return fmt.Sprintf("%06d", binary.BigEndian.Uint64(of[:8])%1_000_000)
}

// CallerSecret returns the secret of the transaction's client, from which the caller code follows. It is not in the
// database. NotFound: there is no such client.
func (tx *Tx) CallerSecret() ([]byte, error) {
	if err := tx.needsClient(); err != nil {
		return nil, err
	}
	var row clientRow
	if err := tx.db.Select("id").Where("id = ?", tx.client).Take(&row).Error; err != nil {
		return nil, notFound(problem("find client", err), "client")
	}
	if tx.codes == nil {
		return nil, errors.New("the store has no keys for codes")
	}
	return tx.codes.Derive(tx.codes.Newest(), "caller code", row.ID.String())
}
