package devstack_test

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/devstack"
)

func TestAServerCanListenOnAFreePort(t *testing.T) {
	port, err := devstack.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	if err := devstack.CheckPortFree(port, "HTTP_ADDRESS"); err != nil {
		t.Error(err)
	}
}

func TestCheckPortFreeNamesPortAndSetting(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	err = devstack.CheckPortFree(port, "--temporal-port")
	if err == nil {
		t.Fatal("a taken port counts as free")
	}
	for _, want := range []string{strconv.Itoa(port), "--temporal-port", "already in use"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not mention %q", err, want)
		}
	}
}

// Nothing else can take a port that is held, until its server starts.
func TestAHeldPortIsTakenUntilItIsReleased(t *testing.T) {
	port, release, err := devstack.HoldPort()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if devstack.CheckPortFree(port, "HTTP_ADDRESS") == nil {
		t.Error("another part can take the port")
	}
	release()
	if err := devstack.CheckPortFree(port, "HTTP_ADDRESS"); err != nil {
		t.Error(err)
	}
	release()
}
