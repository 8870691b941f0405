// Package sqlite is no database: the server keeps everything in PostgreSQL.
package sqlite

// Error is never returned.
type Error struct{}

// Error returns no message.
func (*Error) Error() string { return "" }

// Code returns no code.
func (*Error) Code() int { return 0 }
