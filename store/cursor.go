package store

import (
	"encoding/base64"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/watchfire-mdr/watchfire/models"
)

// maxPage is the most rows a list returns at once, whatever is asked.
const maxPage = 1000

// Cursor is a place in a list: that of the row with this time and id, neither of which may ever change. A row whose place
// changed between two pages would be on neither. The zero Cursor is the beginning.
type Cursor struct {
	At time.Time
	ID string
}

// String writes the cursor opaquely, "" for the zero Cursor.
func (c Cursor) String() string {
	if c == (Cursor{}) {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString([]byte(c.At.UTC().Format(time.RFC3339Nano) + " " + c.ID))
}

// ParseCursor reads what String wrote, and fails with Invalid for anything else. Whether the row exists does not
// matter.
func ParseCursor(s string) (Cursor, error) {
	if s == "" {
		return Cursor{}, nil
	}
	wrong := models.InvalidField("/cursor", "is not a cursor of this list")
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return Cursor{}, wrong
	}
	stamp, id, found := strings.Cut(string(b), " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil || !found || id == "" || clean(id) != id {
		return Cursor{}, wrong
	}
	return Cursor{At: at, ID: id}, nil
}

// page continues a list that is ordered by a time and an id, the newest first.
func page(q *gorm.DB, at, id string, c Cursor, limit int) *gorm.DB {
	if c != (Cursor{}) {
		q = q.Where("("+at+", "+id+") < (?, ?)", c.At, c.ID)
	}
	return q.Order(at + " desc, " + id + " desc").Limit(bounded(limit))
}

// bounded returns how many rows to fetch: at least one, at most maxPage.
func bounded(limit int) int { return max(1, min(limit, maxPage)) }
