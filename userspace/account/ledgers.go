package account

// Columns of the packet counters in user space: outcomes first, then the level
// PacketHeld, then meters.
const (
	UDPMessage        Column = iota // a whole UDP datagram, handed on as a message
	FragmentUsed                    // became part of a reassembled datagram, handed on as a message
	FragmentCut                     // its datagram was never completed; its beginning was handed on as a message
	FragmentExpired                 // its datagram was never completed, and no message begins in the fragments that came
	FragmentOverflow                // no room: bytes, datagrams, or fragments per datagram
	FragmentOverlap                 // brought nothing new (IPv4), or was discarded with a datagram whose fragments overlap (IPv6)
	WholeMessage                    // no packet: a message, or a dnstap frame with one, that the source brought whole, handed on
	TCPUsed                         // its payload was read by a stream
	TCPNoData                       // no payload, or no new payload
	TCPExpired                      // no message begins in it, and the bytes before it are missing
	TCPOverflow                     // no room
	PacketMalformed                 // headers that contradict themselves or the length
	NotDNS                          // neither port is watched
	SampledOut                      // not chosen by the sampling in user space (files, messages)
	Duplicate                       // seen before, within the window
	NestedTooDeep                   // more tunnels, tags, labels or extension headers than the decoder follows
	UnknownLink                     // unknown link type
	FrameUnselected                 // dnstap: not of the types that are wanted
	FrameBroken                     // dnstap: no protobuf, or a field of a wrong kind
	FrameNotMessage                 // dnstap: no Message in it, or one without a type
	FrameEmpty                      // dnstap: it does not carry the DNS message that its type names
	FileShrank                      // its file was truncated before it was read
	LaneFailed                      // its lane had ended with an error
	PacketHeld                      // level: fragments and segments waiting
	PacketBytes                     // meter: bytes of frames read
	PacketCut                       // meter: frames cut by the capture
	StreamGaps                      // meter: gaps in TCP streams that were skipped
	StreamGapBytes                  // meter: bytes missing in those gaps, and bytes skipped up to the next message
	DuplicateEarly                  // meter: packets forgotten within the window: at most as many duplicates were missed
	FrameOther                      // meter: dnstap: messages beside the one that their frame's type names (--dnstapboth)
	FrameWrongAddress               // meter: dnstap: addresses of neither 4 nor 16 bytes, left out
	FrameWrongPort                  // meter: dnstap: ports above 65535, left out
	FrameWrongTime                  // meter: dnstap: times that cannot be, left out
)

// NewPacketCounters makes the counters of packets in user space.
func NewPacketCounters() *Counters {
	return NewCounters([]string{
		UDPMessage: "udp_message", FragmentUsed: "fragment_used", FragmentCut: "fragment_cut", FragmentExpired: "fragment_expired",
		FragmentOverflow: "fragment_overflow", FragmentOverlap: "fragment_overlap", WholeMessage: "whole_message", TCPUsed: "tcp_used", TCPNoData: "tcp_no_data",
		TCPExpired: "tcp_expired", TCPOverflow: "tcp_overflow", PacketMalformed: "malformed", NotDNS: "not_dns",
		SampledOut: "sampled_out", Duplicate: "duplicate", NestedTooDeep: "nested_too_deep", UnknownLink: "unknown_link",
		FrameUnselected: "frame_unselected", FrameBroken: "frame_broken", FrameNotMessage: "frame_not_message", FrameEmpty: "frame_empty",
		FileShrank: "file_shrank", LaneFailed: "lane_failed", PacketHeld: "held", PacketBytes: "bytes", PacketCut: "cut", StreamGaps: "stream_gaps",
		StreamGapBytes: "stream_gap_bytes", DuplicateEarly: "duplicate_early", FrameOther: "frame_other", FrameWrongAddress: "frame_wrong_address",
		FrameWrongPort: "frame_wrong_port", FrameWrongTime: "frame_wrong_time",
	}, LaneFailed)
}

// PacketLedger reads packet counters. given is called last: it returns how many
// packets the sources gave.
func PacketLedger(c *Counters, given func() uint64) Ledger {
	l := Ledger{Name: "packet", Outcomes: c.Lines(UDPMessage, PacketHeld), Held: c.Sum(PacketHeld),
		Meters: c.Lines(PacketBytes, FrameWrongTime+1)}
	l.In = given()
	return l
}

// Columns of the message counters.
const (
	MessageEvent      Column = iota // became an event
	MessageUnreadable               // too short for a DNS header, or longer than DNS allows
	MessageDropped                  // malformed, and --malformed=drop
	MessageIn                       // counted by the step that found the message
	MessageMalformed                // meter: events marked Malformed
)

// NewMessageCounters makes the counters of DNS messages.
func NewMessageCounters() *Counters {
	return NewCounters([]string{
		MessageEvent: "event", MessageUnreadable: "unreadable", MessageDropped: "malformed_dropped", MessageIn: "in",
		MessageMalformed: "malformed",
	})
}

// MessageLedger reads message counters.
func MessageLedger(c *Counters) Ledger {
	l := Ledger{Name: "message", Outcomes: c.Lines(MessageEvent, MessageIn),
		Meters: c.Lines(MessageMalformed, MessageMalformed+1)}
	l.In = c.Sum(MessageIn)
	return l
}

// Columns of the counters of a stage between workers and outputs.
const (
	StagePassed  Column = iota // handed on, counted by the chain of stages
	StageDropped               // dropped by the stage
	StageHeld                  // level: events waiting in the stage
	StageMade                  // meter: events that the stage made itself
)

// NewStageCounters makes the counters of one stage.
func NewStageCounters() *Counters {
	return NewCounters([]string{StagePassed: "passed", StageDropped: "dropped", StageHeld: "held", StageMade: "made"})
}

// StageLedger reads a stage's counters. given is called last: it returns how many
// events the worker or the stage before handed on. Events that the stage made came
// in too.
func StageLedger(stage string, c *Counters, given func() uint64) Ledger {
	l := Ledger{Name: "stage", Label: stage, Outcomes: c.Lines(StagePassed, StageHeld), Held: c.Sum(StageHeld),
		Meters: c.Lines(StageMade, StageMade+1)}
	l.In = c.Sum(StageMade) + given()
	return l
}

// Columns of the counters of a limit to a number of records, between workers or stages
// and outputs.
const (
	WithinCount Column = iota // offered to the outputs
	BeyondCount               // came after the last record that was asked for
)

// NewLimitCounters makes the counters of a limit.
func NewLimitCounters() *Counters {
	return NewCounters([]string{WithinCount: "passed", BeyondCount: "beyond_count"})
}

// LimitLedger reads the counters of a limit. given is called last: it returns how many
// events the worker or the last stage handed on.
func LimitLedger(c *Counters, given func() uint64) Ledger {
	l := Ledger{Name: "limit", Outcomes: c.Lines(WithinCount, BeyondCount+1)}
	l.In = given()
	return l
}

// Columns of the delivery counters of an output.
const (
	Delivered        Column = iota // the destination has acknowledged
	Skipped                        // the output's domain filter
	Refused                        // the destination will never take it
	QueueFull                      // the source is live, and the destination slower than the traffic
	SpoolEvicted                   // in the oldest blocks, deleted to make room for newer ones
	SpoolDamaged                   // were on disk and can no longer be read
	SpoolUnreadable                // on disk, in blocks that only another build can read: set aside for that
	Abandoned                      // still here at the end of the grace time
	DeliveryHeld                   // level: in open blocks, in the queue and on disk
	Recovered                      // meter: came in from the spool, left by an earlier run
	Retries                        // meter: attempts that failed and were repeated
	Blocks                         // meter: blocks acknowledged
	OutBytes                       // meter: bytes of acknowledged blocks
	SetAside                       // meter: damaged places of the spool
	UnreadableBlocks               // meter: blocks of the spool that only another build can read
)

// NewDeliveryCounters makes the counters of one output.
func NewDeliveryCounters() *Counters {
	return NewCounters([]string{
		Delivered: "delivered", Skipped: "skipped", Refused: "refused", QueueFull: "queue_full", SpoolEvicted: "spool_evicted",
		SpoolDamaged: "spool_damaged", SpoolUnreadable: "spool_unreadable", Abandoned: "abandoned", DeliveryHeld: "held", Recovered: "recovered", Retries: "retries",
		Blocks: "blocks", OutBytes: "bytes", SetAside: "set_aside", UnreadableBlocks: "unreadable_blocks",
	}, Refused, QueueFull, SpoolEvicted, SpoolDamaged, SpoolUnreadable, Abandoned)
}

// DeliveryLedger reads an output's counters. offered is called last: it returns how
// many events the lanes offered. What the spool held at the start came in too.
func DeliveryLedger(output string, c *Counters, offered func() uint64) Ledger {
	l := Ledger{Name: "delivery", Label: output, Outcomes: c.Lines(Delivered, DeliveryHeld),
		Held: c.Sum(DeliveryHeld), Meters: c.Lines(Recovered, UnreadableBlocks+1)}
	l.In = c.Sum(Recovered) + offered()
	return l
}
