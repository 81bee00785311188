//go:build linux

package lab

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Knot is a running Knot DNS server on the lab's server, port 53 of all its
// addresses, UDP and TCP, IPv4 and IPv6.
type Knot struct {
	Zone Zone

	host     *Host
	control  string
	baseline Stats
}

// knotConfig is knot.conf, with the folder and the path of the control socket to fill in.
const knotConfig = `server:
    rundir: %[1]q
    listen: [ 0.0.0.0@53, ::@53 ]
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    udp-max-payload: 4096
control:
    listen: %[2]q
database:
    storage: %[1]q
log:
  - target: stderr
    any: info
mod-stats:
  - id: all
    request-protocol: on
    server-operation: on
    response-code: on
    query-type: on
template:
  - id: default
    global-module: mod-stats/all
    storage: %[1]q
    journal-content: none
    zonefile-sync: -1
zone:
  - domain: example.org
    file: example.org.zone
`

// StartKnot starts the server, and waits until it answers over both address families.
// The end of the test stops it.
func StartKnot(t testing.TB, l *Lab, z Zone) *Knot {
	t.Helper()
	Need(t, "knotd", "knotc")
	dir, err := folder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	k := &Knot{Zone: z, host: l.Server, control: filepath.Join(dir, "knot.sock")}

	for name, text := range map[string]string{"knot.conf": fmt.Sprintf(knotConfig, dir, k.control), "example.org.zone": z.file()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	d := StartDaemon(t, l.Server.Command(context.Background(), "knotd", "-c", filepath.Join(dir, "knot.conf")))
	for _, addr := range []netip.Addr{l.Server.V4, l.Server.V6} {
		d.Await("an answer from "+addr.String(), func() bool { return askSOA(l.Client, netip.AddrPortFrom(addr, 53)) == nil })
	}
	if k.baseline, err = k.read(); err != nil {
		t.Fatal(err)
	}
	return k
}

// askSOA returns nil when the server answers with authority for the zone, and an error
// at once where nobody listens. It waits only briefly: knotd never answers a query that
// arrives between the binding of its socket and the start of its workers.
func askSOA(from *Host, to netip.AddrPort) error {
	answer, err := ask(from, to, "ns1.example.org")
	if err == nil && (len(answer) < 12 || answer[2]&0x84 != 0x84 || answer[3]&0x0f != 0) {
		err = fmt.Errorf("answer without authority: % x", answer)
	}
	return err
}

// ask asks for the address of a name.
func ask(from *Host, to netip.AddrPort, name string) ([]byte, error) {
	query := Query{name, "A"}.Message()
	var answer [512]byte
	var n int
	err := from.Do(func() error {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(250 * time.Millisecond)); err != nil {
			return err
		}
		if _, err := conn.Write(query); err != nil {
			return err
		}
		n, err = conn.Read(answer[:])
		return err
	})
	return answer[:n], err
}

// Stats are the counters of Knot's module mod-stats by name, such as
// "request-protocol[udp4]". Those that are zero may be missing.
type Stats map[string]uint64

// UDP is the number of queries received over UDP.
func (s Stats) UDP() uint64 { return s["request-protocol[udp4]"] + s["request-protocol[udp6]"] }

// TCP is the number of queries received over TCP.
func (s Stats) TCP() uint64 { return s["request-protocol[tcp4]"] + s["request-protocol[tcp6]"] }

// Responses is the number of responses sent, over UDP and TCP, whatever their
// code.
func (s Stats) Responses() uint64 { return s.Sum("response-code") }

// Rcode is the number of responses with a code, such as NOERROR.
func (s Stats) Rcode(code string) uint64 { return s["response-code["+code+"]"] }

// Sum adds up all counters of a kind, such as query-type.
func (s Stats) Sum(kind string) uint64 {
	var sum uint64
	for name, n := range s {
		if strings.HasPrefix(name, kind+"[") {
			sum += n
		}
	}
	return sum
}

// Stats returns what the server has counted since StartKnot returned.
func (k *Knot) Stats() (Stats, error) {
	s, err := k.read()
	for name, n := range k.baseline {
		s[name] -= n
	}
	return s, err
}

func (k *Knot) read() (Stats, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s := make(Stats)
	// The control socket is a file: no need to enter the host.
	out, err := exec.CommandContext(ctx, find("knotc"), "-s", k.control, "stats").CombinedOutput()
	if err != nil {
		return s, fmt.Errorf("read Knot's counters: %w: %s", err, bytes.TrimSpace(out))
	}
	for line := range strings.Lines(string(out)) {
		name, value, found := strings.Cut(strings.TrimSpace(line), " = ")
		name, module := strings.CutPrefix(name, "mod-stats.")
		if !found || !module {
			continue
		}
		if s[name], err = strconv.ParseUint(value, 10, 64); err != nil {
			return s, fmt.Errorf("read Knot's counters: %w", err)
		}
	}
	return s, nil
}
