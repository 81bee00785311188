package dnstap

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Address is where senders connect or, with Dial, where a sender listens.
type Address struct {
	Network string // "unix", "tcp" or "tls"
	Where   string // the path of a socket, @NAME of an abstract one, or HOST:PORT
}

// String is the address as users write it.
func (a Address) String() string { return a.Network + "://" + a.Where }

// abstract reports whether the address is a name without a file.
func (a Address) abstract() bool { return a.Network == "unix" && strings.HasPrefix(a.Where, "@") }

// dialed is the network as package net names it.
func (a Address) dialed() string {
	if a.Network == "tls" {
		return "tcp"
	}
	return a.Network
}

// forms is the end of errors about addresses.
const forms = "use unix:///PATH, tcp://HOST:PORT or tls://HOST:PORT, such as unix:///run/dnsmonster.sock or tcp://127.0.0.1:6000"

// ParseAddress parses unix:///PATH, unix://@NAME (an abstract socket), tcp://HOST:PORT and
// tls://HOST:PORT. unix:PATH and a path that begins with a slash are unix sockets, too.
func ParseAddress(text string) (Address, error) {
	bad := func(format string, args ...any) (Address, error) {
		return Address{}, fmt.Errorf("%q: "+format, append([]any{text}, args...)...)
	}
	network, where, found := strings.Cut(text, "://")
	switch {
	case found:
	case filepath.IsAbs(text):
		network, where = "unix", text
	case strings.HasPrefix(text, "unix:"):
		network, where = "unix", strings.TrimPrefix(text, "unix:")
	default:
		return bad("this is not an address: %s", forms)
	}
	a := Address{Network: strings.ToLower(network), Where: where}
	switch a.Network {
	case "unix":
		return a.unix(bad)
	case "tcp", "tls":
		host, port, err := net.SplitHostPort(strings.TrimSuffix(where, "/"))
		if err != nil {
			return bad("%s needs HOST:PORT, an IPv6 address in brackets, such as %s://[::1]:6000", a.Network, a.Network)
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil {
			return bad("a port is a number from 1 to 65535")
		} else {
			port = strconv.FormatUint(n, 10)
		}
		if strings.ContainsAny(host, "/@ \t\n?#") {
			return bad("%q is not a host name or address", host)
		}
		a.Where = net.JoinHostPort(host, port)
		return a, nil
	}
	return bad("%q is not supported: %s", network, forms)
}

func (a Address) unix(bad func(string, ...any) (Address, error)) (Address, error) {
	switch {
	case strings.ContainsRune(a.Where, 0):
		return bad("a path cannot contain a zero byte")
	case a.Where == "" || a.Where == "@":
		return bad("the path of the socket is missing: %s", forms)
	case len(a.Where) > maxSocketPath:
		return bad("the path of a socket has at most %d bytes, and this one has %d", maxSocketPath, len(a.Where))
	case a.abstract() && !hasAbstract:
		return bad("only Linux has sockets without a file: use the path of a file, such as unix:///run/dnsmonster.sock")
	case a.abstract():
		return a, nil
	}
	a.Where = systemPath(a.Where)
	switch {
	case os.IsPathSeparator(a.Where[len(a.Where)-1]):
		return bad("this is the path of a folder: add the name of the socket")
	case !filepath.IsAbs(a.Where):
		return bad("a socket needs its full path: write unix:// and then the path from its first slash on, such as unix:///run/dnsmonster.sock")
	}
	a.Where = filepath.Clean(a.Where)
	return a, nil
}
