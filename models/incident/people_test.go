package incident_test

import (
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// people fills a value of any depth and gives every actor in it an id of its own.
func people(v reflect.Value, n *int) {
	if a, ok := v.Addr().Interface().(*models.Actor); ok {
		*n++
		a.Side, a.ID = models.SideClient, strconv.Itoa(*n)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		people(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			people(v.Index(i), n)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				people(v.Field(i), n)
			}
		}
	}
}

// An answer that forgets somebody leaves a person without a name.
func TestEverybodyInItIsListed(t *testing.T) {
	check := func(what string, n int, actors []models.Actor) {
		t.Helper()
		for id := 1; id <= n; id++ {
			if !slices.ContainsFunc(actors, func(a models.Actor) bool { return a.ID == strconv.Itoa(id) }) {
				t.Errorf("%s: actor %d of %d is not listed", what, id, n)
			}
		}
	}
	var n int
	var i incident.Incident
	people(reflect.ValueOf(&i).Elem(), &n)
	if n < 20 {
		t.Fatalf("an incident has %d actors", n)
	}
	check("an incident", n, i.Actors())
	var r incident.Revision
	n = 0
	people(reflect.ValueOf(&r).Elem(), &n)
	check("a revision", n, r.Actors())
	for _, d := range incident.EventTypes() {
		e := incident.Event{Data: d, Actor: models.Actor{ID: "1"}}
		n = 1
		people(reflect.ValueOf(d).Elem(), &n)
		check(string(d.Type()), n, e.Actors())
	}
}

func TestAContactAsAnActor(t *testing.T) {
	id := uuid.New()
	if got, ok := models.ContactActor(id).Contact(); !ok || got != id {
		t.Errorf("%s %v", got, ok)
	}
	for _, other := range []string{"", id.String(), "contact:", "contact:x"} {
		if _, ok := (models.Actor{ID: other}).Contact(); ok {
			t.Errorf("%q is no contact", other)
		}
	}
}
