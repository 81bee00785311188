package file

import (
	"context"
	"fmt"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/format"
	"dnsmonster-sensor/userspace/event"
)

// writer formats blocks and puts each into the file as a whole, or not at all.
type writer struct {
	output  *Output
	folder  *folder
	enc     format.Encoder
	text    []byte // of the block being written
	refused format.Refusal
	pending *outputs.Call[error] // nil: nothing is being written
	closed  bool
}

// Write returns when the system has all of the block, and the medium, too, where
// that is asked for. Where ctx ends before, the write goes on: it cannot be
// called back, and the next call for the block waits for it.
func (w *writer) Write(ctx context.Context, b *event.Block) (int, error) {
	if w.pending == nil {
		w.text, w.refused = format.AppendBlock(w.text[:0], w.enc, b)
		w.pending = outputs.StartCall(func() error { return w.folder.append(w.text) })
	}
	err, late := w.pending.Wait(ctx)
	if late != nil {
		return 0, fmt.Errorf("write %s: %w", w.folder.current(), late)
	}
	w.pending = nil
	if err != nil {
		return 0, err
	}
	return outputs.Refused(w.refused.Events, w.refused.Why)
}

// closePatience is how long Close waits for a write that is under way.
const closePatience = 500 * time.Millisecond

// Close leaves a folder behind whose disk does not answer.
func (w *writer) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	if w.pending != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closePatience)
		defer cancel()
		if _, late := w.pending.Wait(ctx); late != nil {
			return fmt.Errorf("close %s: the disk does not answer", w.folder.current())
		}
	}
	return w.output.leave()
}
