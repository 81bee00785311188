package folder

import (
	"context"
	"fmt"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/userspace/event"
)

// Encode appends the text of a block to dst. It returns how many events can never be
// written, and why.
type Encode func(dst []byte, b *event.Block) (text []byte, refused int, why error)

// writer appends blocks to the file, each as a whole or not at all.
type writer struct {
	files   *Files
	folder  *Folder
	encode  Encode
	text    []byte // of the current block
	refused int
	why     error
	pending *outputs.Call[error] // nil: no write in progress
	closed  bool
}

// Write returns once the system has the whole block and, with Rotation.Sync, the medium
// too. A write cannot be cancelled: if ctx ends first it goes on, and the next call for the
// block waits for it.
func (w *writer) Write(ctx context.Context, b *event.Block) (int, error) {
	if w.pending == nil {
		w.text, w.refused, w.why = w.encode(w.text[:0], b)
		w.pending = outputs.StartCall(func() error { return w.folder.Append(w.text) })
	}
	err, late := w.pending.Wait(ctx)
	if late != nil {
		return 0, fmt.Errorf("write %s: %w", w.folder.Current(), late)
	}
	w.pending = nil
	if err != nil {
		return 0, err
	}
	return outputs.Refused(w.refused, w.why)
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
			return fmt.Errorf("close %s: the disk does not respond", w.folder.Current())
		}
	}
	return w.files.release()
}
