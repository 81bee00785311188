// Package tcp reads DNS messages out of TCP segments (RFC 1035 section 4.2.2,
// RFC 7766). The two directions of a connection are two streams that know
// nothing of each other, so it does not matter whether both are seen.
//
// A stream whose SYN was seen is read from there. One that is picked up midway
// is read from the first segment that starts like a message, and a stream that
// lost its place looks for a plausible length, header, and question or record. Of overlapping
// segments the bytes that come first in the stream's order are taken, of those
// at the same place the ones that arrived first. A hole that does not close in
// time, or behind which too much waits, is skipped and counted; a hole inside
// one message does not cost the place.
//
// Memory is bounded; where there is no room, the stream goes first that has been
// silent longest and has least to lose.
//
// There are two times: a stream's segments are compared by the clock of their own
// interface, and what nobody asks for is given up by its stamp, of a clock that all
// interfaces share.
package tcp

import (
	"net/netip"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/packet"
)

// Flags of a segment (RFC 9293 section 3.1), as on the wire.
const (
	flagFIN = 1
	flagSYN = 2
	flagRST = 4
)

// Config bounds a table. A zero field takes its default.
type Config struct {
	Bytes       int   // memory for data and for keeping track of streams; default 32 MiB
	Streams     int   // one for each direction; default and most: one for each 1024 of Bytes
	Segments    int   // of one stream that wait behind a hole; default 512
	Waiting     int   // their bytes; default 1 MiB
	GapTimeout  int64 // nanoseconds until a hole is skipped; default 5 s
	IdleTimeout int64 // nanoseconds until a silent stream is forgotten; default 60 s
}

func (c Config) withDefaults() Config {
	if c.Bytes <= 0 {
		c.Bytes = 32 << 20
	}
	if most := max(1, c.Bytes/1024); c.Streams <= 0 || c.Streams > most {
		c.Streams = most
	}
	if c.Segments <= 0 {
		c.Segments = 512
	}
	if c.Waiting <= 0 {
		c.Waiting = 1 << 20
	}
	if c.GapTimeout <= 0 {
		c.GapTimeout = 5e9
	}
	if c.IdleTimeout <= 0 {
		c.IdleTimeout = 60e9
	}
	return c
}

// Segment is one TCP segment, or several that were joined. Add copies what it
// keeps.
type Segment struct {
	Src, Dst         []byte // 4 or 16 bytes
	SrcPort, DstPort uint16
	Origin           packet.Origin
	Seq              uint32
	Flags            uint8
	Data             []byte
	Missing          int    // bytes behind Data that the capture left out
	Packets          uint32 // how many packets it stands for in the ledgers
	Time             int64
	InterfaceTime    int64 // time of its interface's clock; 0: it has none
	Stamp            int64 // of the shared clock, for Expire; it never goes back
}

// Message is one DNS message without its length. It is valid during the call.
type Message struct {
	Src, Dst netip.AddrPort
	Origin   packet.Origin // of the stream's last segment
	Time     int64         // of the segment that completed it
	Data     []byte
	Missing  int // bytes at its end that were never seen
}

type key struct {
	src, dst     [16]byte
	scope        packet.Scope
	sport, dport uint16
	v6           bool
}

// Table holds streams. It is for one goroutine.
type Table struct {
	cfg      Config
	shard    *account.Shard
	emit     func(*Message)
	store    *packet.Store
	index    map[key]int32
	streams  []stream  // [0] is unused: 0 means none
	segments []waiting // likewise
	// Heads of the free lists.
	freeStream, freeSegment int32
	lists                   [listCount]list
	held                    uint64
	whole                   []byte // a message put together
	again                   []byte // a segment that had waited
	glance                  []byte // where hunt looks
	message                 Message
}

// New makes an empty table. It calls emit for each message, and counts on shard
// the packets that it held.
func New(cfg Config, shard *account.Shard, emit func(*Message)) *Table {
	cfg = cfg.withDefaults()
	return &Table{
		cfg: cfg, shard: shard, emit: emit,
		// The rest is for the table's own entries, which are smaller than that.
		store:    packet.NewStore(cfg.Bytes / 32 * 13),
		index:    make(map[key]int32),
		streams:  make([]stream, 1),
		segments: make([]waiting, 1),
	}
}

// Held is the number of packets that wait behind holes.
func (t *Table) Held() uint64 { return t.held }

// Add takes a segment and emits what it completes. The column is the outcome of
// its packets, PacketHeld if that is not decided yet.
func (t *Table) Add(g *Segment) account.Column {
	k := keyOf(g)
	i, known := t.index[k]
	if known && t.over(i, g) {
		t.forget(i)
		known = false
	}
	if !known {
		if g.Flags&flagSYN == 0 && len(g.Data)+g.Missing == 0 {
			return account.TCPNoData
		}
		i = t.open(k, g)
	}
	seq := g.Seq
	if g.Flags&flagSYN != 0 {
		seq++
		if known {
			t.syn(i, seq)
		}
	}
	s := &t.streams[i]
	s.origin = g.Origin
	outcome := t.data(i, seq, g)
	switch {
	case g.Flags&flagRST != 0:
		if d := int32(seq - s.want); d > -near && d < near {
			t.end(i)
		}
	case g.Flags&flagFIN != 0:
		s.fin, s.finAt = true, seq+uint32(len(g.Data)+g.Missing)
	}
	if s.fin && s.finAt == s.want && s.first == 0 {
		t.unfinished(s)
	}
	if s.own = g.InterfaceTime; s.began == 0 {
		s.began = g.InterfaceTime
	}
	t.settle(i, g.Stamp)
	return outcome
}

// over does what is due of a stream by the clock of its own segments, before the
// next one is read. It reports whether the stream is over: that segment begins
// another one. What goes on where the stream stopped is in time, whatever the clock
// says: the clock can have been set. So is a keep-alive, one byte before.
func (t *Table) over(i int32, g *Segment) bool {
	s := &t.streams[i]
	d := int32(g.Seq - s.want)
	if g.InterfaceTime == 0 || s.own == 0 || d == 0 || d == -1 {
		return false
	}
	if g.InterfaceTime-s.own > t.cfg.IdleTimeout || s.again(g, d) {
		return true
	}
	for s.first != 0 && s.ownSince != 0 && g.InterfaceTime-s.ownSince > t.cfg.GapTimeout {
		t.skipHole(i)
	}
	return false
}

// Expire skips the holes and forgets the streams that are over their time. What has
// a lower stamp than before says has waited for longer than a time.
func (t *Table) Expire(before func(time int64) (stamp int64)) {
	limit := before(t.cfg.GapTimeout)
	for i := t.lists[listHole].oldest; i != 0 && t.streams[i].since < limit; i = t.lists[listHole].oldest {
		t.skipHole(i)
		t.settle(i, t.streams[i].stamp)
	}
	limit = before(t.cfg.IdleTimeout)
	for l := listSYN; l < listHole; l++ {
		for i := t.lists[l].oldest; i != 0 && t.streams[i].stamp < limit; i = t.lists[l].oldest {
			t.forget(i)
		}
	}
}

// Flush reads what can be read of all streams and forgets them.
func (t *Table) Flush() {
	for l := range t.lists {
		for t.lists[l].oldest != 0 {
			t.forget(t.lists[l].oldest)
		}
	}
}

// syn handles a SYN in a known stream; seq is that of the first byte behind it.
func (t *Table) syn(i int32, seq uint32) {
	s := &t.streams[i]
	switch d := int32(s.start - seq); {
	case s.mode == adrift && d >= 0 && d < near: // late: what it begins waits
		s.begin(seq, inLength)
		s.sure = true
		t.drain(s)
	case d == 0: // again
	case !s.sure && d > 0 && d < near: // late, and reading has begun behind it
	default: // the ports are used again
		t.end(i)
		s.begin(seq, inLength)
		s.sure = true
	}
}

// data takes the segment's payload, which starts at seq.
func (t *Table) data(i int32, seq uint32, g *Segment) account.Column {
	n := len(g.Data) + g.Missing
	if n == 0 {
		return account.TCPNoData
	}
	s := &t.streams[i]
	d := int32(seq - s.want)
	if d >= near || d <= -near || s.closed && d >= 0 { // another connection, its SYN not seen
		if !s.closed {
			t.shard.Add(account.StreamGaps, 1)
		}
		t.end(i)
		s.begin(seq, pickUp(g.Data))
		d = 0
	}
	if s.mode == adrift && d < 0 {
		s.begin(seq, pickUp(g.Data))
		d = 0
	}
	data := g.Data
	if d < 0 {
		if !s.sure && s.unread(seq, uint32(n)) {
			return t.early(s, seq, g)
		}
		if int(d)+n <= 0 {
			return account.TCPNoData
		}
		data = data[min(-int(d), len(data)):]
		d = 0
	}
	if d > 0 || s.mode == adrift {
		return t.wait(i, seq, g)
	}
	outcome := t.consume(s, data, int(seq+uint32(n)-s.want)-len(data), g.Time)
	t.drain(s)
	return outcome
}

// pickUp chooses how to read a stream whose beginning is unknown.
func pickUp(data []byte) mode {
	switch judge(data, atSegment) {
	case yes:
		return inLength
	case more:
		return lost
	}
	return adrift
}

func keyOf(g *Segment) key {
	k := key{scope: g.Origin.Scope(), sport: g.SrcPort, dport: g.DstPort, v6: len(g.Src) == 16}
	copy(k.src[:], g.Src)
	copy(k.dst[:], g.Dst)
	return k
}

func (k *key) ends() (src, dst netip.AddrPort) {
	if k.v6 {
		return netip.AddrPortFrom(netip.AddrFrom16(k.src), k.sport), netip.AddrPortFrom(netip.AddrFrom16(k.dst), k.dport)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(k.src[:4])), k.sport),
		netip.AddrPortFrom(netip.AddrFrom4([4]byte(k.dst[:4])), k.dport)
}
