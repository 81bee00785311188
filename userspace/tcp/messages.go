package tcp

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/account"
)

// consume reads the stream's next bytes, behind which missing ones were not
// captured. It returns the outcome of the segment: TCPExpired where no message
// was found in it, TCPOverflow where there was no room for the message.
func (t *Table) consume(s *stream, data []byte, missing int, now int64) account.Column {
	s.advance(len(data) + missing)
	outcome := account.TCPUsed
	for front := true; len(data) > 0; front = false {
		switch s.mode {
		case inLength:
			data = t.length(s, data, now)
		case inBody:
			var full bool
			if data, full = t.body(s, data, now); full {
				outcome = account.TCPOverflow
			}
		case inSkip:
			n := min(int(s.need), len(data))
			if data, s.need = data[n:], s.need-int32(n); s.need == 0 {
				s.mode = inLength
			}
		case lost, adrift:
			data = t.hunt(s, data, front, now)
			if front && s.mode == lost && s.part.Len() == 0 {
				outcome = account.TCPExpired
			}
		}
	}
	if missing > 0 {
		t.hole(s, missing)
	}
	return outcome
}

// length reads a message's length, or half of it.
func (t *Table) length(s *stream, data []byte, now int64) []byte {
	var n int
	switch {
	case s.half:
		s.half = false
		n = int(s.upper)<<8 | int(data[0])
		data = data[1:]
		s.messageTime = max(s.messageTime, now)
	case len(data) == 1:
		s.half, s.upper, s.messageTime = true, data[0], now
		return nil
	default:
		n = int(binary.BigEndian.Uint16(data))
		data = data[2:]
		s.messageTime = now
	}
	s.mode, s.need = inBody, int32(n)
	if n == 0 {
		t.deliver(s, nil, 0)
	}
	return data
}

// body reads a message's bytes, and hands it on when they are complete. It
// reports true where there is no room for them.
func (t *Table) body(s *stream, data []byte, now int64) (rest []byte, full bool) {
	s.messageTime = max(s.messageTime, now)
	n := min(int(s.need), len(data))
	if n < int(s.need) {
		if t.keep(s.self, &s.part, data) {
			s.need -= int32(n)
			return nil, false
		}
		t.cutShort(s)
		t.pass(s, n)
		return nil, true
	}
	if s.part.Len() == 0 { // all in one segment: no copy
		t.deliver(s, data[:n], 0)
		return data[n:], false
	}
	t.whole = append(t.store.AppendTo(t.whole[:0], s.part), data[:n]...)
	t.store.Free(&s.part)
	t.deliver(s, t.whole, 0)
	return data[n:], false
}

// deliver hands a message on. One that was found by guessing must look like
// one; otherwise the guess was wrong.
func (t *Table) deliver(s *stream, msg []byte, missing int) {
	s.mode, s.need = inLength, 0
	if !s.sure && !plausibleHeader(msg, len(msg)+missing) {
		s.mode = lost
		t.shard.Add(account.StreamGapBytes, uint64(len(msg)))
		return
	}
	m := &t.message
	m.Src, m.Dst = s.key.ends()
	m.Origin, m.Time, m.Data, m.Missing = s.origin, s.messageTime, msg, missing
	t.emit(m)
}

// cutShort hands on the beginning of a message whose rest will not be seen, if
// it can be read, and frees its bytes. The caller sets the mode.
func (t *Table) cutShort(s *stream) {
	t.whole = t.store.AppendTo(t.whole[:0], s.part)
	t.store.Free(&s.part)
	m, need := s.mode, s.need
	if plausibleHeader(t.whole, len(t.whole)+int(need)) {
		t.deliver(s, t.whole, int(need))
	} else {
		t.shard.Add(account.StreamGapBytes, uint64(len(t.whole)))
	}
	s.mode, s.need = m, need
}

// pass moves n bytes on within or beyond a message whose beginning was handed
// on.
func (t *Table) pass(s *stream, n int) {
	switch {
	case n < int(s.need):
		s.mode, s.need = inSkip, s.need-int32(n)
	case n == int(s.need):
		s.mode, s.need = inLength, 0
	default:
		s.mode, s.need, s.sure = lost, 0, false
	}
}

// hole passes over n bytes that were never seen.
func (t *Table) hole(s *stream, n int) {
	t.shard.Add(account.StreamGaps, 1)
	t.shard.Add(account.StreamGapBytes, uint64(n))
	switch s.mode {
	case inBody:
		t.cutShort(s)
		t.pass(s, n)
	case inSkip:
		t.pass(s, n)
	default:
		t.shard.Add(account.StreamGapBytes, uint64(s.part.Len()))
		t.store.Free(&s.part)
		s.mode, s.half, s.sure = lost, false, false
	}
}

// unfinished handles the end of a stream within a message.
func (t *Table) unfinished(s *stream) {
	if s.mode == inBody {
		t.cutShort(s)
	}
	if s.mode == lost && s.front && s.part.Len() > 2+headerLen {
		t.guessed(s)
	}
	t.shard.Add(account.StreamGapBytes, uint64(s.part.Len()))
	t.store.Free(&s.part)
	s.mode, s.half, s.closed = inLength, false, true
}

// guessed hands on a message that begins where a segment does, and of whose question
// the stream has too little to judge: there will not be more.
func (t *Table) guessed(s *stream) {
	t.whole = t.store.AppendTo(t.whole[:0], s.part)
	if binary.BigEndian.Uint16(t.whole[6:]) == 0 {
		return
	}
	t.store.Free(&s.part)
	n := int(binary.BigEndian.Uint16(t.whole))
	t.deliver(s, t.whole[2:], n-len(t.whole)+2)
}

// hunt looks for the beginning of a message in what was not judged yet and in
// data, which starts where a segment starts if front. It returns the part of
// data that is behind the place where it stopped.
func (t *Table) hunt(s *stream, data []byte, front bool, now int64) []byte {
	old := s.part.Len()
	g := data
	if old > 0 {
		g = append(t.store.AppendTo(t.glance[:0], s.part), data...)
		t.glance = g
		t.store.Free(&s.part)
	}
	for off := range g {
		how := inside
		if off == old && front || off == 0 && old > 0 && s.front {
			how = atSegment
		}
		switch judge(g[off:], how) {
		case yes:
			s.mode = inLength
			t.shard.Add(account.StreamGapBytes, uint64(off))
			if off >= old {
				return data[off-old:]
			}
			t.replay(s, g[off:old]) // its first bytes came in earlier segments
			return data
		case more:
			t.shard.Add(account.StreamGapBytes, uint64(off))
			s.front = how == atSegment
			if off >= old {
				s.messageTime = now
			}
			s.messageTime = max(s.messageTime, now)
			if !t.keep(s.self, &s.part, g[off:]) {
				t.shard.Add(account.StreamGapBytes, uint64(len(g)-off))
			}
			return nil
		}
	}
	t.shard.Add(account.StreamGapBytes, uint64(len(g)))
	return nil
}

// replay reads the few bytes that were kept while hunting.
func (t *Table) replay(s *stream, b []byte) {
	for len(b) > 0 && s.mode != lost {
		if s.mode == inLength {
			b = t.length(s, b, s.messageTime)
		} else {
			b, _ = t.body(s, b, s.messageTime)
		}
	}
}

// early reads a segment from before the place where the stream was picked up:
// whole messages only, as what follows them was read.
func (t *Table) early(s *stream, seq uint32, g *Segment) account.Column {
	if judge(g.Data, atSegment) != yes {
		return account.TCPExpired
	}
	s.readEarly(seq, uint32(len(g.Data)+g.Missing))
	m, at, half := s.mode, s.messageTime, s.half
	for data := g.Data; len(data) >= 2; {
		n := 2 + int(binary.BigEndian.Uint16(data))
		if n > len(data) {
			t.shard.Add(account.StreamGapBytes, uint64(len(data)))
			break
		}
		need := s.need
		s.messageTime = g.Time
		t.deliver(s, data[2:n], 0)
		s.need = need
		data = data[n:]
	}
	s.mode, s.messageTime, s.half = m, at, half
	return account.TCPUsed
}
