//go:build linux

package scenes

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/packets"
)

// tunnelScene sends queries, and counts the messages.
type tunnelScene struct {
	t        *testing.T
	lab      *lab.Lab
	messages int
	tunnels  map[string]int // messages by tunnel
}

// ask sends queries to one address of the server: each is a query and an answer.
func (s *tunnelScene) ask(tunnel string, at netip.Addr, questions ...string) {
	s.t.Helper()
	args := []string{"@" + at.String(), "+retry=0", "+time=5", "+noidn"}
	for _, q := range questions {
		args = append(args, strings.Fields(q)...)
	}
	out := s.lab.Client.Run(s.t, "kdig", args...)
	if n := strings.Count(out, "status: NOERROR") + strings.Count(out, "status: NXDOMAIN"); n != len(questions) {
		s.t.Fatalf("%d of %d questions to %s (%s) answered:\n%s", n, len(questions), at, tunnel, out)
	}
	s.messages += 2 * len(questions)
	s.tunnels[tunnel] += 2 * len(questions)
}

// askAll sends queries whose answers are small and large datagrams, streams, and the
// largest messages.
func (s *tunnelScene) askAll(tunnel string, e lab.ServerAddrs) {
	s.t.Helper()
	four, six, both := strings.Cut(tunnel, " ")
	if !both {
		six = four
	}
	for i, at := range []netip.Addr{e.V4, e.V6} {
		name := []string{four, six}[i]
		if name == "-" {
			continue
		}
		s.lab.WaitReady(s.t, at)
		s.ask(name, at, "h1.example.org A +notcp", "big.example.org TXT +bufsize=4096 +notcp +ignore", "mid.example.org TXT +tcp", "huge.example.org TXT +tcp")
	}
}

// expectRecords expects one record of each message, with the tunnel that carried it.
func (s *tunnelScene) expectRecords(lines []string) {
	s.t.Helper()
	if len(lines) != s.messages {
		s.t.Errorf("%d records, %d messages", len(lines), s.messages)
	}
	for name, want := range s.tunnels {
		got := 0
		for _, line := range lines {
			if name != "" && strings.Contains(line, `"Tunnel":"`+name+`"`) || name == "" && !strings.Contains(line, `"Tunnel":"`) {
				got++
			}
		}
		if got != want {
			s.t.Errorf("tunnel %q: %d records, want %d", name, got, want)
		}
	}
}

// recordWire starts tcpdump on an interface of the server. end waits until text has been written
// to the file, and returns its path.
func recordWire(t *testing.T, l *lab.Lab, iface string) (end func(text string) string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "wire.pcap")
	tcpdump := lab.StartDaemon(t, l.Server.Command(context.Background(), "tcpdump", "-i", iface, "-w", path, "-U", "--immediate-mode", "-B", "65536", "-s", "0", "-Z", "root"))
	holds := func(text string, times int) func() bool {
		return func() bool {
			b, err := os.ReadFile(path)
			return err == nil && len(b) >= 24 && bytes.Count(b, []byte(text)) >= times
		}
	}
	tcpdump.Await("the file has a header", holds("", 0))
	return func(text string) string {
		t.Helper()
		tcpdump.Await("the file has the last message", holds(text, 2)) // in the query and in the answer
		tcpdump.Signal(syscall.SIGINT)
		if !strings.Contains(tcpdump.Log.String(), "0 packets dropped by kernel") {
			t.Fatalf("tcpdump lost packets: %s", tcpdump.Log.String())
		}
		return path
	}
}

// longestPacket is the length of the longest packet in a pcap file.
func longestPacket(t *testing.T, path string) (n int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	frames, err := packets.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		n = max(n, len(f.Data))
	}
	return n
}

// TestSameRecordsInEveryMode sends DNS in everything that carries it over an interface,
// between a real server and real clients. Sensors in all modes watch it at the same time,
// and tcpdump writes it to a file. All give the same records; a file alone does not know
// where a packet passed.
func TestSameRecordsInEveryMode(t *testing.T) {
	t.Parallel()
	lab.Need(t, "kdig", "tcpdump", "ethtool")
	l := lab.New(t)
	for _, h := range []*lab.Host{l.Server, l.Client} {
		h.Run(t, "ethtool", "-K", h.Iface, "gro", "on", "tso", "on", "gso", "on") // packets of several segments
	}
	knot := lab.StartKnot(t, l, lab.Zone{Names: 100})
	s := &tunnelScene{t: t, lab: l, tunnels: map[string]int{}}

	ways, options := everyWay(), []string{"--tunnelport=vxlan:4789,vxlan:8472,vxlan:5789", "--workers=3"}
	list := observe(t, l, ways, append([]string{"--decap=all"}, options...)...)
	end := recordWire(t, l, l.Server.Iface)
	s.askAll("", lab.ServerAddrs{V4: l.Server.V4, V6: l.Server.V6})
	for _, d := range devices {
		if e, ok := l.OpenKernelTunnel(t, 1400, d.link, strings.Fields(d.args)...); ok {
			s.askAll(d.tunnel, e)
		}
	}
	for _, c := range encapsulations() {
		s.askAll(c.tunnel, l.OpenTunnel(t, c.link))
	}
	s.ask("", l.Server.V4, "end-of-scene.example.org A +notcp")
	records := stopAll(t, list)
	file := end("end-of-scene")
	if n := longestPacket(t, file); n < 10000 {
		t.Errorf("the longest packet has %d bytes: none of several segments was seen", n)
	}
	stats, err := knot.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if got := int(stats.UDP() + stats.TCP() + stats.Responses()); got != s.messages {
		t.Fatalf("the server counts %d messages, the client %d", got, s.messages)
	}

	all := expectAllSame(t, list, records)
	expectSame(t, "attach", changed(all, inFile), "replay", replayed(t, file, options...))
	s.expectRecords(texts(all))
	if !strings.Contains(list[0].Log(), "also in tunnels (vxlan,vxlan-gpe,") {
		t.Error("the log does not say what is looked into")
	}
	t.Logf("%d messages in %s", s.messages, names(ways))
}

// TestSameRecordsWithoutEthernet is the same on a device whose packets have no link header.
func TestSameRecordsWithoutEthernet(t *testing.T) {
	t.Parallel()
	lab.Need(t, "kdig", "tcpdump")
	l := lab.New(t)
	lab.StartKnot(t, l, lab.Zone{Names: 100})
	const iface = "tun1" // the first of a lab
	at := l.OpenTunnel(t, ofPackets(func(src *lab.Host, b []byte) [][]byte { return over4(src, protoOf(b), whole, b) }))
	var list []*observer
	for _, w := range everyWay() {
		if !w.client {
			w.says = w.mode // XDP is native or generic, as the kernel likes
			if w.mode == "afpacket" {
				w.says = byPacket.says
			}
			list = append(list, observeOn(t, l.Server, iface, w))
		}
	}
	waitForAll(list)
	end := recordWire(t, l, iface)
	s := &tunnelScene{t: t, lab: l, tunnels: map[string]int{}}
	s.askAll("", at)
	s.ask("", at.V4, "end-of-scene.example.org A +notcp")
	all := expectAllSame(t, list, stopAll(t, list))
	expectSame(t, "attach", changed(all, inFile), "replay", replayed(t, end("end-of-scene")))
	s.expectRecords(texts(all))
	for _, r := range all {
		if !strings.Contains(r.rest, `"Interface":"`+iface+`","Direction":"`) {
			t.Fatalf("not of %s: %s", iface, r.rest)
		}
	}
}
