package tcp

import (
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/packet"
)

const (
	// near is how far from the expected place a segment can be and still belong
	// to the stream: more than any window that DNS is sent in.
	near = 1 << 20
	// patience is how many segments wait for the beginning of a stream that was
	// picked up in the middle of a message, in case they only came out of order.
	patience = 8
)

// mode is what the next byte of a stream is.
type mode uint8

const (
	inLength mode = iota // of a message's two-byte length
	inBody               // of a message
	inSkip               // of a message that has a hole
	lost                 // unknown: look for a plausible message
	adrift               // unknown, and nothing was read yet: earlier segments may come
)

// stream is one direction of a connection.
type stream struct {
	key          key
	origin       packet.Origin
	self         int32
	stamp, own   int64 // of the last segment
	since        int64 // stamp of the first that came of those that wait
	ownSince     int64 // likewise InterfaceTime
	began        int64 // InterfaceTime of the first segment
	messageTime  int64 // of the segment that came last, of those that carry the message or part
	older, newer int32 // newer also links the free ones
	list         listKind
	mode         mode
	sure         bool // the place is known from the SYN
	fin          bool // finAt is valid
	closed       bool // nothing follows want
	half         bool // the length's upper byte was read
	upper        byte
	front        bool   // lost: part starts where a segment started
	need         int32  // inBody, inSkip: bytes to come
	start        uint32 // of the first byte known; not sure: at most near before want
	want         uint32 // the next byte
	gapAt, gap   uint32 // not sure: where between the two, and how many, bytes were not read
	finAt        uint32
	part         packet.Chain // inBody: bytes so far; lost: bytes not judged yet
	first, last  int32        // of those that wait, in order
	count, bytes int32
}

// begin starts reading anew at seq. What waits stays.
func (s *stream) begin(seq uint32, m mode) {
	s.start, s.want, s.mode, s.gap = seq, seq, m, 0
	s.fin, s.closed, s.half, s.sure = false, false, false, false
}

// advance moves on by n bytes.
func (s *stream) advance(n int) {
	s.want += uint32(n)
	if !s.sure && s.want-s.start > near { // the places of a long stream come again
		s.start, s.gap = s.want-near, 0
	}
}

// again tells whether a segment is one of a stream that is captured once more, as
// where a file is read twice: what is sent again in a stream is later than what was
// there first. d is how far behind the expected place it begins.
func (s *stream) again(g *Segment, d int32) bool {
	if d >= 0 || g.InterfaceTime > s.began || g.InterfaceTime >= s.own || s.want == s.start {
		return false
	}
	if g.Flags&flagSYN != 0 {
		return g.Seq+1 == s.start
	}
	return len(g.Data) > 0 && int32(g.Seq-s.start) >= 0 && s.own-g.InterfaceTime > onceMore
}

// onceMore is how long a stream without a SYN has to be to be told apart from a
// packet that is captured twice at a time.
const onceMore = 1e9

// unread tells whether n bytes at seq stand before the place where the stream was
// picked up, and were not read from there.
func (s *stream) unread(seq, n uint32) bool {
	in := seq - s.gapAt
	return int32(seq+n-s.start) <= 0 || in < s.gap && n <= s.gap-in
}

// readEarly notes that such bytes were read. Of gaps that they leave, one is kept.
func (s *stream) readEarly(seq, n uint32) {
	end := seq + n
	if int32(end-s.start) > 0 {
		s.gapAt, s.gap = end, s.gap-(end-s.gapAt)
		return
	}
	if end != s.start {
		s.gapAt, s.gap = end, s.start-end
	}
	s.start = seq
}

// waiting is a segment behind a hole.
type waiting struct {
	chain   packet.Chain
	seq     uint32
	missing int32
	packets uint32
	next    int32

	time, own, stamp int64 // as of its Segment
}

// listKind sorts streams by what would be lost with them, least first.
type listKind uint8

const (
	listSYN  listKind = iota // nothing but a SYN was seen
	listIdle                 // between messages
	listBusy                 // within one
	listHole                 // segments wait, those longest that came first
	listCount
)

type list struct{ oldest, newest int32 }

func (t *Table) unlink(i int32) {
	s := &t.streams[i]
	l := &t.lists[s.list]
	if s.older != 0 {
		t.streams[s.older].newer = s.newer
	} else {
		l.oldest = s.newer
	}
	if s.newer != 0 {
		t.streams[s.newer].older = s.older
	} else {
		l.newest = s.older
	}
}

func (t *Table) link(i int32, k listKind) {
	s := &t.streams[i]
	l := &t.lists[k]
	s.list, s.older, s.newer = k, l.newest, 0
	if l.newest != 0 {
		t.streams[l.newest].newer = i
	} else {
		l.oldest = i
	}
	l.newest = i
}

// settle puts a stream into its list after a segment.
func (t *Table) settle(i int32, stamp int64) {
	s := &t.streams[i]
	k := listIdle
	switch {
	case s.first != 0:
		if s.stamp = stamp; s.list == listHole {
			return // its place there is by age
		}
		k = listHole
	case s.mode == inBody || s.part.Len() > 0:
		k = listBusy
	case s.want == s.start && !s.fin && !s.closed && s.sure:
		k = listSYN
	}
	s.stamp = stamp
	t.unlink(i)
	t.link(i, k)
}

// open makes a stream. Its first segment decides how it is read.
func (t *Table) open(k key, g *Segment) int32 {
	for len(t.index) >= t.cfg.Streams {
		t.makeRoom()
	}
	i := t.freeStream
	if i != 0 {
		t.freeStream = t.streams[i].newer
	} else {
		i = int32(len(t.streams))
		t.streams = append(t.streams, stream{})
	}
	t.streams[i] = stream{key: k, self: i, stamp: g.Stamp, own: g.InterfaceTime}
	s := &t.streams[i]
	if g.Flags&flagSYN != 0 {
		s.begin(g.Seq+1, inLength)
		s.sure = true
	} else {
		s.begin(g.Seq, pickUp(g.Data))
	}
	t.index[k] = i
	t.link(i, listSYN)
	return i
}

// makeRoom forgets one stream.
func (t *Table) makeRoom() {
	for l := range t.lists {
		if i := t.lists[l].oldest; i != 0 {
			t.forget(i)
			return
		}
	}
}

// forget reads what can be read of a stream and drops it.
func (t *Table) forget(i int32) {
	t.end(i)
	t.drop(i)
}

// discard drops a stream with all that it holds. It reads nothing, so that it
// can be called while another stream is read.
func (t *Table) discard(i int32) {
	s := &t.streams[i]
	for s.first != 0 {
		w := t.shift(s)
		t.store.Free(&w.chain)
		t.shard.Add(account.TCPOverflow, uint64(w.packets))
	}
	t.shard.Add(account.StreamGapBytes, uint64(s.part.Len()))
	t.store.Free(&s.part)
	t.drop(i)
}

func (t *Table) drop(i int32) {
	t.unlink(i)
	delete(t.index, t.streams[i].key)
	t.streams[i].newer, t.freeStream = t.freeStream, i
}

// end closes a stream: holes are skipped, and what is left of a message is
// handed on.
func (t *Table) end(i int32) {
	s := &t.streams[i]
	for s.first != 0 {
		t.skipHole(i)
	}
	t.unfinished(s)
}

// wait keeps a segment until what is missing before it has come, or is given up.
func (t *Table) wait(i int32, seq uint32, g *Segment) account.Column {
	s := &t.streams[i]
	limit := t.cfg.Segments
	if s.mode == adrift {
		limit = min(limit, patience)
	}
	if len(g.Data) == 0 && g.Missing > 0 || len(g.Data) > t.cfg.Waiting {
		return account.TCPOverflow
	}
	if int(s.count) >= limit || int(s.bytes)+len(g.Data) > t.cfg.Waiting {
		t.skipHole(i)
		return t.data(i, seq, g)
	}
	end := seq + uint32(len(g.Data)+g.Missing)
	prev, at := t.seek(s, seq)
	for _, q := range [2]int32{prev, at} {
		if q != 0 && int32(seq-t.segments[q].seq) >= 0 && int32(end-t.segments[q].end()) <= 0 {
			return account.TCPNoData
		}
	}
	var c packet.Chain
	if !t.keep(i, &c, g.Data) {
		return account.TCPOverflow
	}
	if s.first == 0 {
		s.since, s.ownSince = g.Stamp, g.InterfaceTime
	}
	q := t.newSegment()
	t.segments[q] = waiting{chain: c, seq: seq, missing: int32(g.Missing), packets: g.Packets, next: at, time: g.Time, own: g.InterfaceTime, stamp: g.Stamp}
	if prev != 0 {
		t.segments[prev].next = q
	} else {
		s.first = q
	}
	if at == 0 {
		s.last = q
	}
	s.count++
	s.bytes += int32(len(g.Data))
	t.held += uint64(g.Packets)
	return account.PacketHeld
}

func (w *waiting) end() uint32 { return w.seq + uint32(w.chain.Len()) + uint32(w.missing) }

// seek returns the last waiting segment that starts at seq or before, and the
// one behind it.
func (t *Table) seek(s *stream, seq uint32) (prev, at int32) {
	if s.last != 0 && int32(t.segments[s.last].seq-seq) <= 0 {
		return s.last, 0
	}
	for at = s.first; at != 0 && int32(t.segments[at].seq-seq) <= 0; at = t.segments[at].next {
		prev = at
	}
	return prev, at
}

// keep appends to a chain of stream i. Where there is no room it discards other
// streams.
func (t *Table) keep(i int32, c *packet.Chain, b []byte) bool {
	for !t.store.Append(c, b) {
		victim := t.oldestBut(listBusy, i)
		if victim == 0 {
			victim = t.oldestBut(listHole, i)
		}
		if victim == 0 {
			return false
		}
		t.discard(victim)
	}
	return true
}

func (t *Table) oldestBut(l listKind, i int32) int32 {
	if t.lists[l].oldest == i && i != 0 {
		return t.streams[i].newer
	}
	return t.lists[l].oldest
}

func (t *Table) newSegment() int32 {
	q := t.freeSegment
	if q != 0 {
		t.freeSegment = t.segments[q].next
		return q
	}
	t.segments = append(t.segments, waiting{})
	return int32(len(t.segments) - 1)
}

// shift takes the first waiting segment out. Its chain is the caller's to free.
func (t *Table) shift(s *stream) waiting {
	q := s.first
	w := t.segments[q]
	if s.first = w.next; s.first == 0 {
		s.last = 0
	}
	t.segments[q] = waiting{next: t.freeSegment}
	t.freeSegment = q
	s.count--
	s.bytes -= int32(w.chain.Len())
	t.held -= uint64(w.packets)
	return w
}

// drain reads the waiting segments that the hole no longer keeps.
func (t *Table) drain(s *stream) {
	for s.first != 0 && int32(t.segments[s.first].seq-s.want) <= 0 {
		w := t.shift(s)
		t.again = t.store.AppendTo(t.again[:0], w.chain)
		end := w.end()
		t.store.Free(&w.chain)
		t.shard.Add(t.late(s, &w, end), uint64(w.packets))
	}
}

// late reads one segment that had waited, from t.again, and returns its outcome.
func (t *Table) late(s *stream, w *waiting, end uint32) account.Column {
	if int32(end-s.want) <= 0 {
		return account.TCPNoData
	}
	data := t.again[min(int(s.want-w.seq), len(t.again)):]
	return t.consume(s, data, int(end-s.want)-len(data), w.time)
}

// skipHole gives up what is missing before the segments that wait.
func (t *Table) skipHole(i int32) {
	s := &t.streams[i]
	if s.first == 0 {
		return
	}
	n := int32(t.segments[s.first].seq - s.want)
	if s.mode == adrift {
		s.mode = lost
	}
	t.hole(s, int(max(0, n)))
	s.want += uint32(max(0, n))
	t.drain(s)
	if s.first != 0 && s.list == listHole { // the next hole has its own time
		s.since, s.ownSince = t.segments[s.first].stamp, t.segments[s.first].own
		t.unlink(i)
		t.link(i, listHole)
	}
}
