//go:build linux

package scenes

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/test/program"
)

// TestDnstapRestarts: the sensor and its servers restart under load, in any order. What is
// missing then is what the server held or dropped in between, and nothing else.
func TestDnstapRestarts(t *testing.T) {
	if !tier.Full() {
		t.Skip(tier.LeftTo + "test-all: servers take seconds to connect again")
	}
	t.Parallel()
	for _, way := range []string{".unix", ".tcp"} {
		t.Run(way[1:], func(t *testing.T) {
			t.Parallel()
			testRestarts(t, slices.DeleteFunc(slices.Clone(reporters), func(r reporter) bool { return !strings.HasSuffix(r.lines, way) }))
		})
	}
}

// held is for how long a server keeps what it reports: a second, and what it takes on a
// busy machine.
const held = 2 * time.Second

// swapped is how many messages may overtake one another.
const swapped = 5

// keepsAtEnd are servers that report everything before they end. The others forget what
// they hold.
var keepsAtEnd = []string{"knot", "named", "kresd"}

func testRestarts(t *testing.T, reporters []reporter) {
	l := lab.New(t)
	socket := tapSocket(t)
	first := listenForTaps(t, l, socket, "--dnstappermission=0777")
	lab.StartDnstap(t, l, "knot", lab.DnstapOptions{Zone: lab.Zone{Names: 1}, Lines: []string{"knot.off"}})
	list := make([]*asked, len(reporters))
	for i, r := range reporters {
		list[i] = &asked{name: r.name, lines: r.lines, prefix: "to-" + r.name + "-"}
	}
	atOnce(t, list, func(a *asked) {
		o := lab.DnstapOptions{Lines: []string{a.lines}, Socket: socket, Zone: lab.Zone{Names: 1}}
		if a.name == "knot" {
			o.Port = knotPort
		}
		a.server = lab.StartDnstap(t, l, a.name, o)
		reports(first, a.server)
		a.asker = lab.StartAsker(t, l, a.server.Addr, a.prefix, 100)
		a.comes(first)
	})

	// The sensor restarts.
	stop := time.Now()
	stopped := first.Stop()
	second := listenForTaps(t, l, socket, "--dnstappermission=0777")
	atOnce(t, list, func(a *asked) {
		a.comes(second)
		a.back = time.Now()
	})
	// The servers restart.
	atOnce(t, list, func(a *asked) {
		a.end = time.Now()
		a.server.Signal(syscall.SIGTERM)
		a.ended = time.Now()
		// named waits for FINISH for up to ten seconds.
		if d := a.ended.Sub(a.end); d > 5*time.Second {
			t.Errorf("%s ended only after %s", a.lines, d)
		}
		a.server.Start()
		reports(second, a.server)
		a.again = time.Now()
		a.asks = a.asker.Stop()
		last := len(a.asks) - 1
		second.Until("the last of "+a.lines, func() bool {
			a.server.Probe()
			return a.recorded(second, true)[last]
		})
	})
	if err := second.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-second.Done
	if _, err := os.Stat(socket); err != nil {
		t.Errorf("a killed sensor leaves its socket: %v", err)
	}
	for _, a := range list {
		a.check(t, first, second, stop)
	}
	if got := uint64(len(taps(t, first.RecordsFile))); got != stopped.Sum("kernel dnstap", "delivered") {
		t.Errorf("%d records of %d frames", got, stopped.Sum("kernel dnstap", "delivered"))
	}
	stopped.Expect(t, program.ExitOK)

	// The servers restart while the sensor is away. kresd does not report then.
	if list[0].lines == "unbound.tcp" {
		return // as over unix sockets
	}
	list = slices.DeleteFunc(list, func(a *asked) bool { return a.name == "kresd" })
	atOnce(t, list, func(a *asked) { a.server.Restart() })
	third := listenForTaps(t, l, socket, "--dnstappermission=0777")
	atOnce(t, list, func(a *asked) { reports(third, a.server) })
	third.Stop().Expect(t, program.ExitOK)
}

// asked is a server that is asked all the time, and what happens to it.
type asked struct {
	name, lines, prefix string
	server              *lab.DnstapServer
	asker               *lab.Asker
	asks                []lab.Asked
	back                time.Time // from the restart of the sensor
	end, ended, again   time.Time // its own restart
}

// recorded are the numbers of the queries, or of the responses, that a sensor has
// recorded of what the server was asked.
func (a *asked) recorded(p *program.Process, response bool) map[int]bool {
	p.T.Helper()
	set := make(map[int]bool)
	for _, r := range taps(p.T, p.RecordsFile) {
		if r.DNS.Response != response || len(r.DNS.Question) != 1 {
			continue
		}
		if rest, ok := strings.CutPrefix(r.DNS.Question[0].Name, a.prefix); ok {
			number, _, _ := strings.Cut(rest, ".")
			n, err := strconv.Atoi(number)
			if err != nil || set[n] {
				p.T.Errorf("%s: a record twice, or of another name: %+v", a.lines, r)
			}
			set[n] = true
		}
	}
	return set
}

// comes waits until something is recorded of what the server is asked.
func (a *asked) comes(p *program.Process) {
	p.T.Helper()
	p.Until("what "+a.lines+" is asked", func() bool { return len(a.recorded(p, true)) > 0 })
}

// check compares what was answered with what two sensors have recorded.
func (a *asked) check(t *testing.T, first, second *program.Process, stop time.Time) {
	t.Helper()
	if len(a.asks) >= 1<<16 {
		t.Fatalf("%s: %d queries have no numbers of their own", a.lines, len(a.asks))
	}
	for _, response := range []bool{false, true} {
		before, after := a.recorded(first, response), a.recorded(second, response)
		last, next := slices.Max(slices.Collect(maps.Keys(before))), slices.Min(slices.Collect(maps.Keys(after)))
		var atSensor, atServer int
		for n, ask := range a.asks {
			if before[n] && after[n] {
				t.Errorf("%s: number %d is recorded by both sensors", a.lines, n)
			}
			if before[n] || after[n] || ask.Answered.IsZero() {
				continue
			}
			switch {
			case ask.Answered.After(stop.Add(-held)) && ask.Sent.Before(a.back) && n > last-swapped && n < next+swapped:
				atSensor++
			case !slices.Contains(keepsAtEnd, a.name) && ask.Answered.After(a.end.Add(-held)) && ask.Sent.Before(a.again):
				atServer++
			default:
				t.Errorf("%s: number %d (response: %v) is missing; answered %s after the stop of the sensor, which was back after %s; its server's stop was at %s",
					a.lines, n, response, ask.Answered.Sub(stop), a.back.Sub(stop), a.end.Sub(stop))
			}
		}
		t.Logf("%s (response: %v): %d asked, %d and %d recorded; missing: %d when the sensor restarted, %d when the server did",
			a.lines, response, len(a.asks), len(before), len(after), atSensor, atServer)
	}
}

// TestDnstapEncrypted: dnsdist says which messages came over TLS and HTTPS. unbound says
// TCP.
func TestDnstapEncrypted(t *testing.T) {
	if !tier.Full() {
		t.Skip(tier.LeftTo + "test-all: servers keep frames for a second")
	}
	t.Parallel()
	lab.Need(t, "kdig")
	l := lab.New(t)
	socket := tapSocket(t)
	cert, key := lab.NewAuthority(t).Issue("server", "192.0.2.1")
	p := listenForTaps(t, l, socket, "--dnstappermission=0777")
	lab.StartDnstap(t, l, "knot", lab.DnstapOptions{Lines: []string{"knot.off"}, Zone: lab.Zone{Names: 1}})
	front := lab.StartDnstap(t, l, "dnsdist", lab.DnstapOptions{Lines: []string{"dnsdist.unix"}, Socket: socket,
		More: `addTLSLocal("192.0.2.1:853", "` + cert + `", "` + key + `")` + "\n" + `addDOHLocal("192.0.2.1:443", "` + cert + `", "` + key + `", "/dns-query")` + "\n"})
	reports(p, front)
	resolver := lab.StartDnstap(t, l, "unbound", lab.DnstapOptions{Lines: []string{"unbound.unix"}, Socket: socket,
		More: "interface: 192.0.2.1@5351\n    tls-service-key: \"" + key + "\"\n    tls-service-pem: \"" + cert + "\"\n"})
	reports(p, resolver)
	f := func(port, option, want string) {
		t.Helper()
		n := map[string]int{}
		l.Client.Run(t, "kdig", "@192.0.2.1", "-p", port, option, "h0.example.org", "A")
		p.Until("a query and a response over "+option, func() bool {
			front.Probe()
			resolver.Probe()
			n = map[string]int{}
			for _, r := range taps(t, p.RecordsFile) {
				if !r.probe() && r.Dnstap.Type[:6] == "CLIENT" && (port == "5351") == strings.HasPrefix(r.Version, "unbound") {
					n[r.Protocol]++
				}
			}
			return n[want] >= 2
		})
		if n[want] != 2 {
			t.Errorf("%s: records by protocol: %v", option, n)
		}
	}
	f("853", "+tls", "dot")
	f("443", "+https", "doh")
	f("5351", "+tls", "tcp")
	p.Stop().Expect(t, program.ExitOK)
}

// TestDnstapUser: named as its own user connects to a socket of its group that the group
// may write to, and not to one with the usual mode.
func TestDnstapUser(t *testing.T) {
	if !tier.Full() {
		t.Skip(tier.LeftTo + "test-all: named tries again only after seconds")
	}
	t.Parallel()
	l := lab.New(t)
	socket := tapSocket(t)
	z := lab.Zone{Names: 1}
	p := listenForTaps(t, l, socket)
	s := lab.StartDnstap(t, l, "named", lab.DnstapOptions{Lines: []string{"named.unix"}, Socket: socket, User: "bind", Zone: z})
	p.WaitFor("no server is connected")
	if got := p.Stop(); got.Sum("kernel dnstap", "in") != 0 {
		t.Errorf("frames came through a socket that named may not write to:\n%s", got.Log)
	}
	p = listenForTaps(t, l, socket, "--dnstappermission=0770", "--dnstapgroup=bind")
	reports(p, s)
	p.Stop().Expect(t, program.ExitOK)
}

// TestDnstapTypes: unbound reports its lookups, too; --dnstaptypes leaves what its clients
// ask and get.
func TestDnstapTypes(t *testing.T) {
	if !tier.Full() {
		t.Skip(tier.LeftTo + "test-all: servers take a moment to start")
	}
	t.Parallel()
	l := lab.New(t)
	socket := tapSocket(t)
	p := listenForTaps(t, l, socket, "--dnstappermission=0777", "--dnstaptypes=client")
	lab.StartDnstap(t, l, "knot", lab.DnstapOptions{Lines: []string{"knot.off"}, Zone: lab.Zone{Names: 1}})
	s := lab.StartDnstap(t, l, "unbound", lab.DnstapOptions{Lines: []string{"unbound.unix", "unbound.resolver"}, Socket: socket})
	reports(p, s)
	result := p.Stop()
	result.Expect(t, program.ExitOK)
	for _, r := range taps(t, p.RecordsFile) {
		if !strings.HasPrefix(r.Dnstap.Type, "CLIENT_") {
			t.Errorf("a record is %+v", r)
		}
	}
	if result.Sum("packet", "frame_unselected") == 0 {
		t.Errorf("unbound reported no lookup:\n%s", result.Log)
	}
}

// TestDnstapTLS: unbound verifies the sensor's certificate, and shows its own. One that
// another authority has signed is refused.
func TestDnstapTLS(t *testing.T) {
	if !tier.Full() {
		t.Skip(tier.LeftTo + "test-all: servers take a moment to start")
	}
	t.Parallel()
	l := lab.New(t)
	ours := lab.NewAuthority(t)
	cert, key := ours.Issue("sensor", "sensor.example.org")
	p := program.Start(t, l.Server, "dnstap", "-v", "tls://127.0.0.1:6001", "--jsonfields=dnstap",
		"--dnstapcertfile="+cert, "--dnstapkeyfile="+key, "--dnstapcafile="+ours.File)
	p.WaitFor("listening for dnstap")
	lab.StartDnstap(t, l, "knot", lab.DnstapOptions{Lines: []string{"knot.off"}, Zone: lab.Zone{Names: 1}})
	start := func(a *lab.Authority) *lab.DnstapServer {
		cert, key := a.Issue("unbound")
		return lab.StartDnstap(t, l, "unbound", lab.DnstapOptions{Lines: []string{"unbound.tls"}, TLS: lab.DnstapTLS{CA: ours.File, Cert: cert, Key: key}})
	}
	stranger := start(lab.NewAuthority(t))
	p.Until("the sensor refuses a stranger", func() bool {
		stranger.Probe()
		return p.CountLines("level=WARN", "127.0.0.1") > 0
	})
	if n := len(taps(t, p.RecordsFile)); n != 0 {
		t.Errorf("%d records of a stranger", n)
	}
	stranger.Signal(syscall.SIGTERM)
	reports(p, start(ours))
	p.Stop().Expect(t, program.ExitOK)
}
