// Package models holds the values that several rooms share, and the rules about them: clients and contacts, people and
// roles, severities, references, hours, policies, alerts, and what vendors and devices are to us. The packages below it
// hold one noun each; they import this one, and no sibling but for incident, which imports notify and authority.
//
// It is values only: no clock, no context, no database handle, no network. A function here gives the same answer for
// the same arguments for ever, so workflows may call it during replay.
package models
