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

// Source is where packets come from. It may deliver DNS messages without packets
// instead (packet.Message); everything here about packets holds for both. A source may
// implement more of the interfaces below; the sensor checks for each of them.
type Source interface {
	// Lanes returns the lanes, always the same ones. An open source has at least one.
	Lanes() []Lane
	// Live says what happens when an output cannot keep up: a live source drops and
	// counts events, any other source waits. The answer never changes.
	Live() bool
	// Given is the number of packets that the source has passed to the readers of
	// its lanes, or holds ready for them. It never falls. Once all lanes have ended
	// it is exactly what they have returned: the in of the packet ledger. It may be
	// called at any time, from any goroutine.
	Given() uint64
	// Err returns what went wrong while reading and belongs to no lane, nil so far.
	// It does not end the lanes: what could be read is delivered first. If it is not
	// nil at the end, the exit status is 2. The source logs each such error once,
	// itself. It may be called at any time, from any goroutine.
	Err() error
	// Close stops the intake. The lanes then return what is held ready for them, and
	// then io.EOF; a lane that waits in Read returns within a moment. Close may be
	// called several times, from any goroutine, before and after the lanes have ended.
	Close() error
}

// Lane is one worker's share of a source. TCP segments and fragments between the
// same two addresses stay on one lane, in order. A whole UDP datagram stays on the
// lane of its symmetric 5-tuple if the kernel or the reader of a stream assigns it.
// From a mapped file it may come on any lane, unless duplicates must be found.
type Lane interface {
	// Read fills b with at least one packet. The packets are valid until the next
	// Read. One goroutine calls it, again and again, with the same b.
	//
	// With an error, b is empty:
	//
	// io.EOF is the end, now and in all later calls.
	//
	// os.ErrDeadlineExceeded means that nothing came for a while, for a second at
	// most: it is time to expire old state.
	//
	// Any other error ends this lane for good, and only this lane: Read is not called
	// again. What the lane took before it comes first. The sensor logs the error
	// once, counts it in the metric failures_total as what="lane", goes on with the
	// other lanes, closes the source if none is left, and ends with exit status 2.
	// Packets that the lane still holds are discarded by Discard; without that method
	// they must not be part of Given.
	Read(b *packet.Batch) error
}

// ReadTimeout is how long Read waits for a packet before it returns
// os.ErrDeadlineExceeded. All inputs of this tree use it.
const ReadTimeout = 100 * time.Millisecond

// Discarder is a Lane that may hold more packets after an error of Read. They are
// part of Given and cannot be read.
type Discarder interface {
	// Discard throws away what the lane holds, and returns the number of packets:
	// each has the outcome lane_failed. After an error the goroutine that called Read
	// calls Discard instead, until it returns an error: io.EOF at the end, or the
	// reason why it cannot go on. As with Read, os.ErrDeadlineExceeded is not such an
	// error.
	Discard() (n int, err error)
}

// Shrinker is a Lane whose packets point into a mapped file. If the file becomes
// shorter, touching them faults.
type Shrinker interface {
	// Shrunk abandons the file that the packets of the last Read belong to, for all
	// lanes. The lane's reader calls it after a fault (see IsFault), once it has
	// counted the packets that it did not reach as file_shrank. It calls Read next.
	Shrunk()
}

// IsFault reports whether a recovered value comes from touching bytes that a mapped
// file no longer has. While debug.SetPanicOnFault is on, no other panic has an
// address.
func IsFault(recovered any) bool {
	_, is := recovered.(interface{ Addr() uintptr })
	return is
}

// KernelCounter is a Source that knows what became of frames before they reached a
// lane. The kernel ledger of a live source without it, or without hooks, has unknown
// numbers only.
type KernelCounter interface {
	// Kernel returns counters, cumulative since the source was opened. It may be
	// called at any time before Free, from any goroutine.
	Kernel() (KernelStats, error)
}

// Freer is a Source that still holds resources after Close.
type Freer interface {
	// Free releases them. It is called once, last of all: after Close, after all
	// lanes have ended, and after the counters were read for the last time.
	Free() error
}

// Drainer is a Source whose input ends by itself, so that it can be interrupted more
// gently than by Close.
type Drainer interface {
	// Drain is called instead of Close at the first signal, perhaps several times. It
	// stops reading inputs that can be read again, and lets pipes run to their end;
	// Close ends pipes, too.
	Drain()
	// Delivering reports, after Drain, whether a pipe may still deliver something.
	// The sensor waits for it, up to the grace time.
	Delivering() bool
	// Unread lists the inputs that were not read to their end. It is called when all
	// lanes have ended; if the list is not empty, the exit status is 3.
	Unread() []Unread
}

// Unread is an input that was not read to its end because of an interrupt. An input
// that cannot be read to its end is an error instead.
type Unread struct {
	Path         string  // "-": the standard input
	Begun        bool    // false: nothing of it was read
	Offset       int64   // all before it was read
	Decompressed bool    // Offset counts in the decompressed data
	Share        float64 // of the file that was read, 0 to 1; valid if Known
	Known        bool
	Pipe         bool // it had not ended
}

// Progressor is a Source that knows how much of its input has been read.
type Progressor interface {
	// Progress is the share that the slowest lane has read, 0 to 1. It is called
	// twice a second, from any goroutine, to show it on a terminal.
	Progress() (share float64, known bool)
}

// InterfaceNamer is a Source that can name the Interface of its packets.
type InterfaceNamer interface {
	// InterfaceName returns the name that the interface had at a time, given in
	// nanoseconds since the Unix epoch, or "" if it is unknown. Outputs call it for
	// each record that names interfaces, also for records of earlier runs, from any
	// goroutine, and until the end.
	InterfaceName(number uint32, at int64) string
}

// KernelStats is what the kernel has counted, one ledger for each hook.
type KernelStats struct {
	Hooks []HookStats
}

// HookStats is what one hook, a point where frames are seen, has counted.
type HookStats struct {
	Hook     string // such as "xdp", "tc ingress", "tc egress"
	Filtered bool   // it counts only what a filter in the kernel has passed, not all frames
	Counters []Counter
}

// Counter is one number of a hook.
type Counter struct {
	Name  string // in ledgers and metrics
	Kind  CounterKind
	Value uint64
	Known bool // false: this input cannot tell, and Value means nothing
}

// CounterKind says what a counter means in a ledger. At a hook that counts what
// comes in, each frame has exactly one outcome.
type CounterKind uint8

// The kinds.
const (
	CountsIn         CounterKind = iota // frames that the hook saw
	CountsSkipped                       // outcome: not wanted
	CountsLost                          // outcome: wanted, and not delivered
	CountsDelivered                     // outcome: held ready for a lane
	CountsMeter                         // a meter: a number beside the ledger
	CountsIncomplete                    // a meter of losses: frames that were given without their ends
)

// Kernel returns a source's counters, and none if it is no KernelCounter.
func Kernel(s Source) (KernelStats, error) {
	if k, ok := s.(KernelCounter); ok {
		return k.Kernel()
	}
	return KernelStats{}, nil
}
