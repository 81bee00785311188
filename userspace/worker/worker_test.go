package worker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/dedup"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/mask"
	"dnsmonster-sensor/userspace/packet"
)

const (
	vxlan                = "\x08\x00\x00\x00\x00\x00\x07\x00"
	gre                  = "\x00\x00\x08\x00"
	clientAt, serverAt   = "192.0.2.1:40000", "192.0.2.53:53"
	client6At, server6At = "[2001:db8::1]:40000", "[2001:db8::53]:53"
)

// scene has datagrams, fragments and streams, in tunnels and not; message ids count up from 1. It returns the frames and
// the number of messages in them.
func scene() (frames []string, messages int) {
	next := func() int { messages++; return messages }
	plain := func(proto byte, data string) string { return ip4(client4, server4, 7, 0, proto, data) }
	tunnel := func(proto byte, data string) string { return ip4(near4, far4, 8, 0, proto, data) }
	ask := func() string { return plain(17, udpData(40000, 53, query(next(), "q"))) }
	ask6 := func() string { return ip6(client6, server6, 17, udpData(40000, 53, query(next(), "q"))) }
	add := func(f ...string) { frames = append(frames, f...) }

	add(ask(), ask6())
	add(tunnel(17, udpData(1, 4789, vxlan+ether(0x0800, ask()))))
	add(tunnel(17, udpData(1, 6081, "\x00\x00\x65\x58\x00\x00\x07\x00"+ether(0x86dd, ask6()))))
	add(tunnel(47, gre+ask()), tunnel(47, "\x10\x00\x88\xbe\x00\x00\x00\x01"+"\x10\x00\x00\x00\x00\x00\x00\x00"+ether(0x0800, ask())))
	add(tunnel(4, ask()), tunnel(41, ask6()), ip6(client6, server6, 4, ask()), tunnel(17, udpData(1, 3544, ask6())))
	inner := ask()
	add(tunnel(17, udpData(1, 2152, "\x30\xff"+u16(len(inner))+"\x00\x00\x00\x09"+inner)))

	add(fragments4(client4, server4, 100, 17, udpData(53, 40000, answer(next(), 3000)), 1480)...)
	add(fragments6(client6, server6, 101, 17, udpData(53, 40000, answer(next(), 3000)), 1232)...)
	for _, f := range fragments4(client4, server4, 102, 17, udpData(53, 40000, answer(next(), 3000)), 1400) {
		add(tunnel(47, gre+f)) // fragments in a tunnel
	}
	whole := plain(17, udpData(53, 40000, answer(next(), 3000)))
	add(fragments4(near4, far4, 103, 47, gre+whole, 1480)...) // a tunnel in fragments
	for i, f := range fragments4(client4, server4, 104, 17, udpData(53, 40000, answer(next(), 4000)), 2000) {
		add(fragments4(near4, far4, 105+i, 47, gre+f, 1480)...) // both
	}

	stream := func(port int, wrap func(string) string, data string) {
		add(wrap(plain(6, tcpData(port, 53, 999, 2, ""))))
		seq := uint32(1000)
		for len(data) > 0 {
			n := min(len(data), 1400)
			add(wrap(plain(6, tcpData(port, 53, seq, 0x18, data[:n]))))
			seq, data = seq+uint32(n), data[n:]
		}
		add(wrap(plain(6, tcpData(port, 53, seq, 0x11, ""))))
	}
	framed := func(m string) string { return u16(len(m)) + m }
	bare := func(f string) string { return f }
	stream(40001, bare, framed(query(next(), "q"))+framed(query(next(), "q")))
	stream(40002, bare, framed(answer(next(), 60000)))
	stream(40003, func(f string) string { return tunnel(47, gre+f) }, framed(answer(next(), 5000)))
	segment := plain(6, tcpData(40004, 53, 1000, 0x18, framed(answer(next(), 3000))))
	add(fragments4(near4, far4, 110, 47, gre+segment, 1480)...) // a segment in a tunnel in fragments
	return frames, messages
}

// TestScene: each message gives one record, and both ledgers balance after
// every packet.
func TestScene(t *testing.T) {
	frames, messages := scene()
	b := newRig(t, Config{})
	for _, f := range frames {
		b.frame(f)
		b.balanced(false)
	}
	b.end()
	seen := map[int]int{}
	for _, g := range b.got {
		seen[g.id]++
	}
	for id := 1; id <= messages; id++ {
		if seen[id] != 1 {
			t.Errorf("message %d has %d records", id, seen[id])
		}
	}
	if len(b.got) != messages {
		t.Errorf("%d records, want %d", len(b.got), messages)
	}
}

// TestSceneBackwards: the frames in reverse give the same datagrams, since fragments may
// come in any order. Streams whose end comes first may lose messages.
func TestSceneBackwards(t *testing.T) {
	frames, messages := scene()
	b := newRig(t, Config{})
	for i := range frames {
		b.frame(frames[len(frames)-1-i])
		b.balanced(false)
	}
	b.end()
	udp := 0
	for _, g := range b.got {
		if g.proto == event.UDP {
			udp++
		}
	}
	if want := messages - 5; udp != want {
		t.Errorf("%d datagrams, want %d", udp, want)
	}
}

// TestMutations: a packet that is lost or doubled at the hand-over shows in the ledgers.
func TestMutations(t *testing.T) {
	frames, _ := scene()
	unaccounted := func(mutate func(b *rig)) int64 {
		b := newRig(t, Config{})
		for _, f := range frames {
			b.frame(f)
		}
		mutate(b)
		b.worker.Flush(b.emit)
		b.worker.Publish()
		l := account.PacketLedger(b.packets, func() uint64 { return b.given })
		return l.Unaccounted()
	}
	if n := unaccounted(func(b *rig) {}); n != 0 {
		t.Errorf("unaccounted %d, want 0", n)
	}
	for _, f := range frames {
		if n := unaccounted(func(b *rig) { b.given++ }); n != 1 {
			t.Fatalf("one lost: unaccounted %d, want 1", n)
		}
		if n := unaccounted(func(b *rig) { b.frame(f); b.given-- }); n != -1 {
			t.Fatalf("one twice: unaccounted %d, want -1", n)
		}
	}
}

func TestRecords(t *testing.T) {
	f := func(name string, want got, frames ...string) {
		t.Helper()
		b := newRig(t, Config{})
		for _, f := range frames {
			b.frame(f)
		}
		b.end()
		if len(b.got) != 1 || b.got[0] != want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, b.got, want)
		}
	}
	q := query(5, "q")
	dg := ip4(client4, server4, 7, 0, 17, udpData(40000, 53, q))
	n := len(q)
	f("UDP", got{5, clientAt, serverAt, event.UDP, 0, -1, 1000, 0, n}, dg)
	f("IPv6", got{5, client6At, server6At, event.UDP, 0, -1, 1000, 0, n}, ip6(client6, server6, 17, udpData(40000, 53, q)))
	f("defect 8: VXLAN", got{5, clientAt, serverAt, event.UDP, packet.TunnelVXLAN, 9, 1000, 0, n},
		ip4(near4, far4, 7, 0, 17, udpData(1, 4789, vxlan+ether(0x8100, u16(9)+u16(0x0800)+dg))))
	f("defect 12: fragments with DF", got{5, clientAt, serverAt, event.UDP, 0, -1, 2000, 0, n},
		ip4(client4, server4, 7, 0x6000, 17, dg[20:36]), ip4(client4, server4, 7, 0x4002, 17, dg[36:]))
	f("defect 11: TCP", got{5, clientAt, serverAt, event.TCP, 0, -1, 3000, 0, n}, ip4(client4, server4, 7, 0, 6, tcpData(40000, 53, 9, 2, "")),
		ip4(client4, server4, 7, 0, 6, tcpData(40000, 53, 10, 0, u16(n)+q[:9])), ip4(client4, server4, 7, 0, 6, tcpData(40000, 53, 21, 1, q[9:])))
	f("defect 13: a header alone", got{5, clientAt, serverAt, event.UDP, 0, -1, 1000, 0, 12},
		ip4(client4, server4, 7, 0, 17, udpData(40000, 53, q[:4]+strings.Repeat("\x00", 8))))
	f("defect 17: cut", got{5, clientAt, serverAt, event.UDP, 0, -1, 1000, 6, n}, dg[:len(dg)-6])
	f("a tunnel's port, but DNS", got{5, "192.0.2.1:4789", serverAt, event.UDP, 0, -1, 1000, 0, n}, ip4(client4, server4, 7, 0, 17, udpData(4789, 53, q)))
}

func TestOutcomes(t *testing.T) {
	f := func(name string, want account.Column, p packet.Packet) {
		t.Helper()
		b := newRig(t, Config{})
		b.packet(p)
		if got := b.count(want); got != 1 {
			t.Errorf("%s: outcome %d counted %d times, want once", name, want, got)
		}
		b.end()
	}
	raw := func(s string) packet.Packet { return packet.Packet{Data: []byte(s), Link: packet.LinkRaw} }
	deep := ip4(client4, server4, 7, 0, 17, udpData(40000, 53, query(1, "q")))
	for range 5 {
		deep = ip4(near4, far4, 7, 0, 4, deep)
	}
	f("other ports", account.NotDNS, raw(ip4(client4, server4, 7, 0, 17, udpData(1, 2, "x"))))
	f("other ports of TCP", account.NotDNS, raw(ip4(client4, server4, 7, 0, 6, tcpData(1, 2, 3, 0, "x"))))
	f("ICMP", account.NotDNS, raw(ip4(client4, server4, 7, 0, 1, "x")))
	f("VXLAN port, something else", account.NotDNS, raw(ip4(client4, server4, 7, 0, 17, udpData(1, 4789, strings.Repeat("x", 50)))))
	f("bad header", account.PacketMalformed, raw("\x45"))
	f("too deep", account.NestedTooDeep, raw(deep))
	f("unknown link", account.UnknownLink, packet.Packet{Data: []byte("x"), Link: 147})
	f("no data", account.TCPNoData, raw(ip4(client4, server4, 7, 0, 6, tcpData(1, 53, 3, 2, ""))))
	f("held", account.PacketHeld, raw(ip4(client4, server4, 7, 0x2000, 17, "12345678")))
}

// TestDefect14Duplicates: of two copies from a mirror one is recorded, whatever their tags
// and tunnels. A client's retransmission is recorded, too.
func TestDefect14Duplicates(t *testing.T) {
	q := query(5, "q")
	dg := func(id int) string { return ip4(client4, server4, id, 0, 17, udpData(40000, 53, q)) }
	tagged := func(data string, vlan uint16) packet.Packet {
		return packet.Packet{Data: []byte(data), Link: packet.LinkRaw, HasVLAN: true, VLAN: vlan}
	}
	b := newRig(t, Config{Dedup: &dedup.Config{}})
	b.packet(tagged(dg(7), 1))
	b.packet(tagged(dg(7), 2))
	b.frame(ip4(near4, far4, 9, 0, 47, gre+dg(7)))
	if len(b.got) != 1 || b.count(account.Duplicate) != 2 {
		t.Errorf("%d records, %d duplicates; want 1 and 2", len(b.got), b.count(account.Duplicate))
	}
	b.frame(dg(8))
	if len(b.got) != 2 {
		t.Error("a true retransmission is missing")
	}
	b.now += 51e6
	b.frame(dg(7))
	if len(b.got) != 3 {
		t.Error("the same packet after the window is missing")
	}
	for _, vlan := range []uint16{1, 2} { // two copies of a fragmented datagram
		for _, f := range fragments4(client4, server4, 20, 17, udpData(53, 40000, answer(6, 3000)), 1480) {
			b.packet(tagged(f, vlan))
		}
	}
	if len(b.got) != 4 || b.count(account.Duplicate) != 5 {
		t.Errorf("fragments: %d records, %d duplicates; want 4 and 5", len(b.got), b.count(account.Duplicate))
	}
	for i, data := range []string{u16(len(q)), q} { // and of a stream
		seq := uint32(1000 + 2*i)
		b.packet(tagged(ip4(client4, server4, 30+i, 0, 6, tcpData(40000, 53, seq, 0, data)), 1))
		b.packet(tagged(ip4(client4, server4, 30+i, 0, 6, tcpData(40000, 53, seq, 0, data)), 2))
	}
	if len(b.got) != 5 || b.count(account.Duplicate) != 7 {
		t.Errorf("stream: %d records, %d duplicates; want 5 and 7", len(b.got), b.count(account.Duplicate))
	}
	for range 2 {
		b.frame(ip4(client4, server4, 40, 0, 6, tcpData(40000, 53, 1100, 0x10, "")))
	}
	if b.count(account.Duplicate) != 7 {
		t.Error("a segment without data is a duplicate")
	}
	b.end()
}

// TestDefect05Masks: addresses and client subnets are masked, over UDP and TCP. The packet
// itself stays as it is.
func TestDefect05Masks(t *testing.T) {
	const subnet = "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x0c\x00\x08\x00\x08\x00\x01\x20\x00\xc0\x00\x02\x4d"
	q := query(5, "q")
	q = q[:11] + "\x01" + q[12:] + subnet
	for name, frame := range map[string]string{
		"udp": ip4(client4, server4, 7, 0, 17, udpData(40000, 53, q)),
		"tcp": ip4(client4, server4, 7, 0, 6, tcpData(40000, 53, 9, 0, u16(len(q))+q)),
	} {
		b := newRig(t, Config{Mask: &mask.Bits{V4: 24, V6: 64}, MaskECS: true})
		data := []byte(frame)
		messages := 0
		b.worker.Packet(&packet.Packet{Data: data, Link: packet.LinkRaw}, func(e *event.Event) {
			messages++
			if e.Src.String() != "192.0.2.0:40000" || e.Dst.String() != "192.0.2.0:53" {
				t.Errorf("%s: %v to %v", name, e.Src, e.Dst)
			}
			if !strings.HasSuffix(string(e.Message), "\xc0\x00\x02\x00") || len(e.Message) != len(q) {
				t.Errorf("%s: subnet in %x", name, e.Message)
			}
		})
		if messages != 1 || string(data) != frame {
			t.Errorf("%s: %d messages, packet changed: %v", name, messages, string(data) != frame)
		}
	}
}

// TestDefect06DirectionByMessage: the QR bit alone makes a response, and its source is that
// of the packet, whichever side has the watched port.
func TestDefect06DirectionByMessage(t *testing.T) {
	b := newRig(t, Config{})
	f := func(src, dst string, sport, dport int, msg string, response bool, from string) {
		t.Helper()
		var events int
		p := packet.Packet{Data: []byte(ip4(src, dst, 7, 0, 17, udpData(sport, dport, msg))), Link: packet.LinkRaw}
		b.worker.Packet(&p, func(e *event.Event) {
			events++
			if e.DNS.Response() != response || e.Src.String() != from {
				t.Errorf("response %v from %v, want %v from %s", e.DNS.Response(), e.Src, response, from)
			}
		})
		if events != 1 {
			t.Errorf("%d events", events)
		}
	}
	f(client4, server4, 40000, 53, query(1, "q"), false, clientAt)
	f(server4, client4, 53, 40000, answer(1, 100), true, serverAt)
	f(client4, server4, 40000, 53, answer(1, 100), true, clientAt)
	f(server4, client4, 53, 53, query(1, "q"), false, serverAt)
}

// TestDefect17NothingIsCut: packets that the kernel merged, also to more than 64 KiB, are
// read whole.
func TestDefect17NothingIsCut(t *testing.T) {
	var stream string
	messages := 0
	for ; len(stream) < 200_000; messages++ {
		stream += u16(30000) + answer(messages, 30000)
	}
	segment := ip4(client4, server4, 7, 0, 6, tcpData(40000, 53, 1, 0x18, stream))
	segment = segment[:2] + "\x00\x00" + segment[4:] // a length of 0: longer than the field allows
	b := newRig(t, Config{})
	b.frame(segment)
	b.frame(ip4(server4, client4, 7, 0, 17, udpData(53, 40000, answer(messages, 65507))))
	b.end()
	if len(b.got) != messages+1 {
		t.Fatalf("%d messages, want %d", len(b.got), messages+1)
	}
	for _, g := range b.got {
		if g.cut != 0 {
			t.Errorf("message %d is cut by %d", g.id, g.cut)
		}
	}
}

// TestDefect13Malformed: malformed messages are recorded or dropped, unreadable ones
// counted.
func TestDefect13Malformed(t *testing.T) {
	broken := query(5, "q")
	broken = broken[:len(broken)-3]
	for _, drop := range []bool{false, true} {
		b := newRig(t, Config{DropMalformed: drop})
		b.frame(ip4(client4, server4, 7, 0, 17, udpData(40000, 53, broken)))
		b.frame(ip4(client4, server4, 7, 0, 17, udpData(40000, 53, "short")))
		b.end()
		if want := map[bool]int{false: 1, true: 0}[drop]; len(b.got) != want {
			t.Errorf("drop %v: %d records, want %d", drop, len(b.got), want)
		}
		if n := b.messages.Sum(account.MessageUnreadable); n != 1 {
			t.Errorf("drop %v: %d unreadable, want 1", drop, n)
		}
		if n, want := b.messages.Sum(account.MessageDropped), map[bool]uint64{true: 1}[drop]; n != want {
			t.Errorf("drop %v: %d dropped, want %d", drop, n, want)
		}
	}
}

// TestDropped: exactly the messages that dnsmonster does not write are dropped.
func TestDropped(t *testing.T) {
	const name = "\x07example\x03org\x00"
	question := name + "\x00\x01\x00\x01"
	address := func(n int) string {
		return "\xc0\x0c\x00\x01\x00\x01\x00\x00\x0e\x10" + u16(n) + strings.Repeat("\x01", n)
	}
	msg := func(qd, an int, body string) string {
		return "\x00\x07\x81\x80" + u16(qd) + u16(an) + "\x00\x00\x00\x00" + body
	}
	f := func(what, message string, kept, malformed bool) {
		t.Helper()
		b := newRig(t, Config{DropMalformed: true})
		b.frame(ip4(client4, server4, 7, 0, 17, udpData(40000, 53, message)))
		b.end()
		if len(b.got) == 1 != kept {
			t.Errorf("%s: %d records, kept %t", what, len(b.got), kept)
		}
		if n := b.messages.Sum(account.MessageDropped); n == 0 != kept {
			t.Errorf("%s: %d dropped, kept %t", what, n, kept)
		}
		if n := b.messages.Sum(account.MessageMalformed); n == 1 != malformed {
			t.Errorf("%s: %d malformed, want %t", what, n, malformed)
		}
	}
	f("whole", msg(1, 1, question+address(4)), true, false)
	f("padded", msg(1, 0, question+strings.Repeat("\x00", 32)), true, true)
	f("padded by a line end", msg(1, 1, question+address(4)+"\r\n"), true, true)
	f("an address of five bytes", msg(1, 1, question+address(5)), false, false)
	f("more records counted", msg(1, 9, question+address(4)), true, true)
	f("more questions counted", msg(2, 0, question), false, false)
	f("a question without class", msg(1, 0, question[:len(question)-2]), true, true)
	f("half a type", msg(1, 0, question[:len(question)-3]), false, false)
	f("a cut record", msg(1, 1, question+address(4)[:13]), false, false)
	f("no question", msg(0, 1, "\x00"+address(4)[2:]), false, false)
	f("a header", msg(0, 0, ""), false, false)
	f("a header that counts a question", msg(1, 0, ""), false, false)
}

// TestMergedDatagrams: several datagrams that the kernel merged into one packet.
func TestMergedDatagrams(t *testing.T) {
	one, two := query(1, "aa"), query(2, "bb")
	b := newRig(t, Config{})
	b.packet(packet.Packet{Data: []byte(ip4(client4, server4, 7, 0, 17, udpData(40000, 53, one+two+query(3, "c")))), Link: packet.LinkRaw, Segment: uint16(len(one))})
	b.end()
	if len(b.got) != 3 || b.got[0].id != 1 || b.got[2].id != 3 {
		t.Errorf("records %+v, want three", b.got)
	}
}

// TestMergedDatagramsCut: bytes missing at the end of a merged packet are not all of one
// message.
func TestMergedDatagramsCut(t *testing.T) {
	one := query(1, "aa")
	frame := ip4(client4, server4, 7, 0, 17, udpData(40000, 53, one+query(2, "bb")+query(3, "cc")))
	f := func(captured int, want ...got) {
		t.Helper()
		b := newRig(t, Config{})
		data := []byte(frame[:len(frame)-3*len(one)+captured])
		b.packet(packet.Packet{Data: data, WireLen: uint32(len(frame)), Link: packet.LinkRaw, Segment: uint16(len(one))})
		b.end()
		if len(b.got) != len(want) {
			t.Fatalf("%d bytes captured: records %+v, want %d", captured, b.got, len(want))
		}
		if n := b.count(account.PacketCut); n != uint64(min(len(frame)-len(data), 1)) {
			t.Errorf("%d bytes captured: %d packets count as cut", captured, n)
		}
		for i, w := range want {
			if g := b.got[i]; g.id != w.id || g.cut != w.cut || g.length != len(one) {
				t.Errorf("%d bytes captured: record %+v, want id %d, cut %d, length %d", captured, g, w.id, w.cut, len(one))
			}
		}
	}
	n := len(one)
	f(3*n, got{id: 1}, got{id: 2}, got{id: 3})
	f(n+20, got{id: 1}, got{id: 2, cut: uint32(n - 20)})
	f(2*n, got{id: 1}, got{id: 2})
	f(n-1, got{id: 1, cut: 1})
}

// TestExpire: on a live lane, timeouts go by Tick, whatever the times of packets.
func TestExpire(t *testing.T) {
	b := newRig(t, Config{})
	b.worker.Tick(0, b.emit)
	q := u16(len(query(1, "q"))) + query(1, "q")
	b.frame(ip4(client4, server4, 7, 0x2000, 17, "12345678"))
	b.frame(ip4(client4, server4, 8, 0, 6, tcpData(40000, 53, 9, 2, "")))
	b.frame(ip4(client4, server4, 8, 0, 6, tcpData(40000, 53, 100, 0, q)))
	if b.count(account.PacketHeld) != 2 {
		t.Fatalf("held %d, want 2", b.count(account.PacketHeld))
	}
	b.worker.Tick(120e9, b.emit)
	b.balanced(true)
	if len(b.got) != 1 || b.count(account.StreamGaps) != 1 || b.count(account.FragmentExpired) != 1 {
		t.Errorf("%d records, %d gaps, %d expired; want 1 of each", len(b.got), b.count(account.StreamGaps), b.count(account.FragmentExpired))
	}
}

func TestAllocatesNothing(t *testing.T) {
	cfg := Config{Dedup: &dedup.Config{}, Mask: &mask.Bits{V4: 24, V6: 64}, MaskECS: true}
	b := newRig(t, cfg)
	frames, _ := scene()
	var batch []packet.Packet
	for _, f := range frames {
		batch = append(batch, packet.Packet{Data: []byte(f), Link: packet.LinkRaw})
	}
	messages := 0
	emit := func(*event.Event) { messages++ }
	run := func() {
		for i := range batch {
			batch[i].Time += 100e9 // each run is another time
			b.worker.Packet(&batch[i], emit)
		}
	}
	run()
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%d packets allocate %v times, want 0", len(batch), n)
	}
	if messages == 0 {
		t.Error("no messages: nothing was tested")
	}
}

func BenchmarkUDP(b *testing.B) {
	w := newRig(nil, Config{}).worker
	p := packet.Packet{Data: []byte(ip4(client4, server4, 7, 0, 17, udpData(40000, 53, query(1, "www")))), Link: packet.LinkRaw}
	emit := func(*event.Event) {}
	for b.Loop() {
		w.Packet(&p, emit)
	}
}

// FuzzPackets handles any frames with all steps: no panic, both ledgers balance, and
// nothing is held at the end.
func FuzzPackets(f *testing.F) {
	frames, _ := scene()
	for i := 0; i+2 < len(frames); i += 3 {
		f.Add([]byte(frames[i]), []byte(frames[i+1]), []byte(frames[i+2]), uint16(packet.LinkRaw), int64(1e9))
	}
	files, _ := filepath.Glob("testdata/*.pcap")
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		if p, err := readCapture(data); err == nil && len(p) >= 6 {
			f.Add(p[3].Data, p[4].Data, p[5].Data, uint16(p[3].Link), int64(1000))
		}
	}
	f.Fuzz(func(t *testing.T, one, two, three []byte, link uint16, step int64) {
		cfg := Config{Dedup: &dedup.Config{Entries: 2}, Mask: &mask.Bits{V4: 24, V6: 64}, MaskECS: true}
		cfg.Defrag.Bytes, cfg.TCP.Bytes = 8192, 8192
		b := newRig(t, cfg)
		for range 3 {
			for _, data := range [][]byte{one, two, three} {
				b.now += step % 1e12
				b.packet(packet.Packet{Data: data, Link: packet.LinkType(link)})
				b.balanced(false)
			}
		}
		b.end()
	})
}
