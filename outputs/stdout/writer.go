package stdout

import (
	"context"
	"errors"
	"fmt"
	"io"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/format"
	"dnsmonster-sensor/userspace/event"
)

// writer formats a block and writes it in one piece. From the block's first
// byte to its last the turn is its own, over failed attempts too: so no record
// is ever split by another one, and none is written twice.
type writer struct {
	out  io.Writer
	turn chan struct{}
	enc  format.Encoder

	id      event.ID // of the block in text
	text    []byte   // what is left to write of that block
	keep    []byte   // text's memory, to use again
	mine    bool     // has the turn
	pending chan written
	busy    bool // a write is under way; its result comes over pending
}

type written struct {
	n   int
	err error
}

func newWriter(out io.Writer, turn chan struct{}, enc format.Encoder) *writer {
	return &writer{out: out, turn: turn, enc: enc, pending: make(chan written, 1)}
}

// Write returns when the system has taken all of the block. The write goes on
// where ctx ends before: it cannot be called back; the next Write of the same
// block waits for it and goes on from there.
func (w *writer) Write(ctx context.Context, b *event.Block) (int, error) {
	if !w.mine {
		if w.id != b.ID() {
			w.keep = format.AppendBlock(w.keep[:0], w.enc, b)
			w.text, w.id = w.keep, b.ID()
		}
		select {
		case <-w.turn:
			w.mine = true
		case <-ctx.Done():
			return 0, fmt.Errorf("wait for other writers of stdout: %w", ctx.Err())
		}
	}
	for len(w.text) > 0 {
		if err := w.step(ctx); err != nil {
			return 0, err
		}
	}
	w.pass()
	w.id = event.ID{}
	return 0, nil
}

// step makes or continues one write of what is left.
func (w *writer) step(ctx context.Context) error {
	if !w.busy {
		w.busy = true
		go func(text []byte) {
			n, err := w.out.Write(text)
			w.pending <- written{n, err}
		}(w.text)
	}
	select {
	case res := <-w.pending:
		w.busy = false
		w.text = w.text[res.n:]
		return w.classify(res)
	case <-ctx.Done():
		return fmt.Errorf("write stdout: %w", ctx.Err())
	}
}

func (w *writer) classify(res written) error {
	switch {
	case res.err == nil || res.n > 0 && errors.Is(res.err, io.ErrShortWrite):
		return nil
	case readerLeft(res.err):
		w.pass()
		return fmt.Errorf("%w: write stdout: %w", outputs.ErrGone, res.err)
	default:
		return fmt.Errorf("write stdout: %w", res.err)
	}
}

func (w *writer) pass() {
	w.mine = false
	w.turn <- struct{}{}
}

// Close gives the turn on, unless some of the block is out already: what others
// wrote behind that would be part of its last record.
func (w *writer) Close() error {
	if w.mine && !w.busy && len(w.text) == len(w.keep) {
		w.pass()
	}
	return nil
}
