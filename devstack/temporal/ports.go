package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
)

// freePorts picks ports below the range from which the kernel takes those of
// outgoing connections, so that no connection takes one before a server listens.
const (
	firstPort = 20000
	lastPort  = 32000
	tries     = 1000
)

// freePorts returns n different ports that nothing listens on and that are not
// among the taken ones.
func freePorts(n int, taken ...int) ([]int, error) {
	var ports []int
	for range tries {
		if len(ports) == n {
			return ports, nil
		}
		port := firstPort + rand.IntN(lastPort-firstPort)
		if slices.Contains(taken, port) || slices.Contains(ports, port) || !isFree(port) {
			continue
		}
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("fewer than %d ports are free between %d and %d: stop programs that listen there", n, firstPort, lastPort)
}

// isFree reports whether a server can listen on the port.
func isFree(port int) bool {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", loopback(port))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}
