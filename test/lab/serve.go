//go:build linux

package lab

import (
	"net"
	"testing"
)

// Serve listens on a loopback port until the test ends, and answers as ServeOn does. It
// returns the address.
func Serve(t testing.TB, handle func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	ServeOn(l, handle)
	return l.Addr().String()
}

// ServeOn calls handle for each connection until l is closed, in a goroutine of its own,
// and closes the connection after that. It does not wait.
func ServeOn(l net.Listener, handle func(net.Conn)) {
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
}
