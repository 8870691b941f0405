// Package v1 answers the JSON API that api/openapi.yaml describes. The types and the routing in api.gen.go are
// generated from that document, except for the routes of commands, which follow from incident.Commands. The package
// checks a request (who sent it, may they, is it well-formed, does it fit the document), hands it to the desk and
// writes the answer. Each exported method is the operation of the same name.
//
// The package decides nothing about incidents and runs no SQL.
package v1
