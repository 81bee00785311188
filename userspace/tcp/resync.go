package tcp

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/account"
)

// resync looks for the beginning of a message: first in s.part, whose bytes could not be
// assessed yet, then in data. front says that data starts where a segment starts. resync
// returns the part of data that it has not consumed.
func (t *Table) resync(s *stream, data []byte, front bool, now int64) []byte {
	old := s.part.Len()
	all := data
	if old > 0 {
		all = append(t.store.AppendTo(t.searched[:0], s.part), data...)
		t.searched = all
		t.store.Free(&s.part)
	}
	for off := range all {
		where := anywhere
		if off == old && front || off == 0 && old > 0 && s.partStarts {
			where = segmentStart
		}
		switch assess(all[off:], where) {
		case plausible:
			s.mode = inLength
			t.shard.Add(account.StreamGapBytes, uint64(off))
			if off >= old {
				return data[off-old:]
			}
			t.replay(s, all[off:old]) // its first bytes came in earlier segments
			return data
		case undecided:
			t.shard.Add(account.StreamGapBytes, uint64(off))
			s.partStarts = where == segmentStart
			if off >= old {
				s.messageTime = now
			} else {
				s.messageTime = max(s.messageTime, now)
			}
			if !t.save(s.self, &s.part, all[off:]) {
				t.shard.Add(account.StreamGapBytes, uint64(len(all)-off))
			}
			return nil
		}
	}
	t.shard.Add(account.StreamGapBytes, uint64(len(all)))
	return nil
}

// replay reads the few bytes that were kept during the search.
func (t *Table) replay(s *stream, b []byte) {
	for len(b) > 0 && s.mode != outOfSync {
		if s.mode == inLength {
			b = t.readLength(s, b, s.messageTime)
		} else {
			b, _ = t.readBody(s, b, s.messageTime)
		}
	}
}

// readEarly reads a segment from before the position where the stream was picked up:
// whole messages only, since the bytes after it were read already.
func (t *Table) readEarly(s *stream, seq uint32, g *Segment) account.Column {
	if assess(g.Data, segmentStart) != plausible {
		return account.TCPExpired
	}
	s.markRead(seq, uint32(len(g.Data)+g.Missing))
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

// deliverGuess delivers, at the end of a stream, a message that starts where a segment
// does, but whose question is too short to be assessed.
func (t *Table) deliverGuess(s *stream) {
	t.assembled = t.store.AppendTo(t.assembled[:0], s.part)
	if binary.BigEndian.Uint16(t.assembled[2+4:]) == 0 { // no question
		return
	}
	t.store.Free(&s.part)
	n := int(binary.BigEndian.Uint16(t.assembled))
	t.deliver(s, t.assembled[2:], n-len(t.assembled)+2)
}
