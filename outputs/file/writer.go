package file

import (
	"context"
	"fmt"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/format"
	"dnsmonster-sensor/userspace/event"
)

// writer formats blocks and appends each to the file as a whole or not at all.
type writer struct {
	output  *Output
	folder  *folder
	enc     format.Encoder
	text    []byte // of the current block
	refused format.Refusal
	pending *outputs.Call[error] // nil: no write in progress
	closed  bool
}

// Write returns once the system has the whole block and, with --fileoutputsync, the medium
// too. A write cannot be cancelled: if ctx ends first it goes on, and the next call for the
// block waits for it.
func (w *writer) Write(ctx context.Context, b *event.Block) (int, error) {
	if w.pending == nil {
		w.text, w.refused = format.AppendBlock(w.text[:0], w.enc, b)
		w.pending = outputs.StartCall(func() error { return w.folder.append(w.text) })
	}
	err, late := w.pending.Wait(ctx)
	if late != nil {
		return 0, fmt.Errorf("write %s: %w", w.folder.logPath(), late)
	}
	w.pending = nil
	if err != nil {
		return 0, err
	}
	return outputs.Refused(w.refused.Events, w.refused.Why)
}

// closeTimeout is how long Close waits for a write in progress.
const closeTimeout = 500 * time.Millisecond

// Close waits for a write in progress. If that takes too long, it keeps the folder locked.
func (w *writer) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	if w.pending != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if _, late := w.pending.Wait(ctx); late != nil {
			return fmt.Errorf("close %s: the disk does not respond", w.folder.logPath())
		}
	}
	return w.output.releaseFolder()
}
