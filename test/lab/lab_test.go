//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/testlog"
)

func TestHostsReachEachOther(t *testing.T) {
	l := New(t)
	k := startKnot(t, l)
	for _, addr := range []netip.Addr{l.Server.V4, l.Server.V6} {
		if err := askSOA(l.Client, netip.AddrPortFrom(addr, 53)); err != nil {
			t.Errorf("ask %s: %v", addr, err)
		}
	}
	s := stats(t, k)
	if s["request-protocol[udp4]"] != 1 || s["request-protocol[udp6]"] != 1 || s.Responses() != 2 {
		t.Errorf("two queries after the start were counted as %v", s)
	}
}

func TestWireIsQuiet(t *testing.T) {
	t.Parallel()
	l := New(t)
	time.Sleep(1500 * time.Millisecond) // nothing announces that a wire stays idle: solicitations and reports come within a second
	for _, h := range []*Host{l.Server, l.Client} {
		if c := counters(t, h); c != (Counters{}) {
			t.Errorf("%s: an idle wire carried %+v", h.Iface, c)
		}
	}
}

func TestAddAddrDownUp(t *testing.T) {
	l := New(t)
	startKnot(t, l)
	Need(t, "kdig")
	l.Client.AddAddr(t, netip.MustParseAddr("192.0.2.9"))
	l.Client.AddAddr(t, netip.MustParseAddr("2001:db8::9"))
	ask := func() {
		t.Helper()
		for server, client := range map[string]string{
			"192.0.2.1": "192.0.2.9", "2001:db8::1": "2001:db8::9",
		} {
			out := l.Client.Run(t, "kdig", "@"+server, "-b", client, "+timeout=2", "h1.example.org", "A")
			if !strings.Contains(out, "198.51.100.1") {
				t.Errorf("from %s: %s", client, out)
			}
		}
		for _, addr := range []netip.Addr{l.Server.V4, l.Server.V6} {
			if err := askSOA(l.Client, netip.AddrPortFrom(addr, 53)); err != nil {
				t.Errorf("ask %s: %v", addr, err)
			}
		}
	}
	ask()
	l.Client.Down(t)
	if askSOA(l.Client, netip.AddrPortFrom(l.Server.V4, 53)) == nil {
		t.Error("an answer came over an interface that is down")
	}
	l.Client.Up(t)
	l.Server.Down(t)
	l.Server.Up(t)
	ask()
}

func TestKnotAnswers(t *testing.T) {
	l := New(t)
	startKnot(t, l)
	Need(t, "kdig")
	f := func(server netip.Addr, want string, args ...string) {
		t.Helper()
		args = append([]string{"@" + server.String(), "+timeout=2"}, args...)
		if out := l.Client.Run(t, "kdig", args...); !strings.Contains(out, want) {
			t.Errorf("kdig %s: no %q in\n%s", strings.Join(args, " "), want, out)
		}
	}
	f(l.Server.V4, "198.51.100.7", "h7.example.org", "A")
	f(l.Server.V6, "2001:db8:1::7", "h7.example.org", "AAAA")
	f(l.Server.V4, "host number 99 of", "h99.example.org", "TXT")
	f(l.Server.V4, "NXDOMAIN", "nx.example.org", "A")
	f(l.Server.V4, "NXDOMAIN", "h100.example.org", "A")
	f(l.Server.V4, "Flags: qr aa tc", "+ignore", "big.example.org", "TXT")
	f(l.Server.V4, "ANSWER: 10;", "+bufsize=4096", "+notcp", "big.example.org", "TXT")
	f(l.Server.V6, "ANSWER: 10;", "+tcp", "big.example.org", "TXT")
	f(l.Server.V6, "ANSWER: 4;", "+bufsize=1232", "mid.example.org", "TXT")
}

func TestDnsperfAgreesWithKnot(t *testing.T) {
	t.Parallel()
	Need(t, "dnsperf")
	l := New(t)
	k := startKnot(t, l)
	queries := k.Zone.Queries(1000, 1)
	var nx uint64
	for _, q := range queries {
		if strings.HasPrefix(q.Name, "nx") {
			nx++
		}
	}
	f := func(p Perf) {
		t.Helper()
		before, lostBefore := stats(t, k), rcvbufErrors(t, l.Server)
		p.Queries, p.Rate, p.Seconds = queries, 2000, 1
		r, err := l.Dnsperf(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		after := stats(t, k)
		received := after.UDP() - before.UDP()
		if p.TCP {
			received = after.TCP() - before.TCP()
		}
		dropped := rcvbufErrors(t, l.Server) - lostBefore
		if r.Sent != 2000 || r.Completed+r.Lost != r.Sent {
			t.Errorf("%+v: %+v does not add up", p.Options, r)
		}
		if received+dropped != r.Sent || after.Responses()-before.Responses() != received {
			t.Errorf("dnsperf: %+v; Knot received %d and answered %d, its socket dropped %d", r, received, after.Responses()-before.Responses(), dropped)
		}
		answered := after.Rcode("NXDOMAIN") - before.Rcode("NXDOMAIN")
		if seen := r.Rcodes["NXDOMAIN"]; dropped == 0 && answered != 2*nx || seen > answered || seen+r.Lost < answered {
			t.Errorf("NXDOMAIN: asked for %d, Knot answered %d, dnsperf saw %v and lost %d", 2*nx, answered, r.Rcodes, r.Lost)
		}
		if r.Seconds < 0.9 {
			t.Errorf("2000 queries at 2000/s took %.2f s", r.Seconds)
		}
	}
	f(Perf{})
	f(Perf{V6: true})
	f(Perf{TCP: true})
	f(Perf{Options: []string{"-e", "-D"}})
}

func TestFlowIsExact(t *testing.T) {
	t.Parallel()
	l := New(t)
	l.Server.Sink(t, 53)
	messages := Messages(Zone{Names: 100}.Queries(500, 2))
	f := func(to netip.Addr, rate, count, ports int) {
		t.Helper()
		tx, rx := counters(t, l.Client), counters(t, l.Server)
		dropped := rcvbufErrors(t, l.Server)
		sent, err := Flow{
			From: l.Client, To: netip.AddrPortFrom(to, 53), Ports: ports, Messages: messages, Rate: rate, Count: count,
		}.Send(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tx, rx = counters(t, l.Client).Sub(tx), counters(t, l.Server).Sub(rx)
		t.Logf("%d packets in %v: %.0f/s", sent.Packets, sent.Took, float64(sent.Packets)/sent.Took.Seconds())
		if sent.Packets != uint64(count) {
			t.Errorf("sent %d, want %d", sent.Packets, count)
		}
		if rx.RxPackets != sent.Packets-tx.TxDropped || tx.TxPackets != rx.RxPackets {
			t.Errorf("sent %d; client %+v, server %+v", sent.Packets, tx, rx)
		}
		if dropped = rcvbufErrors(t, l.Server) - dropped; dropped == 0 || dropped > sent.Packets {
			t.Errorf("a socket that nobody reads dropped %d of %d", dropped, sent.Packets)
		}
		if rate > 0 {
			if want := time.Duration(count) * time.Second / time.Duration(rate); sent.Took < want*9/10 {
				t.Errorf("%d packets at %d/s took only %v", count, rate, sent.Took)
			}
		}
		if rx.TxPackets != 0 {
			t.Errorf("the sink answered: %+v", rx)
		}
	}
	f(l.Server.V4, 20000, 10000, 1)
	f(l.Server.V6, 20000, 10000, 16)
	f(l.Server.V4, 150000, 75000, 16)
	f(l.Server.V6, 0, 100000, 4)
	f(l.Server.V4, 2000, 1001, 3)
}

func TestFlowCountsIDs(t *testing.T) {
	t.Parallel()
	Need(t, "tcpdump")
	l := New(t)
	l.Server.Sink(t, 53)
	text := capture(t, l.Server, "udp dst port 53", 130, func() {
		_, err := Flow{
			From: l.Client, To: netip.AddrPortFrom(l.Server.V4, 53), Rate: 5000, Count: 130,
			Messages: Messages([]Query{{"h1.example.org", "A"}, {"h2.example.org", "TXT"}}),
		}.Send(t.Context())
		if err != nil {
			t.Fatal(err)
		}
	})
	for i := range 130 {
		want := fmt.Sprintf(": %d+ A? h1.example.org.", i)
		if i%2 == 1 {
			want = fmt.Sprintf(": %d+ TXT? h2.example.org.", i)
		}
		if !strings.Contains(text, want) {
			t.Fatalf("no %q in\n%s", want, text)
		}
	}
}

func TestFlowStops(t *testing.T) {
	l := New(t)
	l.Server.Sink(t, 53)
	before := counters(t, l.Server)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	sent, err := Flow{
		From: l.Client, To: netip.AddrPortFrom(l.Server.V4, 53), Rate: 1000, Count: 1e9,
		Messages: Messages([]Query{{"h1.example.org", "A"}}),
	}.Send(ctx)
	if most := 20 + uint64(1000*sent.Took.Seconds()); err != nil || sent.Packets == 0 || sent.Packets > most {
		t.Errorf("100 ms at 1000/s: %+v, %v, want 1 to %d", sent, err, most)
	}
	if c := counters(t, l.Server).Sub(before); c.RxPackets != sent.Packets {
		t.Errorf("sent %d, received %d", sent.Packets, c.RxPackets)
	}
}

func TestFlowReachesKnot(t *testing.T) {
	t.Parallel()
	l := New(t)
	k := startKnot(t, l)
	sent, err := Flow{
		From: l.Client, To: netip.AddrPortFrom(l.Server.V4, 53), Ports: 4, Rate: 5000, Count: 5000,
		Messages: Messages(k.Zone.Queries(1000, 3)),
	}.Send(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dropped := rcvbufErrors(t, l.Server)
	var s Stats
	if !await.Within(await.Limit, func() bool { // until it has read its socket
		s = stats(t, k)
		return s.UDP()+dropped == sent.Packets && s.Responses() == s.UDP()
	}) {
		t.Errorf("sent %d, Knot received %d and answered %d, its socket dropped %d", sent.Packets, s.UDP(), s.Responses(), dropped)
	}
}

func TestFragments(t *testing.T) {
	t.Parallel()
	Need(t, "tcpdump")
	l := New(t)
	l.Server.Sink(t, 2049)
	f := func(fr Fragments, first, later int) {
		t.Helper()
		rx := counters(t, l.Server)
		text := capture(t, l.Server, "ip", fr.Count, func() {
			sent, err := fr.Send(t.Context())
			if err != nil || sent.Packets != uint64(fr.Count) {
				t.Fatalf("sent %+v, %v", sent, err)
			}
		})
		if rx = counters(t, l.Server).Sub(rx); rx.RxPackets != uint64(fr.Count) || rx.TxPackets != 0 {
			t.Errorf("sent %d, server %+v", fr.Count, rx)
		}
		all := strings.Count(text, "proto UDP (17)")
		firsts := strings.Count(text, "offset 0, flags [+]")
		if firsts != first || all-firsts != later {
			t.Errorf("%d first and %d later fragments, want %d and %d:\n%s", firsts, all-firsts, first, later, text)
		}
		if strings.Contains(text, "bad cksum") {
			t.Errorf("bad header checksums:\n%s", text)
		}
	}
	f(Fragments{From: l.Client, To: l.Server, Rate: 3000, Count: 300}, 100, 200)
	f(Fragments{From: l.Client, To: l.Server, Rate: 3000, Count: 300, Each: 2, LaterOnly: true}, 0, 300)

	rx := counters(t, l.Server)
	sent, err := Fragments{From: l.Client, To: l.Server, Count: 50000, Seed: 7}.Send(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d fragments in %v: %.0f/s", sent.Packets, sent.Took, float64(sent.Packets)/sent.Took.Seconds())
	if rx = counters(t, l.Server).Sub(rx); rx.RxPackets != sent.Packets-counters(t, l.Client).TxDropped {
		t.Errorf("sent %d, server received %d", sent.Packets, rx.RxPackets)
	}
}

func TestOffloadsOff(t *testing.T) {
	l := New(t)
	l.OffloadsOff(t)
	for _, h := range []*Host{l.Server, l.Client} {
		out := h.Run(t, "ethtool", "-k", h.Iface)
		for _, name := range []string{
			"rx-checksumming", "tx-checksumming", "scatter-gather", "tcp-segmentation-offload", "generic-segmentation-offload",
			"generic-receive-offload",
		} {
			if !strings.Contains(out, "\n"+name+": off") {
				t.Errorf("%s: %s is not off:\n%s", h.Iface, name, out)
			}
		}
	}
}

func TestDoComesBack(t *testing.T) {
	l := New(t)
	outside, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	wrong := errors.New("wrong")
	if err := l.Server.Do(func() error {
		inside, err := os.Readlink("/proc/thread-self/ns/net")
		if err != nil || inside == outside {
			t.Errorf("inside is %s, outside %s, %v", inside, outside, err)
		}
		return wrong
	}); !errors.Is(err, wrong) {
		t.Errorf("Do lost the error of its function: %v", err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = l.Client.Do(func() error { panic("here") })
	}()
	if now, err := os.Readlink("/proc/thread-self/ns/net"); err != nil || now != outside {
		t.Errorf("after Do in %s, before in %s, %v", now, outside, err)
	}
}

// TestNothingStays runs this test again as a process that makes a lab with a
// daemon and then panics in a test, or is killed.
func TestNothingStays(t *testing.T) {
	switch os.Getenv("SENSORLAB_DIE") {
	case "panic":
		l := New(t)
		startKnot(t, l)
		fmt.Println("namespace " + l.Server.NS)
		panic("on purpose")
	case "kill":
		l := New(t)
		startKnot(t, l)
		fmt.Println("namespace " + l.Server.NS)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}

	New(t) // skips where nothing can be made
	f := func(how string, remains bool) {
		t.Helper()
		cmd := exec.Command(os.Args[0], "-test.run=^TestNothingStays$", "-test.v")
		cmd.Env = append(os.Environ(), "SENSORLAB_DIE="+how)
		out, err := cmd.Output()
		_, rest, found := strings.Cut(string(out), "namespace ")
		ns, _, _ := strings.Cut(rest, "\n")
		if err == nil || !found {
			t.Fatalf("%s: %v\n%s", how, err, out)
		}
		path := filepath.Join(netnsDir, ns)
		if _, err := os.Stat(path); (err == nil) != remains {
			t.Errorf("%s: stat namespace: %v", how, err)
		}
		pids, _ := exec.Command(find("ip"), "netns", "pids", ns).Output()
		laterProcess(t)
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: the namespace is still there", how)
		}
		for _, pid := range strings.Fields(string(pids)) {
			runs := func() bool {
				status, err := os.ReadFile("/proc/" + pid + "/stat")
				return err == nil && bytes.Contains(status, []byte("(knotd)")) && !bytes.Contains(status, []byte(") Z "))
			}
			if !await.Within(await.Limit, func() bool { return !runs() }) { // a killed process needs a moment to be gone
				t.Errorf("%s: knotd still runs, process %s", how, pid)
			}
		}
	}
	f("panic", false)
	f("kill", true)
}

// laterProcess makes a lab in a new process, which sweeps first.
func laterProcess(t *testing.T) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestDoComesBack$")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("run a test in a new process: %v\n%s", err, out)
	}
}

func startKnot(t *testing.T, l *Lab) *Knot {
	t.Helper()
	return StartKnot(t, l, Zone{Names: 100})
}

func stats(t *testing.T, k *Knot) Stats {
	t.Helper()
	s, err := k.Stats()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func counters(t *testing.T, h *Host) Counters {
	t.Helper()
	c, err := h.Counters()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func rcvbufErrors(t *testing.T, h *Host) uint64 {
	t.Helper()
	n, err := RcvbufErrors(h)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// capture runs send and returns what tcpdump saw of its packets on the host's
// interface. tcpdump ends by itself after count packets.
func capture(t *testing.T, h *Host, filter string, count int, send func()) string {
	t.Helper()
	var out testlog.Log
	cmd := h.Command(context.Background(), "tcpdump", "-n", "-v", "-i", h.Iface, "-c", fmt.Sprint(count), filter)
	cmd.Stdout = &out
	tcpdump := StartDaemon(t, cmd)
	tcpdump.Await("it listens", func() bool { return tcpdump.Log.Count("listening on") > 0 })
	send()
	tcpdump.Wait()
	return out.String()
}
