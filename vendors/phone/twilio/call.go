package twilio

import (
	"context"
	"net/http"
	"net/url"
	"time"

	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

const maxRing = 600 * time.Second // Twilio's limit

// Place asks Twilio to call out.To now. The answer says the call was accepted (queued), not
// that a phone rings; progress comes to out.StatusURL and from Status. RingFor is rounded up to
// a second and cut at ten minutes; 0 leaves Twilio's minute. With out.MachineURL Twilio listens
// in the background, while the person already hears us, and reports there whether a machine
// picked up: see ParseMachine.
//
// Ambiguous: the call may exist, ask Recent. Rejected: this number will never be called.
// Config: credentials, our own number or our own URLs are wrong.
func (c *Caller) Place(ctx context.Context, out models.OutboundCall) (models.PlacedCall, error) {
	op := exchange.Op{Vendor: vendor, Name: "place call", Effect: true}
	if !e164.MatchString(out.To) {
		return models.PlacedCall{}, op.Failed(models.Rejected, "invalid_number")
	}
	if !webURL(out.VoiceURL) || !webURL(out.StatusURL) || (out.MachineURL != "" && !webURL(out.MachineURL)) {
		return models.PlacedCall{}, op.Failed(models.Config, "invalid_url")
	}
	service, ex := c.service(ctx)
	call, err := service.CreateCall(c.parameters(out))
	if err != nil || !ex.OK() {
		return models.PlacedCall{}, failure(ex, op)
	}
	return placed(call, ex, op)
}

func (c *Caller) parameters(out models.OutboundCall) *api.CreateCallParams {
	p := (&api.CreateCallParams{}).
		SetTo(out.To).SetFrom(c.from).
		SetUrl(out.VoiceURL).SetMethod(http.MethodPost).
		SetStatusCallback(out.StatusURL).SetStatusCallbackMethod(http.MethodPost).
		SetStatusCallbackEvent([]string{"initiated", "ringing", "answered", "completed"})
	if ring := min(out.RingFor, maxRing); ring > 0 {
		p.SetTimeout(int((ring + time.Second - 1) / time.Second))
	}
	if out.MachineURL != "" {
		p.SetMachineDetection("Enable").SetAsyncAmd("true").
			SetAsyncAmdStatusCallback(out.MachineURL).SetAsyncAmdStatusCallbackMethod(http.MethodPost)
	}
	return p
}

// Status reads the call with the given id. Rejected: no such call.
func (c *Caller) Status(ctx context.Context, id string) (models.PlacedCall, error) {
	op := exchange.Op{Vendor: vendor, Name: "read call"}
	if !callSID.MatchString(id) {
		return models.PlacedCall{}, op.Failed(models.Rejected, "invalid_call_id")
	}
	service, ex := c.service(ctx)
	call, err := service.FetchCall(id, nil)
	if err != nil || !ex.OK() {
		return models.PlacedCall{}, failure(ex, op)
	}
	return placed(call, ex, op)
}

// Hangup ends the call with the given id, whether it waits, rings or is being spoken on. A call
// that is already over is success.
func (c *Caller) Hangup(ctx context.Context, id string) error {
	op := exchange.Op{Vendor: vendor, Name: "hang up", Effect: true}
	if !callSID.MatchString(id) {
		return op.Failed(models.Rejected, "invalid_call_id")
	}
	service, ex := c.service(ctx)
	call, err := service.UpdateCall(id, (&api.UpdateCallParams{}).SetStatus("completed"))
	if err == nil && ex.OK() {
		_, err = placed(call, ex, op)
		return err
	}
	failed := failure(ex, op)
	if failed.Class != models.Rejected {
		return failed
	}
	if now, err := c.Status(ctx, id); err == nil && now.Status.IsFinal() {
		return nil
	}
	return failed
}

// Recent returns all our calls to a number, and Twilio's time when it answered: the first question after an ambiguous
// Place. A call may take some seconds to be listed: a call that is missing proves nothing before that.
//
// Waiting calls are asked for first and by status: they have no start time and could start
// between the two questions.
func (c *Caller) Recent(ctx context.Context, to string) (calls []models.PlacedCall, now time.Time, err error) {
	op := exchange.Op{Vendor: vendor, Name: "list calls"}
	if !e164.MatchString(to) {
		return nil, now, op.Failed(models.Rejected, "invalid_number")
	}
	waiting, _, err := c.list(ctx, op, to, string(models.CallQueued))
	if err != nil {
		return nil, now, err
	}
	all, now, err := c.list(ctx, op, to, "")
	if err != nil {
		return nil, now, err
	}
	return merge(append(all, waiting...)), now, nil
}

// merge keeps the first word on every call.
func merge(calls []models.PlacedCall) []models.PlacedCall {
	seen := make(map[string]bool, len(calls))
	var kept []models.PlacedCall
	for _, call := range calls {
		if !seen[call.ID] {
			seen[call.ID] = true
			kept = append(kept, call)
		}
	}
	return kept
}

func (c *Caller) list(ctx context.Context, op exchange.Op, to, status string) ([]models.PlacedCall, time.Time, error) {
	params := (&api.ListCallParams{}).SetTo(to).SetFrom(c.from).SetPageSize(pageSize)
	if status != "" {
		params.SetStatus(status)
	}
	rows, ex, err := readList[api.ApiV2010Call](ctx, c, op, "calls", func(s *api.ApiService, token, page string) error {
		_, err := s.PageCall(params, token, page)
		return err
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	calls := make([]models.PlacedCall, 0, len(rows))
	for i := range rows {
		call, ok := read(&rows[i])
		if !ok {
			return nil, time.Time{}, failure(ex, op)
		}
		calls = append(calls, call)
	}
	now, _ := http.ParseTime(ex.Header().Get("Date"))
	return calls, now, nil
}

// Requests returns the addresses that Twilio requested because of a call: those of its document, its keys and its
// reports. Whoever finds an unguessable address of theirs there has placed the call. Twilio tells them fifteen minutes
// after the call has ended; before that, and for a call that requests nothing, there are none.
func (c *Caller) Requests(ctx context.Context, id string) ([]string, error) {
	op := exchange.Op{Vendor: vendor, Name: "list requests of call"}
	if !callSID.MatchString(id) {
		return nil, op.Failed(models.Rejected, "invalid_call_id")
	}
	type event struct {
		Request struct {
			URL string `json:"url"`
		} `json:"request"`
	}
	params := (&api.ListCallEventParams{}).SetPageSize(pageSize)
	rows, _, err := readList[event](ctx, c, op, "events", func(s *api.ApiService, token, page string) error {
		_, err := s.PageCallEvent(id, params, token, page)
		return err
	})
	var addresses []string
	for _, row := range rows {
		if row.Request.URL != "" {
			addresses = append(addresses, row.Request.URL)
		}
	}
	return addresses, err
}

// placed reads one call from an answer in the 200s; an answer that names no call is a failure.
func placed(call *api.ApiV2010Call, ex *exchange.Exchange, op exchange.Op) (models.PlacedCall, error) {
	got, ok := read(call)
	if !ok {
		return models.PlacedCall{}, failure(ex, op)
	}
	if got.At.IsZero() { // Twilio leaves date_created empty in the answer to a new call
		got.At, _ = http.ParseTime(ex.Header().Get("Date"))
	}
	return got, nil
}

func read(call *api.ApiV2010Call) (got models.PlacedCall, ok bool) {
	if call == nil || call.Sid == nil || call.Status == nil || !callSID.MatchString(*call.Sid) {
		return models.PlacedCall{}, false
	}
	got = models.PlacedCall{ID: *call.Sid, Status: models.CallStatus(*call.Status)}
	for _, at := range []*string{call.DateCreated, call.StartTime} {
		if at == nil {
			continue
		}
		if t, err := time.Parse(time.RFC1123Z, *at); err == nil {
			got.At = t.UTC()
			break
		}
	}
	return got, true
}

func webURL(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
}
