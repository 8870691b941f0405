package stage

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

var errNotLoopback = errors.New("not a loopback address")

func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address %q: %w", addr, err)
	}
	if !IsLoopback(host) {
		return fmt.Errorf("address %q: %w", addr, errNotLoopback)
	}
	return nil
}

// refuseForeignAddress fails every connection that would leave the machine.
func refuseForeignAddress(_, address string, _ syscall.RawConn) error {
	return checkLoopback(address)
}

// IsLoopback reports whether a host name or address stays on this machine.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}
