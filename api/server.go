package api

import (
	_ "embed"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/watchfire-mdr/watchfire/api/problem"
	v1 "github.com/watchfire-mdr/watchfire/api/v1"
	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/desk"
	"github.com/watchfire-mdr/watchfire/observability"
)

//go:embed openapi.yaml
var document []byte

// maxBody bounds every body. A route may have a lower bound of its own.
const maxBody = 16 << 20

// Options are the parts of a server. All but Routes and UI are needed.
type Options struct {
	Desk    *desk.Desk
	Auth    *auth.Authenticator
	Log     *slog.Logger
	Metrics *observability.Metrics
	Routes  []func(gin.IRouter) // of other rooms, such as the vendors' hooks
	UI      string              // origin of the Temporal UI whose pages may have payloads opened; "" for none
}

// New returns the handler of all routes. The caller listens and sets the timeouts.
func New(o Options) (http.Handler, error) {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.HandleMethodNotAllowed = true
	r.RedirectTrailingSlash = false
	if err := r.SetTrustedProxies(nil); err != nil {
		return nil, fmt.Errorf("trust no proxy: %w", err)
	}
	r.Use(readOn, nameRequest, setSecurityHeaders, logAccess(o.Log, o.Metrics), recoverPanic(o.Log), boundBody, admitUI(o.UI))
	r.NoRoute(func(c *gin.Context) {
		problem.Write(c.Writer, problem.New(http.StatusNotFound, "It does not exist, or you may not see it."))
	})
	r.NoMethod(func(c *gin.Context) {
		problem.Write(c.Writer, problem.New(http.StatusMethodNotAllowed, "This address does not take that method."))
	})
	if err := v1.Register(r, document, o.Desk, o.Auth, o.Log); err != nil {
		return nil, err
	}
	addHealth(r)
	for _, add := range o.Routes {
		add(r)
	}
	return r, nil
}
