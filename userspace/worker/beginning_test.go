package worker

import (
	"testing"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/dedup"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/mask"
	"dnsmonster-sensor/userspace/packet"
)

// TestBeginnings: a datagram whose later fragments never come gives a record of its
// beginning, at any depth, with the number of missing bytes.
func TestBeginnings(t *testing.T) {
	const size = 1000 // of the answer
	data := udpData(53, 40000, answer(9, size))
	parts4, parts6 := fragments4(server4, client4, 7, 17, data, 400), fragments6(server6, client6, 7, 17, data, 400)
	f := func(name string, want got, outcome account.Column, n uint64, frames ...string) {
		t.Helper()
		b := newRig(t, Config{})
		for _, frame := range frames {
			b.frame(frame)
		}
		b.end()
		if want.id == 0 && len(b.got) == 0 && b.count(outcome) == n {
			return
		}
		want.vlan = -1
		if len(b.got) != 1 || b.got[0] != want || b.count(outcome) != n {
			t.Errorf("%s: records %+v, want %+v; %d packets with outcome %d, want %d", name, b.got, want, b.count(outcome), outcome, n)
		}
	}
	const cut, expired = account.FragmentCut, account.FragmentExpired
	record4 := got{id: 9, src: serverAt, dst: clientAt, proto: event.UDP, time: 1000, cut: size - 392, length: size}
	record6 := record4
	record6.src, record6.dst = server6At, client6At
	f("IPv4", record4, cut, 1, parts4[0])
	f("IPv6", record6, cut, 1, parts6[0])
	f("the first and the last", record4, cut, 2, parts4[0], parts4[2])
	two := record4
	two.cut, two.time = size-792, 2000
	f("two of three", two, cut, 2, parts4[0], parts4[1])
	two.time = 2000
	f("two of three, the first one last", two, cut, 2, parts4[1], parts4[0])
	f("no first one", got{}, expired, 2, parts4[1], parts4[2])
	f("not DNS", got{}, expired, 1, fragments4(server4, client4, 7, 17, udpData(54, 40000, answer(9, size)), 400)[0])
	f("half a header", got{}, expired, 1, fragments4(server4, client4, 7, 17, data, 16)[0])
	head := record4
	head.cut = size - 16
	f("little more than a header", head, cut, 1, fragments4(server4, client4, 7, 17, data, 24)[0])
	f("overlapping, IPv6", got{}, account.FragmentOverlap, 2, parts6[0], fragments6(server6, client6, 7, 17, data, 200)[1])

	in4 := record4
	in4.tunnel = packet.TunnelVXLAN
	inner := vxlan + ether(0x800, ip4(server4, client4, 8, 0, 17, data))
	outer := fragments4(near4, far4, 99, 17, udpData(9999, 4789, inner), 400)
	in4.cut = size - (400 - 8 - 8 - 14 - 20 - 8)
	f("fragments around a tunnel", in4, cut, 1, outer[0])
	in4.cut = size - 392
	f("fragments within a tunnel", in4, cut, 1, ip4(near4, far4, 99, 0, 17, udpData(9999, 4789, vxlan+ether(0x800, parts4[0]))))
	in4.cut = size - (200 - 8 - 8 - 14 - 20 - 8)
	f("both", in4, cut, 1, fragments4(near4, far4, 99, 17, udpData(9999, 4789, vxlan+ether(0x800, parts4[0])), 200)[0])
	f("the first fragment ends in the tunnel's headers", got{}, expired, 1, fragments4(near4, far4, 99, 17, udpData(9999, 4789, inner), 24)[0])
}

// cutAnswer is an answer in a UDP datagram, cutFirst its first fragment in IPv4.
var (
	cutAnswer = udpData(53, 40000, answer(9, 1000))
	cutFirst  = fragments4(server4, client4, 7, 17, cutAnswer, 400)[0]
)

// TestBeginningMasked: addresses in the record of a beginning are masked.
func TestBeginningMasked(t *testing.T) {
	b := newRig(t, Config{Mask: &mask.Bits{V4: 24, V6: 64}})
	b.frame(cutFirst)
	b.end()
	if len(b.got) != 1 || b.got[0].src != "192.0.2.0:53" || b.got[0].dst != "192.0.2.0:40000" {
		t.Errorf("records %+v", b.got)
	}
}

// TestBeginningMalformed: a beginning is marked as malformed, and dropped if malformed
// messages are.
func TestBeginningMalformed(t *testing.T) {
	b := newRig(t, Config{})
	var why dns.Malformed
	b.packet(packet.Packet{Data: []byte(cutFirst), Link: packet.LinkRaw})
	b.worker.Flush(func(e *event.Event) { why = e.DNS.Malformed })
	if why.Fault != dns.FaultCaptureCut || why.Section != dns.SectionAnswer {
		t.Errorf("malformed %+v", why)
	}
	b = newRig(t, Config{DropMalformed: true})
	b.frame(cutFirst)
	b.end()
	if len(b.got) != 0 || b.count(account.FragmentCut) != 1 {
		t.Errorf("records %+v", b.got)
	}
}

// TestBeginningSampled: beginnings are sampled by their addresses.
func TestBeginningSampled(t *testing.T) {
	ratio := packet.Ratio{Keep: 1, Of: 2}
	b := newRig(t, Config{Sample: NewSampler(ratio, false)})
	kept := uint64(0)
	for i := range 20 {
		src := "\xc0\x00\x02" + string([]byte{byte(i)})
		if packet.HashPair([]byte(src), []byte(client4)).Sampled(ratio) {
			kept++
		}
		b.frame(fragments4(src, client4, 7, 17, cutAnswer, 400)[0])
	}
	b.end()
	if b.count(account.FragmentCut) != kept || b.count(account.SampledOut) != 20-kept || len(b.got) != int(kept) {
		t.Errorf("%d records, %d sampled out, want %d and %d", len(b.got), b.count(account.SampledOut), kept, 20-kept)
	}
}

// TestBeginningDuplicates: deduplication also applies to beginnings, and to datagrams of
// which one mirror port lost a fragment.
func TestBeginningDuplicates(t *testing.T) {
	parts := fragments4(server4, client4, 7, 17, cutAnswer, 400)
	f := func(name string, want int, cutOf uint32, second ...string) {
		t.Helper()
		b := newRig(t, Config{Dedup: &dedup.Config{}})
		for _, part := range parts[:1] {
			b.packet(packet.Packet{Data: []byte(part), Link: packet.LinkRaw, Interface: 1})
		}
		for _, part := range second {
			b.packet(packet.Packet{Data: []byte(part), Link: packet.LinkRaw, Interface: 2})
		}
		b.end()
		if len(b.got) != want || b.got[0].cut != cutOf {
			t.Errorf("%s: records %+v, want %d", name, b.got, want)
		}
	}
	f("both cut", 1, 1000-392, parts[0])
	f("both cut, the second one later", 1, 1000-392, parts[0], parts[1])
	f("the second one is whole", 1, 0, parts...)
	f("another datagram", 2, 1000-392, fragments4(server4, client4, 8, 17, cutAnswer, 400)[0])
}

// TestBeginningOfSegment: the beginning of a segment becomes part of its stream.
func TestBeginningOfSegment(t *testing.T) {
	stream := u16(len(answer(9, 1000))) + answer(9, 1000)
	part := fragments4(server4, client4, 7, 6, tcpData(53, 40000, 100, 0, stream), 400)[0]
	next := ip4(server4, client4, 8, 0, 6, tcpData(53, 40000, 100+uint32(len(stream)), 0, u16(len(query(10, "q")))+query(10, "q")))
	b := newRig(t, Config{})
	b.frame(ip4(server4, client4, 1, 0, 6, tcpData(53, 40000, 99, 2, "")))
	b.frame(part)
	b.frame(fragments4(server4, client4, 9, 6, tcpData(53, 40000, 100, 4, stream), 400)[0]) // an outdated reset
	b.frame(next)
	b.end()
	if len(b.got) != 2 || b.got[0].id != 9 || b.got[0].cut != 1000-(400-20-2) || b.got[1].id != 10 {
		t.Errorf("records %+v, want 9, cut, and 10", b.got)
	}
}

// TestBeginningOfSegmentThatComesAgain: once the beginning of a segment has expired, its
// stream waits for the rest.
func TestBeginningOfSegmentThatComesAgain(t *testing.T) {
	stream := u16(len(answer(9, 1000))) + answer(9, 1000)
	b := newRig(t, Config{})
	b.worker.Tick(0, b.emit)
	b.frame(ip4(server4, client4, 1, 0, 6, tcpData(53, 40000, 99, 2, "")))
	b.frame(fragments4(server4, client4, 7, 6, tcpData(53, 40000, 100, 0, stream), 400)[0])
	b.worker.Tick(31e9, b.emit)
	b.frame(ip4(server4, client4, 8, 0, 6, tcpData(53, 40000, 100, 0, stream)))
	b.end()
	if len(b.got) != 1 || b.got[0].id != 9 || b.got[0].cut != 0 {
		t.Errorf("records %+v, want 9, whole", b.got)
	}
}

// TestBeginningOnTime: on a live lane, beginnings are recorded at the timeout, or when
// room is needed.
func TestBeginningOnTime(t *testing.T) {
	cfg := Config{}
	cfg.Defrag.Datagrams = 2
	b := newRig(t, cfg)
	b.worker.Tick(0, b.emit)
	for id := range 3 {
		b.frame(fragments4(server4, client4, id, 17, udpData(53, 40000, answer(1+id, 500)), 400)[0])
	}
	if len(b.got) != 1 || b.got[0].id != 1 {
		t.Errorf("records %+v, want the oldest", b.got)
	}
	b.worker.Tick(30e9, b.emit)
	if len(b.got) != 1 {
		t.Errorf("%d records after 30 s, want 1", len(b.got))
	}
	b.worker.Tick(31e9, b.emit)
	if len(b.got) != 3 || b.got[2].id != 3 || b.got[2].time != 3000 {
		t.Errorf("records %+v, want 3", b.got)
	}
	b.end()
}

// TestBeginningsAllocateNothing: a flood of beginnings takes no memory.
func TestBeginningsAllocateNothing(t *testing.T) {
	cfg := Config{Dedup: &dedup.Config{}}
	cfg.Defrag.Datagrams = 4
	b := newRig(t, cfg)
	var batch []packet.Packet
	for id := range 50 {
		frame := fragments4(server4, client4, id, 17, udpData(53, 40000, answer(id, 500)), 400)[0]
		batch = append(batch, packet.Packet{Data: []byte(frame), Link: packet.LinkRaw})
	}
	messages := 0
	emit := func(*event.Event) { messages++ }
	run := func() {
		for i := range batch {
			batch[i].Time += 1e9
			b.worker.Packet(&batch[i], emit)
		}
	}
	run()
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%d packets allocate %v times, want 0", len(batch), n)
	}
	if messages < 50*100 {
		t.Errorf("%d messages: nothing was tested", messages)
	}
}
