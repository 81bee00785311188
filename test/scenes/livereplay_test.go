package scenes

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/program"
)

// Headers around a packet. No host has these addresses, so both ignore the frames.
var (
	outerMAC = []byte{2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8}
	outer4   = [2][]byte{{192, 0, 2, 101}, {192, 0, 2, 102}}
	outer6   = [2][]byte{netip.MustParseAddr("2001:db8::101").AsSlice(), netip.MustParseAddr("2001:db8::102").AsSlice()}
)

func words(v ...uint16) (b []byte) {
	for _, w := range v {
		b = binary.BigEndian.AppendUint16(b, w)
	}
	return b
}

func onEther(kind uint16, parts ...[]byte) []byte {
	return slices.Concat(append([][]byte{outerMAC, words(kind)}, parts...)...)
}

// ends returns the outer addresses in the direction of a packet from src.
func ends(src *lab.Host, pair [2][]byte) (from, to []byte) {
	if src.Iface == "srv0" {
		return pair[0], pair[1]
	}
	return pair[1], pair[0]
}

var outerID atomic.Uint32 // for both ends

// over4 puts data into IPv4 packets with at most `most` bytes of payload.
func over4(src *lab.Host, proto byte, most int, data []byte) (frames [][]byte) {
	from, to := ends(src, outer4)
	id := uint16(outerID.Add(1))
	for off := 0; off == 0 || off < len(data); off += most {
		part, bits := data[off:min(off+most, len(data))], uint16(off/8)
		if off+most < len(data) {
			bits |= 0x2000
		}
		frames = append(frames, onEther(0x0800, []byte{0x45, 0}, words(uint16(20+len(part)), id, bits), []byte{64, proto, 0, 0}, from, to, part))
	}
	return frames
}

// over6 is over4 for IPv6, with fragment headers only if needed.
func over6(src *lab.Host, proto byte, most int, data []byte) (frames [][]byte) {
	from, to := ends(src, outer6)
	packet := func(next byte, parts ...[]byte) {
		body := slices.Concat(parts...)
		frames = append(frames, onEther(0x86dd, []byte{0x60, 0, 0, 0}, words(uint16(len(body))), []byte{next, 64}, from, to, body))
	}
	if len(data) <= most {
		packet(proto, data)
		return frames
	}
	id := uint16(outerID.Add(1))
	for off := 0; off < len(data); off += most {
		part, bits := data[off:min(off+most, len(data))], uint16(off)
		if off+most < len(data) {
			bits |= 1
		}
		packet(44, []byte{proto, 0}, words(bits, 0, id), part)
	}
	return frames
}

func inUDP(sport, dport uint16, header, data []byte) []byte {
	return slices.Concat(words(sport, dport, uint16(8+len(header)+len(data)), 0), header, data)
}

// protoOf is the protocol number of the packet in an outer IP header, 4 or 41.
func protoOf(inner []byte) byte {
	if inner[0]>>4 == 6 {
		return 41
	}
	return 4
}

// carrier is a link of the lab, and what records say about its packets.
type carrier struct {
	name   string
	tunnel string // as records name it; two names are for IPv4 and IPv6 in it, - for not carried
	link   lab.Tunnel
}

const whole = 1480

// carriers are the links that this test makes itself: not every kernel has devices for
// them.
func carriers() []carrier {
	tagged := func(tags ...uint16) lab.Tunnel {
		return lab.Tunnel{Frames: true, Wrap: func(_ *lab.Host, f []byte) [][]byte {
			return [][]byte{slices.Concat(f[:12], words(tags...), f[12:])}
		}}
	}
	packets := func(wrap func(src *lab.Host, inner []byte) [][]byte) lab.Tunnel {
		return lab.Tunnel{Wrap: wrap}
	}
	frames := func(wrap func(src *lab.Host, inner []byte) [][]byte) lab.Tunnel {
		return lab.Tunnel{Frames: true, Wrap: wrap}
	}
	header := func(h string, wrap func(*lab.Host, []byte) [][]byte) func(*lab.Host, []byte) [][]byte {
		return func(src *lab.Host, inner []byte) [][]byte { return wrap(src, append([]byte(h), inner...)) }
	}
	gre := func(h string) func(*lab.Host, []byte) [][]byte {
		return header(h, func(src *lab.Host, b []byte) [][]byte { return over4(src, 47, whole, b) })
	}
	byVersion := func(four, six string, wrap func(*lab.Host, []byte) [][]byte) func(*lab.Host, []byte) [][]byte {
		return func(src *lab.Host, inner []byte) [][]byte {
			if protoOf(inner) == 4 {
				return wrap(src, append([]byte(four), inner...))
			}
			return wrap(src, append([]byte(six), inner...))
		}
	}
	greOver4 := func(src *lab.Host, b []byte) [][]byte { return over4(src, 47, whole, b) }
	udpOver4 := func(port uint16) func(*lab.Host, []byte) [][]byte {
		return func(src *lab.Host, b []byte) [][]byte { return over4(src, 17, whole, inUDP(50000, port, nil, b)) }
	}
	const vxlan, v4, v6 = "\x08\x00\x00\x00\x00\x00\x07\x00", "\x08\x00", "\x86\xdd"
	return []carrier{
		{name: "802.1Q", link: tagged(0x8100, 5)},
		{name: "802.1ad", link: tagged(0x88a8, 0x2007, 0x8100, 8)},
		{name: "four tags", link: tagged(0x88a8, 7, 0x8100, 8, 0x8100, 9, 0x8100, 10)},
		{name: "MPLS", link: packets(func(_ *lab.Host, b []byte) [][]byte {
			return [][]byte{onEther(0x8847, []byte("\x00\x01\x00\x40\x00\x01\x11\x40"), b)}
		})},
		{name: "pseudowire", tunnel: "mpls", link: frames(func(_ *lab.Host, b []byte) [][]byte {
			return [][]byte{onEther(0x8847, []byte("\x00\x01\x11\x40\x00\x00\x00\x00"), b)}
		})},
		{name: "PPPoE", link: packets(func(_ *lab.Host, b []byte) [][]byte {
			kind := uint16(0x0021)
			if protoOf(b) == 41 {
				kind = 0x0057
			}
			return [][]byte{onEther(0x8864, []byte("\x11\x00\x00\x07"), words(uint16(2+len(b)), kind), b)}
		})},
		{name: "GRE", tunnel: "gre", link: packets(byVersion("\xb0\x00"+v4+"\x12\x34\x00\x00\x00\x00\x00\x09\x00\x00\x00\x01", "\x20\x00"+v6+"\x00\x00\x00\x09", greOver4))},
		{name: "GRE Ethernet", tunnel: "gre", link: frames(gre("\x20\x00\x65\x58\x00\x00\x00\x0a"))},
		{name: "GRE PPP", tunnel: "gre", link: packets(byVersion("\x00\x00\x88\x0b\xff\x03\x00\x21", "\x00\x00\x88\x0b\x00\x57", greOver4))},
		{name: "GRE over IPv6, in fragments", tunnel: "gre", link: packets(byVersion("\x00\x00"+v4, "\x00\x00"+v6, func(src *lab.Host, b []byte) [][]byte { return over6(src, 47, 304, b) }))},
		{name: "ERSPAN I", tunnel: "erspan", link: frames(gre("\x00\x00\x88\xbe"))},
		{name: "ERSPAN II", tunnel: "erspan", link: frames(gre("\x10\x00\x88\xbe\x00\x00\x00\x01\x10\x05\x00\x07\x00\x00\x00\x00"))},
		{name: "ERSPAN III", tunnel: "erspan", link: frames(gre("\x10\x00\x22\xeb\x00\x00\x00\x01\x20\x05\x00\x07" + "\x00\x00\x00\x00\x00\x00\x00\x00"))},
		{name: "VXLAN", tunnel: "vxlan", link: frames(header(vxlan, udpOver4(4789)))},
		{name: "VXLAN, port of its own", tunnel: "vxlan", link: frames(header(vxlan, udpOver4(5789)))},
		{name: "VXLAN in fragments", tunnel: "vxlan", link: frames(header(vxlan, func(src *lab.Host, b []byte) [][]byte { return over4(src, 17, 400, inUDP(50000, 4789, nil, b)) }))},
		{name: "VXLAN-GPE", tunnel: "vxlan-gpe", link: packets(byVersion("\x0c\x00\x00\x01\x00\x00\x07\x00", "\x0c\x00\x00\x02\x00\x00\x07\x00", udpOver4(4790)))},
		{name: "GENEVE", tunnel: "geneve", link: frames(header("\x02\x40\x65\x58\x00\x00\x07\x00\x01\x02\x80\x01\x00\x00\x00\x01", func(src *lab.Host, b []byte) [][]byte {
			return over6(src, 17, whole, inUDP(50000, 6081, nil, b))
		}))},
		{name: "GTP", tunnel: "gtp", link: packets(func(src *lab.Host, b []byte) [][]byte {
			return over4(src, 17, whole, inUDP(2152, 2152, slices.Concat([]byte("\x34\xff"), words(uint16(8+len(b)), 0, 9, 0, 0x0085), []byte("\x01\x10\x00\x00")), b))
		})},
		{name: "Teredo", tunnel: "- teredo", link: packets(func(src *lab.Host, b []byte) [][]byte {
			if protoOf(b) == 4 {
				return nil
			}
			return over4(src, 17, whole, inUDP(3544, 50000, make([]byte, 8), b))
		})},
		{name: "in IPv4", tunnel: "ipip 6in4", link: packets(func(src *lab.Host, b []byte) [][]byte { return over4(src, protoOf(b), whole, b) })},
		{name: "in IPv6", tunnel: "4in6 6in6", link: packets(func(src *lab.Host, b []byte) [][]byte { return over6(src, protoOf(b), whole, b) })},
		{name: "VN-Tag and VLAN", link: tagged(0x8926, 0x8005, 7, 0x8100, 5)},
		{name: "E-Tag", link: tagged(0x893f, 7, 0x1005, 0)},
		{name: "MACsec in clear", link: tagged(0x88e5, 0x4000, 0, 1)},
		{name: "GRE in UDP", tunnel: "gre-udp", link: packets(byVersion("\x20\x00"+v4+"\x00\x00\x00\x09", "\x00\x00"+v6, udpOver4(4754)))},
		{name: "MPLS in UDP", tunnel: "mpls-udp", link: packets(header("\x00\x01\x00\x40\x00\x01\x11\x40", udpOver4(6635)))},
		{name: "TZSP", tunnel: "tzsp", link: frames(header("\x01\x00\x00\x01\x0d\x04\x00\x00\x00\x07\x01", udpOver4(37008)))},
		{name: "L2TP in fragments", tunnel: "l2tp", link: packets(byVersion("\x00\x02\x00\x07\x00\x09\xff\x03\x00\x21", "\x00\x02\x00\x07\x00\x09\x00\x57", func(src *lab.Host, b []byte) [][]byte {
			return over4(src, 17, 400, inUDP(1701, 1701, nil, b))
		}))},
		{name: "L2TPv3 in UDP", tunnel: "l2tp", link: frames(header("\x00\x03\x00\x00\x00\x00\x00\x2a\x00\x00\x00\x00", udpOver4(1701)))},
		{name: "L2TPv3 in IP, cookie", tunnel: "l2tp", link: frames(header("\x00\x00\x00\x2a-cookie-", func(src *lab.Host, b []byte) [][]byte { return over6(src, 115, whole, b) }))},
		{name: "L2TPv3 in IP, PPP", tunnel: "l2tp", link: packets(byVersion("\x00\x00\x00\x2a\xff\x03\x00\x21", "\x00\x00\x00\x2a\xff\x03\x00\x57", func(src *lab.Host, b []byte) [][]byte { return over4(src, 115, whole, b) }))},
		{name: "NSH", tunnel: "nsh", link: frames(func(_ *lab.Host, f []byte) [][]byte {
			return [][]byte{onEther(0x894f, []byte("\x0f\xc2\x02\x03\x00\x00\x07\xff"), f)}
		})},
		{name: "NSH in VXLAN-GPE", tunnel: "nsh", link: frames(header("\x0c\x00\x00\x04\x00\x00\x07\x00"+"\x0f\xc2\x02\x03\x00\x00\x07\xff", udpOver4(4790)))},
		{name: "LISP", tunnel: "lisp", link: packets(header("\xc8\x00\x00\x01\x00\x00\x07\x01", udpOver4(4341)))},
		{name: "EtherIP", tunnel: "etherip", link: frames(header("\x30\x00", func(src *lab.Host, b []byte) [][]byte { return over4(src, 97, whole, b) }))},
		{name: "MAC in MAC", tunnel: "pbb", link: frames(func(_ *lab.Host, f []byte) [][]byte {
			return [][]byte{onEther(0x88a8, words(5, 0x88e7, 0, 42), f)}
		})},
		{name: "TRILL", tunnel: "trill", link: frames(func(_ *lab.Host, f []byte) [][]byte { return [][]byte{onEther(0x22f3, words(0x3f, 1, 2), f)} })},
		{name: "FabricPath", tunnel: "fabricpath", link: frames(func(_ *lab.Host, f []byte) [][]byte { return [][]byte{onEther(0x8903, words(0x60), f)} })},
		{name: "MPLS in IP", tunnel: "mpls", link: packets(header("\x00\x01\x11\x40", func(src *lab.Host, b []byte) [][]byte { return over4(src, 137, whole, b) }))},
		{name: "GRE in VXLAN", tunnel: "gre", link: packets(byVersion("\x00\x00"+v4, "\x00\x00"+v6, func(src *lab.Host, b []byte) [][]byte {
			frames := over4(src, 47, whole, b)
			return over4(src, 17, whole, inUDP(50000, 4789, []byte(vxlan), frames[0]))
		}))},
		{name: "four deep", tunnel: "gre", link: lab.Tunnel{MTU: 1280, Wrap: func(src *lab.Host, b []byte) [][]byte {
			four := []byte("\x00\x00" + v4)
			if protoOf(b) == 41 {
				four = []byte("\x00\x00" + v6)
			}
			b = append(four, b...)
			for range 3 {
				b = append([]byte("\x00\x00"+v4), over4(src, 47, whole, b)[0][14:]...)
			}
			return over4(src, 47, whole, b)
		}}},
	}
}

// devices are the kernel's own tunnels, if it has them.
var devices = []struct {
	tunnel string
	link   string
	args   string
}{
	{"vxlan", "", "vxlan id 42 local LOCAL4 remote REMOTE4 dev WIRE dstport 4789"},
	{"vxlan", "", "vxlan id 43 local LOCAL6 remote REMOTE6 dev WIRE dstport 8472"},
	{"geneve", "", "geneve id 7 remote REMOTE4"},
	{"gre", "", "gre local LOCAL4 remote REMOTE4 key 9 csum seq"},
	{"gre", "", "gretap local LOCAL4 remote REMOTE4"},
	{"gre", "", "ip6gre local LOCAL6 remote REMOTE6"},
	{"erspan", "", "erspan seq key 5 local LOCAL4 remote REMOTE4 erspan_ver 1 erspan 7"},
	{"ipip -", "", "ipip local LOCAL4 remote REMOTE4"},
	{"- 6in4", "", "sit local LOCAL4 remote REMOTE4"},
	{"4in6 6in6", "", "ip6tnl mode any local LOCAL6 remote REMOTE6"},
	{"", "WIRE", "vlan id 50"},
	{"", "WIRE", "vlan proto 802.1ad id 70"},
}

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

// recordWire starts tcpdump on the server's wire. end waits until text has been written
// to the file, and returns its path.
func recordWire(t *testing.T, l *lab.Lab) (end func(text string) string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "wire.pcap")
	tcpdump := lab.StartDaemon(t, l.Server.Command(context.Background(), "tcpdump", "-i", l.Server.Iface, "-w", path, "-U", "--immediate-mode", "-B", "65536", "-s", "0", "-Z", "root"))
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
func longestPacket(t *testing.T, path string) (n uint32) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for b = b[24:]; len(b) >= 16; {
		length := binary.NativeEndian.Uint32(b[8:])
		n, b = max(n, length), b[min(16+int(length), len(b)):]
	}
	return n
}

// recordLines returns the lines of records, sorted and without their time: the kernel
// stamps a packet separately for each observer.
func recordLines(t *testing.T, b []byte) (list []string) {
	t.Helper()
	for line := range bytes.Lines(b) {
		_, rest, ok := bytes.Cut(line, []byte(`","DNS":`))
		if !ok || !json.Valid(line) {
			t.Fatalf("not a record: %s", line)
		}
		list = append(list, string(bytes.TrimSpace(rest)))
	}
	slices.Sort(list)
	return list
}

// TestLiveEqualsReplay sends DNS in everything that carries it over an interface, between
// a real server and real clients. `attach` on the interface and `replay` of tcpdump's file
// of it give the same records.
func TestLiveEqualsReplay(t *testing.T) {
	t.Parallel()
	lab.Need(t, "kdig", "tcpdump", "ethtool")
	l := lab.New(t)
	for _, h := range []*lab.Host{l.Server, l.Client} {
		h.Run(t, "ethtool", "-K", h.Iface, "gro", "on", "tso", "on", "gso", "on") // packets of several segments
	}
	knot := lab.StartKnot(t, l, lab.Zone{Names: 100})
	s := &tunnelScene{t: t, lab: l, tunnels: map[string]int{}}

	options := []string{"--decap=all", "--tunnelport=vxlan:4789,vxlan:8472,vxlan:5789", "--jsonfields=vlan,tunnel", "--workers=3"}
	live := program.Attach(t, l.Server, options...)
	end := recordWire(t, l)
	s.askAll("", lab.ServerAddrs{V4: l.Server.V4, V6: l.Server.V6})
	for _, d := range devices {
		if e, ok := l.OpenKernelTunnel(t, 1400, d.link, strings.Fields(d.args)...); ok {
			s.askAll(d.tunnel, e)
		}
	}
	for _, c := range carriers() {
		s.askAll(c.tunnel, l.OpenTunnel(t, c.link))
	}
	s.ask("", l.Server.V4, "end-of-scene.example.org A +notcp")
	file := end("end-of-scene")
	if n := longestPacket(t, file); n < 10000 {
		t.Errorf("the longest packet has %d bytes: none of several segments was seen", n)
	}
	r := live.Stop()
	r.Expect(t, program.ExitOK)
	stats, err := knot.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if got := int(stats.UDP() + stats.TCP() + stats.Responses()); got != s.messages {
		t.Fatalf("the server counts %d messages, the client %d", got, s.messages)
	}

	b, err := os.ReadFile(live.RecordsFile)
	if err != nil {
		t.Fatal(err)
	}
	attached := recordLines(t, b)
	replay := program.Command(nil, append([]string{"replay", file}, slices.DeleteFunc(options, func(o string) bool { return strings.HasPrefix(o, "--decap") })...)...)
	var out, log bytes.Buffer
	replay.Stdout, replay.Stderr = &out, &log
	if err := replay.Run(); err != nil {
		t.Fatalf("replay: %v\n%s", err, log.String())
	}
	program.Result{Code: replay.ProcessState.ExitCode(), Log: log.String()}.Expect(t, program.ExitOK)
	replayed := recordLines(t, out.Bytes())

	for _, line := range linesOnlyIn(attached, replayed) {
		t.Errorf("attach alone: %.300s", line)
	}
	for _, line := range linesOnlyIn(replayed, attached) {
		t.Errorf("replay alone: %.300s", line)
	}
	if len(attached) != s.messages {
		t.Errorf("%d records, %d messages", len(attached), s.messages)
	}
	for name, want := range s.tunnels {
		got := 0
		for _, line := range attached {
			if name != "" && strings.Contains(line, `"Tunnel":"`+name+`"`) || name == "" && !strings.Contains(line, `"Tunnel":"`) {
				got++
			}
		}
		if got != want {
			t.Errorf("tunnel %q: %d records, want %d", name, got, want)
		}
	}
	if !strings.Contains(r.Log, "decap=vxlan,vxlan-gpe,") {
		t.Error("the log does not say what is looked into")
	}
	t.Logf("%d messages; kernel: not_dns %d, delivered %d", s.messages, r.Sum("kernel", "not_dns"), r.Sum("kernel", "delivered"))
}

// linesOnlyIn returns the lines of a that are missing in b, or are there less often. Both
// are sorted.
func linesOnlyIn(a, b []string) (list []string) {
	for _, line := range a {
		for len(b) > 0 && b[0] < line {
			b = b[1:]
		}
		if len(b) > 0 && b[0] == line {
			b = b[1:]
		} else {
			list = append(list, line)
		}
	}
	return list
}
