package devstack

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// FreePort picks below the range from which the kernel takes the ports of
// outgoing connections, so that a port stays free until it is listened on.
const (
	firstFreePort = 20000
	lastFreePort  = 32000
	portTries     = 1000
)

// FreePort returns a TCP port of 127.0.0.1 that nothing listens on. Another
// process may still take it before the caller does.
func FreePort() (int, error) {
	for range portTries {
		port := firstFreePort + rand.IntN(lastFreePort-firstFreePort)
		if listenOnce(port) == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free TCP port between %d and %d on 127.0.0.1", firstFreePort, lastFreePort)
}

// PortFree returns nil when port can be listened on at 127.0.0.1, else an error
// that names the port and the setting (flag or environment variable) by which
// the user chooses another one.
func PortFree(port int, setting string) error {
	if err := listenOnce(port); err != nil {
		return fmt.Errorf("port %d is already in use: stop what listens there or choose another port with %s: %w",
			port, setting, err)
	}
	return nil
}

func listenOnce(port int) error {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", loopback(port))
	if err != nil {
		return errors.Unwrap(err)
	}
	return listener.Close()
}

// portOrFree returns port, or a free one for 0.
func portOrFree(port int, setting string) (int, error) {
	if port == 0 {
		return FreePort()
	}
	return port, PortFree(port, setting)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
