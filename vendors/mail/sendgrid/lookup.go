package sendgrid

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sendgrid/rest"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
	"github.com/watchfire-mdr/watchfire/vendors/internal/letterhead"
)

// maxCandidates bounds how many messages of the same recipient and subject are opened. SendGrid lists no more than it
// is asked for, the newest first, and has no next page.
const maxCandidates = 100

// Lookup finds msg in SendGrid's logs among what was accepted since a moment (SendGrid's clock;
// subtract hours, because clocks run apart): same recipient and subject, and the opaque ids of msg, all
// of them. found means SendGrid has the message, whatever became of it. Not found is no proof:
// the logs lag behind by seconds to minutes. What was listed but could not be read, or may be listed beyond the limit,
// is not known, an error. Rejected: msg carries no opaque id to find it by.
func (m *Mailer) Lookup(ctx context.Context, msg models.OutboundMail, since time.Time) (vendorID string, found bool, err error) {
	op := exchange.Op{Vendor: vendor, Name: "look up mail"}
	msg.To = letterhead.Address(msg.To)
	if len(msg.Opaque) == 0 || msg.To == "" {
		return "", false, op.Failed(models.Rejected, "nothing_to_find")
	}
	ids, err := m.candidates(ctx, op, msg, since)
	if err != nil {
		return "", false, err
	}
	unread := ""
	if len(ids) >= maxCandidates {
		unread = "list_too_long"
	}
	for _, id := range ids {
		same, stored, err := m.carries(ctx, op, id, msg.Opaque)
		if err != nil {
			return "", false, err
		}
		if same {
			accepted, _, _ := strings.Cut(id, ".") // the part that Send returned
			return accepted, true, nil
		}
		if !stored {
			unread = "not_stored"
		}
	}
	if unread != "" {
		return "", false, op.Failed(op.Uncertain(), unread)
	}
	return "", false, nil
}

func (m *Mailer) candidates(ctx context.Context, op exchange.Op, msg models.OutboundMail, since time.Time) ([]string, error) {
	question, err := json.Marshal(map[string]any{"query": query(msg, since), "limit": maxCandidates})
	if err != nil {
		return nil, op.Failed(models.Rejected, "query")
	}
	ex := m.do(ctx, rest.Post, "/v3/logs", question)
	var page struct {
		Messages *[]struct {
			ID string `json:"sg_message_id"`
		} `json:"messages"`
	}
	if !ex.OK() || ex.Decode(&page) != nil || page.Messages == nil {
		return nil, failure(ex, op)
	}
	ids := make([]string, 0, len(*page.Messages))
	for _, message := range *page.Messages {
		if message.ID != "" {
			ids = append(ids, message.ID)
		}
	}
	return ids, nil
}

// carries reports whether the logged message id has all the opaque ids, and whether it is stored: a message is listed
// before that.
func (m *Mailer) carries(ctx context.Context, op exchange.Op, id string, opaque map[string]string) (same, stored bool, err error) {
	ex := m.do(ctx, rest.Get, "/v3/logs/"+url.PathEscape(id), nil)
	if ex.Status() == http.StatusNotFound {
		return false, false, nil
	}
	var detail *struct {
		CustomArgs map[string]any `json:"custom_args"`
	}
	if !ex.OK() || ex.Decode(&detail) != nil || detail == nil {
		return false, false, failure(ex, op)
	}
	for key, value := range opaque {
		if detail.CustomArgs[key] != value {
			return false, true, nil
		}
	}
	return true, true, nil
}

// query asks for messages by recipient, subject and time. SendGrid documents no escape for
// quotes, so a value with both kinds, or a backslash, is left out: the opaque ids decide anyway.
func query(msg models.OutboundMail, since time.Time) string {
	var conditions []string
	for _, c := range [][2]string{{"to_email", msg.To}, {"subject", letterhead.Subject(msg)}} {
		if value, ok := quoted(c[1]); ok {
			conditions = append(conditions, c[0]+" = "+value)
		}
	}
	moment := since.UTC().Truncate(time.Second).Format(time.RFC3339)
	return strings.Join(append(conditions, `sg_message_id_created_at >= TIMESTAMP "`+moment+`"`), " AND ")
}

func quoted(s string) (string, bool) {
	switch {
	case strings.Contains(s, `\`):
		return "", false
	case !strings.Contains(s, `'`):
		return `'` + s + `'`, true
	case !strings.Contains(s, `"`):
		return `"` + s + `"`, true
	}
	return "", false
}
