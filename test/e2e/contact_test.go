package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/watchfire-mdr/watchfire/models"
)

// notices returns the notices of changed contacts that were mailed to an address.
func (s *scene) notices(email string) []string {
	s.t.Helper()
	return slices.DeleteFunc(s.allMailTextsTo(models.Contact{Email: email}), func(text string) bool { return !isNotice(text) })
}

// noticeTexts counts the texts to a number that tell of its change.
func (s *scene) noticeTexts(phone string) (n int) {
	s.t.Helper()
	var e struct{ Texts map[string][]shortMessage }
	s.effects("twilio", &e)
	for _, m := range e.Texts[phone] {
		if isNotice(m.Body) {
			n++
		}
	}
	return n
}

// The SOC moves a contact to another mailbox and phone: the client's admin, the old and the new address and both numbers
// hear of it, each once, and nobody reads the other one's address.
func TestAChangedContactIsToldToAdminsAndToOldAndNewAddress(t *testing.T) {
	s := newClientScene(t, func(*models.Policy) {})
	admin := fmt.Sprintf("admin@client%d.example", s.number)
	path := fmt.Sprintf("/clients/%d/contacts", s.number)
	at := func(email string, phone int) map[string]any {
		return map[string]any{
			"name": "Ines", "language": "en", "order": 3, "email": fmt.Sprintf("%s@client%d.example", email, s.number), "phone": fmt.Sprintf("+4915%d%07d", phone, s.number),
			"severities": models.Severities(), "channels": []models.Channel{models.ChannelEmail, models.ChannelSMS},
		}
	}
	old, now := at("ines.old", 11), at("ines.new", 12)
	var c models.Contact
	s.post(s.operator, path, old, &c)
	s.await("the notice of new contacts", func() (bool, error) {
		runSQL(t, system.OwnerURL(), "update contact_changes set noticed_at = noticed_at - interval '1 hour' where client_id = $1", c.ClientID) // not wait a minute
		return len(s.notices(admin)) > 0 && len(s.notices(c.Email)) == 1, nil
	})
	if told := strings.Join(s.notices(admin), ""); !strings.Contains(told, "Contact 1: added by an operator of the SOC") {
		t.Errorf("the admin reads: %s", told)
	}
	if err := s.analyst.Put(t.Context(), path+"/"+c.ID.String(), now, nil); err != nil {
		t.Fatal(err)
	}
	runSQL(t, system.OwnerURL(), "update contact_changes set noticed_at = noticed_at - interval '1 hour' where client_id = $1", c.ClientID)
	moved := func(texts []string) string {
		texts = slices.DeleteFunc(texts, func(text string) bool { return !strings.Contains(text, "changed (e-mail") })
		if len(texts) > 1 {
			t.Errorf("told %d times", len(texts))
		}
		return strings.Join(texts, "")
	}
	oldMail, newMail := old["email"].(string), now["email"].(string)
	oldPhone, newPhone := old["phone"].(string), now["phone"].(string)
	s.await("the notices of the change", func() (bool, error) {
		return moved(s.notices(admin)) != "" && moved(s.notices(oldMail)) != "" && moved(s.notices(newMail)) != "" &&
			s.noticeTexts(oldPhone) > 0 && s.noticeTexts(newPhone) > 0, nil
	})
	if a, b := s.noticeTexts(oldPhone), s.noticeTexts(newPhone); a != 1 || b != 1 {
		t.Errorf("the old number got %d texts, the new one %d, want one each", a, b)
	}
	for reader, text := range map[string]string{admin: moved(s.notices(admin)), oldMail: moved(s.notices(oldMail)), newMail: moved(s.notices(newMail))} {
		for _, whole := range []string{oldMail, newMail, oldPhone, newPhone} {
			if strings.Contains(text, whole) {
				t.Errorf("%s reads %s whole", reader, whole)
			}
		}
		if !strings.Contains(text, "by an analyst of the SOC") || strings.Contains(text, "Ines") != (reader == admin) {
			t.Errorf("%s reads: %s", reader, text)
		}
	}
	s.await("the addresses to be forgotten", func() (bool, error) {
		return len(s.changes("told_at is null or before is not null or after is not null")) == 0, nil
	})
}

// changes returns the ids of those changes of the client's contacts for which a condition holds, the oldest first.
func (s *scene) changes(which string) []string {
	s.t.Helper()
	db, err := pgx.Connect(s.t.Context(), system.OwnerURL())
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close(s.t.Context())
	rows, err := db.Query(s.t.Context(), `select c.id::text from contact_changes c join clients on clients.id = client_id
		where number = $1 and (`+which+`) order by at, c.id`, s.number)
	if err != nil {
		s.t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.t.Fatal(err)
	}
	return ids
}
