package twilio

import (
	"context"
	"encoding/json"
	"net/url"

	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

const (
	pageSize = 200 // of the 1,000 Twilio allows: a page of the longest messages stays within what is read of an answer
	maxPages = 50
)

// readList reads a list to its end. Twilio calls the list by name in its answers; ask requests one page of it. A list
// that has no end within reason, or an answer without the list, is an error: what was not read is not known to be
// absent. The exchange is that of the last page.
func readList[T any](ctx context.Context, c *Caller, op exchange.Op, name string, ask func(s *api.ApiService, token, page string) error) ([]T, *exchange.Exchange, error) {
	var all []T
	token, page := "", ""
	for range maxPages {
		service, ex := c.service(ctx)
		err := ask(service, token, page)
		rows, next, ok := pageOf[T](ex, name)
		if err != nil || !ok {
			return nil, ex, failure(ex, op)
		}
		if all = append(all, rows...); next == nil {
			return all, ex, nil
		}
		token, page = next.Get("PageToken"), next.Get("Page")
	}
	return nil, nil, op.Failed(op.Uncertain(), "list_too_long")
}

// pageOf reads one page of a list, and how the next one is asked for; nil after the last. The SDK reads an answer
// without the list as an empty one, which would mean that there is nothing.
func pageOf[T any](ex *exchange.Exchange, name string) (rows []T, next url.Values, ok bool) {
	var body map[string]json.RawMessage
	if !ex.OK() || ex.Decode(&body) != nil || json.Unmarshal(body[name], &rows) != nil || rows == nil {
		return nil, nil, false
	}
	var uri string
	if rest := body["next_page_uri"]; rest == nil || json.Unmarshal(rest, &uri) == nil && uri == "" {
		return rows, nil, true
	}
	u, err := url.Parse(uri)
	if err != nil || u.Query().Get("PageToken") == "" {
		return nil, nil, false
	}
	return rows, u.Query(), true
}
