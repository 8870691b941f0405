package notify_test

import (
	"testing"

	"github.com/watchfire-mdr/watchfire/models/notify"
)

// use holds the use of a key at a stage, and the text that is spoken when it is recorded.
type use struct {
	use    notify.KeyUse
	thanks string
}

func TestCallScripts(t *testing.T) {
	again, next := use{notify.KeyAsksAgain, ""}, use{notify.KeyAnswers, "key3"}
	for purpose, stages := range map[notify.Purpose][]map[notify.Key]use{
		notify.PurposePublished: {{"1": {notify.KeyAnswers, "key1"}, "2": again, "3": next}},
		notify.PurposeApproval: {
			{"1": {notify.KeyContinues, ""}, "2": again, "3": next},
			{"1": {notify.KeyAnswers, "approved"}, "2": again, "3": next, "9": {notify.KeyAnswers, "denied"}},
		},
		notify.PurposeCode: {},
	} {
		script := notify.CallScriptOf(purpose)
		if len(script.Stages) != len(stages) {
			t.Errorf("%s: %d stages", purpose, len(script.Stages))
			continue
		}
		for n, want := range stages {
			for _, key := range []notify.Key{"", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "11", "*", "#"} {
				if got := script.Stages[n].Meaning(key); (use{got.Use, got.Thanks}) != want[key] {
					t.Errorf("%s, stage %d, key %q: %+v, want %+v", purpose, n+1, key, got, want[key])
				}
			}
			if last := n == len(stages)-1; script.Stages[n].NamesDevice != (purpose == notify.PurposeApproval && last) {
				t.Errorf("%s, stage %d: names the device %t", purpose, n+1, script.Stages[n].NamesDevice)
			}
		}
	}
}
