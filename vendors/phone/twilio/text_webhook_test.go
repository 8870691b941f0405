package twilio

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/watchfire-mdr/watchfire/models"
)

func values(pairs ...string) url.Values {
	f := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		f.Set(pairs[i], pairs[i+1])
	}
	return f
}

func TestParseTextReport(t *testing.T) {
	for _, c := range []struct {
		name string
		form url.Values
		want TextReport
	}{
		{"sent", values("MessageSid", textID, "MessageStatus", "sent"), TextReport{TextID: textID, Status: models.TextSent}},
		{"delivered", values("MessageSid", textID, "MessageStatus", "delivered", "RawDlrDoneDate", "2603011200"),
			TextReport{TextID: textID, Status: models.TextDelivered}},
		{"unreachable", values("MessageSid", textID, "MessageStatus", "undelivered", "ErrorCode", "30003"),
			TextReport{TextID: textID, Status: models.TextUndelivered, ErrorCode: "30003"}},
		{"with a picture", values("MessageSid", "MM"+textID[2:], "MessageStatus", "failed"),
			TextReport{TextID: "MM" + textID[2:], Status: models.TextFailed}},
		{"odd code is dropped", values("MessageSid", textID, "MessageStatus", "failed", "ErrorCode", "<b>"),
			TextReport{TextID: textID, Status: models.TextFailed}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := ParseTextReport(c.form); err != nil || got != c.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	for _, bad := range []url.Values{
		nil, values("MessageSid", textID), values("MessageSid", textID, "MessageStatus", "completed"),
		values("MessageSid", sid, "MessageStatus", "sent"), values("MessageSid", textID+"0", "MessageStatus", "sent"),
		values("MessageStatus", "sent"), values("SmsSid", textID, "SmsStatus", "sent"),
	} {
		if _, err := ParseTextReport(bad); models.KindOf(err) != models.Invalid {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestParseIncoming(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"an answer":       {"1", "1"},
		"several lines":   {" Ja,\r\nich komme\n", "Ja, ich komme"},
		"direction marks": {"pay\u202Eexe\u0000", "payexe"},
		"broken UTF-8":    {"a\xffb", "ab"},
		"a picture":       {"", ""},
		"endless":         {strings.Repeat("ü", 5000), strings.Repeat("ü", 1600)},
	} {
		got, err := ParseIncoming(values("MessageSid", textID, "From", to, "Body", c.body))
		if want := (IncomingText{TextID: textID, From: to, Body: c.want}); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	for _, bad := range []url.Values{
		nil, values("MessageSid", textID, "Body", "1"), values("MessageSid", sid, "From", to, "Body", "1"),
		values("From", to, "Body", "1"), values("MessageSid", textID, "From", "whatsapp:"+to, "Body", "1"),
		values("MessageSid", textID, "From", "12345", "Body", "1"), values("MessageSid", textID, "From", "MYBANK", "Body", "1"),
	} {
		if _, err := ParseIncoming(bad); models.KindOf(err) != models.Invalid {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestParseMachine(t *testing.T) {
	for by, machine := range map[string]bool{
		"human": false, "unknown": false, "machine_start": true, "machine_end_beep": true, "machine_end_silence": true, "fax": true,
	} {
		got, err := ParseMachine(values("CallSid", sid, "AnsweredBy", by, "MachineDetectionDuration", "2900"))
		if want := (MachineReport{CallID: sid, AnsweredBy: by}); err != nil || got != want || got.Machine() != machine {
			t.Errorf("%s: got %+v, machine %v, %v", by, got, got.Machine(), err)
		}
	}
	for _, bad := range []url.Values{
		nil, values("CallSid", sid), values("AnsweredBy", "human"), values("CallSid", textID, "AnsweredBy", "human"),
		values("CallSid", sid, "AnsweredBy", "<b>"),
	} {
		if _, err := ParseMachine(bad); models.KindOf(err) != models.Invalid {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestReply(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"plain":           {"Recorded. Thank you.", "Recorded. Thank you."},
		"markup":          {"</Message><Redirect>https://x</Redirect>", "</Message><Redirect>https://x</Redirect>"},
		"entities":        {"a & b &amp; \"c\"", "a & b &amp; \"c\""},
		"line breaks":     {"one\r\ntwo", "one two"},
		"direction marks": {"pay\u202Eexe", "payexe"},
	} {
		doc, err := Reply(c.text)
		root := parse(t, doc, err)
		if root.names() != "Message" || root.Children[0].names() != "" || root.Children[0].Text != c.want {
			t.Errorf("%s: %s", name, doc)
		}
	}
	for _, nothing := range []string{"", "\r\n\u200b"} {
		doc, err := Reply(nothing)
		if root := parse(t, doc, err); len(root.Children) != 0 {
			t.Errorf("%q: %s", nothing, doc)
		}
	}
}

func TestAnyReplyIsOneShortMessage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := "x" + rapid.StringN(-1, 500, -1).Draw(t, "text")
		doc, err := Reply(text)
		root := parse(t, doc, err)
		if root.names() != "Message" || utf8.RuneCountInString(root.Children[0].Text) > 320 {
			t.Fatalf("%q gives %s", text, doc)
		}
	})
}
