// Package tcp reads DNS messages out of TCP segments (RFC 1035 section 4.2.2,
// RFC 7766).
//
// In: segments of all connections of a lane. Out: whole messages, or as much of a
// message as was seen; an outcome for each packet, and two meters of the gaps. It
// imports packet and account, no other step. Its tests build their segments; real
// captures are read in package worker.
//
// The two directions of a connection are two independent streams, so it does not
// matter whether both are seen. A stream whose SYN was seen is read from there. A
// stream that is picked up midway is read from the first segment that starts like a
// message. A stream that is out of sync is searched for a plausible length, header,
// and question or record. Where segments overlap, the bytes that come first in the
// stream's order are used; where they start at the same position, those that arrived
// first. A gap that does not close in time, or has too much waiting behind it, is
// skipped and counted. A gap inside one message leaves the stream in sync.
//
// Memory is bounded. When it runs out, a stream is dropped: of those with the least to
// lose, the one that has been idle for longest.
//
// There are two times. A stream's segments are compared by the clock of their own
// interface. A stream that receives no more segments expires by its stamp, which comes
// from a clock that all interfaces share.
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
	Bytes        int   // memory for data and for keeping track of streams; default 32 MiB
	Streams      int   // one for each direction; default and maximum: one for each 1024 of Bytes
	Segments     int   // of one stream that wait behind a gap; default 512
	WaitingBytes int   // of these segments; default 1 MiB
	GapTimeout   int64 // nanoseconds until a gap is skipped; default 5 s
	IdleTimeout  int64 // nanoseconds until an idle stream is forgotten; default 60 s
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
	if c.WaitingBytes <= 0 {
		c.WaitingBytes = 1 << 20
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
	Missing          int    // bytes after Data that the capture left out
	Packets          uint32 // how many packets it stands for in the ledgers
	Time             int64
	InterfaceTime    int64 // by its interface's clock; 0: not known
	Stamp            int64 // by the shared clock, for Expire; it never goes back
}

// end is the sequence number after the data of a segment that starts at seq.
func (g *Segment) end(seq uint32) uint32 { return seq + uint32(len(g.Data)+g.Missing) }

// Message is one DNS message without its length field. It is valid during the call.
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
	segments []waiting // [0] is unused, too
	// Heads of the free lists.
	freeStream, freeSegment int32
	lists                   [listCount]list
	held                    uint64
	message                 Message
	// Buffers: a message put together, a segment that waited, bytes to search.
	assembled, waited, searched []byte
}

// New makes an empty table. It calls emit for each message, and counts the packets
// that it held on shard.
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

// Held is the number of packets that wait behind gaps.
func (t *Table) Held() uint64 { return t.held }

// Add takes a segment and emits the messages that it completes. The column is the
// outcome of its packets, PacketHeld if that is not decided yet.
func (t *Table) Add(g *Segment) account.Column {
	k := keyOf(g)
	i, known := t.index[k]
	if known && t.timeOut(i, g) {
		t.forget(i)
		known = false
	}
	if !known {
		if g.Flags&flagSYN == 0 && len(g.Data)+g.Missing == 0 {
			return account.TCPNoData
		}
		i = t.newStream(k, g)
	}
	seq := g.Seq
	if g.Flags&flagSYN != 0 {
		seq++
		if known {
			t.synAgain(i, seq)
		}
	}
	s := &t.streams[i]
	s.origin = g.Origin
	outcome := t.addData(i, seq, g)
	switch {
	case g.Flags&flagRST != 0:
		if d := int32(seq - s.next); d > -maxDistance && d < maxDistance {
			t.finish(i)
		}
	case g.Flags&flagFIN != 0:
		s.fin, s.finSeq = true, g.end(seq)
	}
	if s.fin && s.finSeq == s.next && s.queue.first == 0 {
		t.endOfStream(s)
	}
	if s.lastTime = g.InterfaceTime; s.firstTime == 0 {
		s.firstTime = g.InterfaceTime
	}
	t.relist(i, g.Stamp)
	return outcome
}

// timeOut applies the timeouts by the clock of g's interface. It reports whether stream i
// is over, so that g begins another one; if not, it skips gaps that have timed out. A
// segment that continues exactly where the stream stopped is in time, whatever the clock
// says: the clock may have been set. So is a keep-alive, which is one byte before.
func (t *Table) timeOut(i int32, g *Segment) bool {
	s := &t.streams[i]
	d := int32(g.Seq - s.next)
	if g.InterfaceTime == 0 || s.lastTime == 0 || d == 0 || d == -1 {
		return false
	}
	if g.InterfaceTime-s.lastTime > t.cfg.IdleTimeout || s.recaptured(g, d) {
		return true
	}
	for s.queue.first != 0 && s.gapTime != 0 && g.InterfaceTime-s.gapTime > t.cfg.GapTimeout {
		t.skipGap(i)
	}
	return false
}

// Expire skips gaps and forgets streams that have timed out. before(d) returns the stamp of
// d ago: whatever has a lower one has waited for longer.
func (t *Table) Expire(before func(time int64) (stamp int64)) {
	limit := before(t.cfg.GapTimeout)
	for i := t.lists[listGap].oldest; i != 0 && t.streams[i].gapStamp < limit; i = t.lists[listGap].oldest {
		t.skipGap(i)
		t.relist(i, t.streams[i].stamp)
	}
	limit = before(t.cfg.IdleTimeout)
	for l := listSYN; l < listGap; l++ {
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

// synAgain handles a SYN in a known stream. seq is the first byte's after the SYN.
func (t *Table) synAgain(i int32, seq uint32) {
	s := &t.streams[i]
	switch d := int32(s.start - seq); {
	case s.mode == midMessage && d >= 0 && d < maxDistance: // the SYN is late, and the segments behind it wait
		s.begin(seq, inLength)
		s.fromSYN = true
		t.drain(s)
	case d == 0: // a retransmission
	case !s.fromSYN && d > 0 && d < maxDistance: // the SYN is late, and reading has begun behind it
	default: // the ports are used again
		t.finish(i)
		s.begin(seq, inLength)
		s.fromSYN = true
	}
}

// addData takes the segment's payload, which starts at seq.
func (t *Table) addData(i int32, seq uint32, g *Segment) account.Column {
	n := len(g.Data) + g.Missing
	if n == 0 {
		return account.TCPNoData
	}
	s := &t.streams[i]
	d := int32(seq - s.next)
	if d >= maxDistance || d <= -maxDistance || s.closed && d >= 0 { // another connection, whose SYN was not seen
		if !s.closed {
			t.shard.Add(account.StreamGaps, 1)
		}
		t.finish(i)
		s.begin(seq, initialMode(g.Data))
		d = 0
	}
	if s.mode == midMessage && d < 0 {
		s.begin(seq, initialMode(g.Data))
		d = 0
	}
	data := g.Data
	if d < 0 {
		if !s.fromSYN && s.isUnread(seq, uint32(n)) {
			return t.readEarly(s, seq, g)
		}
		if int(d)+n <= 0 {
			return account.TCPNoData
		}
		data = data[min(-int(d), len(data)):]
		d = 0
	}
	if d > 0 || s.mode == midMessage {
		return t.enqueue(i, seq, g)
	}
	outcome := t.consume(s, data, int(seq+uint32(n)-s.next)-len(data), g.Time)
	t.drain(s)
	return outcome
}

// initialMode is the mode of a stream that is picked up midway, at data.
func initialMode(data []byte) mode {
	switch assess(data, segmentStart) {
	case plausible:
		return inLength
	case undecided:
		return outOfSync
	}
	return midMessage
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
