// Package capture is the contract between the sensor and its inputs. A source has
// lanes, and one worker reads each lane; packets come out. Each input is a folder
// beside this file: file reads captures, ring reads the eBPF program's ring buffers.
// Folder watch is no input: it keeps a live input attached to interfaces that come
// and go. This package must not import an input. Package test/capturetest checks
// that an input keeps the promises below.
package capture

import (
	"time"

	"dnsmonster-sensor/userspace/packet"
)

// Source is where packets come from, or DNS messages without packets
// (packet.Message): what is said of packets here holds for both. It may be more:
// the interfaces below say what, and the sensor asks for each of them where it can
// use it.
type Source interface {
	// Lanes returns the lanes, always the same ones. A source that is open has at
	// least one.
	Lanes() []Lane
	// Live tells what to do when an output cannot follow: behind a live source
	// events are dropped and counted, behind any other everybody waits. It never
	// changes.
	Live() bool
	// Given is the number of packets that the source says it has handed to its
	// lanes' readers, or holds ready for them. It never falls, is asked at any time
	// from anywhere, and once all lanes have ended it is what they have handed out:
	// the packet ledger's in.
	Given() uint64
	// Err tells what went wrong while reading and was nobody's lane's, nil so far.
	// It does not end the lanes by itself: what could be read is delivered first.
	// Where it is not nil at the end the exit status is 2. It is asked at any time
	// from anywhere; the source logs what it tells, once.
	Err() error
	// Close takes nothing new in. The lanes then give what is still held ready for
	// them, and io.EOF; one that waits in Read comes back within a moment. Close may
	// be called several times, from anywhere, before and after the lanes have ended.
	Close() error
}

// Lane is one worker's share of a source. TCP segments and fragments between the
// same two addresses stay on one lane, in their order. So does a whole UDP
// datagram, by the symmetric 5-tuple, where the kernel or the reader of a stream
// assigns it; of a mapped file it comes on any lane, unless duplicates have to
// meet.
type Lane interface {
	// Read fills b with at least one packet. The packets are valid until the next
	// Read. One goroutine calls it, again and again, with the same b.
	//
	// With an error there is nothing in b:
	//
	// io.EOF is the end, now and in all later calls.
	//
	// os.ErrDeadlineExceeded says that nothing came for a while, of a second at
	// most: it is time to expire old state.
	//
	// Any other error ends this lane for good, and this lane alone: Read is not
	// called again. The sensor logs it, once; counts it in the metric
	// failures_total, as what="lane"; goes on with the other lanes, and closes the
	// source where none is left; and ends with exit status 2. What a lane has taken before comes before the error. What it
	// still holds is taken by Discard, where the lane has that, and otherwise must
	// not be in Given.
	Read(b *packet.Batch) error
}

// ReadTimeout is how long a lane's Read waits for a packet before it returns
// os.ErrDeadlineExceeded, in the sources of this tree.
const ReadTimeout = 100 * time.Millisecond

// Discarder is a Lane that may hold more packets after an error of Read, which
// are in Given and cannot be read.
type Discarder interface {
	// Discard throws away what the lane holds, and returns how many packets that
	// was: each has the outcome lane_failed. It is called in place of Read after an
	// error, by the same goroutine, until it returns an error: io.EOF at the end, or
	// what makes it impossible to go on. os.ErrDeadlineExceeded, as of Read, is none.
	Discard() (n int, err error)
}

// Shrinker is a Lane whose packets point into a file that may become shorter, so
// that touching them faults.
type Shrinker interface {
	// Shrunk gives up the file whose packets the last Read gave, for all lanes. The
	// lane's reader calls it when it has faulted (see IsFault); it has counted the
	// packets that it did not get to as file_shrank, and calls Read next.
	Shrunk()
}

// IsFault tells whether what was recovered comes from touching bytes that a
// mapped file does not have any more. It is nothing else where
// debug.SetPanicOnFault is on.
func IsFault(recovered any) bool {
	_, is := recovered.(interface{ Addr() uintptr })
	return is
}

// KernelCounter is a Source that knows what became of frames before they reached a
// lane. A live source without it, or without hooks, has a kernel ledger in which
// all is unknown.
type KernelCounter interface {
	// Kernel returns counters, cumulative since the source was opened. They are
	// asked for at any time from anywhere, until Free.
	Kernel() (KernelStats, error)
}

// Freer is a Source that holds more than Close may give back.
type Freer interface {
	// Free gives it back. It is called once, last of all: after Close, after all
	// lanes have ended, and after the counters were read for the last time.
	Free() error
}

// Drainer is a Source whose input ends by itself, so that it can be interrupted
// more gently than by Close.
type Drainer interface {
	// Drain is called in place of Close at the first signal, and maybe again. It
	// ends the reading of what will be there again, and lets pipes come to their end;
	// Close ends those, too.
	Drain()
	// Delivering tells, after Drain, whether a pipe may still deliver something: the
	// sensor waits for it, for the grace time.
	Delivering() bool
	// Unread lists the inputs that were not read to their end. It is called when all
	// lanes have ended; where the list is not empty the exit status is 3.
	Unread() []Unread
}

// Unread is an input that was not read to its end because the reading was
// interrupted. What cannot be read to its end is an error instead.
type Unread struct {
	Path         string  // "-": the standard input
	Begun        bool    // false: nothing of it was read
	Offset       int64   // all before it was read
	Decompressed bool    // Offset counts in the decompressed data
	Share        float64 // of the file that was read, 0 to 1; valid if Known
	Known        bool
	Pipe         bool // it had not ended
}

// Progressor is a Source that knows how far it is.
type Progressor interface {
	// Progress is the share that the slowest lane has read, 0 to 1. It is called
	// twice a second from anywhere, to show it on a terminal.
	Progress() (share float64, known bool)
}

// InterfaceNamer is a Source whose packets have an Interface that has a name.
type InterfaceNamer interface {
	// InterfaceName is what the interface was called at that time, in nanoseconds
	// since the Unix epoch, "" where that is not known. Outputs call it for each
	// record that names interfaces, also for records of earlier runs, from anywhere,
	// and to the end.
	InterfaceName(number uint32, at int64) string
}

// KernelStats is the kernel's side of the books, one ledger for each hook.
type KernelStats struct {
	Hooks []HookStats
}

// HookStats is what one place counts at which frames are seen.
type HookStats struct {
	Hook     string // such as "xdp", "tc ingress", "tc egress"
	Counters []Counter
}

// Counter is one number of a hook.
type Counter struct {
	Name  string // in books and metrics
	Kind  CounterKind
	Value uint64
	Known bool // false: this back end cannot tell, and Value means nothing
}

// CounterKind says what a counter means to the books. Where a hook knows what came
// in, each frame of it has one outcome.
type CounterKind uint8

// The kinds.
const (
	CountsIn         CounterKind = iota // frames that the hook saw
	CountsLeftOut                       // outcome: not wanted
	CountsLost                          // outcome: wanted, and not delivered
	CountsGiven                         // outcome: held ready for a lane
	CountsMeter                         // a number beside the books
	CountsIncomplete                    // a number beside the books: frames that were given without their ends, which is a loss
)

// Kernel returns a source's counters, and none where it is no KernelCounter.
func Kernel(s Source) (KernelStats, error) {
	if k, ok := s.(KernelCounter); ok {
		return k.Kernel()
	}
	return KernelStats{}, nil
}
