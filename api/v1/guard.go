package v1

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/api/problem"
	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/desk"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

const defaultLimit = 50 // entries of a page

// identify finds the sender of the request by the bearer token. A request that only asks can change nothing: browsers,
// proxies and programs repeat it as they like.
func (s *server) identify(c *gin.Context) {
	scheme, secret, _ := strings.Cut(c.GetHeader("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		secret = ""
	}
	secret = strings.TrimSpace(secret)
	p, err := s.principal(c.Request.Context(), secret)
	if models.KindOf(err) == models.Unauthorized {
		s.desk.NoteRefusal(models.Refusal{Minute: time.Now(), Status: http.StatusUnauthorized, Source: c.RemoteIP(), Prefix: auth.Prefix(secret)})
	}
	if err != nil {
		s.answerError(c, err)
		return
	}
	if c.Request.Method == http.MethodGet || c.Request.Method == http.MethodHead {
		c.Request = c.Request.WithContext(store.ReadOnly(c.Request.Context()))
	}
	setCaller(c, caller{user: p.User, principal: p})
}

// principal looks up whose token it is. One token is looked up few times at a time: whoever has it may have as many
// connections as they like.
func (s *server) principal(ctx context.Context, secret string) (models.Principal, error) {
	if secret != "" {
		sum := sha256.Sum256([]byte(secret))
		end, err := s.lookups.begin(ctx, uuid.UUID(sum[:16]))
		if err != nil {
			return models.Principal{}, err
		}
		defer end()
	}
	return s.auth.Principal(ctx, secret)
}

// permit checks the role. A caller who may not even see the incident or client gets the answer for one that does not
// exist.
func (s *server) permit(c *gin.Context) {
	op := s.spec.operation(c)
	if op == nil {
		s.answerError(c, models.Errorf(models.Forbidden, "no role may use this operation"))
		return
	}
	ctx, who := callerOf(c)
	err := auth.AllowPrincipal(op.Operation.OperationID, who.principal)
	if err == nil {
		return
	}
	if who.user.Role == models.RoleService || who.principal.Invitation { // the answer does not depend on what exists
		s.answerError(c, err)
		return
	}
	if ref, perr := models.ParseReference(c.Param("reference")); perr == nil {
		if _, hidden := s.desk.Incident(ctx, who.user, ref); hidden != nil {
			err = hidden
		}
	}
	if n, perr := strconv.Atoi(c.Param("number")); perr == nil {
		if _, hidden := s.desk.Client(ctx, who.user, n); hidden != nil {
			err = hidden
		}
	}
	s.answerError(c, err)
}

// decode reads the body, which fits the document, into v. When it cannot, it refuses the request and returns false.
func (s *server) decode(c *gin.Context, v any) bool {
	_, who := callerOf(c)
	if len(who.body) == 0 { // the document allows it where no field is required
		return true
	}
	if err := json.Unmarshal(who.body, v); err != nil {
		s.refuseUnreadable(c, err)
		return false
	}
	return true
}

// pageRequest reads the parameters of a list.
func pageRequest(cursor string, limit int) desk.PageRequest {
	return desk.PageRequest{Cursor: cursor, Limit: cmp.Or(limit, defaultLimit)}
}

// idempotencyKey returns the caller's own name for the request.
func idempotencyKey(c *gin.Context) (string, error) {
	keys := c.Request.Header.Values("Idempotency-Key")
	if len(keys) != 1 {
		return "", errors.New("not one Idempotency-Key")
	}
	return keys[0], nil
}

func (s *server) answerProblem(c *gin.Context, p problem.Problem) {
	problem.Write(c.Writer, p)
	c.Abort()
}
