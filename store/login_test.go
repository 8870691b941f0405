package store_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/store/storetest"
)

// TestEachLoginBecomesItsOwnAudiences asks the database itself, past the store, what each login may become.
func TestEachLoginBecomesItsOwnAudiences(t *testing.T) {
	ownerURL, appURL := storetest.URLs(t)
	role := newLogin(t, ownerURL)
	url := withUser(t, appURL, role, "password")
	all := []string{"watchfire_auth", "watchfire_hooks", "watchfire_portal", "watchfire_soc", "watchfire_worker"}
	for _, c := range []struct {
		login store.Login
		may   string
	}{
		{store.LoginOperator, "watchfire_auth watchfire_hooks watchfire_portal watchfire_soc watchfire_worker"},
		{store.LoginAPI, "watchfire_auth watchfire_hooks watchfire_portal watchfire_soc"},
		{store.LoginWorker, "watchfire_worker"},
	} {
		if err := store.EnsureLogin(t.Context(), ownerURL, c.login, role, "password"); err != nil {
			t.Fatal(err)
		}
		var may []string
		for _, audience := range all {
			switch err := ownerExec(t.Context(), url, "set role "+audience); {
			case err == nil:
				may = append(may, audience)
			case !strings.Contains(err.Error(), "42501"):
				t.Fatal(err)
			}
		}
		equal(t, "audiences of the login of "+string(c.login), strings.Join(may, " "), c.may)
	}
}

func TestALoginThatMayTooMuchOrTooLittleIsFound(t *testing.T) {
	ownerURL, appURL := storetest.URLs(t)
	role := newLogin(t, ownerURL)
	open := func(login store.Login) (*store.Store, error) {
		return store.Open(t.Context(), withUser(t, appURL, role, "password"), store.Options{Login: login})
	}
	check := func(made, used store.Login, refused string) {
		t.Helper()
		if err := store.EnsureLogin(t.Context(), ownerURL, made, role, "password"); err != nil {
			t.Fatal(err)
		}
		s, err := open(used)
		if err == nil {
			defer closeStore(t, s)
		}
		if refused == "" && err != nil || refused != "" && (err == nil || !strings.Contains(err.Error(), refused)) {
			t.Errorf("the login of %s for the %s: got %v, want an error with %q", made, used, err, refused)
		}
	}
	check(store.LoginAPI, store.LoginAPI, "")
	check(store.LoginWorker, store.LoginWorker, "")
	check(store.LoginOperator, store.LoginAPI, "watchfire_worker")
	check(store.LoginOperator, store.LoginWorker, "watchfire_auth")
	check(store.LoginAPI, store.LoginWorker, "watchfire_auth")

	for login, missing := range map[store.Login]string{store.LoginAPI: "watchfire_hooks", store.LoginWorker: "watchfire_worker"} {
		if err := store.EnsureLogin(t.Context(), ownerURL, login, role, "password"); err != nil {
			t.Fatal(err)
		}
		s, err := open(login)
		if err != nil {
			t.Fatal(err)
		}
		defer closeStore(t, s)
		if err := s.CheckLogin(t.Context()); err != nil {
			t.Errorf("a whole login of %s: %v", login, err)
		}
		if err := ownerExec(t.Context(), ownerURL, "revoke "+missing+" from "+role); err != nil {
			t.Fatal(err)
		}
		if err := s.CheckLogin(t.Context()); err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("the login of %s without %s: got %v", login, missing, err)
		}
	}
	if err := store.EnsureLogin(t.Context(), ownerURL, store.LoginWorker, "watchfire_worker", "password"); err == nil {
		t.Error("an audience became a login")
	}
}

// TestWorkersNeedNoOtherAudience does under the worker's login what a worker does of its own accord or over all clients.
func TestWorkersNeedNoOtherAudience(t *testing.T) {
	h := newHouse(t)
	h.setEDR(h.other, "mde", noon)
	row := h.intend(h.other, h.open(h.other, "open"), 1)
	h.as(store.Worker, h.other, func(tx *store.Tx) error { return tx.Accept(row.Key, "sendgrid", "m-1", noon) })
	role := newLogin(t, h.ownerURL)
	h.ok(store.EnsureLogin(t.Context(), h.ownerURL, store.LoginWorker, role, "password"))
	s, err := store.Open(t.Context(), withUser(t, h.appURL, role, "password"), store.Options{Login: store.LoginWorker})
	h.ok(err)
	defer closeStore(t, s)
	process := uuid.New()
	h.ok(errors.Join(s.Beat(t.Context(), process, "worker"), s.NoteCanary(t.Context(), process), s.NoteStopped(t.Context(), process),
		s.SchemaCurrent(t.Context()), s.RaiseAlarm(t.Context(), models.Alarm{Kind: models.AlarmNotRecorded, Subject: "x"}),
		s.EndAlarmAbout(t.Context(), models.AlarmNotRecorded, "x")))
	has, err := s.HasEDRCredentials(t.Context())
	h.ok(err)
	equal(t, "credentials of any client", has, true)
	h.ok(s.ForClient(t.Context(), store.Worker, h.acme.ID, func(tx *store.Tx) error {
		_, err := tx.IsEngaged(h.acme.contact.Phone, uuid.New(), noon)
		h.ok(err)
		unclaimed, err := tx.UnclaimedVendorIDs("sendgrid", []string{"m-1", "m-2"})
		equal(t, "ids that are no client's", strings.Join(unclaimed, " "), "m-2")
		if rows, failed := tx.Texts("select client_id::text from contacts"); failed != nil || len(rows) != 1 {
			t.Errorf("after looking over all clients it sees contacts of %v, %v", rows, failed)
		}
		return err
	}))
	h.fails(s.ForSOC(t.Context(), func(tx *store.Tx) error { return tx.Exec("select 1") }), models.Forbidden)
}
