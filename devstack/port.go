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
// process may still take it before the caller does; HoldPort keeps it from that.
func FreePort() (int, error) {
	port, release, err := HoldPort()
	if err == nil {
		release()
	}
	return port, err
}

// HoldPort returns a TCP port of 127.0.0.1 that nothing listens on, and listens
// on it itself until release is called, right before its server starts. It may be
// called again.
func HoldPort() (port int, release func(), err error) {
	for range portTries {
		port := firstFreePort + rand.IntN(lastFreePort-firstFreePort)
		listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", loopback(port))
		if err == nil {
			return port, func() { _ = listener.Close() }, nil // the only error is that it is closed
		}
	}
	return 0, nil, fmt.Errorf("no TCP port between %d and %d is free on 127.0.0.1: stop programs that listen there", firstFreePort, lastFreePort)
}

// CheckPortFree returns nil when a server can listen on the port of 127.0.0.1,
// else an error that names the port and the setting (flag or environment
// variable) by which the user chooses another one.
func CheckPortFree(port int, setting string) error {
	if err := listenOnce(port); err != nil {
		return fmt.Errorf("port %d is already in use: stop what listens there or choose another port with %s: %w",
			port, setting, err)
	}
	return nil
}

// listenOnce listens on a port of 127.0.0.1 and stops at once.
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
	return port, CheckPortFree(port, setting)
}

// loopback returns the address of a port of this machine.
func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
