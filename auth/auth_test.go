package auth_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

func TestATokenIsLongRandomAndStoredHashed(t *testing.T) {
	secret, hash := auth.NewToken()
	if !regexp.MustCompile(`^wf_[A-Za-z0-9_-]{43}$`).MatchString(secret) {
		t.Error("a token does not have the promised form")
	}
	if sum := sha256.Sum256([]byte(secret)); !bytes.Equal(hash, sum[:]) {
		t.Error("the hash is not the SHA-256 of the secret")
	}
	if again, _ := auth.NewToken(); again == secret {
		t.Error("two tokens are the same")
	}
}

type users map[string]models.Principal

func (u users) Authenticate(_ context.Context, hash []byte) (models.Principal, error) {
	if found, ok := u[string(hash)]; ok {
		return found, nil
	}
	return models.Principal{}, models.Errorf(models.Unauthorized, "unknown token")
}

func TestOnlyAKnownTokenNamesItsUser(t *testing.T) {
	secret, hash := auth.NewToken()
	stranger, _ := auth.NewToken()
	known := models.Principal{User: models.User{ID: uuid.New(), Role: models.RoleAnalyst}}
	a := auth.New(users{string(hash): known})

	if u, err := a.Principal(t.Context(), secret); err != nil || u.ID != known.ID {
		t.Errorf("the known token was refused: %v", err)
	}
	var words string
	for _, bad := range []string{"", "wf_", secret[:45], secret + "A", "xx_" + secret[3:], stranger, "wf_" + string(make([]byte, 43))} {
		_, err := a.Principal(t.Context(), bad)
		if models.KindOf(err) != models.Unauthorized {
			t.Errorf("a bad token of length %d gives %v", len(bad), err)
			continue
		}
		if words == "" {
			words = err.Error()
		}
		if err.Error() != words {
			t.Error("the answer tells one bad token from another")
		}
	}
}

func TestAFailingDatabaseIsNotAWrongToken(t *testing.T) {
	secret, _ := auth.NewToken()
	_, err := auth.New(down{}).Principal(t.Context(), secret)
	if err == nil || models.KindOf(err) == models.Unauthorized {
		t.Errorf("got %v", err)
	}
}

type down struct{}

func (down) Authenticate(context.Context, []byte) (models.Principal, error) {
	return models.Principal{}, errors.New("connection refused")
}

// The table and the incident must agree on who may give a command.
func TestCommandsAreAllowedToTheRolesTheIncidentAccepts(t *testing.T) {
	for _, c := range incident.Commands() {
		for _, role := range []models.Role{models.RoleAnalyst, models.RoleLead, models.RoleOperator, models.RoleViewer, models.RoleResponder, models.RoleAdmin} {
			u := models.User{ID: uuid.New(), Role: role}
			err := incident.Incident{}.Can(c, incident.CommandContext{RequestID: "r", Actor: u.Actor(), Via: "api"}, time.Unix(0, 0))
			accepts := models.KindOf(err) != models.Forbidden
			if allows := auth.Allow(c.Name(), role) == nil; allows != accepts {
				t.Errorf("%s by %s: the table says %v, the incident says %v", c.Name(), role, allows, accepts)
			}
		}
	}
}

func TestWhatIsNotInTheTableIsForbidden(t *testing.T) {
	for _, role := range []models.Role{models.RoleLead, models.RoleAdmin, ""} {
		if err := auth.Allow("delete-everything", role); models.KindOf(err) != models.Forbidden {
			t.Errorf("%s: %v", role, err)
		}
	}
}

func TestTheSOCLearnsThatClosingIsTheClientsAlone(t *testing.T) {
	if err := auth.Allow("request-closure", models.RoleAnalyst); models.KindOf(err) != models.Conflict {
		t.Errorf("analyst: %v", err)
	}
	if err := auth.Allow("request-closure", models.RoleViewer); models.KindOf(err) != models.Forbidden {
		t.Errorf("viewer: %v", err)
	}
}
