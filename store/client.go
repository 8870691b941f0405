package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/watchfire-mdr/watchfire/models"
)

type clientRow struct {
	ID           uuid.UUID
	Number       int
	LegalName    string
	TimeZone     string
	Language     string
	Business     document[models.Hours]
	CallerSecret uuid.UUID // of API processes of before
	Contract     document[models.Contract]
	EDR          document[models.EDR]       `gorm:"column:edr"`
	EDRCheck     *document[models.EDRCheck] `gorm:"column:edr_check"`
	Policy       document[models.Policy]
	LastIncident int
	RequestID    string
	Fingerprint  string
	CreatedAt    time.Time `gorm:"autoCreateTime:false;default:now()"`
	LiveAt       *time.Time
	LiveDespite  string
}

// TableName names the table.
func (clientRow) TableName() string { return "clients" }

// clientColumns are the columns of a client's model that the client sees. Why it went live although a check failed is the
// SOC's own word.
const clientColumns = "id, number, legal_name, time_zone, language, business, contract, edr, policy, created_at, live_at"

func (r clientRow) model() models.Client {
	return models.Client{
		ID: r.ID, Number: r.Number, LegalName: r.LegalName, TimeZone: r.TimeZone, Language: r.Language,
		Business: r.Business.V, Contract: r.Contract.V, EDR: r.EDR.V, Policy: r.Policy.V, CreatedAt: r.CreatedAt.UTC(), LiveAt: orZero(r.LiveAt), LiveDespite: r.LiveDespite,
	}
}

// errNumberUsed says that the sequence gave a number which was chosen by hand before.
var errNumberUsed = errors.New("client number is used")

// CreateClient adds a client. The id is chosen when it is zero, and the number, counting from 1001, when it is 0. The
// same request id again returns the client it made, as it is now. Invalid: there is no request id, or it is known with
// another fingerprint. Conflict: the number is taken.
func (s *Store) CreateClient(ctx context.Context, c models.Client, requestID, fingerprint string) (models.Client, error) {
	if requestID == "" {
		return models.Client{}, models.Errorf(models.Invalid, "a client needs a request id")
	}
	if c.ID == uuid.Nil {
		c.ID = uuid.New()
	}
	for {
		row, err := s.createClient(ctx, c, requestID, fingerprint)
		if !errors.Is(err, errNumberUsed) {
			if err != nil {
				return models.Client{}, err
			}
			return row.model(), nil
		}
	}
}

func (s *Store) createClient(ctx context.Context, c models.Client, requestID, fingerprint string) (clientRow, error) {
	row := clientRow{
		ID: c.ID, Number: c.Number, LegalName: c.LegalName, TimeZone: c.TimeZone, Language: c.Language,
		Business: hours(c.Business), CallerSecret: uuid.New(), Contract: document[models.Contract]{c.Contract},
		EDR: document[models.EDR]{c.EDR}, Policy: document[models.Policy]{c.Policy}, RequestID: requestID,
		Fingerprint: fingerprint, CreatedAt: c.CreatedAt, LiveAt: orNull(c.LiveAt),
	}
	err := s.within(ctx, SOC.role(), c.ID, true, func(db *gorm.DB, _ time.Time) error {
		if row.Number == 0 {
			if err := db.Raw("select nextval('client_numbers')").Scan(&row.Number).Error; err != nil {
				return problem("choose client number", err)
			}
		}
		insert := db.Clauses(clause.OnConflict{DoNothing: true}).Create(&row)
		if insert.Error != nil || insert.RowsAffected == 1 {
			return problem("create client", insert.Error)
		}
		row = clientRow{}
		err := problem("find client", db.Where("request_id = ?", requestID).Take(&row).Error)
		if models.KindOf(err) != models.NotFound {
			return sameRequest(row.Fingerprint, fingerprint, err)
		}
		if c.Number == 0 {
			return errNumberUsed
		}
		return &models.Error{Kind: models.Conflict, Field: "/number", Message: "is taken"}
	})
	return row, err
}

// ClientByNumber returns the client with a number. NotFound when there is none.
func (s *Store) ClientByNumber(ctx context.Context, number int) (models.Client, error) {
	var row clientRow
	err := s.ForSOC(ctx, func(tx *Tx) error {
		return notFound(problem("find client", tx.db.Where("number = ?", number).Take(&row).Error), "client")
	})
	return row.model(), err
}

// Client returns the transaction's client. NotFound when there is none with the id the transaction was begun with.
func (tx *Tx) Client() (models.Client, error) {
	if err := tx.needsClient(); err != nil {
		return models.Client{}, err
	}
	columns := clientColumns
	if tx.audience != Portal {
		columns += ", live_despite"
	}
	var row clientRow
	err := tx.db.Select(columns).Where("id = ?", tx.client).Take(&row).Error
	return row.model(), notFound(problem("read client", err), "client")
}

// UpdateClient replaces the terms of the transaction's client and returns the client: all of c but its id, number and
// EDR. NotFound: there is no such client.
func (tx *Tx) UpdateClient(c models.Client) (models.Client, error) {
	if err := tx.needsClient(); err != nil {
		return models.Client{}, err
	}
	row := clientRow{
		LegalName: c.LegalName, TimeZone: c.TimeZone, Language: c.Language, Business: hours(c.Business),
		Contract: document[models.Contract]{c.Contract}, Policy: document[models.Policy]{c.Policy},
	}
	err := tx.db.Where("id = ?", tx.client).Select("legal_name", "time_zone", "language", "business", "contract", "policy").Updates(&row).Error
	if err != nil {
		return models.Client{}, problem("update client", err)
	}
	return tx.Client()
}

// GoLive notes that the transaction's client is live from now on, and why although a check failed, and returns the client.
// The first time stays.
func (tx *Tx) GoLive(despite string) (models.Client, error) {
	if err := tx.needsClient(); err != nil {
		return models.Client{}, err
	}
	err := tx.db.Table("clients").Where("id = ? and live_at is null", tx.client).
		UpdateColumns(map[string]any{"live_at": tx.now, "live_despite": clean(despite)}).Error
	if err != nil {
		return models.Client{}, problem("go live", err)
	}
	return tx.Client()
}

// Clients lists the clients whose number is greater than after, in the order of their numbers.
func (tx *Tx) Clients(after, limit int) ([]models.Client, error) {
	var rows []clientRow
	err := tx.db.Where("number > ?", after).Order("number").Limit(bounded(limit)).Find(&rows).Error
	return each(rows, clientRow.model), problem("list clients", err)
}

// each turns rows into values; it returns an empty list, never nil.
func each[R, V any](rows []R, model func(R) V) []V {
	out := make([]V, 0, len(rows))
	for _, r := range rows {
		out = append(out, model(r))
	}
	return out
}
