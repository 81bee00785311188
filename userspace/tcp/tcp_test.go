//go:build linux

package tcp

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"dnsmonster-sensor/userspace/account"
)

var (
	client = []byte{192, 0, 2, 1}
	server = []byte{192, 0, 2, 53}
)

// rig is a table with its ledgers: every segment that goes in must come out.
type rig struct {
	t        *testing.T
	table    *Table
	counters *account.Counters
	shard    *account.Shard
	in       uint64
	got      []string // id@time, and -n where n bytes are missing
	bytes    int
}

func newRig(t *testing.T, cfg Config) *rig {
	b := &rig{t: t, counters: account.NewPacketCounters()}
	b.shard = b.counters.Shard()
	b.table = New(cfg, b.shard, func(m *Message) {
		b.bytes += len(m.Data)
		text := fmt.Sprintf("short@%d", m.Time)
		if len(m.Data) >= 2 {
			text = fmt.Sprintf("%d@%d", binary.BigEndian.Uint16(m.Data), m.Time)
		}
		if m.Missing > 0 {
			text += fmt.Sprintf("-%d", m.Missing)
		}
		b.got = append(b.got, text)
	})
	return b
}

func (b *rig) add(g Segment) account.Column {
	b.in++
	g.Packets, g.InterfaceTime, g.Stamp = 1, g.Time, g.Time
	b.table.Expire(sharedClock(g.Time))
	c := b.table.Add(&g)
	if c != held {
		b.shard.Add(c, 1)
	}
	b.shard.Set(held, b.table.Held())
	return c
}

// sharedClock is a clock that shows now, for Expire.
func sharedClock(now int64) func(time int64) int64 {
	return func(time int64) int64 { return now - time }
}

func (b *rig) balance() {
	b.t.Helper()
	b.shard.Publish()
	l := account.PacketLedger(b.counters, func() uint64 { return b.in })
	if l.Unaccounted() != 0 {
		b.t.Errorf("%d packets unaccounted for: %+v", l.Unaccounted(), l)
	}
}

func (b *rig) flush() {
	b.t.Helper()
	b.table.Flush()
	b.shard.Set(held, b.table.Held())
	b.balance()
	if b.table.Held() != 0 || b.table.store.Used() != 0 || len(b.table.index) != 0 {
		b.t.Errorf("after Flush: held %d, bytes %d, streams %d", b.table.Held(), b.table.store.Used(), len(b.table.index))
	}
}

func (b *rig) count(c account.Column) uint64 {
	b.shard.Publish()
	return b.counters.Sum(c)
}

func (b *rig) want(messages string) {
	b.t.Helper()
	if got := strings.Join(b.got, " "); got != messages {
		b.t.Errorf("messages %q, want %q", got, messages)
	}
}

const (
	held   = account.PacketHeld
	used   = account.TCPUsed
	noData = account.TCPNoData
)

// query is a length and a query of n bytes, for a name under example.org that fills it.
func query(id uint16, n int) string {
	const tail = "\x07example\x03org\x00\x00\x01\x00\x01"
	b := []byte{byte(n >> 8), byte(n), byte(id >> 8), byte(id), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for pad := n - headerLen - len(tail); pad > 0; {
		label := min(pad, 64)
		if pad-label == 1 {
			label--
		}
		b = append(b, byte(label-1))
		b = append(b, strings.Repeat("x", label-1)...)
		pad -= label
	}
	return string(append(b, tail...))
}

// transfer is a length and an answer of n bytes without a question, as zone
// transfers have them from their second message on.
func transfer(id uint16, n int) string {
	b := []byte{byte(n >> 8), byte(n), byte(id >> 8), byte(id), 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0}
	const record = "\x07example\x03org\x00\x00\x10\x00\x01\x00\x00\x0e\x10"
	size := n - headerLen - len(record) - 2
	b = append(append(b, record...), byte(size>>8), byte(size))
	return string(append(b, strings.Repeat("\xaa", size)...))
}

const isn uint32 = 0xfffffff0 // so that sequence numbers wrap soon

// at makes a segment whose data starts at an offset of the stream.
func at(time int64, off int, data string) Segment {
	return Segment{Src: client, Dst: server, SrcPort: 40000, DstPort: 53, Seq: isn + 1 + uint32(off), Time: time, Data: []byte(data)}
}

func flags(g Segment, f uint8) Segment {
	g.Flags = f
	if f&flagSYN != 0 {
		g.Seq--
	}
	return g
}

func syn(time int64) Segment { return flags(at(time, 0, ""), flagSYN) }

type step struct {
	Segment
	want account.Column
}

func TestStreams(t *testing.T) {
	f := func(name, messages string, steps ...step) {
		t.Run(name, func(t *testing.T) {
			b := newRig(t, Config{})
			for i, s := range steps {
				if got := b.add(s.Segment); got != s.want {
					t.Errorf("segment %d: outcome %d, want %d", i, got, s.want)
				}
			}
			b.flush()
			b.want(messages)
		})
	}
	q1, q2, q3 := query(1, 40), query(2, 50), query(3, 60)
	all := q1 + q2 + q3
	f("one segment", "1@2", step{syn(1), noData}, step{at(2, 0, q1), used})
	f("several in a segment", "1@2 2@2 3@2", step{syn(1), noData}, step{at(2, 0, all), used})
	f("length apart", "1@3", step{syn(1), noData}, step{at(2, 0, q1[:2]), used}, step{at(3, 2, q1[2:]), used})
	f("length torn", "1@3", step{syn(1), noData}, step{at(2, 0, q1[:1]), used}, step{at(3, 1, q1[1:]), used})
	f("out of order", "1@4 2@3 3@3", step{syn(1), noData}, step{at(2, 30, all[30:80]), held},
		step{at(3, 80, all[80:]), held}, step{at(4, 0, all[:30]), used})
	f("retransmitted", "1@2", step{syn(1), noData}, step{at(2, 0, q1), used}, step{at(3, 0, q1), noData}, step{at(4, 10, q1[10:]), noData})
	f("overlapping", "1@2 2@3", step{syn(1), noData}, step{at(2, 0, all[:60]), used}, step{at(3, 20, all[20:94]), used})
	f("overlapping behind a gap", "1@4 2@4 3@3", step{syn(1), noData}, step{at(2, 50, all[50:100]), held},
		step{at(3, 70, all[70:]), held}, step{at(3, 80, all[80:90]), noData}, step{at(4, 0, all[:60]), used})
	f("keep-alive", "1@2 2@4", step{syn(1), noData}, step{at(2, 0, q1), used}, step{at(3, 41, "\x00"), noData}, step{at(4, 42, q2), used})
	f("FIN with data", "1@2", step{syn(1), noData}, step{flags(at(2, 0, q1), flagFIN), used}, step{flags(at(3, 0, q1), flagFIN), noData})
	f("FIN before its data", "1@3", step{syn(1), noData}, step{flags(at(2, 20, q1[20:]), flagFIN), held}, step{at(3, 0, q1[:20]), used})
	f("RST with data", "1@2", step{syn(1), noData}, step{flags(at(2, 0, q1), flagRST), used})
	f("RST far away is ignored", "1@4", step{syn(1), noData}, step{at(2, 0, q1[:20]), used},
		step{flags(at(3, 1<<25, ""), flagRST), noData}, step{at(4, 20, q1[20:]), used})
	f("Fast Open", "1@1 2@2", step{flags(at(1, 0, q1), flagSYN), used}, step{at(2, 42, q2), used})
	f("Fast Open refused", "1@1 2@3", step{flags(at(1, 0, q1), flagSYN), used}, step{at(2, 0, q1), noData}, step{at(3, 42, q2), used})
	answered := syn(2) // a host whose own SYN is under way acknowledges the other and repeats its own
	answered.Flags |= 0x10
	f("simultaneous open", "1@3", step{syn(1), noData}, step{answered, noData}, step{at(3, 0, q1), used})
	f("SYN again", "1@3", step{syn(1), noData}, step{syn(2), noData}, step{at(3, 0, q1), used}, step{syn(4), noData})
	f("picked up at a message", "2@1 3@2", step{at(1, 42, q2), used}, step{at(2, 94, q3), used})
	f("picked up, length apart", "2@2 3@3", step{at(1, 42, q2[:2]), used}, step{at(2, 44, q2[2:]), used}, step{at(3, 94, q3), used})
	f("picked up within a message", "2@1 3@2", step{at(1, 20, all[20:94]), held}, step{at(2, 94, q3), held})
	f("picked up, out of order", "1@2 2@1", step{at(1, 20, all[20:94]), held}, step{at(2, 0, all[:20]), used})
	f("picked up, SYN comes late", "1@3 2@1", step{at(1, 20, all[20:94]), held}, step{syn(2), noData}, step{at(3, 0, all[:20]), used})
	f("picked up, whole message comes late", "2@1 1@2 3@3", step{at(1, 42, q2), used}, step{at(2, 0, q1), used}, step{at(3, 94, q3), used})
	f("picked up, two come late", "3@1 1@2 2@3", step{at(1, 94, q3), used}, step{at(2, 0, q1), used}, step{at(3, 42, q2), used},
		step{at(4, 0, q1), noData}, step{at(4, 42, q2), noData}, step{at(4, 94, q3), noData})
	f("picked up, two come late, the second first", "3@1 2@2 1@3", step{at(1, 94, q3), used}, step{at(2, 42, q2), used}, step{at(3, 0, q1), used},
		step{at(4, 42, q2), noData}, step{at(4, 0, q1), noData})
	keepalive := "\x00\x18\x00\x09\x30" + strings.Repeat("\x00", 9) + "\x00\x01\x00\x08\x00\x00\x3a\x98\x00\x03\x66\x40"
	f("picked up, a stateful operation", "9@1 2@2", step{at(1, 0, keepalive), used}, step{at(2, 26, q2), used})
	f("picked up, then a stateful operation", "1@1 9@2 2@3", step{at(1, 0, q1), used}, step{at(2, 42, keepalive), used}, step{at(3, 68, q2), used})
	f("ends within a message", "1@2 2@3-30", step{syn(1), noData}, step{at(2, 0, q1), used}, step{at(3, 42, q2[:22]), used})
	f("ends within a header", "1@2", step{syn(1), noData}, step{at(2, 0, q1), used}, step{at(3, 42, q2[:13]), used})
	f("an empty message", "short@2 1@2", step{syn(1), noData}, step{at(2, 0, "\x00\x00"+q1), used})
	f("not DNS at all", "", step{at(1, 0, "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"), held})
	f("no payload", "", step{at(1, 0, ""), noData}, step{flags(at(1, 0, ""), flagRST), noData}, step{flags(at(1, 0, ""), flagFIN), noData})
}

// TestLongStream: in a stream that was picked up midway and whose sequence numbers have
// wrapped, a retransmission is not taken for bytes from before the pick-up.
func TestLongStream(t *testing.T) {
	b := newRig(t, Config{})
	g := at(1, 0, transfer(7, 65000))
	n := int(int64(3<<30) / int64(len(g.Data)))
	for i := range n {
		if got := b.add(g); got != used {
			t.Fatalf("segment %d: outcome %d", i, got)
		}
		if got := b.add(g); got != noData {
			t.Fatalf("segment %d, again: outcome %d, want %d", i, got, noData)
		}
		g.Seq += uint32(len(g.Data))
	}
	if len(b.got) != n {
		t.Errorf("%d messages, want %d", len(b.got), n)
	}
	b.flush()
}

// TestGaps: what is missing is skipped and counted, and the messages after it are read.
func TestGaps(t *testing.T) {
	f := func(name, messages string, gaps, bytes uint64, segments ...Segment) {
		t.Run(name, func(t *testing.T) {
			b := newRig(t, Config{})
			for _, g := range segments {
				b.add(g)
			}
			b.flush()
			b.want(messages)
			if n := b.count(account.StreamGaps); n != gaps {
				t.Errorf("%d gaps, want %d", n, gaps)
			}
			if n := b.count(account.StreamGapBytes); n != bytes {
				t.Errorf("%d bytes missing, want %d", n, bytes)
			}
		})
	}
	q1, q2, q3 := query(1, 40), query(2, 50), query(3, 60)
	all := q1 + q2 + q3
	f("within a message", "1@2-20 2@3", 1, 10, syn(1), at(2, 0, all[:22]), at(3, 32, all[32:94]))
	f("to a message's end", "1@2-20 2@3", 1, 20, syn(1), at(2, 0, all[:22]), at(3, 42, q2))
	f("a whole message", "1@2 3@3", 1, 52, syn(1), at(2, 0, q1), at(3, 94, q3))
	f("into the next message", "1@2-20 3@3", 1, 30+42, syn(1), at(2, 0, all[:22]), at(3, 52, all[52:]))
	f("two in one message", "1@2-20 2@4", 2, 10, syn(1), at(2, 0, all[:22]), at(3, 24, all[24:30]), at(4, 38, all[38:94]))
	f("at the beginning", "2@2", 1, 42, syn(1), at(2, 42, q2))
	f("a transfer's next message", "1@2 7@3 8@4", 1, 10, syn(1), at(2, 0, q1), at(3, 52, transfer(7, 50)), at(4, 104, transfer(8, 50)))
}

func TestGapTimesOut(t *testing.T) {
	b := newRig(t, Config{GapTimeout: 100})
	q := query(1, 40) + query(2, 50) + query(3, 60)
	b.add(syn(1))
	b.add(at(2, 42, q[42:94]))
	b.add(at(102, 200, "")) // nothing happens up to here
	b.want("")
	b.table.Expire(sharedClock(103))
	b.want("2@2")
	if n := b.count(account.TCPUsed); n != 1 {
		t.Errorf("used %d, want 1", n)
	}
	b.add(at(104, 94, q[94:]))
	b.want("2@2 3@104")
	b.flush()
}

// TestCapturedShort: where a snap length cuts every segment, the lengths in the headers
// keep the stream in sync.
func TestCapturedShort(t *testing.T) {
	b := newRig(t, Config{})
	q := query(1, 40) + query(2, 50)
	b.add(syn(1))
	cut := at(2, 0, q[:30])
	cut.Missing = 12
	b.add(cut)
	cut = at(3, 42, q[42:72])
	cut.Missing = 22
	b.add(cut)
	b.flush()
	b.want("1@2-12 2@3-22")
}

func TestPortsUsedAgain(t *testing.T) {
	f := func(name, want string, segments ...Segment) {
		b := newRig(t, Config{})
		b.add(syn(1))
		b.add(at(2, 0, query(1, 40)))
		b.add(at(3, 42, query(2, 40)[:20]))
		for _, g := range segments {
			b.add(g)
		}
		b.flush()
		b.want(want)
	}
	const far = 1 << 28
	f("with a SYN", "1@2 2@3-22 3@5", flags(at(4, far, ""), flagSYN), at(5, far, query(3, 40)))
	f("with a SYN nearby", "1@2 2@3-22 3@5", flags(at(4, 5000, ""), flagSYN), at(5, 5000, query(3, 40)))
	f("without", "1@2 2@3-22 3@5", at(5, far, query(3, 40)))
	f("after FIN", "1@2 2@4 3@5", flags(at(4, 62, query(2, 40)[20:]), flagFIN), at(5, far, query(3, 40)))
}

// TestReadTwice: a capture that is read twice gives its messages twice; a
// retransmission gives none.
func TestReadTwice(t *testing.T) {
	const second = int64(1e9)
	f := func(name, want string, segments ...Segment) {
		t.Helper()
		b := newRig(t, Config{})
		for _, g := range segments {
			b.add(g)
		}
		b.flush()
		var ids []string
		for _, text := range b.got {
			id, _, _ := strings.Cut(text, "@")
			ids = append(ids, id)
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%s: messages %q, want %q", name, got, want)
		}
	}
	q1, q2 := query(1, 40), query(2, 50)
	start, one, two := syn(second), at(second+1, 0, q1), at(3*second, 42, q2)
	f("with its SYN", "1 2 1 2", start, one, two, start, one, two)
	f("with its SYN, short", "1 1", start, one, start, one)
	f("picked up", "1 2 1 2", one, two, one, two)
	older := func(g Segment, by int64) Segment { g.Time -= by; return g }
	f("an older one", "1 2 1 2", older(start, -100*second), older(one, -100*second), older(two, -100*second), start, one, two)
	f("sent again", "1 2", start, one, older(start, -second), older(one, -second), two, older(two, -second))
	f("sent again, picked up", "1 2", one, older(one, -2*second), two, older(one, -5*second))
	f("captured twice at once", "1 2", start, start, one, one, two, two)
	open := flags(at(second, 0, q1), flagSYN)
	f("Fast Open, captured twice at once", "1 2", open, open, two, two)
	f("all at one time", "1 2", start, at(second, 0, q1), start, at(second, 0, q1), at(second, 42, q2), start)
	f("picked up, captured twice at once", "1 2", one, one, two, two)
	f("a clock set back in between", "1 2", start, one, older(two, 3600*second))
}

// TestLateAndInSequence: a segment that continues exactly where a stream stopped belongs
// to it, however long its clock says that was; any other one begins another stream.
func TestLateAndInSequence(t *testing.T) {
	f := func(name string, off int, want string) {
		t.Helper()
		b := newRig(t, Config{})
		data := query(1, 40) + query(2, 50)
		add := func(time int64, off int, data string) {
			g := at(time, off, data)
			g.Packets, g.InterfaceTime, b.in = 1, time, b.in+1 // and the shared clock stands still
			if c := b.table.Add(&g); c != held {
				b.shard.Add(c, 1)
			}
		}
		add(1e9, 0, data[:20])
		add(1e9+30*60e9, off, data[20:])
		b.flush()
		if got := strings.Join(b.got, " "); got != want {
			t.Errorf("%s: messages %q, want %q", name, got, want)
		}
	}
	f("in sequence", 20, "1@1801000000000 2@1801000000000")
	f("elsewhere", 5000, "1@1000000000-22 2@1801000000000")
}

// TestKey: streams that differ in any part of the key do not mix.
func TestKey(t *testing.T) {
	f := func(name string, change func(*Segment), same bool) {
		b := newRig(t, Config{})
		q := query(1, 40)
		tagged := func(g Segment) Segment { g.Origin.VLAN, g.Origin.HasVLAN = 7, true; return g }
		b.add(tagged(syn(1)))
		b.add(tagged(at(2, 0, q[:20])))
		g := tagged(at(3, 20, q[20:]))
		change(&g)
		b.add(g)
		if got := strings.Join(b.got, " "); got == "1@3" != same {
			t.Errorf("%s: messages %q, same stream: want %v", name, got, same)
		}
	}
	f("nothing", func(*Segment) {}, true)
	f("VLAN priority", func(g *Segment) { g.Origin.VLAN |= 0xe000 }, true)
	f("direction", func(g *Segment) { g.Origin.Direction = 1 }, true)
	f("source", func(g *Segment) { g.Src = server }, false)
	f("destination", func(g *Segment) { g.Dst = client }, false)
	f("source port", func(g *Segment) { g.SrcPort++ }, false)
	f("destination port", func(g *Segment) { g.DstPort++ }, false)
	f("VLAN", func(g *Segment) { g.Origin.VLAN = 5 }, false)
	f("no VLAN", func(g *Segment) { g.Origin.VLAN, g.Origin.HasVLAN = 0, false }, false)
	f("tunnel", func(g *Segment) { g.Origin.Path = 5 }, false)
	f("interface", func(g *Segment) { g.Origin.Interface = 5 }, false)
}

// TestDefect11StreamRecords: a message has its ports and the time of the segment that
// completed it, even if the stream was picked up midway or ends after a gap.
func TestDefect11StreamRecords(t *testing.T) {
	b := newRig(t, Config{})
	var last Message
	emit := b.table.emit
	b.table.emit = func(m *Message) { last = *m; emit(m) }
	q := query(1, 40)
	b.add(at(1, 0, q[:20]))
	b.add(at(9, 20, q[20:]))
	if last.Src.String() != "192.0.2.1:40000" || last.Dst.String() != "192.0.2.53:53" || last.Time != 9 {
		t.Errorf("%v to %v at %d, want 192.0.2.1:40000 to 192.0.2.53:53 at 9", last.Src, last.Dst, last.Time)
	}
	b.add(at(10, 42+10, query(2, 40))) // after a gap when the file ends
	b.flush()
	b.want("1@9 2@10")
}

// TestLargest: a message of 65,535 bytes, in segments of many sizes.
func TestLargest(t *testing.T) {
	whole := transfer(1, 65535)
	for _, size := range []int{1, 2, 1460, 65535, len(whole)} {
		b := newRig(t, Config{})
		b.add(syn(1))
		for off := 0; off < len(whole); off += size {
			b.add(at(2, off, whole[off:min(off+size, len(whole))]))
		}
		b.want("1@2")
		if b.bytes != 65535 {
			t.Errorf("segments of %d: %d bytes", size, b.bytes)
		}
		b.flush()
	}
	b := newRig(t, Config{}) // several messages in one segment
	b.add(syn(1))
	b.add(at(2, 0, whole+whole+query(3, 40)))
	b.want("1@2 1@2 3@2")
	b.flush()
}

func TestAllocatesNothing(t *testing.T) {
	b := newRig(t, Config{})
	b.table.emit = func(*Message) {}
	data := query(1, 300)
	first, third, second := at(2, 0, data[:100]), at(2, 200, data[200:]), at(2, 100, data[100:200])
	start := syn(1)
	b.table.Add(&start)
	run := func() {
		for _, g := range [3]*Segment{&first, &third, &second} { // the third waits
			b.table.Add(g)
			g.Seq += uint32(len(data))
		}
	}
	run()
	if n := testing.AllocsPerRun(1000, run); n != 0 {
		t.Errorf("three segments allocate %v times, want 0", n)
	}
}
