package trend

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

const maxComment = 250 // runes

// way is one direction: the API's verb, the states it leads through, and the one that leads back.
type way struct {
	verb string
	done []models.HostState
	back models.HostState
}

// Isolate asks Vision One to cut one endpoint off the network, and returns the id of its task. nil
// means the task was taken, or the endpoint was there already (then the id is that of the task under
// way, "" when there is none): the host is isolated when State says so. Vision One does not
// document a second task for an endpoint, so none is sent. The comment is kept as the task's
// description, one line.
//
// Ambiguous: read the state before anything else. Throttled: the endpoint is being released.
// Rejected: unknown host, or one that is excluded from response actions. Config: the token may not.
func (t *Tenant) Isolate(ctx context.Context, id, comment string) (string, error) {
	op := exchange.Op{Vendor: vendor, Name: "isolate host", Effect: true}
	return t.sendAction(ctx, op, id, comment, way{"isolate",
		[]models.HostState{models.HostIsolating, models.HostIsolated}, models.HostReleasing})
}

// Release asks Vision One to let one endpoint back on the network. It is the mirror of Isolate.
func (t *Tenant) Release(ctx context.Context, id, comment string) (string, error) {
	op := exchange.Op{Vendor: vendor, Name: "release host", Effect: true}
	return t.sendAction(ctx, op, id, comment, way{"restore",
		[]models.HostState{models.HostReleasing, models.HostNormal}, models.HostIsolating})
}

// target is the one endpoint of an action, which is a list in the API.
type target struct {
	AgentGUID   string `json:"agentGuid"`
	Description string `json:"description,omitempty"`
}

// result is one element of a multi-status answer.
type result struct {
	Status  int `json:"status"`
	Headers []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"headers"`
	Body json.RawMessage `json:"body"`
}

func (t *Tenant) sendAction(ctx context.Context, op exchange.Op, id, comment string, w way) (string, error) {
	reading := op
	reading.Effect = false
	host, under, err := t.look(ctx, reading, id)
	switch {
	case err != nil:
		return "", err
	case slices.Contains(w.done, host.State):
		return under.id(), nil
	case host.State == w.back:
		return "", op.Opposed()
	}
	list := []target{{AgentGUID: id, Description: models.CleanLine(comment, maxComment)}}
	ex := t.send(ctx, http.MethodPost, "/response/endpoints/"+w.verb, "", list)
	action, err := taken(ex, op)
	var failed *models.VendorError
	if errors.As(err, &failed) && failed.HTTPStatus == http.StatusConflict {
		return t.decide(ctx, reading, id, w, failed)
	}
	return action, err
}

// taken reads the answer to an action: exactly one element, which names the task.
func taken(ex *exchange.Exchange, op exchange.Op) (string, error) {
	var results []result
	if ex.Status() != http.StatusMultiStatus || ex.Decode(&results) != nil || len(results) != 1 {
		return "", failure(ex, op)
	}
	one := results[0]
	if one.Status == http.StatusAccepted {
		if id := one.task(); id != "" {
			return id, nil
		}
		return "", failure(ex, op) // taken, but as what?
	}
	f := failure(ex, op)
	f.HTTPStatus, f.Code, f.Cause = one.Status, one.code(), nil
	f.Class = exchange.ClassOfStatus(one.Status, op)
	f.RetryAfter = retryAfter(ex, f.Class)
	return "", f
}

// task returns the id at the end of the operation's address, "" when it has none.
func (r result) task() string {
	for _, h := range r.Headers {
		if !strings.EqualFold(h.Name, "Operation-Location") {
			continue
		}
		if id := h.Value[strings.LastIndex(h.Value, "/")+1:]; taskID.MatchString(id) {
			return id
		}
	}
	return ""
}

func (r result) code() string {
	var body apiError
	if json.Unmarshal(r.Body, &body) != nil {
		return ""
	}
	return body.code()
}

// id is the task's id, "" of none.
func (k *task) id() string {
	if k == nil {
		return ""
	}
	return k.ID
}

// decide lets the state of the endpoint say what a conflict means: success when it is where the
// action leads, Throttled when it is on its way back, Ambiguous when nobody can tell.
func (t *Tenant) decide(ctx context.Context, op exchange.Op, id string, w way, failed *models.VendorError) (string, error) {
	host, under, err := t.look(ctx, op, id)
	switch {
	case err == nil && slices.Contains(w.done, host.State):
		return under.id(), nil
	case err == nil && host.State == w.back:
		return "", exchange.Opposed(failed)
	default:
		failed.Class = models.Ambiguous
	}
	return "", failed
}
