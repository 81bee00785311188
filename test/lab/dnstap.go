//go:build linux

package lab

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dnstapFiles has, for each server, its configuration and the lines that turn dnstap on,
// as docs/dnstap.md shows them. packaging/dev/record-dnstap.sh uses them, too.
//
//go:embed dnstap
var dnstapFiles embed.FS

// Where the lines in dnstapFiles send to.
const (
	DnstapSocket = "/run/dnsmonster.sock"
	DnstapTCP    = "127.0.0.1:6000"
)

// AuthorityPort is where knot listens, and where other servers ask.
const AuthorityPort = 5300

// DnstapLines are lines of a server's configuration that turn dnstap on, such as
// unbound.tcp.
func DnstapLines(name string) (string, error) {
	b, err := dnstapFiles.ReadFile("dnstap/" + name)
	return string(b), err
}

// dnstapKind is how a server is started, and where it listens.
type dnstapKind struct {
	port    uint16
	needs   []string
	command func(s *DnstapServer) []string
	// counters asks the server, and returns text with "NAME VALUE" in each line, in some form.
	counters func(s *DnstapServer) []string
	queries  []string // the counters whose sum is the number of queries that it has received
}

// counter finds names and values in what servers print.
var counter = regexp.MustCompile(`(?m)^\s*(?:(\d+) ([A-Za-z0-9 /]+)|\W*([\w.\-\[\]]+?)(?:'\])?[\s=>:]+(\d+),?)\s*$`)

var dnstapKinds = map[string]dnstapKind{
	"knot": {
		AuthorityPort, []string{"knotd", "knotc"},
		func(s *DnstapServer) []string { return []string{"knotd", "-c", s.file("knot.conf")} },
		func(s *DnstapServer) []string {
			return []string{"knotc", "-s", s.file("knot.sock"), "zone-stats", "example.org", "mod-stats"}
		},
		[]string{"mod-stats.request-protocol[udp4]", "mod-stats.request-protocol[udp6]", "mod-stats.request-protocol[tcp4]", "mod-stats.request-protocol[tcp6]"},
	},
	"unbound": {
		5301, []string{"unbound", "unbound-control"},
		func(s *DnstapServer) []string { return []string{"unbound", "-c", s.file("unbound.conf")} },
		func(s *DnstapServer) []string {
			return []string{"unbound-control", "-c", s.file("unbound.conf"), "stats_noreset"}
		},
		[]string{"total.num.queries"},
	},
	"named": {
		5302, []string{"named", "rndc"},
		func(s *DnstapServer) []string {
			args := []string{"named", "-g", "-n", "1", "-c", s.file("named.conf")}
			if s.options.User != "" {
				args = append(args, "-u", s.options.User)
			}
			return args
		},
		func(s *DnstapServer) []string {
			return []string{"sh", "-c", "rm -f \"$0/named.stats\"; rndc -s 127.0.0.1 -p 5392 -k \"$0/rndc.key\" stats && cat \"$0/named.stats\"", s.dir}
		},
		[]string{"IPv4 requests received", "IPv6 requests received"},
	},
	"dnsdist": {
		5303, []string{"dnsdist"},
		func(s *DnstapServer) []string {
			return []string{"dnsdist", "--supervised", "-C", s.file("dnsdist.conf")}
		},
		func(s *DnstapServer) []string {
			return []string{"dnsdist", "-C", s.file("dnsdist.conf"), "-e", "dumpStats()"}
		},
		[]string{"queries"},
	},
	"recursor": {
		5304, []string{"pdns_recursor", "rec_control"},
		func(s *DnstapServer) []string { return []string{"pdns_recursor", "--config-dir=" + s.dir} },
		func(s *DnstapServer) []string { return []string{"rec_control", "--socket-dir=" + s.dir, "get-all"} },
		[]string{"all-outqueries"}, // what it reports are its own queries
	},
	"kresd": {
		5305, []string{"kresd"},
		func(s *DnstapServer) []string { return []string{"kresd", "-n", "-c", s.file("kresd.conf"), s.dir} },
		nil, // over its socket
		[]string{"answer.total"},
	},
}

// DnstapOptions are those of a server.
type DnstapOptions struct {
	Lines  []string  // names of DnstapLines
	Socket string    // in place of DnstapSocket
	File   string    // of named, in place of the one in its lines
	TLS    DnstapTLS // of unbound, in place of the files in its lines
	More   string    // further lines of its configuration
	User   string    // of named
	Zone   Zone      // of knot and named
	Port   uint16    // of knot, and of the one that others ask, in place of AuthorityPort
}

// DnstapTLS are the files with which unbound reports over TLS.
type DnstapTLS struct{ CA, Cert, Key string }

// DnstapServer is a server on the lab's server, with its own port of all addresses. It
// reports by dnstap what it does, also what it is asked while it starts.
type DnstapServer struct {
	*Daemon
	Addr  netip.AddrPort
	Addr6 netip.AddrPort

	t       testing.TB
	lab     *Lab
	dir     string
	kind    dnstapKind
	options DnstapOptions
}

// StartDnstap starts a server by the name of its program, and waits until it answers.
// knot has the zone that others forward to. The end of the test stops it.
func StartDnstap(t testing.TB, l *Lab, name string, o DnstapOptions) *DnstapServer {
	t.Helper()
	kind, ok := dnstapKinds[name]
	if !ok {
		t.Fatalf("no server %s", name)
	}
	Need(t, kind.needs...)
	dir, err := folder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if name == "knot" && o.Port != 0 {
		kind.port = o.Port
	}
	s := &DnstapServer{
		Addr: netip.AddrPortFrom(l.Server.V4, kind.port), Addr6: netip.AddrPortFrom(l.Server.V6, kind.port),
		t: t, lab: l, dir: dir, kind: kind, options: o,
	}
	if err := s.configure(name); err != nil {
		t.Fatal(err)
	}
	s.Start()
	return s
}

func (s *DnstapServer) file(name string) string { return filepath.Join(s.dir, name) }

// configure writes the server's files.
func (s *DnstapServer) configure(name string) error {
	var lines strings.Builder
	for _, file := range s.options.Lines {
		text, err := DnstapLines(file)
		if err != nil {
			return err
		}
		lines.WriteString(text)
	}
	var paths []string
	if s.options.Socket != "" {
		paths = append(paths, DnstapSocket, s.options.Socket)
	}
	if s.options.File != "" {
		paths = append(paths, "/var/cache/bind/dnstap.fstrm", s.options.File)
	}
	if tls := s.options.TLS; tls.CA != "" {
		paths = append(paths, "/etc/unbound/sensor-ca.pem", tls.CA, "/etc/unbound/sensor-cert.pem", tls.Cert, "/etc/unbound/sensor-key.pem", tls.Key)
	}
	dnstap := strings.NewReplacer(paths...).Replace(lines.String())
	base, err := DnstapLines(name + ".conf")
	if err != nil {
		return err
	}
	server, before, after := s.options.More, "", ""
	switch name {
	case "unbound":
		after = dnstap
	case "knot":
		before = dnstap
	case "named", "dnsdist":
		server += dnstap
	case "kresd":
		after = dnstap + server
	}
	files := map[string]string{
		name + ".conf": before + strings.NewReplacer("@DIR@", s.dir, "@ADDR@", s.Addr.Addr().String(), "@ADDR6@", s.Addr6.Addr().String(), "@SERVER@", server,
			strconv.Itoa(AuthorityPort), strconv.Itoa(int(cmp.Or(s.options.Port, AuthorityPort)))).Replace(base) + after,
	}
	switch name {
	case "recursor":
		files["recursor.lua"] = dnstap
	case "named":
		if files["rndc.key"], err = DnstapLines("rndc.key"); err != nil {
			return err
		}
		fallthrough
	case "knot":
		files["example.org.zone"] = Zone{Names: max(1, s.options.Zone.Names)}.file()
	}
	for name, text := range files {
		if err := os.WriteFile(s.file(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if s.options.User == "" {
		return nil
	}
	return os.Chmod(s.dir, 0o777)
}

// Start starts a server that was stopped, and waits until it answers.
func (s *DnstapServer) Start() {
	s.t.Helper()
	c := s.kind.command(s)
	s.Daemon = StartDaemon(s.t, s.lab.Server.Command(context.Background(), c[0], c[1:]...))
	for _, addr := range []netip.AddrPort{s.Addr, s.Addr6} {
		s.Await("an answer from "+addr.String(), func() bool { return answersName(s.lab.Client, addr) == nil })
	}
}

// Restart ends the server, and starts it again. It returns what it had counted.
func (s *DnstapServer) Restart() (queries uint64) {
	s.t.Helper()
	queries = s.Queries()
	s.Signal(syscall.SIGTERM)
	s.Start()
	return queries
}

// Rndc sends a command to named.
func (s *DnstapServer) Rndc(args ...string) string {
	s.t.Helper()
	return s.lab.Server.Run(s.t, "rndc", append([]string{"-s", "127.0.0.1", "-p", "5392", "-k", s.file("rndc.key")}, args...)...)
}

// Queries is how many queries the server has counted since its start.
func (s *DnstapServer) Queries() (sum uint64) {
	s.t.Helper()
	all := s.Counters()
	found := false
	for _, name := range s.kind.queries {
		n, ok := all[name]
		sum, found = sum+n, found || ok
	}
	if !found {
		s.t.Fatalf("none of the counters %q among %v", s.kind.queries, all)
	}
	return sum
}

// Counters are what the server counts, by its own names.
func (s *DnstapServer) Counters() map[string]uint64 {
	s.t.Helper()
	var text []byte
	var err error
	if s.kind.counters == nil {
		text, err = askKresd(s.file("kresd.ctl"), "stats.list()\n")
	} else {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		c := s.kind.counters(s)
		cmd := s.lab.Server.Command(ctx, c[0], c[1:]...)
		text, err = cmd.CombinedOutput()
	}
	if err != nil {
		s.t.Fatalf("read the server's counters: %v: %s", err, text)
	}
	return parseCounters(text)
}

func parseCounters(text []byte) map[string]uint64 {
	all := make(map[string]uint64)
	for line := range bytes.Lines(text) {
		// dnsdist prints two in a line.
		parts := [][]byte{line}
		if f := bytes.Fields(line); len(f) == 4 && isNumber(f[1]) && isNumber(f[3]) {
			parts = [][]byte{bytes.Join(f[:2], []byte(" ")), bytes.Join(f[2:], []byte(" "))}
		}
		for _, p := range parts {
			m := counter.FindSubmatch(bytes.TrimPrefix(bytes.TrimSpace(p), []byte("[example.org.] ")))
			if m == nil {
				continue
			}
			name, value := string(m[2]), m[1]
			if name == "" {
				name, value = string(m[3]), m[4]
			}
			if n, err := strconv.ParseUint(string(value), 10, 64); err == nil {
				all[name] += n
			}
		}
	}
	return all
}

func isNumber(b []byte) bool {
	_, err := strconv.ParseUint(string(b), 10, 64)
	return err == nil
}

// askKresd sends a line to the control socket, and returns what comes until the prompt.
func askKresd(path, line string) ([]byte, error) {
	c, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, err
	}
	if _, err := c.Write([]byte(line)); err != nil {
		return nil, err
	}
	var all []byte
	var b [4096]byte
	for !bytes.HasSuffix(all, []byte("\n> ")) {
		n, err := c.Read(b[:])
		if err != nil {
			return all, err
		}
		all = append(all, b[:n]...)
	}
	return all, nil
}

// Probe asks for a name that nobody has asked for before, and begins with probe.
func (s *DnstapServer) Probe() {
	s.t.Helper()
	// The answer does not matter, and a server that is down does not answer.
	_, _ = ask(s.lab.Client, s.Addr, fmt.Sprintf("probe%d.example.org", number.Add(1)))
}

// answersName asks for an address, and returns nil when there is one in the answer.
func answersName(from *Host, to netip.AddrPort) error {
	answer, err := ask(from, to, "ns1.example.org")
	if err == nil && (len(answer) < 12 || answer[2]&0x80 == 0 || answer[3]&0x0f != 0 || answer[7] == 0) {
		err = fmt.Errorf("no address in the answer: % x", answer)
	}
	return err
}
