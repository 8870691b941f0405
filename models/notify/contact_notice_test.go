package notify_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

func TestWhoIsToldOfChangedContacts(t *testing.T) {
	ines, bo, admin := uuid.New(), uuid.New(), uuid.New()
	at := func(email, phone string) notify.Addresses {
		return notify.Addresses{Email: email, Phone: phone, Texts: true}
	}
	silent := at("i3@c.example", "+3")
	silent.Texts = false
	changes := []notify.ContactChange{
		{ID: uuid.New(), Contact: ines, Before: at("i1@c.example", "+1"), After: at("i2@c.example", "+1")},
		{ID: uuid.New(), Contact: ines, Before: at("i2@c.example", "+1"), After: silent},
		{ID: uuid.New(), Contact: ines, Before: silent, After: at("i3@c.example", "+4")},
		{ID: uuid.New(), Contact: bo, After: at("b@c.example", "+5")},  // made: mail is enough
		{ID: uuid.New(), Contact: bo, Before: at("b@c.example", "+5")}, // removed
	}
	n := notify.ContactNotice{ClientID: uuid.New(), ID: changes[0].ID}
	got := []string{}
	keys := map[string]bool{}
	for _, to := range notify.NoticeRecipients(changes, []uuid.UUID{admin}) {
		address := "admin"
		if to.Admin == uuid.Nil {
			c := changes[slices.IndexFunc(changes, func(c notify.ContactChange) bool { return c.ID == to.Change })]
			moved := c.After
			if to.Old {
				moved = c.Before
			}
			address = map[models.Channel]string{models.ChannelEmail: moved.Email, models.ChannelSMS: moved.Phone}[to.Channel]
		}
		got = append(got, string(to.Channel)+" "+address)
		e := n.Effect(to)
		if keys[e.Key] || strings.Contains(e.Key, "@") || e.Contact != to.Contact {
			t.Errorf("the effect is %+v", e)
		}
		keys[e.Key] = true
	}
	slices.Sort(got)
	want := []string{"email admin", "email b@c.example", "email i1@c.example", "email i2@c.example", "email i3@c.example", "sms +1", "sms +4"}
	if !slices.Equal(got, want) {
		t.Errorf("told are %v, want %v", got, want)
	}
}

// Many contacts who get the same number are one text to it.
func TestANoticeTextsANumberOnce(t *testing.T) {
	const number = "+4915112345678"
	var changes []notify.ContactChange
	for range 30 {
		changes = append(changes, notify.ContactChange{ID: uuid.New(), Contact: uuid.New(),
			Before: notify.Addresses{Phone: "+4915100000000", Texts: true}, After: notify.Addresses{Phone: number, Texts: true}})
	}
	n := 0
	for _, r := range notify.NoticeRecipients(changes, nil) {
		if r.Channel == models.ChannelSMS && !r.Old {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d texts to one number in one notice", n)
	}
}
