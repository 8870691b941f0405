package models

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// EDRProduct is an EDR product Watchfire can isolate devices through, and what its credentials consist of.
type EDRProduct struct {
	Vendor          string     `json:"vendor"` // its name in EDRCredentials
	Title           string     `json:"title"`  // its name for people
	Fields          []EDRField `json:"fields"` // the values its credentials have
	BaseURLRequired bool       `json:"base_url_required"`
	DefaultURL      string     `json:"default_url,omitempty"` // stands in for no base URL, where none is required
	Hosts           []string   `json:"hosts"`                 // domains the base URL may be in; none where the client runs the product
}

// EDRField is one value of an EDR's credentials.
type EDRField struct {
	Name     string `json:"name"`     // the key in EDRCredentials.Values
	Secret   bool   `json:"secret"`   // sealed, and never shown again
	Optional bool   `json:"optional"` // may be left out
	Help     string `json:"help"`     // its meaning and where it is found
}

// Open returns the values of the product's credentials that are no secrets and not empty.
func (p EDRProduct) Open(c EDRCredentials) map[string]string {
	open := map[string]string{}
	for _, f := range p.Fields {
		if v := c.Values[f.Name]; !f.Secret && v != "" {
			open[f.Name] = v
		}
	}
	return open
}

// EDRStatus is our knowledge of a client's EDR, without asking it. It holds no secret.
type EDRStatus struct {
	EDR
	BaseURL string            `json:"base_url,omitempty"`
	Values  map[string]string `json:"values,omitempty"` // those that are no secrets; nil: not known
	SetAt   time.Time         `json:"set_at,omitzero"`  // when the credentials were; zero: they are the provider's own
	SetBy   uuid.UUID         `json:"set_by,omitzero"`
	Check   *EDRCheck         `json:"check,omitempty"` // the last one of this vendor; nil: there was none
	Changed bool              `json:"changed"`         // the credentials were, since that check
}

// EDRCheck is the result of trying a client's EDR connection: no secret, and nothing the vendor wrote.
type EDRCheck struct {
	Vendor       string       `json:"vendor"`
	OK           bool         `json:"ok"`
	Problem      string       `json:"problem,omitempty"` // a VendorClass, when it is not OK
	Capabilities Capabilities `json:"capabilities"`      // none when the credentials make no connection
	At           time.Time    `json:"at,omitzero"`       // zero: not kept yet
	SetAt        time.Time    `json:"set_at,omitzero"`   // when the credentials that were tried were set; zero: the provider's own
}

// GoLive checks that the connection to the client's EDR is proven: it worked when it was last checked, with the
// credentials of now.
func (s EDRStatus) GoLive() GoLiveCheck {
	missing := []string{}
	switch {
	case s.Vendor == "":
		missing = append(missing, "the client has no EDR")
	case s.Check == nil:
		missing = append(missing, "the connection to the EDR was never checked")
	case s.Changed:
		missing = append(missing, "the credentials of the EDR were changed after the connection was last checked")
	case !s.Check.OK:
		missing = append(missing, "the connection to the EDR did not work when it was last checked: "+s.Check.Problem)
	}
	return NewGoLiveCheck("edr", missing)
}

// Capabilities say what an EDR can do beyond isolating and releasing a device by its agent id, and telling its state.
type Capabilities struct {
	Actions bool `json:"actions"` // it gives every action an id and tells the action's state
	Queues  bool `json:"queues"`  // it keeps an action for a device that is offline
	Classes bool `json:"classes"` // it says what kind of device a host is
	Tags    bool `json:"tags"`    // it tells the client's tags
	// Controllers: it tells domain controllers from other servers.
	Controllers bool `json:"controllers"`
	// Underway: the state it tells of a device shows the actions that are under way, and an isolation however old.
	// Without it "normal" may hide an isolation that is yet to come, or that is forgotten.
	Underway bool `json:"underway"`
}

// EDRCredentials give access to a client's EDR. They are kept encrypted and never leave the process.
type EDRCredentials struct {
	Vendor  string            `json:"vendor"`
	BaseURL string            `json:"base_url"` // of the client's region or installation
	Values  map[string]string `json:"values"`   // by the vendor's field names
}

// String names the vendor only, so that printing credentials shows nothing of them.
func (c EDRCredentials) String() string { return "credentials of " + c.Vendor }

// GoString returns what String returns.
func (c EDRCredentials) GoString() string { return c.String() }

// EDRCheckInput is the input of the workflow that tries a client's EDR connection.
type EDRCheckInput struct {
	ClientID uuid.UUID `json:"client_id"`
}

// EDRCheckWorkflowID is the id of the workflow that tries the EDR connection of the client with a number: one at a
// time.
func EDRCheckWorkflowID(number int) string { return fmt.Sprintf("edr/%d/check", number) }
