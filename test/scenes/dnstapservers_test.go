package scenes

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/test/program"
)

// tap is a record of a sensor that was started with --jsonfields=dnstap.
type tap struct {
	DNS struct {
		Response bool
		Question []struct{ Name string }
	}
	SrcIP, DstIP, Protocol, Identity, Version string
	SrcPort, DstPort                          uint16
	Dnstap                                    struct{ Type string }
}

// probe reports whether the record is of a query that was asked only to see whether
// something comes.
func (r *tap) probe() bool {
	return len(r.DNS.Question) != 1 || strings.HasPrefix(r.DNS.Question[0].Name, "probe") || strings.HasPrefix(r.DNS.Question[0].Name, "ns1.")
}

// taps reads records, up to the last whole line.
func taps(t *testing.T, path string) (list []tap) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(b[:bytes.LastIndexByte(b, '\n')+1]))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r tap
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%v: %s", err, lines.Bytes())
		}
		list = append(list, r)
	}
	return list
}

// tapSocket is the path of a socket in a folder that everybody may enter.
func tapSocket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tap")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// listenForTaps starts a sensor on the lab's server that listens on a socket, and on TCP.
func listenForTaps(t *testing.T, l *lab.Lab, socket string, options ...string) *program.Process {
	t.Helper()
	p := program.Start(t, l.Server, append([]string{"dnstap", "-v", "unix://" + socket, "tcp://" + lab.DnstapTCP, "--jsonfields=dnstap"}, options...)...)
	p.WaitFor("listening for dnstap")
	return p
}

// reports waits until a record of a server comes.
func reports(p *program.Process, s *lab.DnstapServer) {
	p.T.Helper()
	have := func() (n int) {
		for _, r := range taps(p.T, p.RecordsFile) {
			if of(s, &r) {
				n++
			}
		}
		return n
	}
	before := have()
	p.Until("records from "+s.Addr.String(), func() bool {
		s.Probe()
		return have() > before
	})
}

// of reports whether a record came from a server: only the recursor reports what it asks
// itself, alone.
func of(s *lab.DnstapServer, r *tap) bool {
	if strings.HasPrefix(r.Version, "pdns-recursor") || s.Addr.Port() == recursorPort {
		return s.Addr.Port() == recursorPort && strings.HasPrefix(r.Version, "pdns-recursor")
	}
	return r.DstPort == s.Addr.Port() || r.SrcPort == s.Addr.Port()
}

const recursorPort = 5304

// reporter is a server under test, and what it says of itself.
type reporter struct {
	name, lines       string
	identity, version string // "": what the machine is called
	query, response   string // types of messages
}

var reporters = []reporter{
	{"unbound", "unbound.unix", "", "unbound 1.", "CLIENT_QUERY", "CLIENT_RESPONSE"},
	{"unbound", "unbound.tcp", "", "unbound 1.", "CLIENT_QUERY", "CLIENT_RESPONSE"},
	{"named", "named.unix", "", "BIND 9.", "AUTH_QUERY", "CLIENT_RESPONSE"},
	{"knot", "knot.unix", "ns1.example.org", "Knot DNS 3.", "AUTH_QUERY", "AUTH_RESPONSE"},
	{"kresd", "kresd.unix", "resolver2.example.org", "Knot Resolver", "CLIENT_QUERY", "CLIENT_RESPONSE"},
	{"dnsdist", "dnsdist.unix", "lb1.example.org", "dnsdist 1.", "CLIENT_QUERY", "CLIENT_RESPONSE"},
	{"dnsdist", "dnsdist.tcp", "lb1.example.org", "dnsdist 1.", "CLIENT_QUERY", "CLIENT_RESPONSE"},
	{"recursor", "recursor.unix", "rec1.example.org", "pdns-recursor 4.", "RESOLVER_QUERY", "RESOLVER_RESPONSE"},
	{"recursor", "recursor.tcp", "rec1.example.org", "pdns-recursor 4.", "RESOLVER_QUERY", "RESOLVER_RESPONSE"},
}

// TestDnstapServers: what the six servers of Debian report under load is what they count,
// and says where it comes from.
func TestDnstapServers(t *testing.T) {
	t.Parallel()
	t.Run("unix", func(t *testing.T) {
		testReporters(t, func(r reporter) bool {
			return strings.HasSuffix(r.lines, ".unix") && (tier.Full() || r.name == "knot" || r.name == "dnsdist")
		})
	})
	t.Run("tcp", func(t *testing.T) {
		testReporters(t, func(r reporter) bool {
			return strings.HasSuffix(r.lines, ".tcp") && (tier.Full() || r.name == "unbound")
		})
	})
}

func testReporters(t *testing.T, selected func(reporter) bool) {
	t.Parallel()
	l := lab.New(t)
	socket := tapSocket(t)
	p := listenForTaps(t, l, socket, "--dnstappermission=0777")
	z := lab.Zone{Names: 200}
	var authority *lab.DnstapServer
	if !selected(reporter{name: "knot", lines: "knot.unix"}) {
		authority = lab.StartDnstap(t, l, "knot", lab.DnstapOptions{Zone: z, Lines: []string{"knot.off"}})
	}
	for _, r := range append(reporters[3:4:4], append(reporters[:3:3], reporters[4:]...)...) { // knot first: others ask it
		if !selected(r) {
			continue
		}
		s := lab.StartDnstap(t, l, r.name, lab.DnstapOptions{Lines: []string{r.lines}, Socket: socket, Zone: z})
		reports(p, s)
		counter := s
		if r.name == "knot" {
			authority = s
		} else if r.name == "recursor" { // its own counter has also what it did not send
			counter = authority
		}
		before := counter.Queries()
		var sent, lost uint64
		for _, load := range []lab.Perf{{}, {V6: true, TCP: true}} {
			load.Queries, load.Rate, load.Seconds, load.Port = z.Queries(1000, uint64(s.Addr.Port())), tier.Length(300, 600), 1, s.Addr.Port()
			result, err := l.Dnsperf(context.Background(), load)
			if err != nil {
				t.Fatal(err)
			}
			sent, lost = sent+result.Sent, lost+result.Lost
		}
		checkReports(t, p, l, r, s, counter.Queries()-before, sent, lost)
	}
	result := p.Stop()
	result.Expect(t, program.ExitOK)
}

// checkReports waits for the records of a load, and checks them: counted are the queries
// that the server counts or, for those of the recursor, the one that it asks.
func checkReports(t *testing.T, p *program.Process, l *lab.Lab, r reporter, s *lab.DnstapServer, counted, sent, lost uint64) {
	t.Helper()
	var list []tap
	var queries, responses, v6 uint64
	p.Until("all records of "+r.lines, func() bool {
		list, queries, responses, v6 = nil, 0, 0, 0
		for _, x := range taps(t, p.RecordsFile) {
			if !of(s, &x) || x.probe() {
				continue
			}
			list = append(list, x)
			if x.DNS.Response {
				responses++
			} else {
				queries++
			}
		}
		return queries >= counted && responses+lost >= counted
	})
	t.Logf("%s: %d queries and %d responses recorded; it counts %d queries; %d sent, %d lost", r.lines, queries, responses, counted, sent, lost)
	if queries != counted || responses > counted || r.name != "recursor" && lost == 0 && counted != sent {
		t.Errorf("%s: %d queries and %d responses recorded; it counts %d queries; %d sent, %d lost", r.lines, queries, responses, counted, sent, lost)
	}
	identity := r.identity
	if identity == "" {
		identity, _ = os.Hostname()
	}
	for _, x := range list {
		kind, server, port, client, clientPort := r.query, x.DstIP, x.DstPort, x.SrcIP, x.SrcPort
		if x.DNS.Response {
			kind, server, port, client, clientPort = r.response, x.SrcIP, x.SrcPort, x.DstIP, x.DstPort
		}
		ours, theirs, protocol := l.Server.V4.String(), l.Client.V4.String(), "udp"
		if x.Protocol == "tcp" {
			ours, theirs, protocol = l.Server.V6.String(), l.Client.V6.String(), "tcp"
			v6++
		}
		wantPort := s.Addr.Port()
		if r.name == "recursor" { // asks knot
			ours, theirs, wantPort, protocol = l.Server.V4.String(), client, 5300, x.Protocol
		}
		name := x.DNS.Question[0].Name
		if x.Identity != identity || !strings.HasPrefix(x.Version, r.version) || x.Dnstap.Type != kind || server != ours || port != wantPort ||
			client != theirs || clientPort == 0 || x.Protocol != protocol || !strings.HasSuffix(name, ".example.org.") {
			t.Fatalf("%s: a record is %+v, want %s from %s at %s port %d", r.lines, x, kind, identity, ours, wantPort)
		}
	}
	if r.name != "recursor" && v6 == 0 {
		t.Errorf("%s: no record over TCP and IPv6", r.lines)
	}
}
