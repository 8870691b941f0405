package store

import (
	"errors"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/watchfire-mdr/watchfire/models"
)

type codeRow struct {
	ClientID  uuid.UUID
	ContactID uuid.UUID
	Channel   models.Channel
	Key       string
	ExpiresAt time.Time
	Wrong     int
}

// TableName names the table.
func (codeRow) TableName() string { return "channel_codes" }

func channels() []models.Channel {
	return []models.Channel{models.ChannelEmail, models.ChannelVoice, models.ChannelSMS}
}

// SetCode keeps the key of the effect that carries the code for a channel of a contact, in place of any before, with
// no wrong tries. NotFound: the client has no such contact, or it was removed.
func (tx *Tx) SetCode(contact uuid.UUID, ch models.Channel, key string, expires time.Time) error {
	if _, err := tx.holdContact(contact); err != nil {
		return err
	}
	row := codeRow{ClientID: tx.client, ContactID: contact, Channel: ch, Key: key, ExpiresAt: expires}
	return tx.asSOC(func() error {
		err := tx.db.Clauses(clause.OnConflict{
			Columns:   []clause.Column{{Name: "client_id"}, {Name: "contact_id"}, {Name: "channel"}},
			DoUpdates: clause.AssignmentColumns([]string{"key", "expires_at", "wrong"}),
		}).Create(&row).Error
		return problem("keep code", err)
	})
}

// Code returns the key of the effect that carried the outstanding code for a channel of a contact, when the code
// expires, and how many wrong tries there were. Another transaction that asks waits until this one ends.
// NotFound: there is none.
func (tx *Tx) Code(contact uuid.UUID, ch models.Channel) (key string, expires time.Time, wrong int, err error) {
	if _, err := tx.holdContact(contact); err != nil {
		return "", time.Time{}, 0, err
	}
	var row codeRow
	none := false
	err = tx.asSOC(func() error {
		err := tx.code(contact, ch).Clauses(clause.Locking{Strength: "UPDATE"}).Take(&row).Error
		if none = errors.Is(err, gorm.ErrRecordNotFound); none {
			return nil
		}
		return problem("read code", err)
	})
	if err == nil && none {
		err = models.Errorf(models.NotFound, "code not found")
	}
	return row.Key, row.ExpiresAt.UTC(), row.Wrong, err
}

// SentCode returns the code that the effect with a key carries. NotFound: it has not been sent yet.
func (tx *Tx) SentCode(key string) (code string, err error) {
	var rows []effectRow
	err = tx.asSOC(func() error {
		return problem("read code", tx.of("effects").Where("key = ?", key).Find(&rows).Error)
	})
	switch {
	case err != nil:
		return "", err
	case len(rows) == 0:
		return "", models.Errorf(models.NotFound, "code not found")
	}
	if code = tx.ledgerRow(rows[0]).Code(); code == "" {
		err = errors.New("read code: the key that it follows from is not there")
	}
	return code, err
}

// WrongCode counts a wrong try. NotFound when there is no outstanding code.
func (tx *Tx) WrongCode(contact uuid.UUID, ch models.Channel) error {
	if err := tx.needsClient(); err != nil {
		return err
	}
	return tx.asSOC(func() error {
		q := tx.code(contact, ch).UpdateColumns(map[string]any{"wrong": gorm.Expr("wrong + 1")})
		if q.Error == nil && q.RowsAffected == 0 {
			return models.Errorf(models.NotFound, "code not found")
		}
		return problem("count wrong code", q.Error)
	})
}

// Verify records that a channel was proven to reach a contact, removes its code and returns the contact. NotFound: the
// client has no such contact, or it was removed.
func (tx *Tx) Verify(contact uuid.UUID, ch models.Channel, at time.Time) (models.Contact, error) {
	row, err := tx.holdContact(contact)
	if err != nil {
		return models.Contact{}, err
	}
	row.Verified.V[ch] = at.UTC()
	err = tx.of("contacts").Where("id = ?", contact).UpdateColumns(map[string]any{"verified": row.Verified}).Error
	if err != nil {
		return models.Contact{}, problem("verify channel", err)
	}
	if err := tx.dropCodes(contact, []models.Channel{ch}); err != nil {
		return models.Contact{}, err
	}
	return tx.Contact(contact)
}

func (tx *Tx) code(contact uuid.UUID, ch models.Channel) *gorm.DB {
	return tx.of("channel_codes").Where("contact_id = ? and channel = ?", contact, ch)
}

// dropCodes removes the outstanding codes of channels.
func (tx *Tx) dropCodes(contact uuid.UUID, of []models.Channel) error {
	if len(of) == 0 {
		return nil
	}
	return tx.asSOC(func() error {
		return problem("drop codes", tx.of("channel_codes").Where("contact_id = ? and channel in ?", contact, of).Delete(&codeRow{}).Error)
	})
}
