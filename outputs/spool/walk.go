package spool

import (
	"bytes"
	"errors"

	"dnsmonster-sensor/userspace/event"
)

// magic is how every stored block begins.
var magic = []byte("DMSB")

// span is a place in a segment.
type span struct{ from, to int }

func (s span) len() int { return s.to - s.from }

// walker finds the intact blocks in a segment's bytes, whatever else is there.
// A length is believed only where the whole block it spans is intact: behind a
// cut the next block may begin anywhere.
type walker struct {
	data    []byte
	off     int
	foreign error // where a block should stand there was one that another build can read
}

// next returns the next intact block, which borrows the data, and the bytes
// before it that are none. more is false at the end; there may be a last gap.
func (w *walker) next() (b *event.Block, gap span, more bool) {
	gap.from = w.off
	for w.off < len(w.data) {
		rest := w.data[w.off:]
		n, err := event.StoredLen(rest)
		// What stands in a torn block is what others have sent: it may look like
		// anything, and must not keep the sensor from starting.
		if errors.Is(err, event.ErrBlockLayout) && w.off == gap.from {
			w.foreign = err
		}
		if err == nil && n <= len(rest) {
			if b, err := event.OpenBlock(rest[:n]); err == nil {
				gap.to = w.off
				w.off += n
				return b, gap, true
			}
		}
		next := bytes.Index(rest[1:], magic)
		if next < 0 {
			w.off = len(w.data)
		} else {
			w.off += 1 + next
		}
	}
	gap.to = len(w.data)
	return nil, gap, false
}
