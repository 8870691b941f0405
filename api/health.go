package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/watchfire-mdr/watchfire/observability"
)

// addHealth adds /healthz (the process runs), /readyz (it can do its job) and /metrics.
func addHealth(r gin.IRouter, ready *observability.Readiness, metrics *observability.Metrics) {
	r.GET("/healthz", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok"}) })
	r.GET("/readyz", gin.WrapH(ready.Handler()))
	r.GET("/metrics", gin.WrapH(metrics.Handler()))
}
