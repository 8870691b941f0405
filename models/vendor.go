package models

import (
	"errors"
	"fmt"
	"time"
)

// VendorClass says what a vendor's failure means for the effect that was tried. The class, never the text, decides what
// happens next.
type VendorClass string

// The classes of vendor failure.
const (
	Transient VendorClass = "transient" // nothing was sent: dial refused, DNS, TLS before the first byte
	Throttled VendorClass = "throttled" // not taken now: too many requests (429), the opposite is under way; wait for RetryAfter
	Ambiguous VendorClass = "ambiguous" // it may have happened: timeout after write, 5xx, unreadable 2xx; look it up before acting again
	Rejected  VendorClass = "rejected"  // the vendor will never do this one: bad number, suppressed address, unknown host
	Config    VendorClass = "config"    // our credentials or settings are wrong (401, 403); an operator must act
)

// VendorError is the error of every adapter in vendors/ for a failed operation. It holds no secret, no address and no
// phone number.
type VendorError struct {
	Class      VendorClass
	Vendor     string        // "twilio", "sendgrid", "crowdstrike"
	Op         string        // "place call", "send mail", "contain"
	Code       string        // the vendor's own code, "" when it gave none
	HTTPStatus int           // 0 when no answer arrived
	RetryAfter time.Duration // for Throttled; 0 when the vendor did not say
	RequestID  string        // the vendor's trace id, for a support case
	Cause      error         // for logs of the class only; its text may name hosts, so it is not part of Error()
}

// Error names vendor, operation, class and code.
func (e *VendorError) Error() string {
	s := fmt.Sprintf("%s: %s: %s", e.Vendor, e.Op, e.Class)
	if e.HTTPStatus != 0 {
		s += fmt.Sprintf(" (HTTP %d)", e.HTTPStatus)
	}
	if e.Code != "" {
		s += " code " + e.Code
	}
	return s
}

// Unwrap returns the cause.
func (e *VendorError) Unwrap() error { return e.Cause }

// ClassOf returns the class of err. An error that no adapter classified is Ambiguous:
// the safe reading of the unknown is that it may have happened.
func ClassOf(err error) VendorClass {
	var v *VendorError
	if errors.As(err, &v) {
		return v.Class
	}
	return Ambiguous
}

// CallStatus is a carrier's word on a call (Twilio's CallStatus values).
type CallStatus string

// Call statuses in the order a call goes through them; the last five are final.
const (
	CallQueued     CallStatus = "queued"
	CallInitiated  CallStatus = "initiated"
	CallRinging    CallStatus = "ringing"
	CallInProgress CallStatus = "in-progress"
	CallCompleted  CallStatus = "completed"
	CallBusy       CallStatus = "busy"
	CallFailed     CallStatus = "failed"
	CallNoAnswer   CallStatus = "no-answer"
	CallCanceled   CallStatus = "canceled"
)

// IsFinal reports whether the carrier will say nothing more about the call.
func (s CallStatus) IsFinal() bool {
	switch s {
	case CallCompleted, CallBusy, CallFailed, CallNoAnswer, CallCanceled:
		return true
	}
	return false
}

// OutboundCall is the request to a carrier for one call.
type OutboundCall struct {
	To         string        // E.164
	VoiceURL   string        // where the carrier fetches the spoken document, after the answer
	StatusURL  string        // where the carrier reports progress
	MachineURL string        // where the carrier reports whether a machine picked up; "" does not ask
	RingFor    time.Duration // whole seconds
}

// PlacedCall is a call as the carrier knows it.
type PlacedCall struct {
	ID     string // the carrier's id (Twilio: CallSid)
	Status CallStatus
	At     time.Time // when the carrier created it
}

// TextStatus is a carrier's word on a short message (Twilio's MessageStatus values).
type TextStatus string

// Statuses of a short message; the last three are final.
const (
	TextAccepted    TextStatus = "accepted"
	TextQueued      TextStatus = "queued"
	TextSending     TextStatus = "sending"
	TextSent        TextStatus = "sent"
	TextDelivered   TextStatus = "delivered"
	TextUndelivered TextStatus = "undelivered"
	TextFailed      TextStatus = "failed"
)

// OutboundText is one short message to one phone.
type OutboundText struct {
	To        string // E.164
	Body      string
	StatusURL string // where the carrier reports progress; "" for nowhere
}

// SentText is a short message as the carrier knows it.
type SentText struct {
	ID     string // the carrier's id (Twilio: MessageSid)
	Status TextStatus
	Body   string
	At     time.Time // when the carrier created it
}

// OutboundMail is one message to one person.
type OutboundMail struct {
	To         string // address
	ToName     string
	Subject    string
	Text, HTML string
	MessageID  string            // without angle brackets
	References []string          // message ids of the thread, without angle brackets
	Opaque     map[string]string // echoed by the vendor's events; ids only, no personal data
}

// MailEvent is one fact a mail vendor reports about a message.
type MailEvent struct {
	ID     string // the vendor's event id, for de-duplication
	Type   string // processed, deferred, delivered, bounce, blocked, dropped, open, click, spamreport, unsubscribe
	At     time.Time
	Reason string            // the vendor's words, untrusted
	Opaque map[string]string // OutboundMail.Opaque as it came back
}

// Host is a device as the client's EDR knows it.
type Host struct {
	ID       string // the EDR's agent id
	Hostname string
	State    HostState
	Online   bool
	Class    AssetClass // "" when the EDR does not say
	Tags     []string   // as the client set them in the EDR
	SeenAt   time.Time  // when the agent last spoke to the EDR; zero when the EDR does not say
}

// AssetClass is the kind of a device.
type AssetClass string

// The classes of devices.
const (
	ClassWorkstation      AssetClass = "workstation"
	ClassServer           AssetClass = "server"
	ClassDomainController AssetClass = "domain_controller"
)

// HostState is the EDR's own word on a device's isolation.
type HostState string

// The isolation states of a host.
const (
	HostNormal    HostState = "normal"
	HostIsolating HostState = "isolating" // accepted, not yet confirmed by the sensor
	HostIsolated  HostState = "isolated"
	HostReleasing HostState = "releasing"
	HostUnknown   HostState = "unknown"
)

// ActionState is an EDR's word on one isolation or release it took.
type ActionState string

// The states of an action.
const (
	ActionPending   ActionState = "pending"
	ActionSucceeded ActionState = "succeeded"
	ActionFailed    ActionState = "failed" // also timed out, cancelled, expired, rejected
)

// Desired is the isolation state an endpoint should have.
type Desired string

// The desired states.
const (
	DesiredIsolated Desired = "isolated"
	DesiredReleased Desired = "released"
)
