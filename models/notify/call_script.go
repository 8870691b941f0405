package notify

import "slices"

// Key is a digit that a human presses during a call.
type Key string

// The keys that a call asks for; each means the same in every call.
const (
	KeyAcknowledge Key = "1" // yes: acknowledges an incident, approves, hears which device
	KeyRepeat      Key = "2"
	KeyNextContact Key = "3"
	KeyDeny        Key = "9" // denies an approval
	// KeyReply stands for the code of a text message that its reader sent back.
	KeyReply Key = "reply"
	// KeyHeard stands for the first key of a call about an approval: whoever presses it has heard the incident's reference.
	KeyHeard Key = "heard"
)

// MaxAsked is how often one call asks for a key before it says goodbye.
const MaxAsked = 3

// CallScript holds the questions of a call, stage by stage, and the sentences that end it. Menus and sentences are
// named as the languages of report name them.
type CallScript struct {
	Stages  []CallStage // none: the call asks for no key
	Settled string      // the sentence in place of a menu when nothing is left to ask
	Over    string      // the sentence when the incident takes no answer any more
}

// CallStage is one question of a call.
type CallStage struct {
	Menu        string // the block that is spoken
	NamesDevice bool   // it says the endpoint's name, which is confidential: never in a first stage
	Keys        []KeyMeaning
}

// KeyMeaning is the effect of one key at a stage.
type KeyMeaning struct {
	Key    Key
	Use    KeyUse
	Thanks string // of an answer: the sentence that says that it is recorded
}

// KeyUse says how a call goes on after a key.
type KeyUse int

// The uses of a key. The zero KeyUse is a key without a meaning.
const (
	KeyAnswers   KeyUse = iota + 1 // enough: the workflow is told, and the call ends
	KeyContinues                   // the next stage is asked
	KeyAsksAgain                   // the stage is asked once more
)

// Meaning returns what a key means at the stage, the zero KeyMeaning for none.
func (s CallStage) Meaning(k Key) KeyMeaning {
	n := slices.IndexFunc(s.Keys, func(m KeyMeaning) bool { return m.Key == k })
	if n < 0 {
		return KeyMeaning{}
	}
	return s.Keys[n]
}

// CallScriptOf returns the script of a call with a purpose.
func CallScriptOf(p Purpose) CallScript {
	repeat, next := KeyMeaning{Key: KeyRepeat, Use: KeyAsksAgain}, KeyMeaning{Key: KeyNextContact, Use: KeyAnswers, Thanks: "key3"}
	switch p {
	case PurposeCode:
		return CallScript{}
	case PurposeApproval: // an answering machine must not be told the device, nor anybody deny what they have not heard
		return CallScript{
			Stages: []CallStage{
				{Menu: "approval-menu", Keys: []KeyMeaning{{Key: KeyAcknowledge, Use: KeyContinues}, repeat, next}},
				{Menu: "approval-details", NamesDevice: true, Keys: []KeyMeaning{
					{Key: KeyAcknowledge, Use: KeyAnswers, Thanks: "approved"}, {Key: KeyDeny, Use: KeyAnswers, Thanks: "denied"}, repeat, next,
				}},
			},
			Settled: "settled", Over: "settled",
		}
	default:
		return CallScript{
			Stages:  []CallStage{{Menu: "menu", Keys: []KeyMeaning{{Key: KeyAcknowledge, Use: KeyAnswers, Thanks: "key1"}, repeat, next}}},
			Settled: "already", Over: "over",
		}
	}
}
