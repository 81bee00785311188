package tcp

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/account"
)

// consume reads the stream's next bytes, after which the capture left out missing
// bytes. It returns the outcome of the segment: TCPExpired where no message was found
// in it, TCPOverflow where there was no room for the message.
func (t *Table) consume(s *stream, data []byte, missing int, now int64) account.Column {
	s.advance(len(data) + missing)
	outcome := account.TCPUsed
	for front := true; len(data) > 0; front = false {
		switch s.mode {
		case inLength:
			data = t.readLength(s, data, now)
		case inBody:
			var full bool
			if data, full = t.readBody(s, data, now); full {
				outcome = account.TCPOverflow
			}
		case inSkip:
			n := min(int(s.need), len(data))
			if data, s.need = data[n:], s.need-int32(n); s.need == 0 {
				s.mode = inLength
			}
		case outOfSync, midMessage:
			data = t.resync(s, data, front, now)
			if front && s.mode == outOfSync && s.part.Len() == 0 {
				outcome = account.TCPExpired
			}
		}
	}
	if missing > 0 {
		t.passGap(s, missing)
	}
	return outcome
}

// readLength reads a message's length, or half of it.
func (t *Table) readLength(s *stream, data []byte, now int64) []byte {
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

// readBody reads a message's bytes, and delivers it when it is complete. It returns
// full if there is no room for them.
func (t *Table) readBody(s *stream, data []byte, now int64) (rest []byte, full bool) {
	s.messageTime = max(s.messageTime, now)
	n := min(int(s.need), len(data))
	if n < int(s.need) {
		if t.save(s.self, &s.part, data) {
			s.need -= int32(n)
			return nil, false
		}
		t.deliverPart(s)
		t.skipBytes(s, n)
		return nil, true
	}
	if s.part.Len() == 0 { // all in one segment: no copy
		t.deliver(s, data[:n], 0)
		return data[n:], false
	}
	t.assembled = append(t.store.AppendTo(t.assembled[:0], s.part), data[:n]...)
	t.store.Free(&s.part)
	t.deliver(s, t.assembled, 0)
	return data[n:], false
}

// deliver emits a message. One whose boundaries were guessed must look like a message;
// otherwise the guess was wrong.
func (t *Table) deliver(s *stream, msg []byte, missing int) {
	s.mode, s.need = inLength, 0
	if !s.fromSYN && !plausibleHeader(msg, len(msg)+missing) {
		s.mode = outOfSync
		t.shard.Add(account.StreamGapBytes, uint64(len(msg)))
		return
	}
	m := &t.message
	m.Src, m.Dst = s.key.ends()
	m.Origin, m.Time, m.Data, m.Missing = s.origin, s.messageTime, msg, missing
	t.emit(m)
}

// deliverPart delivers the beginning of a message whose rest will not be seen, if it
// can be read, and frees its bytes. The caller sets the mode.
func (t *Table) deliverPart(s *stream) {
	t.assembled = t.store.AppendTo(t.assembled[:0], s.part)
	t.store.Free(&s.part)
	m, need := s.mode, s.need
	if plausibleHeader(t.assembled, len(t.assembled)+int(need)) {
		t.deliver(s, t.assembled, int(need))
	} else {
		t.shard.Add(account.StreamGapBytes, uint64(len(t.assembled)))
	}
	s.mode, s.need = m, need
}

// skipBytes moves n bytes on, within or beyond a message whose beginning was delivered.
func (t *Table) skipBytes(s *stream, n int) {
	switch {
	case n < int(s.need):
		s.mode, s.need = inSkip, s.need-int32(n)
	case n == int(s.need):
		s.mode, s.need = inLength, 0
	default:
		s.mode, s.need, s.fromSYN = outOfSync, 0, false
	}
}

// passGap counts a gap of n bytes, delivers the beginning of the message that it is in,
// and moves on after it.
func (t *Table) passGap(s *stream, n int) {
	t.shard.Add(account.StreamGaps, 1)
	t.shard.Add(account.StreamGapBytes, uint64(n))
	switch s.mode {
	case inBody:
		t.deliverPart(s)
		t.skipBytes(s, n)
	case inSkip:
		t.skipBytes(s, n)
	default:
		t.shard.Add(account.StreamGapBytes, uint64(s.part.Len()))
		t.store.Free(&s.part)
		s.mode, s.half, s.fromSYN = outOfSync, false, false
	}
}

// endOfStream delivers what the stream holds of a message, and closes it.
func (t *Table) endOfStream(s *stream) {
	if s.mode == inBody {
		t.deliverPart(s)
	}
	if s.mode == outOfSync && s.partStarts && s.part.Len() > 2+headerLen {
		t.deliverGuess(s)
	}
	t.shard.Add(account.StreamGapBytes, uint64(s.part.Len()))
	t.store.Free(&s.part)
	s.mode, s.half, s.closed = inLength, false, true
}
