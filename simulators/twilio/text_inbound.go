package twilio

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// WriteText makes a person write to the account's number now.
func (t *simulator) WriteText(from, body string) error {
	switch {
	case t.inboundURL == "":
		return errors.New("the simulator posts no texts of people, start it with an address for them")
	case !isE164(from) || from == t.from:
		return errors.New("from must be a number in E.164 form other than the account's")
	case body == "" || utf8.RuneCountInString(body) > maxTextRunes:
		return errors.New("body must have 1 to 1600 characters")
	}
	persona := t.Personas.Current(textKey + from)
	t.Play(func(ctx context.Context) { t.receiveText(ctx, from, body, persona, "") })
	return nil
}

// receiveText takes a text of a person, posts it to the product and follows the answer.
func (t *simulator) receiveText(ctx context.Context, person, body, persona, replyOf string) {
	x := t.newText(textInbound, person, body, persona)
	x.replyOf = replyOf
	t.keepText(x)
	if t.inboundURL == "" {
		return
	}
	d := delivery{url: t.inboundURL, idempotency: stage.RandomHex(32), params: url.Values{
		"MessageSid": {x.sid}, "SmsSid": {x.sid}, "SmsMessageSid": {x.sid}, "SmsStatus": {"received"},
		"AccountSid": {t.account}, "From": {x.from}, "To": {x.to}, "Body": {x.body},
		"NumMedia": {"0"}, "NumSegments": {strconv.Itoa(countSegments(x.body))}, "ApiVersion": {"2010-04-01"}}}
	record := textCallback{Status: x.status, At: x.created}
	t.postToProduct(ctx, stage.OpInboundText, d, func(fault string, r *stage.Reply) {
		t.followAnswer(x, fault, r)
		t.noteTextCallback(x, record, fault, r)
	})
}

// followAnswer sends the texts in the product's answer to a text. An answer that Twilio cannot follow
// is a violation; a product that is down, or that refuses a wrong signature, is none.
func (t *simulator) followAnswer(x *text, fault string, r *stage.Reply) {
	if r == nil || r.Status >= 500 || (fault == stage.FaultMissign && r.Status >= 400) {
		return
	}
	bodies, err := readMessages(r)
	if err != nil {
		t.Violations.Add(t.Now(), stage.OpInboundText, err.Error())
		return
	}
	for _, body := range bodies {
		a := t.newText(textAnswer, x.from, body, x.persona)
		a.replyOf = x.sid
		t.noteLinks(stage.OpInboundText, body)
		t.keepText(a)
		t.Play(func(ctx context.Context) { t.playText(ctx, a) })
	}
}

// readMessages returns the bodies of the messages in a reply to an inbound text.
func readMessages(r *stage.Reply) ([]string, error) {
	switch {
	case r.Status/100 != 2:
		return nil, fmt.Errorf("the text was answered with status %d", r.Status)
	case len(r.Body) == 0 && (r.Status == http.StatusOK || r.Status == http.StatusNoContent):
		return nil, nil
	case !slices.Contains([]string{"text/xml", "application/xml"}, r.MediaType):
		return nil, errors.New("the answer to a text is not XML but " + strconv.Quote(r.MediaType))
	}
	return parseTextAnswer(r.Body)
}

// textElement is an element of an answer with everything inside it.
type textElement struct {
	XMLName xml.Name
	Text    string        `xml:",chardata"`
	Attrs   []xml.Attr    `xml:",any,attr"`
	Inside  []textElement `xml:",any"`
}

// parseTextAnswer reads a Response of plain Messages and refuses everything else.
func parseTextAnswer(doc []byte) ([]string, error) {
	d := xml.NewDecoder(bytes.NewReader(doc))
	var root textElement
	if err := d.Decode(&root); err != nil {
		return nil, fmt.Errorf("broken document: %w", err)
	}
	if after, err := nextElement(d); after != nil || (err != nil && !errors.Is(err, io.EOF)) {
		return nil, errors.New("something follows the Response")
	}
	if root.XMLName.Local != "Response" || len(root.Attrs) > 0 || strings.TrimSpace(root.Text) != "" {
		return nil, errors.New("the root must be a plain Response")
	}
	var bodies []string
	for _, m := range root.Inside {
		body := strings.TrimSpace(m.Text)
		if m.XMLName.Local != "Message" || len(m.Attrs) > 0 || len(m.Inside) > 0 {
			return nil, errors.New("an answer to a text holds plain Messages only")
		}
		if body == "" || utf8.RuneCountInString(body) > maxTextRunes {
			return nil, errors.New("a Message needs 1 to 1600 characters")
		}
		bodies = append(bodies, body)
	}
	return bodies, nil
}
