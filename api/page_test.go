package api_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// Whoever pages through a list gets every row that was there all the time, each once, whatever happens to the rows
// meanwhile.
func TestNobodyMissesARowThatChangesMeanwhile(t *testing.T) {
	const many = 7
	w := newWorld(t)
	var refs []models.Reference
	for range many {
		refs = append(refs, w.published())
	}
	findings := map[string]bool{}
	alert := func(n int, title string) {
		w.post("analyst", "/api/v1/alerts", map[string]any{
			"client": w.acme.Number, "source": "realtime", "finding_id": fmt.Sprint("f", n), "title": title, "severity": "low",
		})
	}
	for n := range many {
		alert(n, "first")
		findings[fmt.Sprint("f", n)] = true
	}
	for _, who := range []string{"analyst", "viewer"} {
		w.pages(who, "/api/v1/incidents", "reference", len(refs), func(page int) {
			for n := range refs { // the ones that were listed, and the ones that were not yet
				w.happen(refs[(n+page)%many], w.users["analyst"].Actor(), &incident.Commented{Text: "a"})
			}
		})
	}
	w.pages("analyst", "/api/v1/alerts", "finding_id", len(findings), func(page int) {
		for n := range many {
			alert(n, fmt.Sprint("changed ", page))
		}
	})
}

// pages reads a list two rows at a time, calls between after every page, and checks that it got a number of rows, each
// once.
func (w *world) pages(who, path, key string, rows int, between func(page int)) {
	w.Helper()
	seen, next := map[string]bool{}, ""
	for page := 0; ; page++ {
		var list struct {
			Items []map[string]any
			Next  string
		}
		at := path + "?limit=2"
		if next != "" {
			at += "&cursor=" + next
		}
		w.must(http.StatusOK, w.get(who, at)).into(w, &list)
		for _, row := range list.Items {
			id, _ := row[key].(string)
			if id == "" || seen[id] {
				w.Errorf("%s as %s: %q came twice", path, who, id)
			}
			seen[id] = true
		}
		if next = list.Next; next == "" {
			break
		}
		between(page)
	}
	if len(seen) != rows {
		w.Errorf("%s as %s: %d rows, want %d", path, who, len(seen), rows)
	}
}
