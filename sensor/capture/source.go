// Package capture brings packets in: from the kernel's rings, and from capture
// files. A source has lanes; each lane is read by one worker.
package capture

import "dnsmonster-sensor/userspace/packet"

// Source is where packets come from.
type Source interface {
	// Lanes returns the lanes, always the same ones.
	Lanes() []Lane
	// Live tells what to do when an output cannot follow: behind a live source
	// events are dropped and counted, behind any other everybody waits.
	Live() bool
	// Kernel returns the kernel's counters, cumulative since the source was
	// opened.
	Kernel() (KernelStats, error)
	// Given is the number of packets that the source says it has handed to its
	// lanes' readers, or holds ready for them.
	Given() uint64
	// Err tells what went wrong while reading, nil so far. It does not end the
	// lanes by itself: what could be read is delivered first.
	Err() error
	// Close detaches. The lanes then give what the kernel still holds, and
	// io.EOF.
	Close() error
}

// Lane is one worker's share of a source. TCP segments and fragments between the
// same two addresses stay on one lane, in their order. So does a whole UDP
// datagram, by the symmetric 5-tuple, where the kernel or the reader of a stream
// assigns it; of a mapped file it comes on any lane, unless duplicates have to
// meet.
type Lane interface {
	// Read fills b with at least one packet. It returns io.EOF at the end, and
	// os.ErrDeadlineExceeded where nothing came for a while: time to expire old
	// state. The packets are valid until the next Read.
	Read(b *packet.Batch) error
}

// KernelStats is the kernel's side of the books, one ledger for each hook.
type KernelStats struct {
	Hooks []HookStats
}

// HookStats counts the frames that one hook saw. Every frame has one outcome.
type HookStats struct {
	Hook       string // "xdp", "tc ingress", "tc egress"
	Seen       uint64
	NotDNS     uint64 // not UDP or TCP of a watched port
	SampledOut uint64
	FragQuota  uint64 // a later fragment of an unknown datagram, beyond the quota
	RingFull   uint64
	CopyFailed uint64
	Delivered  uint64 // is in the ring
	Bytes      uint64 // meter: of delivered frames, on the wire
	Cut        uint64 // meter: delivered frames that the snap length cut
	Overlong   uint64 // meter: delivered frames that were cut because no record holds them
	Opaque     uint64 // meter: tunnels delivered because only user space can look inside
}
