// Package activities touches the world on a workflow's behalf: the store, the mail vendor, the carrier, the EDR.
//
// Every effect on the outside goes through Effects.Once, so that it happens at most once whatever dies in between.
// The class of a vendor's failure alone decides what happens next; see applicationError.
package activities
