package hooks

import (
	"strings"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/phone/twilio"
)

// script is what is said on the phone. Nothing confidential is: no title, no client name, only severity and reference.
type script struct{}

const english = "en-US"

// sentence returns a fixed sentence.
func (script) sentence(name string) string {
	switch name {
	case "already":
		return "This is Watchfire. The security incident this call is about was acknowledged already. Thank you. Goodbye."
	case "over":
		return "Thank you. The security incident this call is about is over. Goodbye."
	case "key1":
		return "Thank you. Your acknowledgement is recorded. Please open the portal. Goodbye."
	case "key3":
		return "Thank you. We call the next contact. Goodbye."
	case "wrong":
		return "This key has no meaning here. "
	case "again":
		return "Your key press could not be recorded. Please press it again. "
	case "":
		return ""
	default:
		return "Goodbye."
	}
}

func (s script) say(name string) ([]byte, error) { return twilio.Say(s.sentence(name), english) }

// menu asks for a key. before is the name of a sentence that comes first.
func (s script) menu(before string, i models.Incident, action string) ([]byte, error) {
	drill := ""
	if i.Drill {
		drill = "This is a drill. "
	}
	text := s.sentence(before) + drill + "This is Watchfire with a " + string(i.Severity) + " security incident. Reference " + spell(i.Reference) +
		". Press 1 to acknowledge. Press 2 to hear this again. Press 3 to pass to the next contact."
	return twilio.Menu(twilio.Spoken{Text: text, Language: english}, action)
}

// spell writes a reference so that a voice reads it letter by letter and digit by digit.
func spell(r models.Reference) string {
	var parts []string
	for part := range strings.SplitSeq(string(r), "-") {
		parts = append(parts, strings.Join(strings.Split(part, ""), " "))
	}
	return strings.Join(parts, ", ")
}
