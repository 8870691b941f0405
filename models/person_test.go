package models_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
)

func TestAPersonIsOneHumanWhateverTheTagAndCase(t *testing.T) {
	for _, same := range [][2]string{
		{"ines@c.example", "ines+2@c.example"}, {"ines+1@c.example", "ines+2@c.example"}, {"Ines@c.example", "ines@C.example"},
		{"ines+a+b@c.example", "INES@c.example"}, {"jÖrg@c.example", "jörg@c.example"},
	} {
		if a, b := models.PersonOf(same[0]), models.PersonOf(same[1]); !models.SamePerson(a, b) || !models.SamePerson(b, a) {
			t.Errorf("%v are two persons", same)
		}
	}
	for _, other := range [][2]string{
		{"ines@c.example", "ines@d.example"}, {"ines@c.example", "ine@c.example"}, {"+1@c.example", "+2@c.example"},
		{"ines@c.example", ""}, {"", ""}, {"ines+2@c.example", "2@c.example"},
	} {
		if models.SamePerson(models.PersonOf(other[0]), models.PersonOf(other[1])) {
			t.Errorf("%v are one person", other)
		}
	}
	if p := models.PersonOf("ines+2@c.example"); strings.Contains(p, "ines") || len(p) > 60 {
		t.Errorf("it tells the address: %s", p)
	}
}

// The name of before, which incidents hold that are open over an upgrade: half a hash of the address as it was written.
func nameOfBefore(email string) string {
	sum := sha256.Sum256([]byte("person " + strings.ToLower(strings.TrimSpace(email))))
	return hex.EncodeToString(sum[:8])
}

func TestAnUpgradeMakesNobodyTwoPersons(t *testing.T) {
	for _, c := range []models.Contact{
		{Email: "ines@c.example"}, {Email: "Ines+2@c.example"}, {Email: "eva@c.example", EmailBefore: "Eva Z <eva@c.example>"},
		{Email: "ada@xn--bcher-kva.example", EmailBefore: "ada@bücher.example"},
	} {
		stored := c.EmailBefore
		if stored == "" {
			stored = c.Email
		}
		user := models.User{Email: c.Email, EmailBefore: c.EmailBefore}
		if !models.SamePerson(nameOfBefore(stored), c.Person()) || !models.SamePerson(nameOfBefore(stored), user.Person()) {
			t.Errorf("%s is another person after the upgrade", stored)
		}
	}
	if got := models.PersonOf("ines@c.example"); got != nameOfBefore("ines@c.example") {
		t.Errorf("an ordinary address has another name: %s", got)
	}
}
