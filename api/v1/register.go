package v1

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/watchfire-mdr/watchfire/api/problem"
	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/desk"
	"github.com/watchfire-mdr/watchfire/models"
)

// via is the door that commands given here came through.
const via = "api"

type server struct {
	desk *desk.Desk
	auth *auth.Authenticator
	log  *slog.Logger
	spec *spec
}

// Register adds every operation of the API to r. Each request passes, in this order: who sent it, whether their
// role may do this, whether the body is well-formed JSON of acceptable size, whether it fits the document.
func Register(r *gin.Engine, d *desk.Desk, a *auth.Authenticator, log *slog.Logger) error {
	doc, err := readSpec()
	if err != nil {
		return fmt.Errorf("read the API's document: %w", err)
	}
	s := &server{desk: d, auth: a, log: log, spec: doc}
	routes := r.Group("/", s.identify, s.permit, s.readBody, s.validate)
	strict := NewStrictHandlerWithOptions(s, nil, StrictGinServerOptions{
		RequestErrorHandlerFunc:  s.unreadable,
		HandlerErrorFunc:         s.fail,
		ResponseErrorHandlerFunc: s.fail,
	})
	RegisterHandlersWithOptions(routes, strict, GinServerOptions{
		ErrorHandler: func(c *gin.Context, err error, _ int) { s.unreadable(c, err) },
	})
	return nil
}

// fail answers with an error and ends the request. An internal error is logged and not shown; errors of every room
// are free of content and addresses of people.
func (s *server) fail(c *gin.Context, err error) {
	p := problem.Of(err)
	if p.Status == http.StatusInternalServerError && c.Request.Context().Err() == nil {
		s.log.ErrorContext(c.Request.Context(), "a request failed", "route", c.FullPath(), "cause", err.Error())
	}
	problem.Write(c.Writer, p)
	c.Abort()
}

// unreadable answers to what passed validation but not decoding: the document is too wide there. 5.0 is an integer to
// it, which Go does not read as one.
func (s *server) unreadable(c *gin.Context, err error) {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		pointer := "/" + strings.ReplaceAll(wrong.Field, ".", "/")
		s.refuse(c, invalid(problem.FieldError{Pointer: pointer, Detail: "must be written as a whole number, without point and exponent"}))
		return
	}
	problem.Write(c.Writer, problem.New(http.StatusBadRequest, "The request cannot be read."))
	c.Abort()
}

type callerKey struct{}

type caller struct {
	user models.User
	body []byte // as it came; nil without one
}

// called returns the request's own context and who sent it.
func called(ctx context.Context) (context.Context, caller) {
	if c, ok := ctx.(*gin.Context); ok { // gin recycles it; nothing may keep it after the answer
		ctx = c.Request.Context()
	}
	who, _ := ctx.Value(callerKey{}).(caller)
	return ctx, who
}

func setCaller(c *gin.Context, who caller) {
	c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), callerKey{}, who))
}
