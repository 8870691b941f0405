package mde

import (
	"encoding/json"
	"net/http"
	"reflect"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

const (
	isolatePath   = "POST /api/machines/" + id + "/isolate"
	unisolatePath = "POST /api/machines/" + id + "/unisolate"
)

func TestWhatIsSent(t *testing.T) {
	cancel := func(n int) string {
		return "POST /api/machineactions/" + nth(n) + `/cancel {"Comment":"SI-1042-0007 by analyst"}`
	}
	isolation := isolatePath + ` {"Comment":"SI-1042-0007 by analyst","IsolationType":"Full"}`
	release := unisolatePath + ` {"Comment":"SI-1042-0007 by analyst"}`
	done := newAction(1, isolate, "Succeeded", 1, 2)
	for _, c := range []struct {
		name             string
		before           []action
		isolate, release []string // what is sent
		isolated         string   // the action returned
		released         string
	}{
		{"nothing known", nil, []string{isolation}, []string{release}, nth(9), nth(9)},
		{"isolated", []action{done}, nil, []string{release}, nth(1), nth(9)},
		{"isolation pending", []action{newAction(2, isolate, "Pending", 1, 1)}, nil, []string{cancel(2)}, nth(2), ""},
		{"released", []action{done, newAction(2, unisolate, "Succeeded", 3, 4)}, []string{isolation}, nil, nth(9), nth(2)},
		{"release pending", []action{done, newAction(2, unisolate, "Pending", 3, 3)}, []string{cancel(2)}, nil, nth(1), nth(2)},
		{"isolation failed", []action{newAction(1, isolate, "Failed", 1, 2)}, []string{isolation}, []string{release}, nth(9), nth(9)},
		{"a duplicate waits", []action{done, newAction(2, isolate, "Pending", 3, 3)}, nil, []string{cancel(2), release}, nth(1), nth(9)},
		{"a duplicate waits after the release", []action{done, newAction(2, isolate, "Pending", 3, 3), newAction(3, unisolate, "Succeeded", 4, 5)},
			nil, []string{cancel(2)}, nth(2), nth(3)},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, d := range []struct {
				act    func(*Tenant) (string, error)
				sent   []string
				action string
			}{
				{func(x *Tenant) (string, error) { return x.Isolate(t.Context(), id, "SI-1042-0007\r\nby analyst") }, c.isolate, c.isolated},
				{func(x *Tenant) (string, error) { return x.Release(t.Context(), id, "SI-1042-0007\r\nby analyst") }, c.release, c.released},
			} {
				cl := newCloud(t, append([]action{}, c.before...)...)
				got, err := d.act(cl.tenant())
				if err != nil || got != d.action || !reflect.DeepEqual(cl.changes(), d.sent) {
					t.Errorf("%q, %v, sent %q, want %q", got, err, cl.changes(), d.sent)
				}
			}
		})
	}
}

func TestAnActionUnderWayIsNotOverlapped(t *testing.T) {
	c := newCloud(t, newAction(1, isolate, "InProgress", 1, 1))
	vendortest.WantClass(t, only(c.tenant().Release(t.Context(), id, "")), models.Throttled)
	late := newCloud(t, newAction(1, isolate, "Pending", 1, 1))
	late.instead["POST /api/machineactions/"+nth(1)+"/cancel"] = vendortest.Answering(400, `{"error":{"code":"BadRequest","message":"x"}}`)
	vendortest.WantClass(t, only(late.tenant().Release(t.Context(), id, "")), models.Throttled)
	unsure := newCloud(t, newAction(1, isolate, "Pending", 1, 1))
	unsure.instead["POST /api/machineactions/"+nth(1)+"/cancel"] = vendortest.Cut
	vendortest.WantClass(t, only(unsure.tenant().Release(t.Context(), id, "")), models.Ambiguous)
	for _, cl := range []*cloud{c, late, unsure} {
		for _, sent := range cl.changes() {
			if sent[:len(unisolatePath)] == unisolatePath {
				t.Errorf("released all the same: %s", sent)
			}
		}
	}
}

func TestIsolateFailures(t *testing.T) {
	failed := func(code string) string { return `{"error":{"code":"` + code + `","message":"x","target":"trace-1"}}` }
	for _, c := range []struct {
		name, body string
		status     int
		want       models.VendorClass
		code       string
	}{
		{"unknown device", failed("ResourceNotFound"), 404, models.Rejected, "ResourceNotFound"},
		{"unsupported system", failed("OsPlatformNotSupported"), 400, models.Rejected, "OsPlatformNotSupported"},
		{"not this device", failed("DisallowedOperation"), 403, models.Rejected, "DisallowedOperation"},
		{"permission missing", failed("Forbidden"), 403, models.Config, "Forbidden"},
		{"conflict", failed("Conflict"), 409, models.Rejected, "Conflict"},
		{"busy with what nobody sees", failed("ActiveRequestAlreadyExists"), 400, models.Ambiguous, "ActiveRequestAlreadyExists"},
		{"broken", failed("InternalServerError"), 500, models.Ambiguous, "InternalServerError"},
		{"proxy page", "<html>", 502, models.Ambiguous, ""},
		{"empty", "", 201, models.Ambiguous, ""},
		{"half", `{"id":"`, 201, models.Ambiguous, ""},
		{"another device", `{"id":"` + nth(1) + `","type":"Isolate","status":"Pending","machineId":"2"}`, 201, models.Ambiguous, ""},
		{"another action", `{"id":"` + nth(1) + `","type":"Offboard","status":"Pending","machineId":"` + id + `"}`, 201, models.Ambiguous, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newCloud(t)
			cl.instead[isolatePath] = vendortest.Answering(c.status, c.body)
			err := only(cl.tenant().Isolate(t.Context(), id, ""))
			vendortest.WantClass(t, err, c.want)
			if v := vendortest.ErrorOf(t, err); v.Code != c.code || v.HTTPStatus != c.status {
				t.Errorf("%+v", v)
			}
			if len(cl.changes()) != 1 {
				t.Errorf("sent %v", cl.changes())
			}
		})
	}
}

// An action whose answer was lost is looked up, not sent again.
func TestLostAnswersAreLookedUp(t *testing.T) {
	for name, after := range map[string]struct {
		action     action
		want, busy models.VendorClass // busy: when Defender says that an action is not finished
		id         string
	}{
		"it happened":               {newAction(5, isolate, "Pending", 5, 5), "", "", nth(5)},
		"it happened and is done":   {newAction(5, isolate, "Succeeded", 5, 6), "", "", nth(5)},
		"it did not":                {newAction(5, "RunAntiVirusScan", "Pending", 5, 5), models.Ambiguous, models.Ambiguous, ""},
		"it failed":                 {newAction(5, isolate, "Failed", 5, 6), models.Ambiguous, models.Ambiguous, ""},
		"somebody released instead": {newAction(5, unisolate, "Pending", 5, 5), models.Ambiguous, models.Throttled, ""},
	} {
		for _, lost := range []struct {
			answer http.HandlerFunc
			want   models.VendorClass
		}{
			{vendortest.Cut, after.want}, {vendortest.Answering(500, ""), after.want}, {vendortest.Answering(201, ""), after.want},
			{vendortest.Answering(400, `{"error":{"code":"ActiveRequestAlreadyExists","message":"Action is already in progress"}}`), after.busy},
		} {
			c := newCloud(t)
			c.instead[isolatePath] = func(w http.ResponseWriter, r *http.Request) {
				c.actions = append(c.actions, after.action)
				lost.answer(w, r)
			}
			got, err := c.tenant().Isolate(t.Context(), id, "")
			vendortest.WantClass(t, err, lost.want)
			if got != after.id || len(c.changes()) != 1 {
				t.Errorf("%s: %q, sent %v", name, got, c.changes())
			}
		}
	}
}

func TestWithoutTheActionsNothingIsSent(t *testing.T) {
	c := newCloud(t)
	c.instead["GET /api/machineactions"] = vendortest.Answering(500, "")
	vendortest.WantClass(t, only(c.tenant().Isolate(t.Context(), id, "")), models.Transient)
	vendortest.WantClass(t, only(c.tenant().Isolate(t.Context(), "*", "")), models.Rejected)
	vendortest.WantClass(t, only(c.tenant().Release(t.Context(), "", "")), models.Rejected)
	if len(c.changes()) != 0 {
		t.Errorf("sent %v", c.changes())
	}
}

func TestACommentIsNeverEmpty(t *testing.T) {
	c := newCloud(t)
	vendortest.WantClass(t, only(c.tenant().Isolate(t.Context(), id, "\r\n")), "")
	var body map[string]string
	sent := c.changes()[0]
	if err := json.Unmarshal([]byte(sent[len(isolatePath)+1:]), &body); err != nil || body["Comment"] == "" {
		t.Errorf("%s, %v", sent, err)
	}
}
