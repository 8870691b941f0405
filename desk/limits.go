package desk

import (
	"context"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// share is how much of something anybody may ask for: so many at once, and then one in each span.
type share struct {
	atOnce int
	every  time.Duration
}

// The shares of whoever sends a request that changes something. An analyst in a night of fifty incidents in five minutes
// sends 550 requests; a loop sends thousands. Each user has a share in each incident, too, and the two sides have theirs
// apart, so that nobody's loop keeps others from isolating, approving or closing.
var (
	ofUser       = share{1000, time.Second / 10}
	ofUserThere  = share{100, time.Second / 5}
	ofIncident   = share{300, time.Second / 15}
	ofClientSide = share{2000, time.Second / 20}
)

// costlyShare is a share of each side of a client, or of each user there, in what reaches people, costs money or starts
// work elsewhere.
type costlyShare struct {
	scope string
	share
	words  string
	ofEach bool // of each user, so that nobody's loop keeps a colleague from it
}

var (
	ofContacts     = costlyShare{"contacts", share{60, 5 * time.Second}, "the contacts of this client were changed too often", false}
	ofChecks       = costlyShare{"checks", share{60, time.Minute}, "too many channels of this client were verified or tested", false}
	ofOpenings     = costlyShare{"openings", share{120, 3 * time.Second}, "too many incidents of this client were opened", false}
	ofSuspicions   = costlyShare{"suspicions", share{60, time.Minute}, "too many suspicions were reported for this client", false}
	ofEDRChecks    = costlyShare{"edr", share{10, 30 * time.Second}, "the EDR of this client was checked too often", false}
	ofMessages     = costlyShare{"messages", share{400, 3 * time.Second}, "too many messages go to the contacts of this client", false}
	ofMessagesEach = costlyShare{"messages of user", share{100, 10 * time.Second}, "you send too many messages to the contacts of this client", true}
	ofIsolations   = costlyShare{"isolations of user", share{300, 5 * time.Second}, "you ask for too many isolations and releases of this client", true}
)

// costly names the shares of operations and commands.
var costly = map[string][]costlyShare{
	"create-contact":       {ofContacts},
	"update-contact":       {ofContacts},
	"remove-contact":       {ofContacts},
	"confirm-approver":     {ofContacts},
	"revoke-approver":      {ofContacts},
	"verify-channel":       {ofChecks},
	"test-channel":         {ofChecks},
	"report-suspicion":     {ofSuspicions},
	"check-edr-connection": {ofEDRChecks},
	"open-incident":        {ofOpenings},
	"start-fire-drill":     {ofOpenings},
	"publish":              {ofMessages, ofMessagesEach},
	"expedite":             {ofMessages, ofMessagesEach},
	"revise":               {ofMessages, ofMessagesEach},
	"ask-question":         {ofMessages, ofMessagesEach},
	"verify":               {ofMessages, ofMessagesEach},
	"isolate":              {ofIsolations},
	"release":              {ofIsolations},
}

// The shares in test messages and codes of one channel of a contact, and of one number or mail address of a client,
// however many contacts have it: at most ten in a day.
var (
	ofChannel = share{3, 5 * time.Minute}
	ofAddress = share{6, 6 * time.Hour}
)

// ofTold is the share of each side of a client in what tells one number or mail address that a contact was changed.
var ofTold = share{20, time.Hour}

// ofAlerts is a client's share in alerts, and apart from it that of the SOC's engines about the client. An engine that was cut off sends thousands at once when it is back.
var ofAlerts = share{5000, time.Second / 200}

func (s share) limit(scope, key, words string) store.Limit {
	return store.Limit{Scope: scope, Key: key, AtOnce: s.atOnce, Every: s.every, Words: words + "; try again later"}
}

func (s share) limitOf(u models.User) store.Limit {
	return s.limit("user", u.ID.String(), "you send too many requests")
}

// limitsOfTold holds the shares in telling the addresses of contacts of the client with a number that they were changed.
// Taking a contact or an approver away has none: whoever has used them up keeps nobody from that.
func limitsOfTold(u models.User, number int, contacts ...models.Contact) (limits []store.Limit) {
	told := map[string]bool{}
	for _, c := range contacts {
		told[models.PersonOf(c.Email)] = c.Email != ""
		told[c.Phone] = c.Phone != ""
	}
	for a, is := range told {
		if is {
			limits = append(limits, ofTold.limit("told", hashParts(strconv.Itoa(number), string(u.Role.Side()), a),
				"contacts with this number or mail address were changed too often"))
		}
	}
	return limits
}

// clientOf returns the id of the client with a number, for a user of a client always that of their own. NotFound: the
// client does not exist, or is not within the user's reach.
func (d *Desk) clientOf(ctx context.Context, u models.User, number int) (uuid.UUID, error) {
	if u.Role.Side() == models.SideSOC {
		return d.clientID(ctx, u, number)
	}
	return u.ClientID, nil
}

// use counts a request of a user about the client with a number, before anything of it is written or told to anybody.
// TooMany: a share is used up, and nothing was counted. NotFound: the client does not exist, or is not within the user's
// reach.
func (d *Desk) use(ctx context.Context, u models.User, number int, operation string, more ...store.Limit) error {
	if _, err := d.clientOf(ctx, u, number); err != nil {
		return err
	}
	return d.store.By(u).Use(ctx, limitsOf(u, number, operation, more...)...)
}

// limitsOf holds the shares that a request of a user about the client with a number uses.
func limitsOf(u models.User, number int, operation string, more ...store.Limit) []store.Limit {
	client := whoseShare(u, number)
	side := client + " " + string(u.Role.Side())
	limits := append(more, ofUser.limitOf(u), ofClientSide.limit("client", side, "this client gets more requests than it can take"))
	for _, c := range costly[operation] {
		key := side
		if c.ofEach {
			key = client + " " + u.ID.String()
		}
		limits = append(limits, c.limit(c.scope, key, c.words))
	}
	return limits
}

// useOwn counts a request of a user that is about no client.
func (d *Desk) useOwn(ctx context.Context, u models.User) error {
	return d.store.By(u).Use(ctx, ofUser.limitOf(u))
}

// useLogins counts a request of a user about the users and service tokens of the client with a number, or of the SOC.
func (d *Desk) useLogins(ctx context.Context, u models.User, number int, operation string) error {
	if number == theSOC {
		return d.useOwn(ctx, u)
	}
	return d.use(ctx, u, number, operation)
}

// whoseShare names the client in the shares of a user: for the SOC the one with a number, for a user of a client always
// their own, so that nobody touches the shares of others.
func whoseShare(u models.User, number int) string {
	if u.Role.Side() == models.SideSOC {
		return strconv.Itoa(number)
	}
	return u.ClientID.String()
}

// limitsOfCommand holds the shares that a command of a user to an incident uses.
func limitsOfCommand(u models.User, ref models.Reference, command string) []store.Limit {
	return limitsOf(u, ref.ClientNumber(), command,
		ofUserThere.limit("user in incident", u.ID.String()+" "+string(ref), "you send this incident more commands than it can take"),
		ofIncident.limit("incident", string(ref)+" of "+whoseShare(u, ref.ClientNumber()), "this incident gets more commands than it can take"))
}

// useChannel counts a message that tries a channel of a contact of the client with a number.
func (d *Desk) useChannel(ctx context.Context, u models.User, number int, operation string, c models.Contact, ch models.Channel) error {
	address := c.Address(ch)
	if ch == models.ChannelEmail {
		address = models.PersonOf(c.Email) // whatever tag the mailbox has
	}
	return d.use(ctx, u, number, operation,
		ofChannel.limit("channel", c.ID.String()+" "+string(ch), "too many codes and test messages were sent over this channel"),
		ofAddress.limit("address", hashParts(c.ClientID.String(), address), "too many codes and test messages were sent to this address today"))
}
