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
	"dnsmonster-sensor/outputs/oserror"
	"dnsmonster-sensor/userspace/event"
)

// writer formats a block and writes it as a whole. It keeps its turn from the first
// byte of the block to the last, across failed attempts: no other record splits a
// record, and no record is written twice.
type writer struct {
	out  io.Writer
	turn *turn
	pool *formatterPool

	terminal     *terminal     // nil: out is no terminal
	fullDiskWait time.Duration // how long to retry on a full disk; negative: for ever
	fullSince    time.Time     // when the disk became full; zero: it is not

	id        event.ID   // of the block in text
	formatter *formatter // in use for the block; nil between blocks
	text      []byte     // the rest of the block, still to be written
	refused   format.Refusal
	hasTurn   bool
	pending   *outputs.Call[writeResult] // nil: no write in progress
}

// turn lets one writer at a time write. The attempts of the others, which wait for it, end
// with the error of its holder.
type turn struct {
	token chan struct{} // holds a token while no writer is in the middle of a block

	mu  sync.Mutex
	err error // of the holder's last attempt
}

func newTurn() *turn {
	t := &turn{token: make(chan struct{}, 1)}
	t.token <- struct{}{}
	return t
}

// setError records why the holder makes no progress; nil: it does.
func (t *turn) setError(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
}

// holderError returns the holder's error or, if it has none, that of the waiting writer.
func (t *turn) holderError(waiting error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return t.err
	}
	return fmt.Errorf("write stdout: %w", waiting)
}

type writeResult struct {
	n   int
	err error
}

// formatter turns blocks into text. It keeps the encoder's state and the memory of the
// last text.
type formatter struct {
	enc    format.Encoder
	sorter sorter
	text   []byte
}

// formatterPool holds the idle formatters. The one that was used last is used next: if only
// one writer at a time has work, the memory stays in the CPU cache, whichever writer it is.
type formatterPool struct {
	mu   sync.Mutex
	list []*formatter
}

func (p *formatterPool) take() *formatter {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.list) - 1
	f := p.list[last]
	p.list = p.list[:last]
	return f
}

func (p *formatterPool) put(f *formatter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, f)
}

// newWriter adds a formatter with enc to the pool, which has one for each writer.
func newWriter(out io.Writer, turn *turn, pool *formatterPool, enc format.Encoder) *writer {
	pool.put(&formatter{enc: enc})
	return &writer{out: out, turn: turn, pool: pool}
}

// Write returns once the system has taken the whole block. A write cannot be cancelled: if
// ctx ends first it goes on, and the next Write of the same block waits for it and continues
// from there.
func (w *writer) Write(ctx context.Context, b *event.Block) (int, error) {
	if !w.hasTurn {
		if w.id != b.ID() {
			if w.formatter == nil {
				w.formatter = w.pool.take()
			}
			w.format(b)
			w.text, w.id = w.formatter.text, b.ID()
		}
		select {
		case <-w.turn.token:
			w.hasTurn = true
		case <-ctx.Done():
			return 0, w.turn.holderError(ctx.Err())
		}
	}
	for len(w.text) > 0 {
		if err := w.writeRest(ctx); err != nil {
			w.turn.setError(err)
			return 0, err
		}
	}
	w.turn.setError(nil)
	w.releaseTurn()
	w.pool.put(w.formatter)
	w.formatter, w.id = nil, event.ID{}
	return outputs.Refused(w.refused.Events, w.refused.Why)
}

// format makes the text of a block.
func (w *writer) format(b *event.Block) {
	if w.terminal != nil {
		w.terminal.measure()
		b = w.formatter.sorter.sort(b)
	}
	w.formatter.text, w.refused = format.AppendBlock(w.formatter.text[:0], w.formatter.enc, b)
}

// writeRest starts or continues one write of the remaining text.
func (w *writer) writeRest(ctx context.Context) error {
	if w.pending == nil {
		text := w.text
		if w.terminal != nil {
			text = wholeLines(text)
		}
		w.pending = outputs.StartCall(func() writeResult {
			n, err := w.out.Write(text)
			return writeResult{n, err}
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

// classify turns the result of a write into the error of Write: nil to go on with the rest.
func (w *writer) classify(res writeResult) error {
	switch {
	case res.err == nil || res.n > 0 && errors.Is(res.err, io.ErrShortWrite):
		w.fullSince = time.Time{}
		return nil
	case w.terminal.isReaderGone(res.err):
		w.releaseTurn()
		return fmt.Errorf("%w: %w", outputs.ErrReaderGone, res.err)
	case oserror.IsUnwritable(res.err), oserror.IsDiskFull(res.err) && w.diskFullTooLong(res.n > 0):
		return outputs.Ended(res.err) // others must not write after half a block
	default:
		return res.err
	}
}

// diskFullTooLong reports whether the disk has been full for longer than the writer
// waits.
func (w *writer) diskFullTooLong(progress bool) bool {
	if w.fullSince.IsZero() || progress {
		w.fullSince = time.Now()
	}
	return w.fullDiskWait >= 0 && time.Since(w.fullSince) >= w.fullDiskWait
}

func (w *writer) releaseTurn() {
	w.hasTurn = false
	w.turn.token <- struct{}{}
}

// Close gives up the turn, unless part of the block has been written: what others
// wrote after it would become part of its last record.
func (w *writer) Close() error {
	if w.hasTurn && w.pending == nil && len(w.text) == len(w.formatter.text) {
		w.releaseTurn()
	}
	return nil
}
