package hooks

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/vendors/phone/twilio"
)

// repliesFor is how long the code in a text message acknowledges.
const repliesFor = 7 * 24 * time.Hour

// The most codes that one reply is taken to hold: as they are, and written in groups.
const (
	maxCandidates = 5
	maxJoined     = 2
)

// textRank orders what the carrier says of a text: it never goes back.
func textRank(s models.TextStatus) int {
	switch s {
	case models.TextAccepted, models.TextQueued:
		return 1
	case models.TextSending:
		return 2
	case models.TextSent:
		return 3
	case models.TextDelivered, models.TextUndelivered, models.TextFailed:
		return 4
	default:
		return 0
	}
}

// textStatus takes the carrier's word on a text message of ours.
func (h *Hooks) textStatus(c *gin.Context) {
	client, ok := clientOf(c)
	if !ok {
		return
	}
	form, _ := c.MustGet(formKey).(url.Values)
	r, err := twilio.ParseTextReport(form)
	if err != nil {
		c.AbortWithStatus(http.StatusBadRequest)
		return
	}
	ctx := c.Request.Context()
	var row store.LedgerRow
	var mine bool
	err = h.Store.ForClient(ctx, store.Hooks, client, func(tx *store.Tx) (err error) {
		row, mine, err = tx.Adopt(c.Param("token"), vendor, r.TextID, tx.Now())
		return err
	})
	rank := textRank(r.Status)
	switch {
	case models.KindOf(err) == models.NotFound:
		c.AbortWithStatus(http.StatusNotFound)
		return
	case err == nil && mine && rank > 0:
		err = h.advance(ctx, client, vendor, []store.VendorReport{{
			EventID: r.TextID + "/" + string(r.Status), Effect: row.ID, State: string(r.Status), Rank: rank, Sequence: -1, Detail: r.ErrorCode,
		}})
	}
	if err != nil {
		h.failTemporarily(c, "text status", err)
		return
	}
	c.Status(http.StatusNoContent)
}

// textReply takes a text message that a person sent us. Only the code of a message of ours, from the number that got
// it, means anything: it acknowledges the incident. The answer says "recorded" only when it is certain that the
// workflow learns of it.
func (h *Hooks) textReply(c *gin.Context) {
	form, _ := c.MustGet(formKey).(url.Values)
	in, err := twilio.ParseIncoming(form)
	if err != nil {
		c.AbortWithStatus(http.StatusBadRequest)
		return
	}
	answer, err := h.reply(c.Request.Context(), in)
	if err != nil {
		h.failTemporarily(c, "text reply", err)
		return
	}
	h.speak(c, func() ([]byte, error) { return twilio.Reply(answer) })
}

// reply acts on a text message and returns the answer, "" for none. Strangers get none.
func (h *Hooks) reply(ctx context.Context, in twilio.IncomingText) (string, error) {
	awaited, err := store.Run(h.Store.InEveryClient(ctx), func(tx *store.Tx) ([]store.AwaitedReply, error) {
		return tx.AwaitedReplies(in.From, tx.Now().Add(-repliesFor))
	})
	if err != nil || len(awaited) == 0 {
		return "", err
	}
	candidates, tries := candidatesIn(in.Body)
	open := map[uuid.UUID][]string{} // client -> keys of the texts whose codes still count
	meant := uuid.Nil                // the client whose text it seems to answer: it is no wrong reply to those of others
	var settled *store.LedgerRow     // whose code changes nothing, so that it may be guessed
	var settledCodes []string        // which what stands beside them is no better for
	var newest *store.LedgerRow      // that is not settled
	for n := range awaited {
		row, isCode := &awaited[n].LedgerRow, slices.Contains(candidates, awaited[n].Code())
		switch {
		case awaited[n].IsSettled && isCode:
			settled, settledCodes = row, append(settledCodes, row.Code())
		case awaited[n].IsSettled:
		default:
			open[row.ClientID] = append(open[row.ClientID], row.Key)
			if isCode {
				meant = row.ClientID
			}
			if newest == nil {
				newest = row
			}
		}
	}
	if meant == uuid.Nil && settled != nil {
		candidates = slices.DeleteFunc(candidates, func(c string) bool { return slices.Contains(settledCodes, c) })
		tries = min(tries, len(candidates))
	}
	if settled != nil && len(candidates) == 0 {
		return h.answerText(ctx, *settled, settledAnswer(*settled))
	}
	answer := ""
	for client, texts := range open {
		if meant != uuid.Nil && meant != client {
			continue
		}
		keys, err := store.Run(h.Store.InClient(ctx, store.Hooks, client), func(tx *store.Tx) ([]string, error) {
			return tx.TakeReply(texts, candidates, tries)
		})
		if err != nil {
			return "", err
		}
		for _, a := range awaited {
			if a.ClientID != client || !slices.Contains(keys, a.Key) {
				continue
			}
			if answer, err = h.acknowledge(ctx, a.LedgerRow); err != nil {
				return "", err
			}
		}
	}
	if answer == "" && settled != nil {
		return h.answerText(ctx, *settled, settledAnswer(*settled))
	}
	if answer != "" || newest == nil { // "thanks", and nothing is left to help with
		return answer, nil
	}
	return h.explainCode(ctx, *newest)
}

// settledAnswer names the answer to the code of an incident that somebody has acknowledged: perhaps with this very code.
func settledAnswer(row store.LedgerRow) string {
	if row.AcknowledgedBy != uuid.Nil {
		return "recorded"
	}
	return "already"
}

// codeLength is the number of digits of a code.
const codeLength = 6

// candidatesIn returns the codes that a message may hold, in any script and whatever stands around them, and how many
// tries it is. A longer number holds none. When there is no number of six digits, two or more that stand together may be
// one: people write codes in groups, and also dates, which are no guesses.
func candidatesIn(body string) (codes []string, tries int) {
	plain := strings.Map(func(r rune) rune {
		switch digit, is := digitOf(r); {
		case is:
			return digit
		case isSeparator(r):
			return ' '
		}
		return '\n'
	}, body)
	var joined []string
	for line := range strings.SplitSeq(plain, "\n") {
		groups := strings.Fields(line)
		for n, group := range groups {
			if len(group) == codeLength {
				codes = append(codes, group)
				continue
			}
			code := ""
			for _, g := range groups[n:] {
				if code += g; len(code) >= codeLength {
					break
				}
			}
			if len(code) == codeLength {
				joined = append(joined, code)
			}
		}
	}
	if codes = firstOf(codes, maxCandidates); len(codes) > 0 {
		return codes, len(codes)
	}
	return firstOf(joined, maxJoined), 1
}

// firstOf returns the first n different ones.
func firstOf(all []string, n int) (some []string) {
	for _, one := range all {
		if len(some) < n && !slices.Contains(some, one) {
			some = append(some, one)
		}
	}
	return some
}

// digitOf returns the ASCII form of a decimal digit of any script. Unicode keeps the ten digits of each together, from
// zero on, and puts no digit right before a zero but another nine (The Unicode Standard, section 4.6).
func digitOf(r rune) (digit rune, is bool) {
	if !unicode.Is(unicode.Nd, r) {
		return 0, false
	}
	var above rune // zero, or the zero of the first of several sets in a row
	for unicode.Is(unicode.Nd, r-above-1) {
		above++
	}
	return '0' + above%10, true
}

// isSeparator reports whether people put a rune between groups of digits, or their phones do: also what nobody sees.
func isSeparator(r rune) bool {
	return unicode.Is(unicode.Pd, r) || unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) || r == '.' || r == '_'
}

// acknowledge tells the incident that a contact answered.
func (h *Hooks) acknowledge(ctx context.Context, row store.LedgerRow) (string, error) {
	if err := h.keepStatement(ctx, row, notify.KeyReply); err != nil {
		return "", err
	}
	told, err := h.signal(ctx, models.SignalTextReply, notify.TextReply{Effect: row.Key, Contact: row.Contact}, row.Incident.WorkflowID())
	switch {
	case err != nil:
		return "", err
	case !told:
		return h.answerText(ctx, row, "over")
	}
	err = h.Store.ForClient(ctx, store.Hooks, row.ClientID, func(tx *store.Tx) error {
		return tx.Acknowledge(row.Key, row.Contact, "reply to text message", tx.Now())
	})
	if err != nil {
		return "", err
	}
	return h.answerText(ctx, row, "recorded")
}

// explainCode answers a message that holds no code of ours. After ten of them there is no answer any more: an answering
// machine must not talk to us for ever.
func (h *Hooks) explainCode(ctx context.Context, row store.LedgerRow) (string, error) {
	err := h.Store.ForClient(ctx, store.Hooks, row.ClientID, func(tx *store.Tx) error {
		return tx.SetOutcome(row.Key, "answered without the code", tx.Now())
	})
	if err != nil {
		return "", err
	}
	return h.answerText(ctx, row, "not-recognised")
}

// answerText returns an answer in the language of the contact.
func (h *Hooks) answerText(ctx context.Context, row store.LedgerRow, name string) (string, error) {
	contact, err := store.Run(h.Store.InClient(ctx, store.Hooks, row.ClientID), func(tx *store.Tx) (models.Contact, error) {
		return tx.Contact(row.Contact)
	})
	if err != nil {
		return "", err
	}
	return h.Words.Answer(contact.Language, name)
}
