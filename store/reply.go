package store

import (
	"crypto/subtle"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

const (
	// maxReplies bounds the texts a reply is compared with.
	maxReplies = 50
	// wrongReplies is how often a text may be answered with anything but its code. Then the code is worth nothing.
	wrongReplies = 10
)

// AwaitedReply is a text that a phone number may be answering.
type AwaitedReply struct {
	LedgerRow
	IsSettled bool // its incident needs no acknowledgement any more: somebody gave one
}

// AwaitedReplies lists the texts about incidents that a phone number may be answering: accepted ones that were planned
// after a moment for contacts who have the number and are not removed, and whose code is still worth something, the
// newest first, at most 50. In a transaction of the SOC over all clients it finds those of every client. In a fire drill
// every contact acknowledges.
func (tx *Tx) AwaitedReplies(phone string, since time.Time) ([]AwaitedReply, error) {
	var rows []struct {
		Effect    effectRow `gorm:"embedded"`
		IsSettled bool
	}
	err := tx.of("effects").
		Select("effects.*, i.state->'acknowledged' is not null and i.state->>'exercise' not in ? as is_settled",
			[]models.Exercise{models.ExerciseFireDrill, models.ExerciseSimulatedFireDrill}).
		Joins("join contacts c on c.client_id = effects.client_id and c.id = effects.contact_id").
		Joins("join incidents i on i.client_id = effects.client_id and i.reference = effects.incident").
		Where("c.phone = ? and c.removed_at is null", phone).
		Where("effects.kind = ? and effects.state = ?", notify.EffectText, notify.EffectAccepted).
		Where("effects.planned_at > ? and effects.wrong_replies < ?", since, wrongReplies).
		Order("effects.planned_at desc, effects.key").Limit(maxReplies).Find(&rows).Error
	replies := make([]AwaitedReply, 0, len(rows))
	for _, row := range rows {
		replies = append(replies, AwaitedReply{LedgerRow: tx.ledgerRow(row.Effect), IsSettled: row.IsSettled})
	}
	return replies, problem("list texts", err)
}

// TakeReply compares what came back with the codes of texts of the transaction's client, and returns the keys of those
// whose code is among it. With none of them it counts as some wrong replies to each of the texts. The texts are locked
// meanwhile, so that guesses which come at once count, too.
func (tx *Tx) TakeReply(texts, candidates []string, tries int) (meant []string, err error) {
	if err := tx.needsClient(); err != nil {
		return nil, err
	}
	var rows []effectRow
	err = tx.of("effects").Select("key", "token", "code_key").Where("key in ? and wrong_replies < ?", texts, wrongReplies).
		Order("key").Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Find(&rows).Error
	if err != nil || len(rows) == 0 {
		return nil, problem("lock texts", err)
	}
	var keys []string
	for _, row := range rows {
		code := []byte(tx.ledgerRow(row).Code())
		if slices.ContainsFunc(candidates, func(c string) bool { return subtle.ConstantTimeCompare([]byte(c), code) == 1 }) {
			meant = append(meant, row.Key)
		}
		keys = append(keys, row.Key)
	}
	if len(meant) > 0 {
		return meant, nil
	}
	wrong := map[string]any{"wrong_replies": gorm.Expr("wrong_replies + ?", tries)}
	return nil, problem("count wrong replies", tx.of("effects").Where("key in ?", keys).UpdateColumns(wrong).Error)
}
