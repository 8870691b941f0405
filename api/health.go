package api

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// addHealth adds /healthz: the process runs. Whether it can do its job, and how much it does, is for the operator's
// listener alone.
func addHealth(r gin.IRouter) {
	r.GET("/healthz", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok"}) })
}
