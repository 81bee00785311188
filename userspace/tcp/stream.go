package tcp

import (
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/packet"
)

// maxDistance is how far from the expected position a segment can be and still belong
// to the stream: more than any window that DNS is sent in.
const maxDistance = 1 << 20

// mode is what the next byte of a stream is.
type mode uint8

const (
	inLength   mode = iota // of a message's two-byte length
	inBody                 // of a message
	inSkip                 // of a message that has a gap
	outOfSync              // unknown: look for a plausible message
	midMessage             // unknown, and nothing was read yet: earlier segments may come
)

// stream is one direction of a connection.
type stream struct {
	key    key
	origin packet.Origin
	self   int32

	stamp       int64 // of the last segment
	lastTime    int64 // its InterfaceTime
	firstTime   int64 // InterfaceTime of the first segment
	gapStamp    int64 // stamp of the first segment that waited behind the present gap
	gapTime     int64 // its InterfaceTime
	messageTime int64 // of the latest segment that carries a part of the message or of part

	older, newer int32 // newer also links the free ones
	list         listKind

	mode       mode
	fromSYN    bool // read from its SYN: no message boundary is guessed
	fin        bool // finSeq is valid
	closed     bool // nothing follows next
	half       bool // the length's upper byte was read
	upper      byte
	partStarts bool   // outOfSync: part starts where a segment started
	need       int32  // inBody, inSkip: bytes to come
	start      uint32 // of the first byte known; !fromSYN: at most maxDistance before next
	next       uint32 // the next byte
	unreadSeq  uint32 // !fromSYN: where a run of bytes between start and next is that was not read,
	unread     uint32 // and its length
	finSeq     uint32
	part       packet.Chain // inBody: bytes so far; outOfSync: bytes not assessed yet
	queue      queue
}

// begin starts again at seq. Segments that wait stay.
func (s *stream) begin(seq uint32, m mode) {
	s.start, s.next, s.mode, s.unread = seq, seq, m, 0
	s.fin, s.closed, s.half, s.fromSYN = false, false, false, false
}

// advance moves on by n bytes.
func (s *stream) advance(n int) {
	s.next += uint32(n)
	if !s.fromSYN && s.next-s.start > maxDistance { // sequence numbers of a long stream repeat
		s.start, s.unread = s.next-maxDistance, 0
	}
}

// recaptured reports whether g belongs to the same stream captured once more, as
// happens where a file is read twice: a retransmission is later than the original. d is
// where g begins, from the expected position on.
func (s *stream) recaptured(g *Segment, d int32) bool {
	if d >= 0 || g.InterfaceTime > s.firstTime || g.InterfaceTime >= s.lastTime || s.next == s.start {
		return false
	}
	if g.Flags&flagSYN != 0 {
		return g.Seq+1 == s.start
	}
	return len(g.Data) > 0 && int32(g.Seq-s.start) >= 0 && s.lastTime-g.InterfaceTime > recaptureAge
}

// recaptureAge is how long a stream without a SYN must have lasted before a repeated
// segment means another capture of it. Before that it is a packet captured twice at once.
const recaptureAge = 1e9

// isUnread reports whether n bytes at seq are from before the position where the stream
// was picked up, and were not read yet.
func (s *stream) isUnread(seq, n uint32) bool {
	in := seq - s.unreadSeq
	return int32(seq+n-s.start) <= 0 || in < s.unread && n <= s.unread-in
}

// markRead notes that n bytes at seq, for which isUnread was true, are read now. Only one
// run of unread bytes is remembered.
func (s *stream) markRead(seq, n uint32) {
	end := seq + n
	if int32(end-s.start) > 0 {
		s.unreadSeq, s.unread = end, s.unread-(end-s.unreadSeq)
		return
	}
	if end != s.start {
		s.unreadSeq, s.unread = end, s.start-end
	}
	s.start = seq
}

// newStream makes a stream. Its first segment decides how it is read.
func (t *Table) newStream(k key, g *Segment) int32 {
	for len(t.index) >= t.cfg.Streams {
		t.evict()
	}
	i := t.freeStream
	if i != 0 {
		t.freeStream = t.streams[i].newer
	} else {
		i = int32(len(t.streams))
		t.streams = append(t.streams, stream{})
	}
	t.streams[i] = stream{key: k, self: i, stamp: g.Stamp, lastTime: g.InterfaceTime}
	s := &t.streams[i]
	if g.Flags&flagSYN != 0 {
		s.begin(g.Seq+1, inLength)
		s.fromSYN = true
	} else {
		s.begin(g.Seq, initialMode(g.Data))
	}
	t.index[k] = i
	t.link(i, listSYN)
	return i
}

// evict forgets the stream with the least to lose.
func (t *Table) evict() {
	for l := range t.lists {
		if i := t.lists[l].oldest; i != 0 {
			t.forget(i)
			return
		}
	}
}

// forget reads what can be read of a stream and removes it.
func (t *Table) forget(i int32) {
	t.finish(i)
	t.remove(i)
}

// discard removes a stream with all that it holds. It reads nothing, so that it can be
// called while another stream is read.
func (t *Table) discard(i int32) {
	s := &t.streams[i]
	for s.queue.first != 0 {
		w := t.dequeue(s)
		t.store.Free(&w.chain)
		t.shard.Add(account.TCPOverflow, uint64(w.packets))
	}
	t.shard.Add(account.StreamGapBytes, uint64(s.part.Len()))
	t.store.Free(&s.part)
	t.remove(i)
}

func (t *Table) remove(i int32) {
	t.unlink(i)
	delete(t.index, t.streams[i].key)
	t.streams[i].newer, t.freeStream = t.freeStream, i
}

// finish ends a stream: gaps are skipped, and an incomplete message is delivered.
func (t *Table) finish(i int32) {
	s := &t.streams[i]
	for s.queue.first != 0 {
		t.skipGap(i)
	}
	t.endOfStream(s)
}

// save appends b to a chain of stream i. It discards other streams to make room, and
// returns false where that is not enough.
func (t *Table) save(i int32, c *packet.Chain, b []byte) bool {
	for !t.store.Append(c, b) {
		victim := t.oldestExcept(listBusy, i)
		if victim == 0 {
			victim = t.oldestExcept(listGap, i)
		}
		if victim == 0 {
			return false
		}
		t.discard(victim)
	}
	return true
}

// listKind sorts streams by what would be lost with them, least first.
type listKind uint8

const (
	listSYN  listKind = iota // nothing but a SYN was seen
	listIdle                 // between messages
	listBusy                 // within a message
	listGap                  // segments wait; the stream that has waited longest comes first
	listCount
)

// list is a doubly linked list of streams by age.
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

// relist moves a stream to the list where it belongs after a segment.
func (t *Table) relist(i int32, stamp int64) {
	s := &t.streams[i]
	k := listIdle
	switch {
	case s.queue.first != 0:
		if s.stamp = stamp; s.list == listGap {
			return // that list is in the order of the gaps' age
		}
		k = listGap
	case s.mode == inBody || s.part.Len() > 0:
		k = listBusy
	case s.next == s.start && !s.fin && !s.closed && s.fromSYN:
		k = listSYN
	}
	s.stamp = stamp
	t.unlink(i)
	t.link(i, k)
}

func (t *Table) oldestExcept(l listKind, i int32) int32 {
	if t.lists[l].oldest == i && i != 0 {
		return t.streams[i].newer
	}
	return t.lists[l].oldest
}
