package worker

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/dedup"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/mask"
	"dnsmonster-sensor/userspace/packet"
)

const (
	asked    = int64(1700000000e9)
	answered = asked + 5e6
)

var (
	client = netip.MustParseAddrPort("192.0.2.77:5353")
	server = netip.MustParseAddrPort("[2001:db8::5:53]:853")
)

// A query and its response, with id 7.
var (
	askedWire    = []byte("\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01")
	answeredWire = []byte("\x00\x07\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01")
)

// handleAll handles messages and returns copies of their events.
func (b *rig) handleAll(list ...packet.Message) (events []event.Event) {
	b.t.Helper()
	for i := range list {
		b.given++
		b.worker.Message(&list[i], func(e *event.Event) {
			events = append(events, *e)
			b.emit(e)
		})
	}
	b.balanced(true)
	return events
}

// udp4 is a packet with a query.
func udp4() string { return ip4(client4, server4, 1, 0, 17, udpData(5353, 53, string(askedWire))) }

// TestMessage: an event has all properties of its message, and the next event has none
// of them.
func TestMessage(t *testing.T) {
	b := newRig(t, Config{})
	fields := event.AppendField(nil, event.FirstField, []byte("zone"))
	m := packet.Message{
		Data: answeredWire, QueryTime: asked, ResponseTime: answered, Src: server, Dst: client, Proto: packet.DNSCryptTCP,
		Direction: packet.DirectionOut, Interface: 3, Identity: []byte("ns1"), Version: []byte("knot 3.4"), Fields: fields,
	}
	events := b.handleAll(m)
	if len(events) != 1 {
		t.Fatalf("%d events", len(events))
	}
	e := &events[0]
	if e.Time != answered || e.QueryTime != asked || e.ResponseTime != answered || e.Src != server || e.Dst != client || e.Proto != event.DNSCryptTCP ||
		e.Direction != packet.DirectionOut || e.Interface != 3 || string(e.Identity) != "ns1" || string(e.Version) != "knot 3.4" || string(e.Fields) != string(fields) ||
		string(e.Message) != string(answeredWire) || !e.DNS.Response() || e.CaptureCut != 0 || e.Tunnel != 0 || e.HasVLAN {
		t.Errorf("event %+v of message %+v", e, m)
	}
	if n := b.count(account.WholeMessage); n != 1 {
		t.Errorf("%d whole messages", n)
	}
	var after event.Event
	p := packet.Packet{Data: []byte(udp4()), Link: packet.LinkRaw, Time: asked}
	p.WireLen = uint32(len(p.Data))
	b.given++
	b.worker.Packet(&p, func(e *event.Event) { after = *e })
	if after.Proto != event.UDP || after.Identity != nil || after.Version != nil || after.Fields != nil || after.QueryTime != 0 || after.ResponseTime != 0 || after.Direction != 0 {
		t.Errorf("the packet after the message gives %+v", after)
	}
	b.balanced(true)
}

// TestMessageTimes: a record has the message's own time, else the time of its kind, query
// or response, else the other one.
func TestMessageTimes(t *testing.T) {
	f := func(wire []byte, own, query, response, want int64) {
		t.Helper()
		b := newRig(t, Config{})
		m := packet.Message{Data: wire, Time: own, QueryTime: query, ResponseTime: response, Proto: packet.UDP}
		if e := b.handleAll(m)[0]; e.Time != want || e.QueryTime != query || e.ResponseTime != response || m.When() != want {
			t.Errorf("times %d, %d and %d: record of %d, want %d", own, query, response, e.Time, want)
		}
	}
	f(askedWire, 0, asked, answered, asked)
	f(answeredWire, 0, asked, answered, answered)
	f(askedWire, 0, 0, answered, answered)
	f(answeredWire, 0, asked, 0, asked)
	f(askedWire, 1, asked, answered, 1)
	f(answeredWire, 1, asked, answered, 1)
	f(answeredWire, 0, 0, 0, 0)
	f(askedWire, 0, -5, 0, -5)
}

// TestMessageAddresses: no, one or two addresses, with and without ports, also masked.
func TestMessageAddresses(t *testing.T) {
	port := netip.AddrPortFrom(netip.Addr{}, 53)
	f := func(bits *mask.Bits, src, dst netip.AddrPort, want string) {
		t.Helper()
		b := newRig(t, Config{Mask: bits})
		e := b.handleAll(packet.Message{Data: askedWire, Src: src, Dst: dst, Proto: packet.DoH})[0]
		if got := fmt.Sprint(e.IPVersion(), " ", text(e.Src), " ", text(e.Dst)); got != want {
			t.Errorf("%s to %s: %s, want %s", text(src), text(dst), got, want)
		}
	}
	f(nil, netip.AddrPort{}, netip.AddrPort{}, "0 -:0 -:0")
	f(nil, client, netip.AddrPort{}, "4 192.0.2.77:5353 -:0")
	f(nil, netip.AddrPort{}, server, "6 -:0 2001:db8::5:53:853")
	f(nil, port, client, "4 -:53 192.0.2.77:5353")
	f(nil, client, port, "4 192.0.2.77:5353 -:53")
	f(nil, port, port, "0 -:53 -:53")
	f(nil, netip.MustParseAddrPort("[fe80::1%eth0]:53"), client, "6 fe80::1:53 192.0.2.77:5353")
	f(nil, netip.MustParseAddrPort("[::ffff:192.0.2.77]:53"), port, "6 ::ffff:192.0.2.77:53 -:53")
	bits := &mask.Bits{V4: 24, V6: 32}
	f(bits, client, server, "4 192.0.2.0:5353 2001:db8:::853")
	f(bits, client, port, "4 192.0.2.0:5353 -:53")
	f(bits, netip.AddrPort{}, netip.AddrPort{}, "0 -:0 -:0")
	f(bits, netip.MustParseAddrPort("[2001:db8:ffff::1%eth0]:53"), port, "6 2001:db8:::53 -:53")
}

func text(a netip.AddrPort) string {
	if !a.Addr().IsValid() {
		return fmt.Sprint("-:", a.Port())
	}
	return fmt.Sprint(a.Addr(), ":", a.Port())
}

// TestMessageMasksECS: the client subnet in a message is masked as in packets.
func TestMessageMasksECS(t *testing.T) {
	wire := append([]byte("\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x00\x00\x01\x00\x01"), "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x0c\x00\x08\x00\x08\x00\x01\x20\x00\xc0\x00\x02\x4d"...)
	for _, ecs := range []bool{true, false} {
		b := newRig(t, Config{Mask: &mask.Bits{V4: 16, V6: 32}, MaskECS: ecs})
		e := b.handleAll(packet.Message{Data: wire, Proto: packet.DoT})[0]
		if hidden := strings.HasSuffix(string(e.Message), "\xc0\x00\x00\x00"); hidden != ecs || len(e.Message) != len(wire) || wire[len(wire)-1] != 0x4d {
			t.Errorf("masked %t, want %t: %x", hidden, ecs, e.Message)
		}
	}
}

// TestMessageVerdicts: unreadable, malformed and cut messages are counted as those in
// packets.
func TestMessageVerdicts(t *testing.T) {
	f := func(data []byte, missing uint32, drop bool, unreadable, dropped, malformed uint64, cut uint32) {
		t.Helper()
		b := newRig(t, Config{DropMalformed: drop})
		events := b.handleAll(packet.Message{Data: data, Missing: missing, Proto: packet.UDP})
		got := [3]uint64{b.messages.Sum(account.MessageUnreadable), b.messages.Sum(account.MessageDropped), b.messages.Sum(account.MessageMalformed)}
		if want := [3]uint64{unreadable, dropped, malformed}; got != want || len(events) != 1-int(unreadable+dropped) || b.count(account.WholeMessage) != 1 {
			t.Errorf("%d bytes and %d missing, drop %t: unreadable, dropped, malformed %d, want %d; %d events", len(data), missing, drop, got, want, len(events))
		}
		if len(events) == 1 && (events[0].CaptureCut != cut || b.count(account.PacketCut) != min(uint64(cut), 1)) {
			t.Errorf("%d bytes and %d missing: cut %d, want %d", len(data), missing, events[0].CaptureCut, cut)
		}
	}
	f(nil, 0, false, 1, 0, 0, 0)
	f(askedWire[:11], 0, false, 1, 0, 0, 0)
	f(askedWire[:11], 100, false, 1, 0, 0, 0)
	f(askedWire[:12], 0, false, 0, 0, 1, 0)
	f(askedWire[:20], 9, false, 0, 0, 1, 9)
	f(askedWire[:20], 9, true, 0, 1, 0, 9)
	f(askedWire, 0, true, 0, 0, 0, 0)
	f(append(askedWire[:29:29], 1), 0, false, 0, 0, 1, 0)
	f(append(askedWire[:29:29], make([]byte, 65535-29)...), 0, false, 0, 0, 1, 0)
	f(append(askedWire[:29:29], make([]byte, 65536-29)...), 0, false, 1, 0, 0, 0)
	f(askedWire, 65535-29, false, 0, 0, 0, 65535-29)
	f(askedWire, 65536-29, false, 1, 0, 0, 0)
	f(askedWire, 1<<32-1, false, 1, 0, 0, 0)
}

// TestMessagesAreNoDuplicates: without a packet, a repeated query cannot be told from one
// that was seen twice.
func TestMessagesAreNoDuplicates(t *testing.T) {
	b := newRig(t, Config{Dedup: &dedup.Config{}})
	m := packet.Message{Data: askedWire, QueryTime: asked, Src: client, Dst: server, Proto: packet.UDP}
	if n := len(b.handleAll(m, m, m)); n != 3 {
		t.Errorf("%d events of 3 messages", n)
	}
}

// TestMessagePortsDoNotMatter: the source knows that it is DNS.
func TestMessagePortsDoNotMatter(t *testing.T) {
	b := newRig(t, Config{})
	if n := len(b.handleAll(packet.Message{Data: askedWire, Src: netip.MustParseAddrPort("192.0.2.1:1"), Dst: netip.MustParseAddrPort("192.0.2.2:443"), Proto: packet.DoH})); n != 1 {
		t.Errorf("%d events", n)
	}
}

// TestMessagesSampled: exactly a of every b messages and packets are kept, over all workers
// of a source.
func TestMessagesSampled(t *testing.T) {
	ports := &Ports{}
	ports.Add(53)
	const workers, each = 4, 3000
	sampler := NewSampler(packet.Ratio{Keep: 2, Of: 7}, false)
	packets, messages := account.NewPacketCounters(), account.NewMessageCounters()
	var all sync.WaitGroup
	var kept, wrong atomic.Int64
	for n := range workers {
		w := New(Config{Ports: ports, Sample: sampler}, packets.Shard(), messages.Shard())
		all.Go(func() {
			frame := []byte(udp4())
			for i := range each {
				emit := func(e *event.Event) {
					kept.Add(1)
					if e.Sample != (packet.Ratio{Keep: 2, Of: 7}) {
						wrong.Add(1)
					}
				}
				if n == 0 {
					w.Packet(&packet.Packet{Data: frame, WireLen: uint32(len(frame)), Link: packet.LinkRaw, Time: int64(i)}, emit)
					continue
				}
				w.Message(&packet.Message{Data: askedWire, Proto: 1 + packet.Proto(i%packet.Protos)}, emit)
			}
			w.Publish()
		})
	}
	all.Wait()
	const want = 1714*2 + 2 // 12,000 messages are 1714 rounds of seven, and two more
	if got := kept.Load(); got != want || wrong.Load() != 0 {
		t.Errorf("%d kept, want %d; %d without the ratio", got, want, wrong.Load())
	}
	l := account.PacketLedger(packets, func() uint64 { return workers * each })
	if l.Unaccounted() != 0 || packets.Sum(account.SampledOut) != uint64(workers*each-kept.Load()) {
		t.Errorf("%d unaccounted for, %d sampled out", l.Unaccounted(), packets.Sum(account.SampledOut))
	}
}

// TestMessageGoesAway: a message whose memory becomes unreadable is counted as unreadable,
// and the next event has none of its properties.
func TestMessageGoesAway(t *testing.T) {
	b := newRig(t, Config{})
	func() {
		defer func() { recover() }()
		b.given++
		b.worker.Message(&packet.Message{Data: askedWire, Identity: []byte("ns1"), QueryTime: asked}, func(*event.Event) { panic("gone") })
	}()
	b.worker.Abandon(account.FileShrank, 1)
	b.frame(udp4())
	b.balanced(true)
	if b.messages.Sum(account.MessageUnreadable) != 1 || b.count(account.FileShrank) != 1 || len(b.worker.event.Identity) != 0 || b.worker.event.QueryTime != 0 {
		t.Errorf("%d unreadable, %d gone, event %+v", b.messages.Sum(account.MessageUnreadable), b.count(account.FileShrank), b.worker.event)
	}
}

// TestMessagesMoveTheClock: waiting fragments expire by the times of messages, too.
func TestMessagesMoveTheClock(t *testing.T) {
	b := newRig(t, Config{})
	b.packet(packet.Packet{Data: []byte(fragments4(near4, far4, 9, 17, udpData(5353, 53, strings.Repeat("\x00", 3000)), 1480)[0]), Link: packet.LinkRaw, Time: asked})
	b.worker.Publish()
	if n := b.count(account.PacketHeld); n != 1 {
		t.Fatalf("%d held", n)
	}
	for i := range int64(40) {
		m := packet.Message{Data: askedWire, QueryTime: asked + i*1e9, Proto: packet.TCP}
		b.handle(&m)
		b.worker.PacketTime(m.Interface, m.When(), b.emit)
	}
	b.worker.Publish()
	if n := b.count(account.PacketHeld); n != 0 {
		t.Errorf("%d held after 40 s", n)
	}
}

func (b *rig) handle(m *packet.Message) {
	b.given++
	b.worker.Message(m, b.emit)
}

func TestMessageAllocatesNothing(t *testing.T) {
	ports := &Ports{}
	w := New(Config{Ports: ports, Mask: &mask.Bits{V4: 24, V6: 64}, MaskECS: true, Sample: NewSampler(packet.Ratio{Keep: 9, Of: 10}, false)},
		account.NewPacketCounters().Shard(), account.NewMessageCounters().Shard())
	m := packet.Message{Data: answeredWire, QueryTime: asked, ResponseTime: answered, Src: server, Dst: client, Proto: packet.DoQ, Identity: []byte("ns1")}
	events := 0
	emit := func(*event.Event) { events++ }
	if n := testing.AllocsPerRun(1000, func() { w.Message(&m, emit) }); n != 0 || events < 800 {
		t.Errorf("a message allocates %v times, want 0; %d events", n, events)
	}
}

func BenchmarkMessage(b *testing.B) {
	w := New(Config{Ports: &Ports{}}, account.NewPacketCounters().Shard(), account.NewMessageCounters().Shard())
	m := packet.Message{Data: answeredWire, QueryTime: asked, ResponseTime: answered, Src: server, Dst: client, Proto: packet.UDP, Identity: []byte("ns1")}
	emit := func(*event.Event) {}
	for b.Loop() {
		w.Message(&m, emit)
	}
}
