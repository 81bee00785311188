package account

// Columns of the packet book in user space: outcomes first, then the level of
// what is held, then meters.
const (
	UDPMessage       Column = iota // a whole UDP datagram, handed on as a message
	FragmentUsed                   // became part of a reassembled datagram, handed on as a message
	FragmentCut                    // its datagram was never completed; the beginning was handed on as a message
	FragmentExpired                // its datagram was never completed, and no message begins in what there is
	FragmentOverflow               // no room: bytes, datagrams, or fragments per datagram
	FragmentOverlap                // brought nothing new (IPv4), or thrown away with a datagram whose fragments overlap (IPv6)
	WholeMessage                   // no packet: a message that the source brought whole, handed on
	TCPUsed                        // payload read by a stream
	TCPNoData                      // no payload, or none that is new
	TCPExpired                     // no message begins in it, and what came before it is missing
	TCPOverflow                    // no room
	PacketMalformed                // headers that contradict themselves or the length
	NotDNS                         // neither port is one that is watched
	SampledOut                     // left out in user space (files, messages)
	Duplicate                      // seen before, within the window
	NestedTooDeep                  // more tunnels, tags, labels or extension headers than are followed
	UnknownLink                    // a link type that is not known
	FileShrank                     // its file became shorter before it was read
	LaneFailed                     // its lane had ended with an error
	PacketHeld                     // level: fragments and segments waiting
	PacketBytes                    // meter: bytes of frames read
	PacketCut                      // meter: frames that the capture cut
	StreamGaps                     // meter: holes in TCP streams that were skipped
	StreamGapBytes                 // meter: bytes missing in those holes, and passed over up to the next message
	DuplicateEarly                 // meter: packets forgotten within the window: so many duplicates can have passed
)

// NewPacketBook makes the book of packets in user space.
func NewPacketBook() *Book {
	return NewBook([]string{
		UDPMessage: "udp_message", FragmentUsed: "fragment_used", FragmentCut: "fragment_cut", FragmentExpired: "fragment_expired",
		FragmentOverflow: "fragment_overflow", FragmentOverlap: "fragment_overlap", WholeMessage: "whole_message", TCPUsed: "tcp_used", TCPNoData: "tcp_no_data",
		TCPExpired: "tcp_expired", TCPOverflow: "tcp_overflow", PacketMalformed: "malformed", NotDNS: "not_dns",
		SampledOut: "sampled_out", Duplicate: "duplicate", NestedTooDeep: "nested_too_deep", UnknownLink: "unknown_link",
		FileShrank: "file_shrank", LaneFailed: "lane_failed", PacketHeld: "held", PacketBytes: "bytes", PacketCut: "cut", StreamGaps: "stream_gaps",
		StreamGapBytes: "stream_gap_bytes", DuplicateEarly: "duplicate_early",
	}, LaneFailed)
}

// PacketLedger reads the packet book. given is asked last: what the sources say
// they gave.
func PacketLedger(b *Book, given func() uint64) Ledger {
	l := Ledger{Name: "packet", Outcomes: b.Lines(UDPMessage, PacketHeld), Held: b.Sum(PacketHeld),
		Meters: b.Lines(PacketBytes, DuplicateEarly+1)}
	l.In = given()
	return l
}

// Columns of the message book.
const (
	MessageEvent      Column = iota // became an event
	MessageUnreadable               // too short for a DNS header, or longer than DNS allows
	MessageDropped                  // malformed, and --malformed=drop
	MessageIn                       // given by the step that found the message
	MessageMalformed                // meter: events marked Malformed
)

// NewMessageBook makes the book of DNS messages.
func NewMessageBook() *Book {
	return NewBook([]string{
		MessageEvent: "event", MessageUnreadable: "unreadable", MessageDropped: "malformed_dropped", MessageIn: "in",
		MessageMalformed: "malformed",
	})
}

// MessageLedger reads the message book.
func MessageLedger(b *Book) Ledger {
	l := Ledger{Name: "message", Outcomes: b.Lines(MessageEvent, MessageIn),
		Meters: b.Lines(MessageMalformed, MessageMalformed+1)}
	l.In = b.Sum(MessageIn)
	return l
}

// Columns of the book of a stage between workers and outputs.
const (
	StagePassed  Column = iota // handed on, counted by the chain of stages
	StageDropped               // left out by the stage
	StageHeld                  // level: events that wait in the stage
	StageMade                  // came in beside what the stage was given
)

// NewStageBook makes one stage's book.
func NewStageBook() *Book {
	return NewBook([]string{StagePassed: "passed", StageDropped: "dropped", StageHeld: "held", StageMade: "made"})
}

// StageLedger reads a stage's book. given is asked last: what the worker or the
// stage before it says it handed on. What the stage has made came in too.
func StageLedger(stage string, b *Book, given func() uint64) Ledger {
	l := Ledger{Name: "stage", Label: stage, Outcomes: b.Lines(StagePassed, StageHeld), Held: b.Sum(StageHeld),
		Meters: b.Lines(StageMade, StageMade+1)}
	l.In = b.Sum(StageMade) + given()
	return l
}

// Columns of an output's delivery book.
const (
	Delivered        Column = iota // the destination has acknowledged
	Skipped                        // the output's domain filter
	Refused                        // the destination will never take it
	QueueFull                      // live, and the destination is slower than the traffic
	SpoolEvicted                   // oldest blocks, thrown away for newer ones
	SpoolDamaged                   // were on disk and cannot be read any more
	SpoolUnreadable                // on disk, in blocks that only another build can read: set aside for it
	Abandoned                      // still here when the grace time of the stop was over
	DeliveryHeld                   // level: in open blocks, in the queue and on disk
	Recovered                      // came in from the disk at start, left by an earlier run
	Retries                        // meter: attempts that failed and were repeated
	Blocks                         // meter: blocks acknowledged
	OutBytes                       // meter: bytes of acknowledged blocks
	SetAside                       // meter: damaged places of the spool
	UnreadableBlocks               // meter: blocks of the spool that only another build can read
)

// NewDeliveryBook makes one output's book.
func NewDeliveryBook() *Book {
	return NewBook([]string{
		Delivered: "delivered", Skipped: "skipped", Refused: "refused", QueueFull: "queue_full", SpoolEvicted: "spool_evicted",
		SpoolDamaged: "spool_damaged", SpoolUnreadable: "spool_unreadable", Abandoned: "abandoned", DeliveryHeld: "held", Recovered: "recovered", Retries: "retries",
		Blocks: "blocks", OutBytes: "bytes", SetAside: "set_aside", UnreadableBlocks: "unreadable_blocks",
	}, Refused, QueueFull, SpoolEvicted, SpoolDamaged, SpoolUnreadable, Abandoned)
}

// DeliveryLedger reads an output's book. offered is asked last: what the
// workers say they offered. What the disk held at start came in too.
func DeliveryLedger(output string, b *Book, offered func() uint64) Ledger {
	l := Ledger{Name: "delivery", Label: output, Outcomes: b.Lines(Delivered, DeliveryHeld),
		Held: b.Sum(DeliveryHeld), Meters: b.Lines(Recovered, UnreadableBlocks+1)}
	l.In = b.Sum(Recovered) + offered()
	return l
}
