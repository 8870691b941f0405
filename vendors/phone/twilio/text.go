package twilio

import (
	"context"
	"net/http"
	"time"
	"unicode/utf8"

	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

const (
	maxText    = 1600   // runes, Twilio's limit
	textExpiry = 14_400 // seconds; after four hours the contact has been reached otherwise
)

// Text asks Twilio to send out.Body to out.To now. The answer says the message was accepted, not
// that it arrived; progress comes to out.StatusURL, if there is one. Twilio drops it if it is not sent within
// four hours.
//
// Ambiguous: the message may be under way, ask RecentTexts. Rejected: this number will never
// get this message. Config: credentials, our own number or our own URL are wrong.
func (c *Caller) Text(ctx context.Context, out models.OutboundText) (models.SentText, error) {
	op := exchange.Op{Vendor: vendor, Name: "send text", Effect: true}
	switch {
	case !e164.MatchString(out.To):
		return models.SentText{}, op.Failed(models.Rejected, "invalid_number")
	case out.Body == "":
		return models.SentText{}, op.Failed(models.Rejected, "no_content")
	case !utf8.ValidString(out.Body) || utf8.RuneCountInString(out.Body) > maxText:
		return models.SentText{}, op.Failed(models.Rejected, "invalid_content")
	case out.StatusURL != "" && !webURL(out.StatusURL):
		return models.SentText{}, op.Failed(models.Config, "invalid_url")
	}
	service, ex := c.service(ctx)
	p := (&api.CreateMessageParams{}).SetTo(out.To).SetFrom(c.from).SetBody(out.Body).SetValidityPeriod(textExpiry)
	if out.StatusURL != "" {
		p.SetStatusCallback(out.StatusURL)
	}
	text, err := service.CreateMessage(p)
	if err != nil || !ex.OK() {
		return models.SentText{}, failure(ex, op)
	}
	got, ok := readText(text)
	if !ok {
		return models.SentText{}, failure(ex, op)
	}
	if got.At.IsZero() {
		got.At, _ = http.ParseTime(ex.Header().Get("Date"))
	}
	return got, nil
}

// RecentTexts returns all our messages to a number: the question to ask after an ambiguous Text. A message may take
// some seconds to be listed: a message that is missing proves nothing before that.
//
// Twilio is not asked to filter by date: it can only filter by the day of sending, and a message that still waits has
// no such day.
func (c *Caller) RecentTexts(ctx context.Context, to string) ([]models.SentText, error) {
	op := exchange.Op{Vendor: vendor, Name: "list texts"}
	if !e164.MatchString(to) {
		return nil, op.Failed(models.Rejected, "invalid_number")
	}
	params := (&api.ListMessageParams{}).SetTo(to).SetFrom(c.from).SetPageSize(pageSize)
	rows, ex, err := readList[api.ApiV2010Message](ctx, c, op, "messages", func(s *api.ApiService, token, page string) error {
		_, err := s.PageMessage(params, token, page)
		return err
	})
	if err != nil {
		return nil, err
	}
	texts := make([]models.SentText, 0, len(rows))
	for i := range rows {
		text, ok := readText(&rows[i])
		if !ok {
			return nil, failure(ex, op)
		}
		texts = append(texts, text)
	}
	return texts, nil
}

func readText(text *api.ApiV2010Message) (got models.SentText, ok bool) {
	if text == nil || text.Sid == nil || text.Status == nil || !textSID.MatchString(*text.Sid) {
		return models.SentText{}, false
	}
	got = models.SentText{ID: *text.Sid, Status: models.TextStatus(*text.Status)}
	if text.Body != nil {
		got.Body = *text.Body
	}
	if text.DateCreated != nil {
		if t, err := time.Parse(time.RFC1123Z, *text.DateCreated); err == nil {
			got.At = t.UTC()
		}
	}
	return got, true
}
