package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/simulators/edr"
	"github.com/watchfire-mdr/watchfire/store"
)

// Dev describes a running stack to people and tests; `.watchfire/dev.json` holds it. Simulators are addresses by
// vendor.
type Dev struct {
	App        string            `json:"app"`
	Ops        string            `json:"ops"` // where the API answers its operator
	Worker     string            `json:"worker"`
	Temporal   string            `json:"temporal"`
	TemporalUI string            `json:"temporal_ui"`
	Namespace  string            `json:"namespace"`
	Simulators map[string]string `json:"simulators"`
	// EDR holds the simulated EDRs by product, as set-edr-credentials takes them.
	EDR map[string]DevEDR `json:"edr"`
	// Settings are those of the product's processes, for its other subcommands.
	Settings map[string]string `json:"settings"`
	Clients  []DevClient       `json:"clients"`
	Users    []DevUser         `json:"users"`
}

// DevClient is a seeded client with its contacts, in calling order.
type DevClient struct {
	Number    int              `json:"number"`
	LegalName string           `json:"legal_name"`
	Contacts  []models.Contact `json:"contacts"`
}

// DevUser is a seeded user with their bearer token. Client is 0 for the SOC.
type DevUser struct {
	Name   string      `json:"name"`
	Email  string      `json:"email"`
	Role   models.Role `json:"role"`
	Client int         `json:"client,omitempty"`
	Token  string      `json:"token"`
}

// DevEDR opens a simulated EDR.
type DevEDR struct {
	BaseURL string            `json:"base_url"`
	Values  map[string]string `json:"values"`
}

// Token returns the token of the seeded user with a role at a client, or ""; client is 0 for the SOC.
func (d Dev) Token(role models.Role, client int) string {
	n := slices.IndexFunc(d.Users, func(u DevUser) bool { return u.Role == role && u.Client == client })
	if n < 0 {
		return ""
	}
	return d.Users[n].Token
}

// seedClient is a client of the made-up provider. Names, numbers and addresses belong to nobody: the telephone
// numbers are of ranges reserved for fiction, the domains of those reserved for examples.
type seedClient struct {
	number                   int
	name, zone, domain       string
	language, phones, mobile string // prefixes of fixed lines and of the one mobile phone; "": nobody has one
}

func seedClients() []seedClient {
	return []seedClient{
		{1042, "Nordwind Logistik GmbH", "Europe/Berlin", "nordwind.example", "de", "+4930231250", "+4917139200"},
		{1043, "Harbour & Vale Insurance plc", "Europe/London", "harbourvale.example", "en", "+4420794600", ""},
		{1044, "Blue Mesa Health", "America/Denver", "bluemesa.example", "en", "+130355501", "+130355501"},
	}
}

// seed fills an empty provider with clients, their contacts and users, and the users of the SOC. A second start finds
// the data again. seed also fills in Dev.
func (s *Stack) seed(ctx context.Context) error {
	s.Dev = Dev{App: s.appURL(), Ops: s.opsURL(), Worker: fmt.Sprintf("http://127.0.0.1:%d", s.options.Ports.Worker),
		Temporal: s.Temporal.Address, TemporalUI: s.Temporal.UIURL, Namespace: s.Temporal.Namespace,
		Simulators: map[string]string{"twilio": s.Simulators.TwilioURL, "sendgrid": s.Simulators.SendGridURL, "smtp": s.Simulators.SMTPURL, "crowdstrike": s.Simulators.CrowdStrikeURL},
		EDR:        map[string]DevEDR{}, Settings: map[string]string{}}
	maps.Copy(s.Dev.Simulators, s.Simulators.EDR)
	for product, base := range s.Simulators.EDR {
		s.Dev.EDR[product] = DevEDR{BaseURL: base, Values: edr.Credentials(product)}
	}
	for _, setting := range s.Env() {
		if name, value, _ := strings.Cut(setting, "="); name != "PATH" && name != "HOME" {
			s.Dev.Settings[name] = value
		}
	}
	if s.options.Migrate != nil {
		return s.keys.save()
	}
	db, err := store.Open(ctx, s.AppURL(), store.Options{MaxConns: 4})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := s.seedProvider(ctx, db); err != nil {
		return err
	}
	return s.keys.save()
}

// socUsers returns the users of the SOC.
func socUsers() []models.User {
	return []models.User{
		{Name: "Ada Brandt", Email: "analyst@watchfire.example", Role: models.RoleAnalyst},
		{Name: "Tomás Ruiz", Email: "lead@watchfire.example", Role: models.RoleLead},
		{Name: "Mina Okafor", Email: "operator@watchfire.example", Role: models.RoleOperator},
	}
}

// users returns the users of a client.
func (c seedClient) users() (list []models.User) {
	for _, role := range []models.Role{models.RoleViewer, models.RoleResponder, models.RoleAdmin} {
		list = append(list, models.User{Name: "The " + string(role) + " of " + c.name, Email: string(role) + "@" + c.domain, Role: role})
	}
	return list
}

// seedProvider makes the users of the SOC, and the clients with all that is theirs.
func (s *Stack) seedProvider(ctx context.Context, db *store.Store) error {
	for _, u := range socUsers() {
		if err := s.AddUser(ctx, db, u, 0); err != nil {
			return err
		}
	}
	for _, c := range seedClients() {
		if err := s.seedClient(ctx, db, c); err != nil {
			return fmt.Errorf("client %d: %w", c.number, err)
		}
	}
	return nil
}

// seedClient makes a client with contacts who may approve, users and a signed response authority.
func (s *Stack) seedClient(ctx context.Context, db *store.Store, c seedClient) error {
	client, err := db.CreateClient(ctx, models.Client{
		Number: c.number, LegalName: c.name, TimeZone: c.zone, Language: c.language, Business: models.OfficeHours(), Policy: s.options.Policy,
		Contract: models.Contract{Start: seedStart, End: seedStart.AddDate(3, 0, -1), Plan: "mdr"}, EDR: models.EDR{Vendor: "crowdstrike"}, LiveAt: seedStart,
	}, fmt.Sprintf("seed-client-%d", c.number), "")
	if err != nil {
		return err
	}
	dev := DevClient{Number: c.number, LegalName: c.name}
	err = db.ForClient(ctx, store.SOC, client.ID, func(tx *store.Tx) error {
		for n, role := range []string{"SOC contact", "IT operations", "CISO"} {
			contact, err := tx.CreateContact(seedContact(c, n, role), fmt.Sprintf("seed-contact-%d-%d", c.number, n), "")
			if err != nil {
				return err
			}
			dev.Contacts = append(dev.Contacts, contact)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.Dev.Clients = append(s.Dev.Clients, dev)
	for _, u := range c.users() {
		u.ClientID = client.ID
		if err := s.AddUser(ctx, db, u, c.number); err != nil {
			return err
		}
	}
	signer, err := db.UserByEmail(ctx, client.ID, "admin@"+c.domain)
	if err != nil {
		return err
	}
	// Domain controllers are never isolated, and some tags ask first; Falcon tells both.
	a := ImmediateAuthority()
	a.Never, a.TwoPersons = []string{"DC-*"}, []authority.AssetSelector{{Tag: "two-persons"}}
	a.Rules = append(a.Rules, authority.Rule{Name: "ask first", Action: models.DesiredIsolated, Tags: []string{"ask-first"}, Decision: authority.DecideAsk})
	if err := confirmApprovers(ctx, db, client.ID, signer.ID); err != nil {
		return err
	}
	return SignAuthority(ctx, db, client.ID, signer.ID, a)
}

// confirmApprovers lets all contacts of a client approve on the phone, on the word of its admin, unless an earlier call
// did.
func confirmApprovers(ctx context.Context, db *store.Store, client, admin uuid.UUID) error {
	return db.ForClient(ctx, store.Portal, client, func(tx *store.Tx) error {
		contacts, err := tx.Contacts()
		for _, c := range contacts {
			if err == nil && c.Approver == nil {
				_, err = tx.ConfirmApprover(c.ID, admin, "", tx.Now())
			}
		}
		return err
	})
}

// ImmediateAuthority returns a response authority that lets every device be isolated and released at once.
func ImmediateAuthority() authority.Authority {
	return authority.Authority{Rules: []authority.Rule{
		{Name: "isolate at once", Action: models.DesiredIsolated, Decision: authority.DecideAuto},
		{Name: "release at once", Action: models.DesiredReleased, Decision: authority.DecideAuto},
	}}
}

// SignAuthority gives a client a response authority that one of its users has signed, unless an earlier call did.
// client and signer are ids.
func SignAuthority(ctx context.Context, db *store.Store, client, signer uuid.UUID, a authority.Authority) error {
	a.DraftedBy, a.DraftedAt = signer, time.Now().UTC()
	a, err := store.Run(db.InClient(ctx, store.SOC, client), func(tx *store.Tx) (authority.Authority, error) {
		return tx.DraftAuthority(a, "seed-authority")
	})
	if err != nil || !a.SignedAt.IsZero() {
		return err
	}
	return db.ForClient(ctx, store.Portal, client, func(tx *store.Tx) error {
		_, err := tx.SignAuthority(a.Version, signer, time.Now().UTC())
		return err
	})
}

// seedStart is the start of the seeded clients' contracts and the time of the verification of their contacts' channels.
var seedStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// seedContact returns the n-th contact of a client, from 0 on.
func seedContact(c seedClient, n int, role string) models.Contact {
	names := []string{"Jonas Weber", "Priya Nair", "Elena Costa"}
	severities := models.Severities()
	if n == 2 { // the CISO hears of the worst only
		severities = []models.Severity{models.SeverityCritical, models.SeverityHigh}
	}
	contact := models.Contact{
		Name: names[n], Role: role, Email: fmt.Sprintf("contact%d@%s", n+1, c.domain), Phone: fmt.Sprintf("%s%02d", c.phones, n+1),
		Language: c.language, Order: n + 1, Severities: severities, Channels: []models.Channel{models.ChannelEmail, models.ChannelVoice},
	}
	if n == 1 && c.mobile != "" { // IT operations carries a mobile phone
		contact.Phone = fmt.Sprintf("%s%02d", c.mobile, 50+n)
		contact.Channels = append(contact.Channels, models.ChannelSMS)
	}
	contact.Verified = map[models.Channel]time.Time{}
	for _, ch := range contact.Channels {
		contact.Verified[ch] = seedStart
	}
	return contact
}

// AddUser makes a user with the token that the keys hold of them, or with a new one, unless an earlier start did, and
// tells Dev of them. client is the client's number, or 0 for the SOC.
func (s *Stack) AddUser(ctx context.Context, db *store.Store, u models.User, client int) error {
	token := s.keys.Tokens[u.Email]
	hash, ok := auth.Hash(token)
	if !ok {
		token, hash = auth.NewToken()
		s.keys.Tokens[u.Email] = token
	}
	_, err := db.Authenticate(ctx, hash)
	switch {
	case models.KindOf(err) == models.Unauthorized:
		created, err := db.CreateUser(ctx, u)
		if err != nil {
			return err
		}
		if err := db.CreateToken(ctx, models.Token{ID: uuid.New(), UserID: created.ID, Hash: hash}); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	s.Dev.Users = append(s.Dev.Users, DevUser{Name: u.Name, Email: u.Email, Role: u.Role, Client: client, Token: token})
	return nil
}

// writeDev writes dev.json. The file holds tokens, so only its owner may read it.
func (s *Stack) writeDev() error {
	b, err := json.MarshalIndent(s.Dev, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.options.Dir, "dev.json"), append(b, '\n'), 0o600)
}
