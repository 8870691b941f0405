package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// AuditLog lists the changes of the settings of the client with a number, the newest first. NotFound also when the
// client is not the user's.
func (d *Desk) AuditLog(ctx context.Context, u models.User, number int, p PageRequest) (Page[models.AuditEntry], error) {
	if err := auth.Allow("list-audit-log", u.Role); err != nil {
		return Page[models.AuditEntry]{}, err
	}
	return readPage(d.inClient(ctx, u, number), p, (*store.Tx).AuditLog,
		func(e models.AuditEntry) string { return store.Cursor{At: e.At, ID: e.ID.String()}.String() })
}

// changeSettings runs fn, which changes the settings of the client with a number, in a transaction of inClient. Changes
// of one client wait for each other. The audit log gets the subject and the fields that fn returns; without fields it
// gets no entry, because nothing was changed. TooMany: a share of the user or the client, or one of more, is used up.
func (d *Desk) changeSettings(ctx context.Context, u models.User, number int, operation string,
	fn func(*store.Tx) (subject string, fields []string, err error), more ...store.Limit,
) error {
	if err := d.use(ctx, u, number, operation, more...); err != nil {
		return err
	}
	return d.inClient(ctx, u, number)(func(tx *store.Tx) error {
		if err := tx.LockClientSettings(); err != nil {
			return err
		}
		subject, fields, err := fn(tx)
		if err != nil || len(fields) == 0 {
			return err
		}
		return d.appendAudit(tx, u, operation, subject, fields)
	})
}

func (d *Desk) appendAudit(tx *store.Tx, u models.User, operation, subject string, fields []string) error {
	return tx.AppendAudit(models.AuditEntry{
		At: tx.Now(), By: u.ID, Side: u.Role.Side(), Operation: operation, Subject: subject, Fields: fields,
	})
}

// differences names the fields in which two values differ as JSON, sorted; a field inside an object is named as in
// "policy/ring_for". An empty field counts as absent.
func differences(before, after any) ([]string, error) {
	left, right := map[string]string{}, map[string]string{}
	if err := errors.Join(collectFields(left, before), collectFields(right, after)); err != nil {
		return nil, err
	}
	maps.DeleteFunc(left, func(name, value string) bool {
		same := right[name] == value
		if same {
			delete(right, name)
		}
		return same
	})
	maps.Copy(left, right)
	return slices.Sorted(maps.Keys(left)), nil
}

// collectFields puts the fields of v that are not empty into fields, by their names.
func collectFields(fields map[string]string, v any) error {
	body, err := canonicalJSON(v)
	if err != nil {
		return err
	}
	return collectFieldsUnder(fields, "", body)
}

func collectFieldsUnder(fields map[string]string, name string, body json.RawMessage) error {
	switch text := string(body); {
	case text == "null", text == `""`, text == "[]":
		return nil
	case text[0] != '{':
		fields[name] = text
		return nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(body, &object); err != nil {
		return fmt.Errorf("read %q: %w", name, err)
	}
	for field, value := range object {
		if err := collectFieldsUnder(fields, strings.TrimPrefix(name+"/"+field, "/"), value); err != nil {
			return err
		}
	}
	return nil
}
