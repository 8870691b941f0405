package elastic

import (
	"context"
	"errors"
	"net/http"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

const maxComment = 500 // runes

// target is the state a host shall have, and its meaning for the state it has.
type target struct {
	op             exchange.Op
	command        string
	done, on, away models.HostState // there, on the way there, on the way to the opposite
}

// Isolate asks Kibana to cut one host off the network and returns the id of the action. nil means
// Kibana took the action or already had one: the host is isolated when State says so, which for an
// offline host may be days later. The comment is kept beside the action, one line.
//
// Kibana takes a second action too, so the host is looked at first: an isolated host is left alone
// and an action under way is adopted; the id is "" when Kibana no longer knows it. Ambiguous: read
// the state before anything else. Throttled: a release is under way. Rejected: no such host, the
// agent is unenrolled or its sensor cannot isolate. Config: a privilege or the licence is missing.
func (t *Tenant) Isolate(ctx context.Context, id, comment string) (string, error) {
	return t.pursue(ctx, id, comment, target{
		op:      exchange.Op{Vendor: vendor, Name: "isolate", Effect: true},
		command: commandIsolate, done: models.HostIsolated, on: models.HostIsolating, away: models.HostReleasing,
	})
}

// Release asks Kibana to let one host back on the network. It is the mirror of Isolate.
func (t *Tenant) Release(ctx context.Context, id, comment string) (string, error) {
	return t.pursue(ctx, id, comment, target{
		op:      exchange.Op{Vendor: vendor, Name: "release", Effect: true},
		command: commandRelease, done: models.HostNormal, on: models.HostReleasing, away: models.HostIsolating,
	})
}

func (t *Tenant) pursue(ctx context.Context, id, comment string, w target) (string, error) {
	if !idForm.MatchString(id) {
		return "", w.op.Failed(models.Rejected, "invalid_host_id")
	}
	adopted, fulfilled, err := t.fulfilled(ctx, id, w)
	if fulfilled || err != nil {
		return adopted, err
	}
	sent, failed := t.sendAction(ctx, id, comment, w)
	if failed == nil {
		return sent, nil
	}
	if failed.HTTPStatus != http.StatusConflict {
		return "", failed
	}
	adopted, fulfilled, err = t.fulfilled(ctx, id, w)
	if fulfilled || opposed(err) {
		return adopted, err
	}
	failed.Class = models.Ambiguous // the reference does not say what a conflict means
	return "", failed
}

// opposed reports whether the host was seen on its way to the opposite.
func opposed(err error) bool {
	var failed *models.VendorError
	return errors.As(err, &failed) && failed.Code == exchange.CodeOpposite
}

// fulfilled looks whether the host is where it shall be, or on its way: then no action is to
// be sent, and it names the action that did it where Kibana knows it. An error means that no action
// may be sent, or that the host could not be looked at.
func (t *Tenant) fulfilled(ctx context.Context, id string, w target) (action string, yes bool, err error) {
	v, err := t.look(ctx, id)
	switch {
	case err != nil:
		return "", false, err
	case v.doc.gone():
		return "", false, w.op.Failed(models.Rejected, "unenrolled")
	case v.host.State == w.away:
		return "", false, w.op.Opposed()
	case v.host.State == w.done || v.host.State == w.on:
		return v.newest(w.command), true, nil
	case w.command == commandIsolate && v.doc.unable():
		return "", false, w.op.Failed(models.Rejected, "isolation_unsupported")
	}
	return "", false, nil
}

// newest is the id of the host's newest action of this kind that has not failed, "" without one.
func (v view) newest(command string) string {
	for _, a := range v.actions {
		if state, _ := a.state(v.host.ID); a.Command == command && state != models.ActionFailed && idForm.MatchString(a.ID) {
			return a.ID
		}
	}
	return ""
}

// sendAction names one host only: an action on a list would be many effects.
func (t *Tenant) sendAction(ctx context.Context, id, comment string, w target) (string, *models.VendorError) {
	body := struct {
		Hosts   []string `json:"endpoint_ids"`
		Comment string   `json:"comment,omitempty"`
	}{[]string{id}, models.CleanLine(comment, maxComment)}
	ex := t.send(ctx, http.MethodPost, "/api/endpoint/action/"+w.command, body)
	var answer struct {
		Action string  `json:"action"` // all that older Kibanas answer
		Data   *action `json:"data"`
	}
	if !ex.OK() || ex.Decode(&answer) != nil {
		return "", failure(ex, w.op)
	}
	if d := answer.Data; d != nil {
		if len(d.Agents) != 1 || d.Agents[0] != id || d.Command != w.command {
			return "", failure(ex, w.op) // accepted, but for what?
		}
		answer.Action = d.ID
	}
	if !idForm.MatchString(answer.Action) {
		return "", failure(ex, w.op)
	}
	return answer.Action, nil
}
