package desk

import (
	"strconv"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// PageRequest asks for at most Limit entries of a list, from after Cursor: the Next of an earlier page, or "" for the
// beginning.
type PageRequest struct {
	Cursor string
	Limit  int
}

// Page is a part of a list that grows.
type Page[T any] struct {
	Items []T
	Next  string // the cursor of the next page, "" on the last
}

// cutPage makes a page of a list that was read with one entry more than the page may hold: that entry tells whether
// there is a next page. cursor writes the place of an entry.
func cutPage[T any](list []T, limit int, cursor func(T) string) Page[T] {
	if len(list) <= limit {
		return Page[T]{Items: list}
	}
	return Page[T]{Items: list[:limit], Next: cursor(list[limit-1])}
}

// readPage reads a page of a list that is ordered by a time and an id.
func readPage[T any](in store.Scope, p PageRequest, fn func(*store.Tx, store.Cursor, int) ([]T, error), cursor func(T) string) (Page[T], error) {
	after, err := store.ParseCursor(p.Cursor)
	if err != nil {
		return Page[T]{}, err
	}
	return store.Run(in, func(tx *store.Tx) (Page[T], error) {
		list, err := fn(tx, after, p.Limit+1)
		return cutPage(list, p.Limit, cursor), err
	})
}

// parseNumberCursor reads the cursor of a list that is ordered by a number. It returns 0 for the beginning.
func parseNumberCursor(cursor string) (int, error) {
	if cursor == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(cursor)
	if err != nil || n < 0 || n > 1<<30 {
		return 0, models.InvalidField("/cursor", "is not a cursor of this list")
	}
	return n, nil
}

func placeOfDelivery(d notify.Delivery) store.Cursor {
	return store.Cursor{At: d.PlannedAt, ID: d.ID.String()}
}

func deliveryCursor(d notify.Delivery) string { return placeOfDelivery(d).String() }
