// Package capturetest checks that a source keeps the promises of
// sensor/capture/source.go: what every source has, and of the optional parts those
// that the source has. It is for tests alone. What it cannot bring about by itself,
// such as a lane that fails or a file that becomes shorter, is for the source's own
// tests.
package capturetest

import (
	"time"

	"dnsmonster-sensor/sensor/capture"
)

// T is what a check needs of a test. Errorf is called from several goroutines.
type T interface {
	Helper()
	Errorf(format string, args ...any)
}

// Target is a source to check.
type Target struct {
	// Open opens the source anew. It is called several times, each time from the
	// goroutine that has called Check, and when the one before has been closed.
	Open func() capture.Source
	// Feed brings Packets packets to the source that was opened last, which does not
	// end by itself. nil: it has them when it is open, and then ends.
	Feed func()
	// Packets is how many there are.
	Packets int
	// Patience is how long the source is given for what it does "within a moment". 0:
	// five seconds.
	Patience time.Duration
}

// Check runs all checks.
func Check(t T, target Target) {
	t.Helper()
	if target.Patience == 0 {
		target.Patience = 5 * time.Second
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

// check is one opening of the source.
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
	k.shape()
	what(k)
	k.rest()
}

// discards tells whether the lanes have that part.
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

// shape checks what never changes.
func (k *check) shape() {
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

// toTheEnd reads all there is. A source that does not end by itself is closed while
// its lanes wait.
func toTheEnd(k *check) {
	r := k.read(readLane)
	if k.Feed != nil {
		r.awaitQuiet()
		k.Feed()
		r.await(k.Packets)
		k.close()
	}
	r.wait()
	k.all(r)
}

// closedFirst closes the source when all is there and nothing was read. What a
// live source holds by then still comes.
func closedFirst(k *check) {
	if k.Feed != nil {
		k.Feed()
	}
	k.close()
	r := k.read(readLane)
	r.wait()
	if k.source.Live() {
		k.all(r)
	}
}

// interrupted drains the source while it is read.
func interrupted(k *check) {
	d := k.source.(capture.Drainer)
	d.Drain()
	d.Drain()
	r := k.read(readLane)
	for end := time.Now().Add(k.Patience); !r.done() && time.Now().Before(end); time.Sleep(time.Millisecond) {
		if d.Delivering() {
			k.close()
		}
	}
	r.wait()
	if n := r.total(); n < k.Packets && len(d.Unread()) == 0 {
		k.errorf("%d of %d packets were read, and Unread names nothing", n, k.Packets)
	}
}

// discarded throws away what can be thrown away.
func discarded(k *check) {
	r := k.read(discardLane)
	if k.Feed != nil {
		k.Feed()
		r.await(k.Packets)
		k.close()
	}
	r.wait()
	k.all(r)
}

// all checks that a reading had all packets.
func (k *check) all(r *reading) {
	k.t.Helper()
	if n := r.total(); n != k.Packets {
		k.errorf("%d packets were read, want %d", n, k.Packets)
	}
}

// close must come back, and may be called again.
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
		case <-time.After(k.Patience):
			k.errorf("Close does not come back within %v", k.Patience)
		}
	}
}

// rest checks what holds when all lanes have ended, and frees the source.
func (k *check) rest() {
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

// kernel checks that the counters make sense and agree with Given.
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
				k.errorf("hook %s: a counter has no name of its own: %q", h.Hook, c.Name)
			}
			names[c.Name] = true
			switch c.Kind {
			case capture.CountsMeter, capture.CountsIncomplete:
				continue
			case capture.CountsIn:
				ins++
				in += c.Value
			case capture.CountsGiven:
				given += c.Value
				known = known && c.Known
				out += c.Value
			default:
				out += c.Value
			}
			complete = complete && c.Known
		}
		if ins > 1 {
			k.errorf("hook %s: %d counters of what came in, want one at most", h.Hook, ins)
		}
		if ins == 1 && complete && in != out {
			k.errorf("hook %s: %d came in, %d have an outcome", h.Hook, in, out)
		}
	}
	if known && given != k.source.Given() {
		k.errorf("the kernel has given %d packets, Given is %d", given, k.source.Given())
	}
}
