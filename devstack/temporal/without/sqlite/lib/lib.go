// Package sqlite3 has the codes that the server asks for.
package sqlite3

// The codes of a violated constraint (https://www.sqlite.org/rescode.html).
const (
	SQLITE_CONSTRAINT            = 19
	SQLITE_CONSTRAINT_PRIMARYKEY = 1555
	SQLITE_CONSTRAINT_UNIQUE     = 2067
)
