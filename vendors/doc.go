// Package vendors is the room of wire formats: one package per outside service, sorted by
// kind (mail, phone, edr). A package here translates between a value of models and one
// vendor's HTTP interface and classifies what went wrong (models.VendorClass).
//
// It does not decide when to act, retry, or look things up again, and keeps no record of
// what was done: that is the work of activities and workflows. A vendor package imports
// models, the vendor's SDK and vendors/internal, nothing else of the project.
package vendors
