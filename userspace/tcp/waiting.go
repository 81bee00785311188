package tcp

import (
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/packet"
)

// maxMidMessage is how many segments of a stream that was picked up in the middle of a
// message wait for earlier ones: they may only be out of order.
const maxMidMessage = 8

// waiting is a segment behind a gap.
type waiting struct {
	chain   packet.Chain
	seq     uint32
	missing int32
	packets uint32
	next    int32

	time, interfaceTime, stamp int64 // as of its Segment
}

func (w *waiting) end() uint32 { return w.seq + uint32(w.chain.Len()) + uint32(w.missing) }

// queue is the segments of a stream that wait, by sequence number.
type queue struct {
	first, last  int32
	count, bytes int32
}

// enqueue keeps a segment until the missing bytes before it come, or the gap is skipped.
func (t *Table) enqueue(i int32, seq uint32, g *Segment) account.Column {
	s := &t.streams[i]
	limit := t.cfg.Segments
	if s.mode == midMessage {
		limit = min(limit, maxMidMessage)
	}
	if len(g.Data) == 0 && g.Missing > 0 || len(g.Data) > t.cfg.WaitingBytes {
		return account.TCPOverflow
	}
	if int(s.queue.count) >= limit || int(s.queue.bytes)+len(g.Data) > t.cfg.WaitingBytes {
		t.skipGap(i)
		return t.addData(i, seq, g)
	}
	end := g.end(seq)
	prev, after := t.seek(s, seq)
	for _, q := range [2]int32{prev, after} {
		if q != 0 && int32(seq-t.segments[q].seq) >= 0 && int32(end-t.segments[q].end()) <= 0 {
			return account.TCPNoData
		}
	}
	var c packet.Chain
	if !t.save(i, &c, g.Data) {
		return account.TCPOverflow
	}
	if s.queue.first == 0 {
		s.gapStamp, s.gapTime = g.Stamp, g.InterfaceTime
	}
	q := t.newSegment()
	t.segments[q] = waiting{
		chain: c, seq: seq, missing: int32(g.Missing), packets: g.Packets, next: after,
		time: g.Time, interfaceTime: g.InterfaceTime, stamp: g.Stamp,
	}
	if prev != 0 {
		t.segments[prev].next = q
	} else {
		s.queue.first = q
	}
	if after == 0 {
		s.queue.last = q
	}
	s.queue.count++
	s.queue.bytes += int32(len(g.Data))
	t.held += uint64(g.Packets)
	return account.PacketHeld
}

// seek returns the last waiting segment that starts at seq or before, and the next one.
func (t *Table) seek(s *stream, seq uint32) (prev, after int32) {
	if s.queue.last != 0 && int32(t.segments[s.queue.last].seq-seq) <= 0 {
		return s.queue.last, 0
	}
	for after = s.queue.first; after != 0 && int32(t.segments[after].seq-seq) <= 0; after = t.segments[after].next {
		prev = after
	}
	return prev, after
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

// dequeue takes the first waiting segment out. Its chain is the caller's to free.
func (t *Table) dequeue(s *stream) waiting {
	q := s.queue.first
	w := t.segments[q]
	if s.queue.first = w.next; s.queue.first == 0 {
		s.queue.last = 0
	}
	t.segments[q] = waiting{next: t.freeSegment}
	t.freeSegment = q
	s.queue.count--
	s.queue.bytes -= int32(w.chain.Len())
	t.held -= uint64(w.packets)
	return w
}

// drain reads the waiting segments that the stream has reached.
func (t *Table) drain(s *stream) {
	for s.queue.first != 0 && int32(t.segments[s.queue.first].seq-s.next) <= 0 {
		w := t.dequeue(s)
		t.waited = t.store.AppendTo(t.waited[:0], w.chain)
		end := w.end()
		t.store.Free(&w.chain)
		t.shard.Add(t.readWaited(s, &w, end), uint64(w.packets))
	}
}

// readWaited reads one segment that has waited, from t.waited, and returns its outcome.
func (t *Table) readWaited(s *stream, w *waiting, end uint32) account.Column {
	if int32(end-s.next) <= 0 {
		return account.TCPNoData
	}
	data := t.waited[min(int(s.next-w.seq), len(t.waited)):]
	return t.consume(s, data, int(end-s.next)-len(data), w.time)
}

// skipGap abandons the bytes that are missing before the first waiting segment.
func (t *Table) skipGap(i int32) {
	s := &t.streams[i]
	if s.queue.first == 0 {
		return
	}
	n := int32(t.segments[s.queue.first].seq - s.next)
	if s.mode == midMessage {
		s.mode = outOfSync
	}
	t.passGap(s, int(max(0, n)))
	s.next += uint32(max(0, n))
	t.drain(s)
	if s.queue.first != 0 && s.list == listGap { // the next gap has its own timeout
		s.gapStamp, s.gapTime = t.segments[s.queue.first].stamp, t.segments[s.queue.first].interfaceTime
		t.unlink(i)
		t.link(i, listGap)
	}
}
