package twilio

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

const (
	maxDocuments   = 25              // a longer conversation is a loop
	attentionSpan  = 3 * time.Second // from the beginning of a menu to the key
	charsPerSecond = 15              // of a reading voice
	playTime       = 3 * time.Second
)

// page is a document to ask the product for.
type page struct {
	url, method string
	extra       url.Values // reported with the request: Digits and the like
}

// holdConversation asks for a document after the answer, performs it, and so on until the call ends.
// It returns the ending.
func (t *simulator) holdConversation(c *call, who callee) ending {
	over := ending{status: "completed"}
	ctx := c.ctx
	if who.leaves > 0 {
		var leave context.CancelFunc
		ctx, leave = context.WithTimeout(ctx, t.Scale(who.leaves))
		defer leave()
	}
	next := &page{url: c.form.Get("Url"), method: c.form.Get("Method")}
	for range maxDocuments {
		verbs, err := t.fetchDocument(c, who, next)
		if err != nil {
			return t.breakConversation(c, err)
		}
		base := next.url
		if next = t.performDocument(ctx, c, &who, verbs, base); next == nil {
			return over
		}
		target, err := resolveURL(base, next.url)
		if err != nil {
			return t.breakConversation(c, &badDocument{err.Error()})
		}
		next.url = target
	}
	return t.breakConversation(c, &badDocument{fmt.Sprintf("the conversation went on for %d documents", maxDocuments)})
}

// breakConversation ends a conversation that cannot go on. A document that no carrier understands is
// a violation and fails the call; a product that does not answer merely ends it.
func (t *simulator) breakConversation(c *call, err error) ending {
	t.mu.Lock()
	c.problem = err.Error()
	t.mu.Unlock()
	var bad *badDocument
	if errors.As(err, &bad) {
		t.Violations.Add(t.Now(), stage.OpVoice, bad.Error())
		return ending{status: "failed"}
	}
	return ending{status: "completed"}
}

// performDocument performs one document and returns the next; nil means that the call is over.
func (t *simulator) performDocument(ctx context.Context, c *call, who *callee, verbs []verb, base string) *page {
	for _, v := range verbs {
		if ctx.Err() != nil {
			return nil
		}
		switch v.name {
		case "Gather":
			if next := t.gatherKeys(ctx, c, who, v, base); next != nil {
				return next
			}
		case "Redirect":
			return &page{url: v.text, method: v.attrs["method"]}
		case "Hangup", "Reject":
			return nil
		default:
			t.noteUtterance(c, v)
			t.Wait(ctx, v.duration())
		}
	}
	return nil
}

// gatherKeys plays a menu and waits for a key. It returns the page that takes the result, or nil when
// the document simply goes on.
func (t *simulator) gatherKeys(ctx context.Context, c *call, who *callee, v verb, base string) *page {
	patience := time.Duration(v.intAttribute("timeout", 5)) * time.Second
	window := patience
	for _, inner := range v.nested {
		t.noteUtterance(c, inner)
		window += inner.duration()
	}
	next := &page{url: v.attrs["action"], method: v.attrs["method"], extra: url.Values{"Digits": {""}, "FinishedOnKey": {""}}}
	if next.url == "" {
		next.url = base
	}
	if len(who.keys) > 0 && attentionSpan < window {
		if !t.Wait(ctx, attentionSpan) {
			return nil
		}
		key := who.keys[0]
		who.keys = who.keys[1:]
		t.noteKey(c, key)
		if v.intAttribute("numDigits", 0) != 1 && !t.Wait(ctx, patience) {
			return nil
		}
		next.extra.Set("Digits", key)
		return next
	}
	if !t.Wait(ctx, window) || v.attrs["actionOnEmptyResult"] != "true" {
		return nil
	}
	return next
}

// duration is how long the verb keeps the line busy.
func (v verb) duration() time.Duration {
	times := max(v.intAttribute("loop", 1), 1)
	switch v.name {
	case "Say":
		return time.Duration(times) * time.Duration(len(v.text)) * time.Second / charsPerSecond
	case "Play":
		return time.Duration(times) * playTime
	case "Pause":
		return time.Duration(v.intAttribute("length", 1)) * time.Second
	}
	return 0
}

func (t *simulator) noteUtterance(c *call, v verb) {
	if v.name != "Say" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	u := utterance{Text: v.text, At: t.Now().UTC()}
	if n := len(c.keys); n > 0 {
		u.AfterKey = c.keys[n-1].Key
	}
	c.utterances = append(c.utterances, u)
}

func (t *simulator) noteKey(c *call, key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.keys = append(c.keys, keyPress{Key: key, At: t.Now().UTC()})
}

func resolveURL(base, ref string) (string, error) {
	b, err := url.Parse(base)
	if err != nil {
		return "", fmt.Errorf("the address of the document is not valid")
	}
	u, err := b.Parse(ref)
	if err != nil || !isWebhookURL(u.String()) {
		return "", fmt.Errorf("the document names an address that is not valid")
	}
	return u.String(), nil
}
