package desk

import (
	_ "embed"
	"slices"
	"strings"
	"time"
)

// The time zones that Go carries, in their order. A machine may know more names, or the same in another case, and the
// next machine may not; and some of its names say where the machine is.
//
//go:generate go run zone_names.go
//go:embed zones.txt
var zoneNames string

var zones = strings.Fields(zoneNames)

// isTimeZone reports whether a name is that of a time zone, letter by letter.
func isTimeZone(name string) bool {
	if _, known := slices.BinarySearch(zones, name); !known {
		return false
	}
	_, err := time.LoadLocation(name)
	return err == nil
}
