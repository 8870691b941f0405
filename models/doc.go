// Package models holds what Watchfire's things are and which changes to them are legal.
//
// It is values only: no clock, no context, no database handle, no network. A function here gives the
// same answer for the same arguments for ever, so workflows may call it during replay.
package models
