//go:build linux

package lab

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
)

// firstPort is the lowest port that FreePort returns.
const firstPort = 10_000

var given struct { // ports that FreePort has returned
	sync.Mutex
	ports map[int]bool
}

// FreePort returns a port of the loopback address where nobody listens, for a server
// that is started later, or stopped and started again. It is below the range from
// which the kernel takes source ports: no connection takes it in between, and a client
// that connects while the server is down cannot reach itself. network is tcp or udp.
func FreePort(t testing.TB, network string) int {
	t.Helper()
	port, err := freePort(network)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func freePort(network string) (int, error) {
	below := 32768
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		fmt.Sscan(string(b), &below)
	}
	given.Lock()
	defer given.Unlock()
	if given.ports == nil {
		given.ports = make(map[int]bool)
	}
	var err error
	for range 1000 {
		port := 0 // any, where the kernel's range leaves no room
		if below > firstPort+1000 {
			port = firstPort + rand.IntN(below-firstPort)
		}
		if given.ports[port] {
			continue
		}
		if port, err = tryPort(network, port); err == nil {
			given.ports[port] = true
			return port, nil
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}

// tryPort checks that a port is free by listening there.
func tryPort(network string, port int) (int, error) {
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	if network == "udp" {
		c, err := net.ListenPacket(network, addr)
		if err != nil {
			return 0, err
		}
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr).Port, nil
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
