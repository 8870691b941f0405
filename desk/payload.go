package desk

import (
	"context"
	"slices"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// workflowsNamed is how many workflows an entry of the audit log names at most.
const workflowsNamed = 20

// PayloadOpener opens what the workflow engine keeps. It returns also the id of the workflow that a payload was sealed for
// and the number of its client, 0 for none.
type PayloadOpener interface {
	Open(sealed models.Payload) (plain models.Payload, workflow string, client int, err error)
}

// OpenPayloads opens payloads for an operator and returns them in their order; one that cannot be opened, or whose client
// does not exist, stays as it is. Nothing is opened before the audit logs of its client and of the SOC say so. TooMany: the
// user's share is used up.
func (d *Desk) OpenPayloads(ctx context.Context, u models.User, sealed []models.Payload) ([]models.Payload, error) {
	if err := auth.Allow("decode-payloads", u.Role); err != nil {
		return nil, err
	}
	out := slices.Clone(sealed)
	if d.payloads == nil {
		return out, nil
	}
	if err := d.useOwn(ctx, u); err != nil {
		return nil, err
	}
	type opened struct {
		at    int
		plain models.Payload
	}
	byClient, workflows := map[int][]opened{}, map[int][]string{}
	for n, s := range sealed {
		plain, workflow, client, err := d.payloads.Open(s)
		if err != nil {
			continue
		}
		byClient[client] = append(byClient[client], opened{n, plain})
		if !slices.Contains(workflows[client], workflow) {
			workflows[client] = append(workflows[client], workflow)
		}
	}
	for client, all := range byClient {
		err := d.noteOpened(ctx, u, client, workflows[client])
		if models.KindOf(err) == models.NotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, o := range all {
			out[o.at] = o.plain
		}
	}
	return out, nil
}

// noteOpened writes into the audit log of the client with a number that payloads of its workflows are opened, and into that
// of the SOC of which workflows, twenty in an entry: their ids hold references of incidents that the client does not see yet.
// 0 stands for no client.
func (d *Desk) noteOpened(ctx context.Context, u models.User, client int, workflows []string) error {
	if client != 0 {
		err := d.inClient(ctx, u, client)(func(tx *store.Tx) error { return d.appendAudit(tx, u, "decode-payloads", "", nil) })
		if err != nil {
			return err
		}
	}
	return d.inLogins(ctx, u, theSOC)(func(tx *store.Tx) error {
		for named := range slices.Chunk(workflows, workflowsNamed) {
			if err := d.appendAudit(tx, u, "decode-payloads", "", named); err != nil {
				return err
			}
		}
		return nil
	})
}
