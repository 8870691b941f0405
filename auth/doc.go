// Package auth identifies the sender of a request by a bearer token, and knows which role may use which operation.
//
// It knows neither what an incident's state allows (models) nor which rows a user may see (store).
package auth
