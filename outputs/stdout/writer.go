package stdout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/format"
	"dnsmonster-sensor/userspace/event"
)

// writer formats a block and writes it in one piece. From the block's first
// byte to its last the turn is its own, over failed attempts too: so no record
// is ever split by another one, and none is written twice.
type writer struct {
	out  io.Writer
	turn *turn
	idle *presses

	fullFor time.Duration // how long a full disk is tried again; negative: for ever
	full    time.Time     // since when it is; zero: it is not

	id      event.ID // of the block in text
	press   *press   // what it is formatted with; nil between blocks
	text    []byte   // what is left to write of that block
	refused format.Refusal
	mine    bool                   // has the turn
	pending *outputs.Call[written] // nil: no write is under way
}

// turn is whose it is to write. The others fail as its holder does, which is what
// they wait for.
type turn struct {
	token chan struct{} // holds one while nobody is in the middle of a block

	mu  sync.Mutex
	why error // why the holder's last attempt failed
}

func newTurn() *turn {
	t := &turn{token: make(chan struct{}, 1)}
	t.token <- struct{}{}
	return t
}

// failed notes why the holder does not come on; nil: it does.
func (t *turn) failed(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.why = err
}

// trouble is the holder's, or the waiting itself where it has none.
func (t *turn) trouble(waiting error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.why != nil {
		return t.why
	}
	return fmt.Errorf("write stdout: %w", waiting)
}

type written struct {
	n   int
	err error
}

// press makes text of blocks: an encoder with what it remembers, and the memory
// of the last text.
type press struct {
	enc  format.Encoder
	text []byte
}

// presses are those that nobody uses. The one that was used last is the next to
// be used: where one writer at a time has something to do, it is always the same,
// whichever writer that is, and the processor's cache holds it.
type presses struct {
	mu   sync.Mutex
	list []*press
}

func (s *presses) take() *press {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.list) - 1
	p := s.list[last]
	s.list = s.list[:last]
	return p
}

func (s *presses) put(p *press) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, p)
}

// newWriter adds enc to the presses: there is one for each writer.
func newWriter(out io.Writer, turn *turn, idle *presses, enc format.Encoder) *writer {
	idle.put(&press{enc: enc})
	return &writer{out: out, turn: turn, idle: idle}
}

// Write returns when the system has taken all of the block. The write goes on
// where ctx ends before: it cannot be called back; the next Write of the same
// block waits for it and goes on from there.
func (w *writer) Write(ctx context.Context, b *event.Block) (int, error) {
	if !w.mine {
		if w.id != b.ID() {
			if w.press == nil {
				w.press = w.idle.take()
			}
			w.press.text, w.refused = format.AppendBlock(w.press.text[:0], w.press.enc, b)
			w.text, w.id = w.press.text, b.ID()
		}
		select {
		case <-w.turn.token:
			w.mine = true
		case <-ctx.Done():
			return 0, w.turn.trouble(ctx.Err())
		}
	}
	for len(w.text) > 0 {
		if err := w.step(ctx); err != nil {
			w.turn.failed(err)
			return 0, err
		}
	}
	w.turn.failed(nil)
	w.pass()
	w.idle.put(w.press)
	w.press, w.id = nil, event.ID{}
	return outputs.Refused(w.refused.Events, w.refused.Why)
}

// step makes or continues one write of what is left.
func (w *writer) step(ctx context.Context) error {
	if w.pending == nil {
		text := w.text
		w.pending = outputs.StartCall(func() written {
			n, err := w.out.Write(text)
			return written{n, err}
		})
	}
	res, late := w.pending.Wait(ctx)
	if late != nil {
		return fmt.Errorf("write stdout: %w", late)
	}
	w.pending = nil
	w.text = w.text[res.n:]
	return w.classify(res)
}

func (w *writer) classify(res written) error {
	switch {
	case res.err == nil || res.n > 0 && errors.Is(res.err, io.ErrShortWrite):
		w.full = time.Time{}
		return nil
	case readerLeft(res.err):
		w.pass()
		return fmt.Errorf("%w: %w", outputs.ErrReaderGone, res.err)
	case never(res.err), full(res.err) && w.fullTooLong(res.n > 0):
		return outputs.Ended(res.err) // others must not write behind what is half written
	default:
		return res.err
	}
}

// fullTooLong notes that the disk is full, and tells whether it has been so for as
// long as is waited.
func (w *writer) fullTooLong(progress bool) bool {
	if w.full.IsZero() || progress {
		w.full = time.Now()
	}
	return w.fullFor >= 0 && time.Since(w.full) >= w.fullFor
}

func (w *writer) pass() {
	w.mine = false
	w.turn.token <- struct{}{}
}

// Close gives the turn on, unless some of the block is out already: what others
// wrote behind that would be part of its last record.
func (w *writer) Close() error {
	if w.mine && w.pending == nil && len(w.text) == len(w.press.text) {
		w.pass()
	}
	return nil
}
