package models

import (
	"time"

	"github.com/google/uuid"
)

// EDRProduct is an EDR product Watchfire can isolate devices through, and what its credentials consist of.
type EDRProduct struct {
	Vendor          string     `json:"vendor"` // its name in EDRCredentials
	Title           string     `json:"title"`  // its name for people
	Fields          []EDRField `json:"fields"` // the values its credentials have
	BaseURLRequired bool       `json:"base_url_required"`
	DefaultURL      string     `json:"default_url,omitempty"` // what no base URL stands for, where none is required
	Hosts           []string   `json:"hosts"`                 // domains the base URL may be in; none where the client runs the product
}

// EDRField is one value of an EDR's credentials.
type EDRField struct {
	Name     string `json:"name"`     // the key in EDRCredentials.Values
	Secret   bool   `json:"secret"`   // sealed, and never shown again
	Optional bool   `json:"optional"` // may be left out
	Help     string `json:"help"`     // what it is and where it is found
}

// Open returns the values of credentials of the product that are no secrets and not empty.
func (p EDRProduct) Open(c EDRCredentials) map[string]string {
	open := map[string]string{}
	for _, f := range p.Fields {
		if v := c.Values[f.Name]; !f.Secret && v != "" {
			open[f.Name] = v
		}
	}
	return open
}

// EDRStatus is what is known of a client's EDR without asking it. It holds no secret.
type EDRStatus struct {
	EDR
	BaseURL string            `json:"base_url,omitempty"`
	Values  map[string]string `json:"values,omitempty"` // those that are no secrets; nil: not known
	SetAt   time.Time         `json:"set_at,omitzero"`  // when the credentials were; zero: they are the provider's own
	SetBy   uuid.UUID         `json:"set_by,omitzero"`
	Check   *EDRCheckRecord   `json:"check,omitempty"` // the last one of this vendor; nil: there was none
	Changed bool              `json:"changed"`         // the credentials were, since that check
}

// EDRCheckRecord is what came of the last check of a client's EDR connection.
type EDRCheckRecord struct {
	Vendor  string    `json:"vendor"`
	OK      bool      `json:"ok"`
	Problem string    `json:"problem,omitempty"` // a VendorClass, when it is not OK
	At      time.Time `json:"at"`
	SetAt   time.Time `json:"set_at,omitzero"` // when the credentials that were tried were set; zero: the provider's own
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
