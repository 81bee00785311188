package capturetest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/packet"
)

// reading is all lanes being read at the same time, each by a goroutine.
type reading struct {
	check *check
	n     atomic.Int64 // packets so far
	quiet atomic.Int64 // lanes that have said that nothing comes
	lanes int
	ended chan struct{}
}

func (k *check) read(lane func(*reading, capture.Lane)) *reading {
	lanes := k.source.Lanes()
	r := &reading{check: k, lanes: len(lanes), ended: make(chan struct{})}
	var all sync.WaitGroup
	for _, l := range lanes {
		all.Go(func() { lane(r, l) })
	}
	read, source := make(chan struct{}), k.source
	go func() {
		all.Wait()
		close(read)
	}()
	go func() { // nobody asks the source any more when this has ended
		r.follow(source, read)
		close(r.ended)
	}()
	return r
}

func (r *reading) total() int { return int(r.n.Load()) }

func (r *reading) done() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

// follow looks at what may be asked for until all is read.
func (r *reading) follow(source capture.Source, read <-chan struct{}) {
	var given uint64
	for {
		if now := source.Given(); now < given {
			r.check.errorf("Given falls from %d to %d", given, now)
			<-read
			return
		} else {
			given = now
		}
		_ = source.Err()
		select {
		case <-read:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// await waits until so many packets were read.
func (r *reading) await(n int) {
	for end := time.Now().Add(r.check.Patience); r.total() < n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.check.errorf("%d of %d packets come within %v", r.total(), n, r.check.Patience)
			return
		}
	}
}

// awaitQuiet waits until each lane has said that nothing comes.
func (r *reading) awaitQuiet() {
	for end := time.Now().Add(r.check.Patience); int(r.quiet.Load()) < r.lanes; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.check.errorf("%d of %d lanes say within %v that nothing comes", r.quiet.Load(), r.lanes, r.check.Patience)
			return
		}
	}
}

// wait waits for the end of all lanes, and compares what they gave with what the
// source says.
func (r *reading) wait() {
	select {
	case <-r.ended:
	case <-time.After(r.check.Patience):
		r.check.errorf("the lanes do not end within %v", r.check.Patience)
		return
	}
	if given := r.check.source.Given(); given != uint64(r.total()) {
		r.check.errorf("Given is %d at the end, the lanes gave %d packets", given, r.total())
	}
}

// readLane reads one lane to its end.
func readLane(r *reading, l capture.Lane) {
	var b packet.Batch
	var before [][]byte
	first := true
	for {
		if len(before) > 0 && !slices.EqualFunc(before, contents(&b), bytes.Equal) {
			r.check.errorf("a packet changes before the next Read")
		}
		before = before[:0]
		err := l.Read(&b)
		switch {
		case err == nil && b.Len() == 0:
			r.check.errorf("Read gives neither a packet nor an error")
			return
		case err != nil && b.Len() > 0:
			r.check.errorf("Read gives %d packets with the error %v", b.Len(), err)
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			if first {
				first = false
				r.quiet.Add(1)
			}
			continue
		case errors.Is(err, io.EOF):
			r.staysEnded(l, &b)
			return
		case err != nil:
			r.check.errorf("Read: %v", err)
			return
		}
		for i := range b.Packets {
			p := &b.Packets[i]
			if int(p.WireLen) < len(p.Data) {
				r.check.errorf("a packet of %d bytes has %d on the wire", len(p.Data), p.WireLen)
			}
		}
		for _, data := range contents(&b) {
			before = append(before, bytes.Clone(data))
		}
		r.n.Add(int64(b.Len()))
		if len(before) > 0 {
			time.Sleep(10 * time.Microsecond) // other lanes go on meanwhile
		}
	}
}

// contents are the bytes of all that a batch holds.
func contents(b *packet.Batch) (list [][]byte) {
	for i := range b.Packets {
		list = append(list, b.Packets[i].Data)
	}
	for i := range b.Messages {
		list = append(list, b.Messages[i].Data, b.Messages[i].Identity, b.Messages[i].Version, b.Messages[i].Fields)
	}
	return list
}

// staysEnded checks that behind the end there is nothing.
func (r *reading) staysEnded(l capture.Lane, b *packet.Batch) {
	for range 3 {
		if err := l.Read(b); !errors.Is(err, io.EOF) || b.Len() > 0 {
			r.check.errorf("Read gives %d packets and the error %v behind the end", b.Len(), err)
			return
		}
	}
}

// discardLane takes what a lane has without reading it.
func discardLane(r *reading, l capture.Lane) {
	for {
		n, err := l.(capture.Discarder).Discard()
		r.n.Add(int64(n))
		switch {
		case err == nil, errors.Is(err, os.ErrDeadlineExceeded):
		case errors.Is(err, io.EOF):
			return
		default:
			r.check.errorf("Discard: %v", err)
			return
		}
	}
}
