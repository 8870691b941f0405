package notify

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
)

// ChannelCheckEffect is the effect of trying one channel of a contact of the client with a number, with a test message or
// a code, apart from any incident. The request id tells one check from the next.
func ChannelCheckEffect(client uuid.UUID, number int, p Purpose, contact uuid.UUID, ch models.Channel, request string) Effect {
	kind := map[models.Channel]EffectKind{models.ChannelEmail: EffectMail, models.ChannelSMS: EffectText, models.ChannelVoice: EffectCall}[ch]
	return Effect{
		Key:  fmt.Sprintf("contact/%s/%s/%s/%s", contact, p, ch, request),
		Kind: kind, ClientID: client, Purpose: p, Occurrence: 1, Contact: contact, Workflow: ChannelCheckWorkflowID(number, contact, ch),
	}
}

// ChannelCheckInput is the input of a channel check's workflow: one message or call to one contact, apart from any
// incident.
type ChannelCheckInput struct {
	Effect  Effect          `json:"effect"`
	Channel models.Channel  `json:"channel"`
	RingFor models.Duration `json:"ring_for"` // of a call
}

// ChannelCheckWorkflowID returns the id of the workflow that tries a channel of a contact of the client with a number:
// one at a time.
func ChannelCheckWorkflowID(number int, contact uuid.UUID, ch models.Channel) string {
	return fmt.Sprintf("contact/%d/%s/%s", number, contact, ch)
}
