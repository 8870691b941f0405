package desk

import (
	"archive/zip"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// The list is Go's own, without the zone of a machine that nobody has set up.
func TestZonesAreThoseThatGoCarries(t *testing.T) {
	carried, err := zip.OpenReader(filepath.Join(runtime.GOROOT(), "lib", "time", "zoneinfo.zip")) //nolint:staticcheck // tests run where Go is
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = carried.Close() }()
	var want []string
	for _, f := range carried.File {
		if f.Name != "Factory" && !strings.HasSuffix(f.Name, "/") {
			want = append(want, f.Name)
		}
	}
	slices.Sort(want)
	if !slices.Equal(zones, want) {
		t.Error("zones.txt is not Go's list: run go generate ./desk and commit it")
	}
	for _, name := range want {
		if !isTimeZone(name) {
			t.Errorf("%s cannot be loaded", name)
		}
	}
}

func TestNamesThatAreNoTimeZone(t *testing.T) {
	for _, name := range []string{
		"", "Local", "localtime", "posixrules", "Factory", "posix/Europe/Berlin", "right/Europe/Berlin", "europe/berlin", "EUROPE/BERLIN",
		"Europe/Berlin ", "../Europe/Berlin", "Europe//Berlin", "Europe", "leapseconds", "tzdata.zi", "zone.tab", "Mars/Base",
	} {
		if isTimeZone(name) {
			t.Errorf("%q is a time zone", name)
		}
	}
}
