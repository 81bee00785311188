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
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/userspace/packet"
)

// laneReaders read all lanes at the same time, each on a goroutine of its own.
type laneReaders struct {
	check *check
	n     atomic.Int64 // packets so far
	idle  atomic.Int64 // lanes that have reported that nothing comes
	lanes int
	ended chan struct{}
}

func (k *check) read(lane func(*laneReaders, capture.Lane)) *laneReaders {
	lanes := k.source.Lanes()
	r := &laneReaders{check: k, lanes: len(lanes), ended: make(chan struct{})}
	var all sync.WaitGroup
	for _, l := range lanes {
		all.Go(func() { lane(r, l) })
	}
	read, source := make(chan struct{}), k.source
	go func() {
		all.Wait()
		close(read)
	}()
	go func() { // after its end nothing calls the source any more
		r.watchCounters(source, read)
		close(r.ended)
	}()
	return r
}

func (r *laneReaders) total() int { return int(r.n.Load()) }

func (r *laneReaders) done() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

// watchCounters calls the methods that may be called at any time, until all is read.
func (r *laneReaders) watchCounters(source capture.Source, read <-chan struct{}) {
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

// await waits until n packets were read.
func (r *laneReaders) await(n int) {
	if !await.Within(r.check.WaitLimit, func() bool { return r.total() >= n }) {
		r.check.errorf("%d of %d packets come within %v", r.total(), n, r.check.WaitLimit)
	}
}

// awaitIdle waits until each lane has reported that nothing comes.
func (r *laneReaders) awaitIdle() {
	if !await.Within(r.check.WaitLimit, func() bool { return int(r.idle.Load()) >= r.lanes }) {
		r.check.errorf("%d of %d lanes report within %v that nothing comes", r.idle.Load(), r.lanes, r.check.WaitLimit)
	}
}

// wait waits for the end of all lanes, and compares the number of packets with Given.
func (r *laneReaders) wait() {
	select {
	case <-r.ended:
	case <-time.After(r.check.WaitLimit):
		r.check.errorf("the lanes do not end within %v", r.check.WaitLimit)
		return
	}
	if given := r.check.source.Given(); given != uint64(r.total()) {
		r.check.errorf("Given is %d at the end, the lanes delivered %d packets", given, r.total())
	}
}

// readLane reads one lane to its end.
func readLane(r *laneReaders, l capture.Lane) {
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
				r.idle.Add(1)
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
			time.Sleep(10 * time.Microsecond) // lets the other lanes continue
		}
	}
}

// contents returns all byte slices that a batch holds.
func contents(b *packet.Batch) (list [][]byte) {
	for i := range b.Packets {
		list = append(list, b.Packets[i].Data)
	}
	for i := range b.Messages {
		list = append(list, b.Messages[i].Data, b.Messages[i].Identity, b.Messages[i].Version, b.Messages[i].Fields)
	}
	return list
}

// staysEnded checks that nothing comes after the end.
func (r *laneReaders) staysEnded(l capture.Lane, b *packet.Batch) {
	for range 3 {
		if err := l.Read(b); !errors.Is(err, io.EOF) || b.Len() > 0 {
			r.check.errorf("Read gives %d packets and the error %v after the end", b.Len(), err)
			return
		}
	}
}

// discardLane discards the packets of a lane.
func discardLane(r *laneReaders, l capture.Lane) {
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
