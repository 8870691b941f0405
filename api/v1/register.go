package v1

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"

	"github.com/watchfire-mdr/watchfire/api/problem"
	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/desk"
	"github.com/watchfire-mdr/watchfire/models"
)

type server struct {
	desk                                *desk.Desk
	auth                                *auth.Authenticator
	log                                 *slog.Logger
	spec                                *spec
	lookups                             *turns // of a token
	reads, changes, clientReads, alerts *turns
	large, largeWork                    *turns              // of large bodies: one sender's, and all that are worked on
	bodies                              *semaphore.Weighted // bytes of large bodies
}

// Register adds every operation of the API to r. document is api/openapi.yaml. Each request is checked in this order:
// its sender, whether the sender's role may use the operation, whether the body is well-formed JSON of acceptable size,
// and whether the request fits the document.
func Register(r *gin.Engine, document []byte, d *desk.Desk, a *auth.Authenticator, log *slog.Logger) error {
	spec, err := readSpec(document)
	if err != nil {
		return fmt.Errorf("read the API's document: %w", err)
	}
	s := &server{
		desk: d, auth: a, log: log, spec: spec, lookups: newTurns(lookupsAtOnce, maxWaiting),
		reads: newTurns(readsAtOnce, maxWaiting), changes: newTurns(changesAtOnce, maxWaiting), alerts: newTurns(alertsAtOnce, maxWaiting),
		clientReads: newTurns(clientReadsAtOnce, manyCallers), large: newTurns(largeAtOnce, maxWaiting),
		largeWork: newTurns(max(1, int64(runtime.GOMAXPROCS(0)/2)), manyCallers), bodies: semaphore.NewWeighted(largeBodies),
	}
	routes := r.Group("/", s.identify, s.takeTurn, s.permit, s.readBody, s.validate)
	RegisterHandlersWithOptions(routes, s, GinServerOptions{
		ErrorHandler: func(c *gin.Context, err error, _ int) { s.refuseUnreadable(c, err) },
	})
	s.registerCommands(routes)
	return nil
}

// answerError answers with an error and ends the request. A request that its sender may not make is counted. It logs an internal error and does not show it; the errors of
// every room are free of content and of people's addresses.
func (s *server) answerError(c *gin.Context, err error) {
	p := problem.Of(err)
	if _, who := callerOf(c); p.Status == http.StatusForbidden && who.user.ID != uuid.Nil {
		refused := models.Refusal{Minute: time.Now(), Status: p.Status, By: who.user.ID}
		if op := s.spec.operation(c); op != nil {
			refused.Operation = op.Operation.OperationID
		}
		s.desk.NoteRefusal(refused)
	}
	if p.Status == http.StatusInternalServerError && c.Request.Context().Err() == nil {
		s.log.ErrorContext(c.Request.Context(), "a request failed", "route", c.FullPath(), "cause", err.Error())
	}
	problem.Write(c.Writer, p)
	c.Abort()
}

// refuseUnreadable refuses a request that fits the document but cannot be decoded, because the document is wider than
// Go: to it 5.0 is an integer.
func (s *server) refuseUnreadable(c *gin.Context, err error) {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		pointer := "/" + strings.ReplaceAll(wrong.Field, ".", "/")
		s.answerProblem(c, invalidRequest(problem.FieldError{Pointer: pointer, Detail: "must be written as a whole number, without point and exponent"}))
		return
	}
	s.answerProblem(c, problem.New(http.StatusBadRequest, "The request cannot be read."))
}

type callerKey struct{}

// caller holds the sender of a request, and its body.
type caller struct {
	user      models.User
	principal models.Principal // with what the token is good for
	body      []byte           // byte for byte; nil without one
	values    int              // that the body holds
	turn      *turn            // nil for one that waits for none
}

// callerOf returns the request's own context, which outlives gin's, and its caller.
func callerOf(c *gin.Context) (context.Context, caller) {
	ctx := c.Request.Context()
	who, _ := ctx.Value(callerKey{}).(caller)
	return ctx, who
}

// SenderOf returns the id of the user or the service token that a request came from, and of the token that it came with;
// zero ones while nobody is known.
func SenderOf(c *gin.Context) (by, token uuid.UUID) {
	_, who := callerOf(c)
	return who.principal.ID, who.principal.Token
}

func setCaller(c *gin.Context, who caller) {
	c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), callerKey{}, who))
}
