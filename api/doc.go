// Package api assembles Watchfire's HTTP server: the JSON API (v1), the health endpoints, and the routes that other
// rooms hand in, behind the same recovery, request ids, access log and security headers.
//
// It answers nothing about incidents itself. The caller chooses addresses, TLS and timeouts.
package api
