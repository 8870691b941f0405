package twilio

import (
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// pageToken begins the token by which a page after the first is asked for; nothing else leads there.
const pageToken = "PA"

// listQuery is a request for a list.
type listQuery struct {
	url.Values
	page, size int
}

// readQuery parses the query of a list and refuses unknown parameters, repeated values and impossible
// pages.
func readQuery(r *stage.Request, known []string) (listQuery, *refusal) {
	q := listQuery{Values: r.URL.Query(), size: 50}
	for _, name := range slices.Sorted(maps.Keys(q.Values)) {
		if !slices.Contains(known, name) || len(q.Values[name]) > 1 {
			return q, badParameter("unknown or repeated parameter " + name)
		}
	}
	for _, number := range []struct {
		name string
		into *int
	}{{"PageSize", &q.size}, {"Page", new(int)}} { // Page is for the client's state alone
		if !q.Has(number.name) {
			continue
		}
		n, err := strconv.Atoi(q.Get(number.name))
		if err != nil || n < 0 || (number.name == "PageSize" && (n < 1 || n > 1000)) {
			return q, badParameter(number.name + " is not valid")
		}
		*number.into = n
	}
	if token := q.Get("PageToken"); token != "" {
		n, err := strconv.Atoi(strings.TrimPrefix(token, pageToken))
		if err != nil || n < 1 || !strings.HasPrefix(token, pageToken) {
			return q, badParameter("PageToken is not valid")
		}
		q.page = n
	}
	return q, nil
}

// answerPage answers with one page of the rows found of a resource: "Calls", "Messages", or "Events" below a call.
func answerPage[T any](t *simulator, resource string, q listQuery, found []T, row func(T) map[string]any) stage.Answer {
	first := min(q.page*q.size, len(found))
	last := min(first+q.size, len(found))
	rows := []any{}
	for _, one := range found[first:last] {
		rows = append(rows, row(one))
	}
	m := map[string]any{strings.ToLower(path.Base(resource)): rows, "page": q.page, "page_size": q.size, "start": q.page * q.size,
		"end": q.page*q.size + max(len(rows)-1, 0), "uri": t.pageURI(resource, q, q.page),
		"first_page_uri": t.pageURI(resource, q, 0), "next_page_uri": nil, "previous_page_uri": nil}
	if last < len(found) {
		m["next_page_uri"] = t.pageURI(resource, q, q.page+1)
	}
	if q.page > 0 {
		m["previous_page_uri"] = t.pageURI(resource, q, q.page-1)
	}
	return stage.AnswerJSON(http.StatusOK, m)
}

func (t *simulator) pageURI(resource string, q listQuery, page int) string {
	p := url.Values{}
	for name, values := range q.Values {
		p[name] = values
	}
	p.Set("PageSize", strconv.Itoa(q.size))
	p.Set("Page", strconv.Itoa(page))
	p.Del("PageToken")
	if page > 0 {
		p.Set("PageToken", pageToken+strconv.Itoa(page))
	}
	return "/2010-04-01/Accounts/" + t.account + "/" + resource + ".json?" + p.Encode()
}

// parseTimeFilter turns a parameter such as StartTime> into a predicate, which is false for no time
// and compares whole seconds.
func parseTimeFilter(name, value string) (func(at time.Time) bool, *refusal) {
	bound, err := time.Parse(time.RFC3339, value)
	if err != nil {
		bound, err = time.Parse(time.DateOnly, value)
	}
	if err != nil {
		return nil, badParameter(name + " is not a date")
	}
	return func(at time.Time) bool {
		if at.IsZero() {
			return false
		}
		at = at.Truncate(time.Second)
		switch name[len(name)-1] {
		case '<':
			return at.Before(bound)
		case '>':
			return !at.Before(bound)
		}
		return at.Format(time.DateOnly) == bound.UTC().Format(time.DateOnly)
	}, nil
}
