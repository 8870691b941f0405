// Package client is Watchfire's API for Go programs, generated from api/openapi.yaml. Values are those of models.
//
// Nothing here is written by hand except this comment.
package client
