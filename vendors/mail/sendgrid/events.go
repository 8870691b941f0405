package sendgrid

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"sync/atomic"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

const (
	maxReason  = 500 // runes
	maxEventID = 200 // bytes
)

// Events verifies and reads what SendGrid's signed Event Webhook posts. It is safe for concurrent
// use.
type Events struct {
	key     *ecdsa.PublicKey
	skipped atomic.Uint64
}

// NewEvents takes the webhook's verification key as SendGrid shows it: base64 of a DER public
// key. It rejects anything but ECDSA on P-256.
func NewEvents(publicKeyBase64 string) (*Events, error) {
	der, err := base64.StdEncoding.DecodeString(strings.TrimSpace(publicKeyBase64))
	if err != nil || len(der) == 0 {
		return nil, errors.New("sendgrid: the webhook key is not base64")
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, errors.New("sendgrid: the webhook key is not a public key")
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("sendgrid: the webhook key is not an ECDSA P-256 key")
	}
	return &Events{key: key}, nil
}

// Skipped counts, since NewEvents, the events of verified batches that were left out because
// they were unreadable or of a kind this platform does not know.
func (e *Events) Skipped() uint64 { return e.skipped.Load() }

// longestTimestamp bounds the digits of a header X-Twilio-Email-Event-Webhook-Timestamp.
const longestTimestamp = 20

// IsSignature reports whether the headers of a signature have the form of one: base64 of an ECDSA
// signature in ASN.1, and the seconds of a time. It says nothing of who made it, and costs
// nothing to ask before a body is read.
func IsSignature(signature, timestamp string) bool {
	der, err := base64.StdEncoding.DecodeString(signature)
	if err != nil || timestamp == "" || len(timestamp) > longestTimestamp || strings.Trim(timestamp, "0123456789") != "" {
		return false
	}
	var pair struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &pair)
	return err == nil && len(rest) == 0 && pair.R.Sign() > 0 && pair.S.Sign() > 0
}

// Parse checks the signature (X-Twilio-Email-Event-Webhook-Signature and -Timestamp) over the raw
// body, byte for byte, and reads the batch. Batches repeat, mix tenants and come out of order:
// use MailEvent.ID to de-duplicate and MailEvent.At to order. The age of the timestamp is not
// judged, because SendGrid repeats batches for a day.
//
// Errors are *models.Error: Forbidden for a wrong signature, Invalid for a body that is no array.
// One bad event does not fail the batch; see Skipped.
func (e *Events) Parse(rawBody []byte, signature, timestamp string) ([]models.MailEvent, error) {
	if !e.signed(rawBody, signature, timestamp) {
		return nil, models.Errorf(models.Forbidden, "the signature is not valid")
	}
	var batch []json.RawMessage
	if err := json.Unmarshal(rawBody, &batch); err != nil {
		return nil, models.Errorf(models.Invalid, "the body is not an array of events")
	}
	events := make([]models.MailEvent, 0, len(batch))
	for _, raw := range batch {
		event, ok := read(raw)
		if !ok {
			e.skipped.Add(1)
			continue
		}
		events = append(events, event)
	}
	return events, nil
}

func (e *Events) signed(body []byte, signature, timestamp string) bool {
	der, err := base64.StdEncoding.DecodeString(signature)
	if err != nil || timestamp == "" {
		return false
	}
	digest := sha256.New()
	digest.Write([]byte(timestamp))
	digest.Write(body)
	return ecdsa.VerifyASN1(e.key, digest.Sum(nil), der)
}

// wireEvent holds the fields used of all kinds of event.
type wireEvent struct {
	ID             string      `json:"sg_event_id"`
	Event          string      `json:"event"`
	Type           string      `json:"type"` // of a bounce: "bounce" or "blocked"
	Timestamp      json.Number `json:"timestamp"`
	Reason         string      `json:"reason"`
	Response       string      `json:"response"`
	Message        string      `json:"message"`
	Status         string      `json:"status"`
	Classification string      `json:"bounce_classification"`
}

func read(raw json.RawMessage) (models.MailEvent, bool) {
	var wire wireEvent
	if json.Unmarshal(raw, &wire) != nil {
		return models.MailEvent{}, false
	}
	kind := kindOf(wire)
	seconds, err := wire.Timestamp.Int64()
	if kind == "" || err != nil || seconds <= 0 {
		return models.MailEvent{}, false
	}
	return models.MailEvent{
		ID: idOf(wire, raw), Type: kind, At: time.Unix(seconds, 0).UTC(),
		Reason: reasonOf(wire), Opaque: opaqueOf(raw),
	}, true
}

// kindOf returns the event in the words of models.MailEvent, "" for one that says nothing about
// a delivery.
func kindOf(wire wireEvent) string {
	switch wire.Event {
	case "bounce":
		if wire.Type == "blocked" {
			return "blocked"
		}
		return "bounce"
	case "group_unsubscribe":
		return "unsubscribe"
	case "processed", "deferred", "delivered", "dropped", "open", "click", "spamreport", "unsubscribe":
		return wire.Event
	}
	return ""
}

// idOf returns SendGrid's event id, or one made of the content where it sends none (it does for
// some drops), so that a repeated batch still gives the same id.
func idOf(wire wireEvent, raw json.RawMessage) string {
	if wire.ID != "" && len(wire.ID) <= maxEventID {
		return wire.ID
	}
	sum := sha256.Sum256(raw)
	return "sha256-" + hex.EncodeToString(sum[:])
}

// reasonOf joins what SendGrid says about the cause, without repetition.
func reasonOf(wire wireEvent) string {
	var said []string
	for _, part := range []string{wire.Reason, wire.Message, wire.Response, wire.Classification} {
		if part = models.CleanLine(part, maxReason); part != "" && !strings.Contains(strings.Join(said, "; "), part) {
			said = append(said, part)
		}
	}
	if status := models.CleanLine(wire.Status, 20); status != "" && !strings.Contains(strings.Join(said, "; "), status) {
		said = append(said, "status "+status)
	}
	return models.CleanLine(strings.Join(said, "; "), maxReason)
}

// opaqueOf returns our own custom arguments, which SendGrid merges with the event's fields.
func opaqueOf(raw json.RawMessage) map[string]string {
	var all map[string]any
	if json.Unmarshal(raw, &all) != nil {
		return nil
	}
	opaque := map[string]string{}
	for key, value := range all {
		if text, ok := value.(string); ok && strings.HasPrefix(key, opaquePrefix) {
			opaque[key] = text
		}
	}
	return opaque
}
