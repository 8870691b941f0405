package models_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
)

// A text is bounded by what it takes as JSON, in histories and rows, and not only by its characters.
func TestATextIsBoundedInBytesAsJSON(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"as many letters as fit":    {strings.Repeat("a", models.MaxText), true},
		"one letter more":           {strings.Repeat("a", models.MaxText+1), false},
		"as many signs of 3 bytes":  {strings.Repeat("報", models.MaxText), true},
		"signs of 4 bytes":          {strings.Repeat("🔥", models.MaxText), false},
		"few signs of 4 bytes":      {strings.Repeat("🔥", models.MaxText*3/4), true},
		"signs that JSON escapes":   {strings.Repeat("<", models.MaxText), false},
		"half as many":              {strings.Repeat("<", models.MaxText/2), true},
		"quotes":                    {strings.Repeat(`"`, models.MaxText), true},
		"controls":                  {strings.Repeat("\x01", models.MaxText), false},
		"bytes that are no letters": {strings.Repeat("\xff", models.MaxText), false},
	} {
		if err := models.CheckText("/text", c.text, models.MaxText, true); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, s := range []string{"", "a\"b\\c\b\f\n\r\t", "<>&", "\x00\x1f\x7f", "é報🔥", "\u2028\u2029", "\xff�"} {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		bytes := len(b) - len(`""`)
		least := max((bytes+2)/3, len([]rune(s))) // limit that the text keeps
		if err := models.CheckText("", s, least, false); err != nil {
			t.Errorf("%q takes %d bytes: %v", s, bytes, err)
		}
	}
}
