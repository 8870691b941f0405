// Package v1 answers the JSON API that api/openapi.yaml describes. The types and the routing in api.gen.go are
// generated from that document; what is here checks a request (who, may they, is it well formed), hands it to the
// desk and writes the answer.
//
// It decides nothing about incidents and runs no SQL.
package v1
