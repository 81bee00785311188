package pipeline

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"testing"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/dedup"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
	"dnsmonster-sensor/userspace/worker"
)

// Floods pass the worker and the queues as packets of a capture would, with real
// messages in between: as whole datagrams, in fragments and in streams.

const (
	realEvery  = 1000 // packets from one real message of each kind to the next
	floodBatch = 50
)

// flood is a source of one lane that makes its packets as they are read.
type flood struct {
	n     int                          // packets of the flood itself
	frame func(b []byte, i int) []byte // appends the flood's packet i to b
	i     int                          // the flood's next one
	asked int                          // real messages so far, of each kind
	now   int64                        // packet time: a microsecond for each packet
	given uint64
	look  func() // called four times
	slots [floodBatch + 8][2048]byte
}

func (s *flood) Lanes() []capture.Lane { return []capture.Lane{s} }
func (s *flood) Live() bool            { return false }
func (s *flood) Given() uint64         { return s.given }
func (s *flood) Err() error            { return nil }
func (s *flood) Close() error          { return nil }

func (s *flood) Read(b *packet.Batch) error {
	if s.i >= s.n {
		return io.EOF
	}
	b.Packets = b.Packets[:0]
	for len(b.Packets) < floodBatch && s.i < s.n {
		if s.i%(realEvery/4) == 0 {
			s.real(b, s.i/(realEvery/4)%4)
		}
		s.give(b, s.frame(s.slots[len(b.Packets)][:0], s.i))
		s.i++
	}
	if s.i%(s.n/4) == 0 {
		s.look()
	}
	return nil
}

func (s *flood) give(b *packet.Batch, frame []byte) {
	s.now += 1000
	s.given++
	b.Packets = append(b.Packets, packet.Packet{Data: frame, WireLen: uint32(len(frame)), Link: packet.LinkRaw, Time: s.now})
}

// real gives a quarter of the real messages: they begin in the first quarter, and those
// in pieces end in the last.
func (s *flood) real(b *packet.Batch, quarter int) {
	const frag, segment = 1000, 40
	ip := uint16(s.asked)
	big := packets.AppendUDP(nil, 53, 40000, packets.AppendQuestion(nil, s.asked, "answer", 1900))
	stream := packets.AppendQuestion([]byte{0, 0}, s.asked, "stream", 400)
	binary.BigEndian.PutUint16(stream, uint16(len(stream)-2))
	port, seq := uint16(10000+s.asked%50000), uint32(1000)
	give := func(frame []byte) { s.give(b, frame) }
	switch quarter {
	case 0:
		give(packets.AppendIPv4(nil, packets.Client, 1, ip, 0, 17, packets.AppendUDP(nil, 40000, 53, packets.AppendQuestion(nil, s.asked, "datagram", 0))))
		give(packets.AppendIPv4(nil, packets.Client, 1, ip, 0x2000, 17, big[:frag]))
		give(packets.AppendIPv4(nil, packets.Client, 1, ip, 0, 6, packets.AppendTCP(nil, port, seq-1, 2, nil)))
	case 1:
		give(packets.AppendIPv4(nil, packets.Client, 1, ip, 0, 6, packets.AppendTCP(nil, port, seq, 0, stream[:segment])))
	case 2:
		give(packets.AppendIPv4(nil, packets.Client, 1, ip, 0, 6, packets.AppendTCP(nil, port, seq+2*segment, 0, stream[2*segment:])))
	case 3:
		give(packets.AppendIPv4(nil, packets.Client, 1, ip, frag/8, 17, big[frag:]))
		give(packets.AppendIPv4(nil, packets.Client, 1, ip, 0, 6, packets.AppendTCP(nil, port, seq+segment, 0, stream[segment:2*segment])))
		s.asked++
	}
}

// counting is an output that counts what it gets.
type counting struct {
	nowhere
	events int
	real   map[string]int // records of real messages, by name
}

func (c *counting) Open(context.Context) (outputs.Writer, error) { return c, nil }
func (c *counting) Write(_ context.Context, b *event.Block) (int, error) {
	var e event.Event
	for r := b.Reader(); r.Next(&e); {
		c.events++
		if a := e.Src.Addr(); a.Is4() && a.As4() == [4]byte{192, 0, 2, 99} {
			c.real[string(e.AppendQName(nil))]++
		}
	}
	return 0, nil
}

// scaled is the flood's length: all of it in `make test-all`.
func scaled(n int) int {
	return tier.Length(n/50, n)
}

// drown sends a flood through a worker and an output. All real messages must arrive,
// the ledgers must balance, and the memory of the lane must stay below limit.
func drown(t *testing.T, s *flood, limit uint64) (*counting, []account.Ledger) {
	t.Helper()
	out := &counting{real: map[string]int{}}
	settings := oneWriter
	settings.QueueBytes = 1 << 20
	before, most := heap(), uint64(0)
	s.look = func() { most = max(most, heap()) }
	p := join(t, s, worker.Config{Dedup: &dedup.Config{}}, nil, []Output{{out, settings}}, slog.New(slog.DiscardHandler))
	ended := p.start(t.Context())
	<-ended
	p.deliver(t.Context())
	ledgers, err := p.ledgers.read()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range ledgers {
		if l.Unaccounted() != 0 || l.Held != 0 {
			t.Errorf("ledger %s: %d unaccounted, %d held: %+v", l.Name, l.Unaccounted(), l.Held, l)
		}
	}
	for i := range s.asked {
		for _, kind := range []string{"datagram", "answer", "stream"} {
			if name := fmt.Sprintf("%s-%d.example.org.", kind, i); out.real[name] != 1 {
				t.Fatalf("%s has %d records: %+v", name, out.real[name], ledgers)
			}
		}
	}
	if most -= min(most, before); most > limit {
		t.Errorf("%d MiB in memory, limit %d", most>>20, limit>>20)
	}
	t.Logf("%d packets, %d real messages of each kind, %d MiB in memory: %v", s.given, s.asked, most>>20, ledgers[0].Outcomes)
	return out, ledgers
}

// heap is how many bytes of it are in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// bounds is what one lane may take: 16 MiB for fragments, 32 MiB for streams,
// the duplicates, and blocks on their way.
const bounds = (16 + 32 + 4 + 4) << 20

// TestFragmentFlood: first fragments of datagrams that never become whole, small
// and large, IPv4 and IPv6.
func TestFragmentFlood(t *testing.T) {
	data := make([]byte, 1480)
	s := &flood{n: scaled(5_000_000), frame: func(b []byte, i int) []byte {
		size := [...]int{8, 512, 1480, 24}[i%4]
		if i%8 < 4 {
			return packets.AppendIPv4(b, stranger(i>>16), 1, uint16(i), 0x2000, 17, data[:size])
		}
		return append(appendIPv6Fragment(b, uint32(i), size), data[:size]...)
	}}
	_, ledgers := drown(t, s, bounds)
	wantOutcome(t, ledgers, "fragment_overflow", uint64(s.n)/2)
}

// TestBeginningFlood: first fragments that begin a message, each of which is recorded
// when it is evicted.
func TestBeginningFlood(t *testing.T) {
	message := packets.AppendQuestion(nil, 1, "flood", 1900)
	s := &flood{n: scaled(1_000_000), frame: func(b []byte, i int) []byte {
		var room [2048]byte
		binary.BigEndian.PutUint16(message, uint16(i))
		datagram := packets.AppendUDP(room[:0], 53, 40000, message)
		return packets.AppendIPv4(b, stranger(i>>16), 1, uint16(i), 0x2000, 17, datagram[:[...]int{24, 512, 1480}[i%3]])
	}}
	out, ledgers := drown(t, s, bounds)
	wantOutcome(t, ledgers, "fragment_cut", uint64(s.n))
	if out.events != s.n+3*s.asked {
		t.Errorf("%d records, want %d of the flood and %d others", out.events, s.n, 3*s.asked)
	}
}

// TestOverlapFlood: the most work that a datagram can cause: pieces that each go in front
// of the last one, and then one that fills all gaps.
func TestOverlapFlood(t *testing.T) {
	const pieces = 90
	data := make([]byte, 1480)
	s := &flood{n: scaled(1_000_000), frame: func(b []byte, i int) []byte {
		datagram, step := i/(pieces+2), i%(pieces+2)
		id, src := uint16(datagram), stranger(datagram>>16)
		switch step {
		case 0:
			return packets.AppendIPv4(b, src, 1, id, 0x2000|2*pieces, 17, data[:8])
		case pieces + 1:
			return packets.AppendIPv4(b, src, 1, id, 0x2000, 17, data)
		}
		return packets.AppendIPv4(b, src, 1, id, 0x2000|uint16(2*step-1), 17, data[:8])
	}}
	_, ledgers := drown(t, s, bounds)
	wantOutcome(t, ledgers, "fragment_expired", 1)
}

// TestHalfOpenFlood: SYNs without data.
func TestHalfOpenFlood(t *testing.T) {
	s := &flood{n: scaled(1_000_000), frame: func(b []byte, i int) []byte {
		var room [20]byte
		return packets.AppendIPv4(b, stranger(i), 1, uint16(i), 0, 6, packets.AppendTCP(room[:0], uint16(1024+i>>16), uint32(i), 2, nil))
	}}
	drown(t, s, bounds)
}

// TestByteFlood: one long stream, a byte in each segment.
func TestByteFlood(t *testing.T) {
	streamFlood(t, scaled(2_000_000), func(i int) int { return i })
}

// TestDisorderFlood: the same out of order: the next byte of the stream always arrives
// last of many, and those before it in the order that causes the most work.
func TestDisorderFlood(t *testing.T) {
	const window = 400
	streamFlood(t, scaled(1_000_000), func(i int) int {
		switch base, at := i/window*window, i%window; at {
		case 0:
			return base + window - 1
		case window - 1:
			return base
		default:
			return base + at
		}
	})
}

// streamFlood sends a stream of n bytes in as many segments, the i-th of which
// has byte order(i). All messages in it must arrive.
func streamFlood(t *testing.T, n int, order func(i int) int) {
	t.Helper()
	var stream []byte
	messages := 0
	for ; len(stream) < n; messages++ {
		at := len(stream)
		stream = packets.AppendQuestion(append(stream, 0, 0), messages, "byte", 0)
		binary.BigEndian.PutUint16(stream[at:], uint16(len(stream)-at-2))
	}
	s := &flood{n: len(stream) / realEvery * realEvery, frame: func(b []byte, i int) []byte {
		var room [24]byte
		at := order(i)
		return packets.AppendIPv4(b, stranger(0), 1, uint16(i), 0, 6, packets.AppendTCP(room[:0], 1024, uint32(at), 0x10, stream[at:at+1]))
	}}
	out, _ := drown(t, s, bounds)
	if got := out.events - 3*s.asked; got < messages-realEvery/10 || got > messages {
		t.Errorf("%d messages of the stream, want about %d", got, messages)
	}
}

// TestRandomSubdomainFlood: names that never repeat, each of them a record; every
// hundredth packet comes twice.
func TestRandomSubdomainFlood(t *testing.T) {
	s := &flood{n: scaled(5_000_000), frame: func(b []byte, i int) []byte {
		if i%100 == 99 {
			i--
		}
		b = packets.AppendIPv4(b, stranger(i%97), 1, uint16(i), 0, 17, nil)
		at := len(b)
		b = append(b, 0xc3, 0x50, 0, 53, 0, 0, 0, 0, 0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 12)
		b = appendDigits(b, i)
		b = append(b, "\x07example\x03org\x00\x00\x01\x00\x01"...)
		binary.BigEndian.PutUint16(b[at+4:], uint16(len(b)-at))
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		return b
	}}
	out, ledgers := drown(t, s, bounds)
	if want := s.n - s.n/100 + 3*s.asked; out.events != want {
		t.Errorf("%d records, want %d", out.events, want)
	}
	wantOutcome(t, ledgers, "duplicate", uint64(s.n)/100)
}

func appendDigits(b []byte, n int) []byte {
	for range 12 {
		b = append(b, '0'+byte(n%10))
		n /= 10
	}
	return b
}

// stranger is one of many addresses, in 198.51.0.0/16.
func stranger(n int) uint32 { return 0xc6330000 | uint32(n)&0xffff }

// appendIPv6Fragment appends the headers of a first fragment of size bytes.
func appendIPv6Fragment(b []byte, id uint32, size int) []byte {
	b = binary.BigEndian.AppendUint16(append(b, 0x60, 0, 0, 0), uint16(8+size))
	b = append(b, 44, 64)
	b = append(b, "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"...)
	b = append(b, "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02"...)
	return binary.BigEndian.AppendUint32(append(b, 17, 0, 0, 1), id)
}

// wantOutcome checks that the packet ledger has at least this many of an outcome: else
// there was no flood.
func wantOutcome(t *testing.T, ledgers []account.Ledger, outcome string, least uint64) {
	t.Helper()
	for _, o := range ledgers[0].Outcomes {
		if o.Name == outcome && o.Value < least {
			t.Errorf("%d packets are %s, want at least %d", o.Value, outcome, least)
		}
	}
}
