package stdout

import (
	"bytes"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"dnsmonster-sensor/outputs/format"
	"dnsmonster-sensor/outputs/oserror"
	"dnsmonster-sensor/outputs/printable"
	"dnsmonster-sensor/userspace/event"
)

// terminalDelay is how long a record waits for others on a terminal, where a person
// waits for it.
const terminalDelay = 100 * time.Millisecond

// terminal is a terminal that records are written to. Its methods may be called by several
// goroutines.
type terminal struct {
	fd      int
	escapes bool         // it obeys escape sequences
	cells   atomic.Int64 // of a line, when it was last asked; 0: unknown
}

// terminalAt returns nil if the descriptor is not a terminal's.
func terminalAt(fd int) *terminal {
	if !term.IsTerminal(fd) {
		return nil
	}
	t := &terminal{fd: fd, escapes: printable.Escapes(fd)}
	t.measure()
	return t
}

// measure asks for the width, which changes when a window is resized. It takes less than a
// microsecond, and is called once for each block.
func (t *terminal) measure() {
	if columns, _, err := term.GetSize(t.fd); err == nil {
		t.cells.Store(int64(columns))
	}
}

// isReaderGone reports whether a write failed because the reader has left for good: that of a
// pipe, or, unless t is nil, the person who has closed the terminal. A disk that fails in the
// same way may recover.
func (t *terminal) isReaderGone(err error) bool {
	return oserror.IsReaderGone(err) || t != nil && oserror.IsTerminalGone(err)
}

func (t *terminal) width() int { return int(t.cells.Load()) }

// hasColour reports whether the user wants colours, and the terminal knows them
// (https://no-color.org).
func hasColour() bool { return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" }

// records are the options of the format.
func (o *Output) records() format.Options {
	r := o.Common.Records
	if o.terminal != nil {
		r.Width, r.Colour = o.terminal.width, o.terminal.escapes && hasColour()
	}
	return r
}

// mostWritten is the most that is written to a terminal at once. Whole lines are written, so
// that an interrupted program leaves no part of one, and no colour.
const mostWritten = 4096

// wholeLines returns the start of text that is written at once.
func wholeLines(text []byte) []byte {
	if len(text) <= mostWritten {
		return text
	}
	end := bytes.LastIndexByte(text[:mostWritten], '\n') + 1
	if end == 0 { // a long line
		end = bytes.IndexByte(text, '\n') + 1
	}
	return text[:end]
}

// sorter puts the events of a block in the order of their times. Each lane of a capture
// keeps that order, but a block holds the events of all lanes, one lane after the other.
type sorter struct {
	events []event.Event
	block  *event.Block
}

// sort returns b, or a block with its events that is valid until the next call.
func (s *sorter) sort(b *event.Block) *event.Block {
	s.events = s.events[:0]
	var e event.Event
	for r := b.Reader(); r.Next(&e); {
		s.events = append(s.events, e)
	}
	byTime := func(a, b event.Event) int { return int(min(max(a.Time-b.Time, -1), 1)) }
	if slices.IsSortedFunc(s.events, byTime) {
		return b
	}
	slices.SortStableFunc(s.events, byTime)
	if s.block == nil {
		s.block = event.NewBlock(b.Size())
	}
	s.block.Reset()
	for i := range s.events {
		s.block.Append(&s.events[i])
	}
	return s.block
}
