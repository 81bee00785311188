package dnstap

import (
	"context"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/userspace/event"
)

// sender is a writer to a receiver. A block whose sending failed is sent again from its
// first frame on, on a new connection.
type sender struct {
	output *Output
	enc    *encoder
	stream *stream // nil: the next attempt connects
	frames []byte
}

// Write returns once the system has all frames of the block. Frame Streams have no
// acknowledgement.
func (w *sender) Write(ctx context.Context, b *event.Block) (int, error) {
	frames, refused, why := w.enc.appendBlock(w.frames[:0], b)
	w.frames = frames
	if len(frames) == 0 {
		return outputs.Refused(refused, why)
	}
	if err := w.ready(ctx); err != nil {
		return 0, err
	}
	if err := w.stream.send(ctx, frames); err != nil {
		w.output.broken.Add(1)
		w.output.addresses.Report(ctx, w.stream.at, err)
		w.drop()
		return 0, err // the runner logs it
	}
	return outputs.Refused(refused, why)
}

// ready makes sure that there is a stream, at the best address that works.
func (w *sender) ready(ctx context.Context) (err error) {
	if w.stream != nil {
		if err := w.stream.broken(); err != nil { // closed since the last block: this one has not begun
			w.output.lost(w.stream, err)
			w.drop()
		}
	}
	if w.stream == nil {
		w.stream, err = w.output.connect(ctx)
		return err
	}
	better, ok := w.output.addresses.Better(w.stream.at)
	if !ok {
		return nil
	}
	list, err := parseAddresses(w.output.address)
	if err != nil {
		return err
	}
	part, cancel := outputs.ShareOfTime(ctx, 2)
	defer cancel()
	if s, err := w.output.connectTo(part, list, better); err == nil {
		if err := w.stream.finish(finishTimeout); err != nil {
			w.output.lost(w.stream, err)
		}
		w.stream = s
	}
	return nil
}

// warnEvery bounds the lines about a receiver that ends each connection.
const warnEvery = time.Minute

// lost counts a connection that ended without FINISH, and says so: no block has failed, so
// nobody else does.
func (o *Output) lost(s *stream, why error) {
	n := o.broken.Add(1)
	o.mu.Lock()
	now := time.Now()
	due := o.warned.IsZero() || now.Sub(o.warned) >= warnEvery
	if due {
		o.warned = now
	}
	o.mu.Unlock()
	if due {
		o.Log().Warn("a connection ended early: frames that the receiver had not read are lost", "address", s.text, "error", why, "broken_connections", n)
	}
}

// drop closes the connection without ending the stream.
func (w *sender) drop() {
	w.stream.close()
	w.stream = nil
}

// Close ends the stream and waits for FINISH, for finishTimeout at most.
func (w *sender) Close() error {
	if w.stream == nil {
		return nil
	}
	s := w.stream
	w.stream = nil
	err := s.finish(finishTimeout)
	if err != nil {
		w.output.broken.Add(1)
	}
	return err
}
