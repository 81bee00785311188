package dnstap

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"

	"dnsmonster-sensor/outputs/endpoint"
)

// address is where a receiver listens.
type address struct {
	text    string // as the user wrote it
	network string // unix or tcp
	where   string // path or host:port
	host    string // for TLS
	tls     bool
}

// isFolder reports whether the option names a folder.
func isFolder(text string) bool { return !strings.Contains(text, "://") }

// meansReceiver reports whether what isFolder takes for a folder is an address written in
// another way: host:port, or tcp:host:port. A folder of such a name is ./host:port.
func meansReceiver(text string) bool {
	scheme, _, _ := strings.Cut(text, ":")
	if scheme == "unix" || scheme == "tcp" || scheme == "tls" {
		return scheme != text
	}
	_, port, err := net.SplitHostPort(text)
	_, number := strconv.ParseUint(port, 10, 16)
	return err == nil && number == nil && !strings.Contains(text, "/")
}

const forms = "write unix:///PATH, tcp://HOST:PORT or tls://HOST:PORT"

// parseAddresses parses the option. A folder has no addresses.
func parseAddresses(text string) (list []address, err error) {
	if isFolder(text) {
		if meansReceiver(text) {
			return nil, fmt.Errorf("%q: for a receiver %s; a folder of this name is ./%s", text, forms, text)
		}
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		a, err := parseAddress(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", endpoint.MaskURLs(part), err)
		}
		list = append(list, a)
	}
	return list, nil
}

// maxPath is the room for a path in the address of a socket.
const maxPath = 107

func parseAddress(text string) (address, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	a := address{text: text, network: "tcp", where: rest, tls: scheme == "tls"}
	switch {
	case scheme == "unix" && rest == "":
		return a, errors.New("the path of the socket is missing: " + forms)
	case scheme == "unix" && len(rest) > maxPath:
		return a, fmt.Errorf("the path of a socket has at most %d bytes", maxPath)
	case scheme == "unix":
		a.network = "unix"
		return a, nil
	case scheme != "tcp" && scheme != "tls":
		return a, errors.New(forms)
	}
	if err := endpoint.HostPorts(rest); err != nil {
		return a, err
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil || host == "" || port == "" {
		return a, errors.New("host or port is missing: " + forms)
	}
	a.host = host
	return a, nil
}

func usesTLS(list []address) bool {
	for _, a := range list {
		if a.tls {
			return true
		}
	}
	return false
}

// checkLocal returns an error if the path is something other than a socket. A receiver may
// make its socket later, so a missing one is no error.
func (a *address) checkLocal() error {
	if a.network != "unix" {
		return nil
	}
	st, err := os.Stat(a.where)
	switch {
	case errors.Is(err, fs.ErrNotExist), err != nil && strings.HasPrefix(a.where, "@"):
		return nil
	case err != nil:
		return err
	case st.IsDir():
		return lasting{fmt.Errorf("%s is a folder: write it without unix:// to have files in it", a.where)}
	case st.Mode()&fs.ModeSocket == 0:
		return lasting{fmt.Errorf("%s is not a socket", a.where)}
	}
	return nil
}
