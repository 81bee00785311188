//go:build linux

package scenes

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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

// tapFile is what was read of a file of records: it only grows, and is read often.
type tapFile struct {
	sync.Mutex
	size int64 // of the lines that were read
	list []tap
}

// tapFiles are those by their paths.
var tapFiles sync.Map

// taps reads records, up to the last whole line.
func taps(t *testing.T, path string) []tap {
	t.Helper()
	known, _ := tapFiles.LoadOrStore(path, new(tapFile))
	f := known.(*tapFile)
	f.Lock()
	defer f.Unlock()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b, err := io.ReadAll(io.NewSectionReader(file, f.size, math.MaxInt64-f.size))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b[:bytes.LastIndexByte(b, '\n')+1]) {
		var r tap
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		f.list, f.size = append(f.list, r), f.size+int64(len(line))
	}
	return f.list[:len(f.list):len(f.list)]
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
	if !tier.Full() {
		testReporters(t, reporters[1], reporters[3], reporters[5]) // unbound by TCP, knot and dnsdist
		return
	}
	for _, way := range []string{".unix", ".tcp"} {
		t.Run(way[1:], func(t *testing.T) {
			t.Parallel()
			testReporters(t, slices.DeleteFunc(slices.Clone(reporters), func(r reporter) bool { return !strings.HasSuffix(r.lines, way) })...)
		})
	}
}

// Ports of knot: as a server under test, and as the one that only the recursor asks.
const (
	knotPort  = 5306
	askedPort = 5307
)

// testReporters starts servers that report to one sensor, and checks all at a time: they
// keep frames for a second.
func testReporters(t *testing.T, list ...reporter) {
	l := lab.New(t)
	socket := tapSocket(t)
	p := listenForTaps(t, l, socket, "--dnstappermission=0777")
	z := lab.Zone{Names: 200}
	lab.StartDnstap(t, l, "knot", lab.DnstapOptions{Zone: z, Lines: []string{"knot.off"}})
	atOnce(t, list, func(r reporter) {
		o := lab.DnstapOptions{Lines: []string{r.lines}, Socket: socket, Zone: z}
		var counter *lab.DnstapServer
		switch r.name {
		case "knot":
			o.Port = knotPort
		case "recursor": // its own counter has also what it did not send
			o.Port = askedPort
			counter = lab.StartDnstap(t, l, "knot", lab.DnstapOptions{Zone: z, Lines: []string{"knot.off"}, Port: askedPort})
		}
		s := lab.StartDnstap(t, l, r.name, o)
		if r.name == "knot" || r.name == "kresd" { // their queues are too small for a load before they are connected
			reports(p, s)
		}
		if counter == nil {
			counter = s
		}
		rate := tier.Length(300, 600)
		for try := 1; !report(t, p, l, r, s, counter, z, rate, r.name == "knot" && try < 3); try++ {
			rate /= 2
		}
	})
	p.Stop().Expect(t, program.ExitOK)
}

// report loads a server and checks what it reports. It returns false if reports are missing
// and that is forgiven: Knot drops some, uncounted, if its sending thread gets no processor.
func report(t *testing.T, p *program.Process, l *lab.Lab, r reporter, s, counter *lab.DnstapServer, z lab.Zone, rate int, forgiving bool) bool {
	t.Helper()
	_, queries, responses := reported(t, p, s)
	before := counter.Queries()
	results := make(chan lab.PerfResult, 2)
	atOnce(t, []lab.Perf{{}, {V6: true, TCP: true}}, func(load lab.Perf) {
		load.Queries, load.Rate, load.Seconds, load.Port = z.Queries(1000, uint64(s.Addr.Port())), rate, 1, s.Addr.Port()
		result, err := l.Dnsperf(context.Background(), load)
		if err != nil {
			t.Fatal(err)
		}
		results <- result
	})
	a, b := <-results, <-results
	return checkReports(t, p, l, r, s, counts{
		queries: queries, responses: responses, asked: counter.Queries() - before, sent: a.Sent + b.Sent, lost: a.Lost + b.Lost,
	}, forgiving)
}

// counts are those of a load: what was recorded before it, what the server counts (or, for
// the recursor's own queries, the server that it asks), and what dnsperf has sent and lost.
type counts struct{ queries, responses, asked, sent, lost uint64 }

// reported returns the records of a server, but not those of probes.
func reported(t *testing.T, p *program.Process, s *lab.DnstapServer) (list []tap, queries, responses uint64) {
	for _, x := range taps(t, p.RecordsFile) {
		switch {
		case !of(s, &x) || x.probe():
			continue
		case x.DNS.Response:
			responses++
		default:
			queries++
		}
		list = append(list, x)
	}
	return list, queries, responses
}

// atOnce calls f for all of a list at a time, and waits for their ends. If f fails the
// test, that ends only f at first, and then the caller.
func atOnce[T any](t *testing.T, list []T, f func(T)) {
	t.Helper()
	var all sync.WaitGroup
	for _, x := range list {
		all.Go(func() { f(x) })
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// forgiveAfter is how long reports may take before they count as dropped.
const forgiveAfter = 10 * time.Second

// checkReports waits for the records of a load, and checks them. It returns false if some
// do not come and that is forgiven.
func checkReports(t *testing.T, p *program.Process, l *lab.Lab, r reporter, s *lab.DnstapServer, c counts, forgiving bool) bool {
	t.Helper()
	var list []tap
	var queries, responses, v6 uint64
	begun := time.Now()
	p.Until("all records of "+r.lines, func() bool {
		s.Probe() // a server keeps frames until there are some kilobytes, or for seconds
		list, queries, responses = reported(t, p, s)
		queries, responses = queries-c.queries, responses-c.responses
		return queries >= c.asked && responses+c.lost >= c.asked || forgiving && time.Since(begun) > forgiveAfter
	})
	t.Logf("%s: %d queries and %d responses recorded of %+v", r.lines, queries, responses, c)
	if forgiving && (queries < c.asked || responses+c.lost < c.asked) {
		return false
	}
	if queries != c.asked || responses > c.asked || r.name != "recursor" && c.lost == 0 && c.asked != c.sent {
		t.Errorf("%s: %d queries and %d responses recorded of %+v", r.lines, queries, responses, c)
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
			ours, theirs, wantPort, protocol = l.Server.V4.String(), client, askedPort, x.Protocol
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
	return true
}
