package exchange

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/http"
)

// Request asks an API for JSON.
type Request struct {
	Method, Path string      // the path includes the query
	Header       http.Header // beside Accept and Content-Type, or instead of them
	Body         any         // sent as JSON; nil sends none
	Most         int64       // bytes to read of the answer at most; 0 is 4 MiB
}

// Send makes a request. The exchange holds the result.
func (l *Line) Send(ctx context.Context, r Request) *Exchange {
	ex := l.Begin(ctx)
	ex.most = cmp.Or(r.Most, ex.most)
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = json.Marshal(r.Body); err != nil {
			return ex
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, "https://vendor.invalid"+r.Path, bytes.NewReader(body)) // the line has the host
	if err != nil {
		return ex
	}
	req.Header.Set("Accept", "application/json")
	if r.Body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(req.Header, r.Header)
	if resp, err := ex.Client().Do(req); err == nil {
		_ = resp.Body.Close()
	}
	return ex
}
