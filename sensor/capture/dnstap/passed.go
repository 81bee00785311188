package dnstap

import (
	"net"
	"net/netip"
	"os"
	"strconv"
)

// passedSocket is a socket that systemd has opened for us (sd_listen_fds(3)). An address
// uses it if it is the one that the socket is bound to.
type passedSocket struct {
	file    *os.File
	address Address // unix or tcp
	bound   netip.AddrPort
	name    string // FileDescriptorName=
	used    bool
}

// find returns the passed socket that is bound to an address, or nil.
func find(list []*passedSocket, a Address) *passedSocket {
	for _, p := range list {
		if !p.used && p.is(a) {
			return p
		}
	}
	return nil
}

func (p *passedSocket) is(a Address) bool {
	if a.Network == "unix" || !p.bound.IsValid() {
		return a == p.address
	}
	host, port, err := net.SplitHostPort(a.Where)
	if err != nil || port != strconv.Itoa(int(p.bound.Port())) {
		return false
	}
	ip, err := netip.ParseAddr(host)
	bound := p.bound.Addr()
	if host == "" || err == nil && ip.IsUnspecified() { // both are the same to us
		return bound.IsUnspecified()
	}
	return err == nil && (ip.Unmap() == bound.Unmap()) || host == "localhost" && bound.IsLoopback()
}
