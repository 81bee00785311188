package scenes

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/test/program"
)

// TestDnstapRestarts: servers and the sensor restart under load, in any order. The servers
// connect again, and what the sensor has received is recorded.
func TestDnstapRestarts(t *testing.T) {
	if !tier.Full() {
		t.Skip(tier.LeftTo + "test-all: servers take seconds to connect again")
	}
	t.Parallel()
	l := lab.New(t)
	socket := tapSocket(t)
	z := lab.Zone{Names: 50}
	p := listenForTaps(t, l, socket, "--dnstappermission=0777")
	var servers []*lab.DnstapServer
	for _, r := range []reporter{reporters[3], reporters[0], reporters[2], reporters[5]} { // knot, unbound, named, dnsdist
		s := lab.StartDnstap(t, l, r.name, lab.DnstapOptions{Lines: []string{r.lines}, Socket: socket, Zone: z})
		reports(p, s)
		servers = append(servers, s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		for ctx.Err() == nil {
			for _, s := range servers {
				// Servers that are down answer nothing, which is no error here.
				_, _ = l.Dnsperf(ctx, lab.Perf{Queries: z.Queries(100, 1), Rate: 100, Seconds: 1, Port: s.Addr.Port(), Options: []string{"-t", "0.2"}})
			}
		}
	}()
	defer func() { cancel(); <-loaded }()

	for _, s := range servers {
		begin := time.Now()
		s.Signal(syscall.SIGTERM)
		// named waits for FINISH for up to ten seconds.
		if d := time.Since(begin); d > 5*time.Second {
			t.Errorf("%s ended only after %s", s.Addr, d)
		}
		s.Start()
		reports(p, s)
	}
	result := p.Stop()
	result.Expect(t, program.ExitOK)
	if got := uint64(len(taps(t, p.RecordsFile))); got != result.Sum("kernel dnstap", "delivered") {
		t.Errorf("%d records of %d frames", got, result.Sum("kernel dnstap", "delivered"))
	}

	p = listenForTaps(t, l, socket, "--dnstappermission=0777")
	for _, s := range servers {
		reports(p, s)
	}
	if err := p.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.Done
	if _, err := os.Stat(socket); err != nil {
		t.Errorf("a killed sensor leaves its socket: %v", err)
	}
	p = listenForTaps(t, l, socket, "--dnstappermission=0777")
	for _, s := range servers {
		reports(p, s)
	}
	p.Stop().Expect(t, program.ExitOK)
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
