package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/store/storetest"
)

// soc runs fn as the SOC for the house's first client.
func (h *house) soc(fn func(*store.Tx) error) { h.Helper(); h.as(store.SOC, h.acme, fn) }

var nights = models.Hours{{Days: []models.Day{"fri", "sat"}, From: 22 * 60, To: 6 * 60}}

func TestContacts(t *testing.T) {
	h := newHouse(t)
	h.soc(func(tx *store.Tx) error {
		first, err := tx.CreateContact(models.Contact{
			Name: "Zero", Order: 0, Severities: []models.Severity{models.SeverityLow}, Channels: []models.Channel{models.ChannelSMS},
			Hours: nights, HoursForCritical: true, Verified: map[models.Channel]time.Time{models.ChannelSMS: noon},
		}, "contact-2", "")
		h.ok(err)
		again, err := tx.CreateContact(models.Contact{Name: "Another"}, "contact-2", "")
		h.ok(err)
		same(t, "the request again", again, first)
		all, err := tx.Contacts()
		h.ok(err)
		equal(t, "contacts", len(all), 2)
		same(t, "first in order", all[0], first)
		same(t, "hours", all[0].Hours, nights)
		equal(t, "hours for critical", all[0].HoursForCritical, true)
		equal(t, "verified", all[0].Verified[models.ChannelSMS], noon)
		same(t, "the fixture's contact", all[1], h.acme.contact)
		_, err = tx.Contact(h.other.contact.ID)
		h.fails(err, models.NotFound)
		return nil
	})
}

func TestUpdateContact(t *testing.T) {
	all := []models.Channel{models.ChannelEmail, models.ChannelVoice, models.ChannelSMS}
	for name, c := range map[string]struct {
		change func(*models.Contact)
		left   []models.Channel // verified channels and outstanding codes that stay
	}{
		"nothing":          {func(*models.Contact) {}, all},
		"name and order":   {func(c *models.Contact) { c.Name, c.Order, c.Hours = "New", 7, nights }, all},
		"mail address":     {func(c *models.Contact) { c.Email = "new@acme" }, []models.Channel{models.ChannelVoice, models.ChannelSMS}},
		"phone":            {func(c *models.Contact) { c.Phone = "+15005550009" }, []models.Channel{models.ChannelEmail}},
		"a channel less":   {func(c *models.Contact) { c.Channels = all[:2] }, all[:2]},
		"no channels":      {func(c *models.Contact) { c.Channels = nil }, nil},
		"claims of proofs": {func(c *models.Contact) { c.Verified, c.Email = map[models.Channel]time.Time{"email": noon}, "x@acme" }, all[1:]},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.soc(func(tx *store.Tx) error {
				contact := h.acme.contact
				contact.Channels = all
				contact, err := tx.UpdateContact(contact)
				h.ok(err)
				for _, ch := range all {
					_, err := tx.Verify(contact.ID, ch, noon)
					h.ok(err)
					h.ok(tx.SetCode(contact.ID, ch, "key", noon))
				}
				c.change(&contact)
				after, err := tx.UpdateContact(contact)
				h.ok(err)
				read, err := tx.Contact(contact.ID)
				h.ok(err)
				same(t, "what is returned", after, read)
				contact.Verified = map[models.Channel]time.Time{}
				for _, ch := range c.left {
					contact.Verified[ch] = noon
				}
				same(t, "contact", after, contact)
				var codes []models.Channel
				for _, ch := range all {
					if _, _, _, err := tx.Code(contact.ID, ch); err == nil {
						codes = append(codes, ch)
					}
				}
				if len(codes)+len(c.left) > 0 {
					same(t, "outstanding codes", codes, c.left)
				}
				return nil
			})
			h.as(store.SOC, h.other, func(tx *store.Tx) error {
				_, err := tx.UpdateContact(h.acme.contact)
				h.fails(err, models.NotFound)
				read, err := tx.Contact(h.other.contact.ID)
				same(t, "the other client's contact", read, h.other.contact)
				return err
			})
		})
	}
}

func TestRemoveContact(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	row := h.intend(h.acme, i, 1)
	id := h.acme.contact.ID
	h.soc(func(tx *store.Tx) error {
		h.ok(tx.SetCode(id, models.ChannelEmail, row.Key, noon))
		h.ok(tx.RemoveContact(id, noon))
		h.ok(tx.RemoveContact(id, noon.Add(time.Hour)))
		h.fails(tx.RemoveContact(h.other.contact.ID, noon), models.NotFound)
		h.fails(tx.RemoveContact(uuid.New(), noon), models.NotFound)
		read, err := tx.Contact(id)
		h.ok(err)
		equal(t, "removed at", read.RemovedAt, noon)
		all, err := tx.Contacts()
		h.ok(err)
		equal(t, "contacts", len(all), 0)
		d, err := tx.Directory()
		h.ok(err)
		equal(t, "contacts of the directory", len(d.Contacts), 0)
		_, err = tx.UpdateContact(h.acme.contact)
		h.fails(err, models.NotFound)
		_, err = tx.Verify(id, models.ChannelEmail, noon)
		h.fails(err, models.NotFound)
		_, _, _, err = tx.Code(id, models.ChannelEmail)
		h.fails(err, models.NotFound)
		h.fails(tx.SetCode(id, models.ChannelEmail, row.Key, noon), models.NotFound)
		return nil
	})
	equal(t, "codes", len(ownerTexts(t, h.ownerURL, "select key from channel_codes")), 0)
	equal(t, "name on the delivery", h.deliveries(h.acme, i.Reference)[0].ContactName, h.acme.contact.Name)
	h.as(store.SOC, h.other, func(tx *store.Tx) error {
		all, err := tx.Contacts()
		equal(t, "contacts of the other client", len(all), 1)
		return err
	})
}

func TestDirectory(t *testing.T) {
	h := newHouse(t)
	h.soc(func(tx *store.Tx) error {
		_, err := tx.CreateContact(models.Contact{Name: "Zero", Hours: nights}, "contact-2", "")
		return err
	})
	for _, who := range []store.Audience{store.SOC, store.Portal, store.Worker} {
		h.as(who, h.acme, func(tx *store.Tx) error {
			before := h.Statements()
			d, err := tx.Directory()
			h.ok(err)
			equal(t, "statements", h.Statements()-before, 1)
			equal(t, "zone", d.Zone.String(), "Europe/Prague")
			same(t, "business hours", d.Business, models.OfficeHours())
			all, err := tx.Contacts()
			same(t, "contacts", d.Contacts, all)
			equal(t, "first", d.Contacts[0].Name, "Zero")
			return err
		})
	}
	h.fails(h.ForClient(t.Context(), store.Worker, uuid.New(), func(tx *store.Tx) error {
		_, err := tx.Directory()
		return err
	}), models.NotFound)
	h.fails(h.ForSOC(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Directory()
		return err
	}), models.Forbidden)
}

func TestBusinessHours(t *testing.T) {
	h := newHouse(t)
	always, err := h.CreateClient(t.Context(), models.Client{LegalName: "Always", TimeZone: "UTC"}, "always", "")
	h.ok(err)
	again, err := h.CreateClient(t.Context(), models.Client{LegalName: "Always"}, "always", "")
	h.ok(err)
	same(t, "no windows", again.Business, models.Hours{})
	same(t, "no windows, at once", always.Business, again.Business)
	read, err := h.ClientByNumber(t.Context(), h.acme.Number)
	h.ok(err)
	same(t, "office hours", read.Business, models.OfficeHours())
}

// otherKey derives from another key than storetest's.
type otherKey struct{ storetest.Codes }

// Derive returns something else for the same names.
func (k otherKey) Derive(key string, names ...string) ([]byte, error) {
	return k.Codes.Derive(key, append(names, "another key")...)
}

func TestCallerSecret(t *testing.T) {
	h := newHouse(t)
	other, err := store.Open(t.Context(), h.appURL, store.Options{Codes: otherKey{}})
	h.ok(err)
	defer closeStore(t, other)
	seen := map[string]bool{}
	for _, s := range []*store.Store{h.Store, other} { // with the same database
		for _, te := range []tenant{h.acme, h.other} {
			for _, who := range []store.Audience{store.SOC, store.Portal, store.Hooks} {
				h.ok(s.ForClient(t.Context(), who, te.ID, func(tx *store.Tx) error {
					secret, err := tx.CallerSecret()
					seen[string(secret)] = len(secret) == 32
					return err
				}))
			}
		}
	}
	equal(t, "secrets of two clients with two keys", len(seen), 4)
	h.fails(h.ForClient(t.Context(), store.SOC, uuid.New(), func(tx *store.Tx) error {
		_, err := tx.CallerSecret()
		return err
	}), models.NotFound)
}

func TestCodes(t *testing.T) {
	h := newHouse(t)
	id, ch := h.acme.contact.ID, models.ChannelVoice
	code := func(tx *store.Tx) (string, time.Time, int) {
		key, expires, wrong, err := tx.Code(id, ch)
		h.ok(err)
		return key, expires, wrong
	}
	h.soc(func(tx *store.Tx) error {
		_, _, _, err := tx.Code(id, ch)
		h.fails(err, models.NotFound)
		h.fails(tx.WrongCode(id, ch), models.NotFound)
		h.fails(tx.SetCode(h.other.contact.ID, ch, "key", noon), models.NotFound)
		h.ok(tx.SetCode(id, ch, "first", noon))
		h.ok(tx.SetCode(id, models.ChannelEmail, "mail", noon))
		h.ok(tx.WrongCode(id, ch))
		h.ok(tx.WrongCode(id, ch))
		key, expires, wrong := code(tx)
		equal(t, "key, expiry and wrong tries", fmt.Sprint(key, expires, wrong), fmt.Sprint("first", noon, 2))
		h.ok(tx.SetCode(id, ch, "second", noon.Add(time.Hour)))
		key, expires, wrong = code(tx)
		equal(t, "those of the second", fmt.Sprint(key, expires, wrong), fmt.Sprint("second", noon.Add(time.Hour), 0))
		verified, err := tx.Verify(id, ch, noon)
		h.ok(err)
		same(t, "verified", verified.Verified, map[models.Channel]time.Time{ch: noon})
		_, _, _, err = tx.Code(id, ch)
		h.fails(err, models.NotFound)
		_, _, _, err = tx.Code(id, models.ChannelEmail)
		h.ok(err)
		read, err := tx.Contact(id)
		same(t, "the contact", read, verified)
		return err
	})
	h.as(store.SOC, h.other, func(tx *store.Tx) error {
		_, _, _, err := tx.Code(id, models.ChannelEmail)
		h.fails(err, models.NotFound)
		_, err = tx.Verify(id, ch, noon)
		h.fails(err, models.NotFound)
		return nil
	})
}

func TestChecks(t *testing.T) {
	h := newHouse(t)
	h.soc(func(tx *store.Tx) error {
		_, err := tx.BeginChannelCheck("r", noon)
		h.fails(err, models.NotFound)
		for range 2 {
			begun, err := tx.RequestChannelCheck("r", "mail")
			h.ok(err)
			equal(t, "begun before it began", begun, time.Time{})
		}
		for range 2 {
			begun, err := tx.BeginChannelCheck("r", noon)
			h.ok(err)
			equal(t, "begun", begun, noon)
		}
		begun, err := tx.BeginChannelCheck("r", noon.Add(time.Hour))
		h.ok(err)
		equal(t, "begun again", begun, noon)
		begun, err = tx.RequestChannelCheck("r", "mail")
		h.ok(err)
		equal(t, "begun when asked again", begun, noon)
		_, err = tx.RequestChannelCheck("r", "text")
		h.fails(err, models.Invalid)
		return nil
	})
	h.as(store.SOC, h.other, func(tx *store.Tx) error {
		begun, err := tx.RequestChannelCheck("r", "text")
		equal(t, "another client's", begun, time.Time{})
		return err
	})
}

// TestTheFingerprintTellsRequestsApart makes a client and a contact, and asks for them again.
func TestTheFingerprintTellsRequestsApart(t *testing.T) {
	h := newHouse(t)
	client := func(requestID, fingerprint string) (models.Client, error) {
		return h.CreateClient(t.Context(), models.Client{LegalName: "New", TimeZone: "UTC"}, requestID, fingerprint)
	}
	contact := func(requestID, fingerprint string) (c models.Contact, err error) {
		err = h.ForClient(t.Context(), store.SOC, h.acme.ID, func(tx *store.Tx) (err error) {
			c, err = tx.CreateContact(models.Contact{Name: "New"}, requestID, fingerprint)
			return err
		})
		return c, err
	}
	made, err := client("r", "a")
	h.ok(err)
	again, err := client("r", "a")
	h.ok(err)
	same(t, "the client again", again, made)
	_, err = client("r", "b")
	h.fails(err, models.Invalid)
	_, err = client("client-Acme", "b") // made without a fingerprint
	h.ok(err)
	first, err := contact("r", "a")
	h.ok(err)
	second, err := contact("r", "a")
	h.ok(err)
	same(t, "the contact again", second, first)
	_, err = contact("r", "b")
	h.fails(err, models.Invalid)
	_, err = contact("contact-1", "b")
	h.ok(err)
}

// TestTriesOfACodeWait counts wrong tries that come at once: each sees those before it.
func TestTriesOfACodeWait(t *testing.T) {
	h := newHouse(t)
	id, ch := h.acme.contact.ID, models.ChannelSMS
	h.soc(func(tx *store.Tx) error { return tx.SetCode(id, ch, "key", noon) })
	var mu sync.Mutex
	seen := map[int]bool{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := h.ForClient(t.Context(), store.SOC, h.acme.ID, func(tx *store.Tx) error {
				_, _, wrong, err := tx.Code(id, ch)
				if err != nil {
					return err
				}
				mu.Lock()
				seen[wrong] = true
				mu.Unlock()
				return tx.WrongCode(id, ch)
			}); err != nil {
				t.Errorf("try a code: %v", err)
			}
		})
	}
	all.Wait()
	equal(t, "numbers of wrong tries seen", len(seen), 8)
}

// TestContactsChangeAtOnce changes a contact while its codes are sent and tried, and looks for transactions that wait
// for each other.
func TestContactsChangeAtOnce(t *testing.T) {
	h := newHouse(t)
	id, ch := h.acme.contact.ID, models.ChannelVoice
	var all sync.WaitGroup
	for name, do := range map[string]func(*store.Tx, int) error{
		"send": func(tx *store.Tx, _ int) error { return tx.SetCode(id, ch, "key", noon) },
		"try": func(tx *store.Tx, _ int) error {
			if _, _, _, err := tx.Code(id, ch); err != nil {
				return err
			}
			_, err := tx.Verify(id, ch, noon)
			return err
		},
		"change": func(tx *store.Tx, n int) error {
			c := h.acme.contact
			c.Phone = fmt.Sprintf("+1500555%04d", n)
			_, err := tx.UpdateContact(c)
			return err
		},
	} {
		all.Go(func() {
			for n := range 50 {
				err := h.ForClient(t.Context(), store.SOC, h.acme.ID, func(tx *store.Tx) error { return do(tx, n) })
				if err != nil && models.KindOf(err) != models.NotFound {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	all.Wait()
	h.soc(func(tx *store.Tx) error {
		c, err := tx.Contact(id)
		equal(t, "phone", c.Phone, "+15005550049")
		return err
	})
}
