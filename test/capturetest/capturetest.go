// Package capturetest checks that a source keeps the promises of
// sensor/capture/source.go: those that every source makes, and those of the optional
// interfaces that it implements. A test of the source hands in the source and a function
// that feeds it packets (Target). It knows no source. Failures that it cannot cause
// itself, such as a lane that fails or a file that shrinks, are left to the source's own
// tests. testdata/tee is the example of docs/adding-an-input.md.
package capturetest

import (
	"time"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/test/await"
)

// T is the part of testing.T that checks use. Errorf is called from several goroutines.
type T interface {
	Helper()
	Errorf(format string, args ...any)
}

// Target is a source to check.
type Target struct {
	// Open opens a new source. It is called several times, always by the goroutine that
	// calls Check, and only after the previous source was closed.
	Open func() capture.Source
	// Feed sends Packets packets to the source that was opened last, which does not end
	// by itself. nil: the source has them when it is opened, and ends after them.
	Feed func()
	// Packets is the number of packets that the source delivers.
	Packets int
	// WaitLimit is how long a check waits for something that a source does "within a
	// moment". 0 is five seconds.
	WaitLimit time.Duration
}

// Check runs all checks.
func Check(t T, target Target) {
	t.Helper()
	if target.WaitLimit == 0 {
		target.WaitLimit = 5 * time.Second
	}
	k := &check{t: t, Target: target}
	k.run("to the end", toTheEnd)
	if _, ok := k.source.(capture.Drainer); ok {
		k.run("interrupted", interrupted)
	}
	if k.discards() {
		k.run("discarded", discarded)
	}
	k.run("closed before it is read", closedFirst)
}

// check is one check of one opened source.
type check struct {
	Target
	t      T
	name   string
	source capture.Source
}

// run opens the source for one check.
func (k *check) run(name string, what func(*check)) {
	k.t.Helper()
	k.name, k.source = name, k.Open()
	k.checkLanes()
	what(k)
	k.finish()
}

// discards reports whether a lane implements Discarder.
func (k *check) discards() bool {
	for _, l := range k.source.Lanes() {
		if _, ok := l.(capture.Discarder); ok {
			return true
		}
	}
	return false
}

func (k *check) errorf(format string, args ...any) {
	k.t.Helper()
	k.t.Errorf(k.name+": "+format, args...)
}

// checkLanes checks that there are lanes, and that they stay the same.
func (k *check) checkLanes() {
	k.t.Helper()
	lanes, again := k.source.Lanes(), k.source.Lanes()
	if len(lanes) == 0 {
		k.errorf("there is no lane")
	}
	same := len(lanes) == len(again)
	for i := 0; same && i < len(lanes); i++ {
		same = lanes[i] == again[i]
	}
	if !same {
		k.errorf("Lanes returns other lanes when it is called again")
	}
}

// toTheEnd reads everything. It closes a source that does not end by itself while the
// lanes wait.
func toTheEnd(k *check) {
	r := k.read(readLane)
	if k.Feed != nil {
		r.awaitIdle()
		k.Feed()
		r.await(k.Packets)
		k.close()
	}
	r.wait()
	k.expectAll(r)
}

// closedFirst closes the source when all packets are there and none was read. A live
// source still delivers what it holds.
func closedFirst(k *check) {
	if k.Feed != nil {
		k.Feed()
	}
	k.close()
	r := k.read(readLane)
	r.wait()
	if k.source.Live() {
		k.expectAll(r)
	}
}

// interrupted drains the source while it is read.
func interrupted(k *check) {
	d := k.source.(capture.Drainer)
	d.Drain()
	d.Drain()
	r := k.read(readLane)
	await.Within(k.WaitLimit, func() bool {
		if !r.done() && d.Delivering() {
			k.close()
		}
		return r.done()
	})
	r.wait()
	if n := r.total(); n < k.Packets && len(d.Unread()) == 0 {
		k.errorf("%d of %d packets were read, and Unread names nothing", n, k.Packets)
	}
}

// discarded discards all packets.
func discarded(k *check) {
	r := k.read(discardLane)
	if k.Feed != nil {
		k.Feed()
		r.await(k.Packets)
		k.close()
	}
	r.wait()
	k.expectAll(r)
}

// expectAll checks that all packets were read.
func (k *check) expectAll(r *laneReaders) {
	k.t.Helper()
	if n := r.total(); n != k.Packets {
		k.errorf("%d packets were read, want %d", n, k.Packets)
	}
}

// close checks that Close returns, also when it is called again.
func (k *check) close() {
	k.t.Helper()
	for range 2 {
		done := make(chan error, 1)
		go func() { done <- k.source.Close() }()
		select {
		case err := <-done:
			if err != nil {
				k.errorf("Close: %v", err)
			}
		case <-time.After(k.WaitLimit):
			k.errorf("Close does not return within %v", k.WaitLimit)
		}
	}
}

// finish checks what holds when all lanes have ended, and frees the source.
func (k *check) finish() {
	k.t.Helper()
	k.close()
	if err := k.source.Err(); err != nil {
		k.errorf("Err: %v", err)
	}
	k.kernel()
	if p, ok := k.source.(capture.Progressor); ok {
		if share, known := p.Progress(); known && !(share >= 0 && share <= 1) {
			k.errorf("Progress is %v, want 0 to 1", share)
		}
	}
	if n, ok := k.source.(capture.InterfaceNamer); ok {
		n.InterfaceName(1<<31-1, 0)
	}
	if f, ok := k.source.(capture.Freer); ok {
		if err := f.Free(); err != nil {
			k.errorf("Free: %v", err)
		}
	}
}

// kernel checks that the counters are consistent and agree with Given.
func (k *check) kernel() {
	k.t.Helper()
	stats, err := capture.Kernel(k.source)
	if err != nil {
		k.errorf("Kernel: %v", err)
	}
	var given uint64
	known := len(stats.Hooks) > 0
	for _, h := range stats.Hooks {
		var in, out uint64
		ins, complete := 0, true
		names := map[string]bool{}
		for _, c := range h.Counters {
			if c.Name == "" || names[c.Name] {
				k.errorf("hook %s: two counters have one name, or none: %q", h.Hook, c.Name)
			}
			names[c.Name] = true
			switch c.Kind {
			case capture.CountsMeter, capture.CountsIncomplete:
				continue
			case capture.CountsIn:
				ins++
				in += c.Value
			case capture.CountsDelivered:
				given += c.Value
				known = known && c.Known
				out += c.Value
			default:
				out += c.Value
			}
			complete = complete && c.Known
		}
		if ins > 1 {
			k.errorf("hook %s: %d counters of kind CountsIn, want one at most", h.Hook, ins)
		}
		if ins == 1 && complete && in != out {
			k.errorf("hook %s: %d came in, %d have an outcome", h.Hook, in, out)
		}
	}
	if known && given != k.source.Given() {
		k.errorf("the kernel has given %d packets, Given is %d", given, k.source.Given())
	}
}
