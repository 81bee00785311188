//go:build !linux

package dnstap

import "net"

// processOf names no process: each system has another way to find it, if any.
func processOf(*net.UnixConn) string { return "unix" }
