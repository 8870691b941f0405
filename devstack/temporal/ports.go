package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
)

// Ports are picked below the range the kernel hands out for outgoing
// connections, so that no connection takes one between picking and listening.
const (
	firstPort = 20000
	lastPort  = 32000
	tries     = 1000
)

// freePorts picks n different ports that nothing listens on and that are not
// among the taken ones.
func freePorts(n int, taken ...int) ([]int, error) {
	var ports []int
	for range tries {
		if len(ports) == n {
			return ports, nil
		}
		port := firstPort + rand.IntN(lastPort-firstPort)
		if slices.Contains(taken, port) || slices.Contains(ports, port) || !free(port) {
			continue
		}
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("no %d free ports between %d and %d", n, firstPort, lastPort)
}

// free reports whether the port can be listened on.
func free(port int) bool {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", loopback(port))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}
