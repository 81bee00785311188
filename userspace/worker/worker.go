// Package worker turns the packets of one lane into events.
//
// In: packets, and whole DNS messages. Out: events, and the outcome of each packet and
// message in its ledger. It knows every step in between (decode, defrag, tcp, dedup,
// dns, mask); the steps do not know each other. It imports nothing outside userspace.
// Its tests make their own packets, read the captures in testdata, which make.sh there
// made from real servers, and compare with tshark's lists.
package worker

import (
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/clock"
	"dnsmonster-sensor/userspace/decode"
	"dnsmonster-sensor/userspace/dedup"
	"dnsmonster-sensor/userspace/defrag"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/mask"
	"dnsmonster-sensor/userspace/packet"
	"dnsmonster-sensor/userspace/tcp"
)

// Ports is the set of ports that carry DNS.
type Ports [1024]uint64

// Add puts a port into the set.
func (s *Ports) Add(port uint16) { s[port>>6] |= 1 << (port & 63) }

// Has reports whether a port is in the set.
func (s *Ports) Has(port uint16) bool { return s[port>>6]&(1<<(port&63)) != 0 }

// Config is shared by all workers of a run. Only Ports is required; the zero value of
// everything else is its default. Limits are per worker.
type Config struct {
	Ports         *Ports
	Decoder       *decode.Decoder // nil: tunnels on their usual ports
	Defrag        defrag.Config
	TCP           tcp.Config
	Dedup         *dedup.Config // nil: duplicates are not looked for
	Mask          *mask.Bits    // nil: addresses are not masked
	MaskECS       bool          // mask the client subnet in messages, too
	DropMalformed bool          // no events for messages that dnsmonster does not write
	Frames        FrameConfig   // of dnstap
	Sample        *Sampler      // shared by the workers of one source; nil: no sampling here
}

// maxReassemblies is how many times a reassembled datagram can be or contain a fragment
// again: once for each tunnel, and for the outermost datagram.
const maxReassemblies = 5

// Worker serves one lane. It is for one goroutine.
type Worker struct {
	cfg      Config
	decoder  *decode.Decoder
	defrag   *defrag.Table
	tcp      *tcp.Table
	dedup    *dedup.Table
	packets  *account.Shard
	messages *account.Shard
	clock    clock.Clock            // for the timeouts of defrag and tcp
	before   func(time int64) int64 // clock.Before, bound once: each time would allocate
	layers   decode.Layers
	resumed  decode.Layers // of the beginning of a datagram, since layers may be in use
	fragment defrag.Fragment
	segment  tcp.Segment
	sighting dedup.Packet
	event    event.Event
	masked   []byte             // the message with its client subnets masked
	frames   *frames            // what dnstap frames need; nil before the first one
	emit     func(*event.Event) // valid during a call
	halfRead bool               // a message was counted in, but has no outcome yet
}

// New makes a worker that counts in the given shards.
func New(cfg Config, packets, messages *account.Shard) *Worker {
	w := &Worker{cfg: cfg, decoder: cfg.Decoder, packets: packets, messages: messages}
	if w.decoder == nil {
		w.decoder = decode.NewDecoder(packet.UsualTunnelPorts(), cfg.Ports.Has)
	}
	w.before = w.clock.Before
	w.defrag = defrag.New(cfg.Defrag, packets, w.beginning)
	w.tcp = tcp.New(cfg.TCP, packets, w.streamMessage)
	if cfg.Dedup != nil {
		w.dedup = dedup.New(*cfg.Dedup)
	}
	return w
}

// Packet handles a packet and calls emit for each event that it completes. The event
// is valid during the call.
func (w *Worker) Packet(p *packet.Packet, emit func(*event.Event)) {
	w.packets.Add(account.PacketBytes, uint64(p.WireLen))
	if p.Cut() > 0 {
		w.packets.Add(account.PacketCut, 1)
	}
	w.emit = emit
	if p.Link == packet.LinkDnstap {
		w.packets.Add(w.frame(p), 1)
		return
	}
	if outcome, n := w.handle(p); outcome != account.PacketHeld {
		w.packets.Add(outcome, uint64(n))
	}
}

// Tick sets the time of a monotonic clock, in nanoseconds, and expires what has waited
// too long. It is for live sources. The first call must come before the first packet:
// from then on the times of packets do not matter for timeouts.
func (w *Worker) Tick(now int64, emit func(*event.Event)) {
	w.emit = emit
	w.clock.Set(now)
	w.expire()
}

// PacketTime notes the time of a packet or message of that interface, whatever it
// carried, and expires what has waited too long. Call it at the end of a batch that is
// in order: the worker itself notes only the times of fragments and segments.
func (w *Worker) PacketTime(iface uint32, time int64, emit func(*event.Event)) {
	w.emit = emit
	if w.clock.Observe(iface, time) {
		w.expire()
	}
}

func (w *Worker) expire() {
	w.defrag.Expire(w.before)
	w.tcp.Expire(w.before)
}

// Flush reads the messages that can be read in open streams, and expires everything
// that waits. Call it at the end of the input: nothing is held afterwards.
func (w *Worker) Flush(emit func(*event.Event)) {
	w.emit = emit
	w.defrag.Flush()
	w.tcp.Flush()
}

// Abandon gives an outcome to n packets that can no longer be handled. The first of them
// may have been half handled when its bytes became unreadable (a mapped file that was
// truncated).
func (w *Worker) Abandon(outcome account.Column, n int) {
	w.packets.Add(outcome, uint64(n))
	if w.halfRead {
		w.messages.Add(account.MessageUnreadable, 1)
		w.halfRead = false
	}
	w.event = event.Event{} // a message may have set fields that packets do not set
}

// SetMask replaces Config.Mask, from the next packet on. Call it between batches.
func (w *Worker) SetMask(m *mask.Bits) { w.cfg.Mask = m }

// Publish shows the counters to readers. Call it once per batch.
func (w *Worker) Publish() {
	w.packets.Set(account.PacketHeld, w.defrag.Held()+w.tcp.Held())
	if w.dedup != nil {
		w.packets.Set(account.DuplicateEarly, w.dedup.Early())
	}
	w.showTypes()
	w.packets.Publish()
	w.messages.Publish()
}

// handle returns an outcome and the number of packets that have it: this one, and those
// that had waited for it to complete a datagram.
func (w *Worker) handle(p *packet.Packet) (account.Column, uint32) {
	l, n := &w.layers, uint32(1)
	found := w.decoder.Decode(p, l)
	if found == decode.FoundFragment || found == decode.FoundTCP { // only these come in order
		if w.clock.Observe(p.Interface, p.Time) {
			w.expire()
		}
	}
	for range maxReassemblies {
		if found != decode.FoundFragment {
			return w.transport(p, l, found, n, false), n
		}
		d, outcome := w.defrag.Add(w.newFragment(p, n))
		if d == nil {
			return outcome, n
		}
		n = d.Packets
		l.Src, l.Dst = d.Src, d.Dst
		found = l.Reassembled(d.Proto, d.Data, d.Missing)
	}
	return account.NestedTooDeep, n
}

// newFragment describes the decoded fragment, which consists of n packets.
func (w *Worker) newFragment(p *packet.Packet, n uint32) *defrag.Fragment {
	l := &w.layers
	w.fragment = defrag.Fragment{
		Src: l.Src, Dst: l.Dst, Origin: origin(p, l), Depth: l.Depth, ID: l.ID, Proto: l.FragProto, More: l.FragMore, Offset: l.FragOffset,
		Data: l.Payload, Missing: l.Missing, Packets: n,
		Time: p.Time, InterfaceTime: w.clock.InterfaceTime(p.Time), Stamp: w.clock.Stamp(),
	}
	return &w.fragment
}

func origin(p *packet.Packet, l *decode.Layers) packet.Origin {
	return packet.Origin{
		Path: l.Path, Sample: p.Sample, Interface: p.Interface, VLAN: l.VLAN, HasVLAN: l.HasVLAN,
		Direction: p.Direction, Tunnel: l.Tunnel,
	}
}

// transport handles the UDP datagram or TCP segment that was decoded from n packets, and
// returns their outcome. cut says that they are the beginning of a datagram that was
// never completed.
func (w *Worker) transport(p *packet.Packet, l *decode.Layers, found decode.Found, n uint32, cut bool) account.Column {
	switch found {
	case decode.FoundUDP, decode.FoundTCP:
	case decode.FoundBad:
		return account.PacketMalformed
	case decode.FoundTooDeep:
		return account.NestedTooDeep
	case decode.FoundUnknownLink:
		return account.UnknownLink
	default:
		return account.NotDNS
	}
	if !w.cfg.Ports.Has(l.SrcPort) && !w.cfg.Ports.Has(l.DstPort) {
		return account.NotDNS
	}
	if w.cfg.Sample != nil && !w.cfg.Sample.keep(p, l, found == decode.FoundUDP && n == 1 && !cut) {
		return account.SampledOut
	}
	if w.dedup != nil && w.isDuplicate(p, l, found, n, cut) {
		return account.Duplicate
	}
	if found == decode.FoundTCP {
		return w.tcp.Add(w.newSegment(p, l, n))
	}
	w.datagram(p, l, n > 1)
	switch {
	case cut:
		return account.FragmentCut
	case n > 1:
		return account.FragmentUsed
	}
	return account.UDPMessage
}

// newSegment describes the decoded segment, which consists of n packets.
func (w *Worker) newSegment(p *packet.Packet, l *decode.Layers, n uint32) *tcp.Segment {
	w.segment = tcp.Segment{
		Src: l.Src, Dst: l.Dst, SrcPort: l.SrcPort, DstPort: l.DstPort, Origin: origin(p, l), Seq: l.Seq, Flags: l.TCPFlags,
		Data: l.Payload, Missing: l.Missing, Packets: n, Time: p.Time, InterfaceTime: w.clock.InterfaceTime(p.Time), Stamp: w.clock.Stamp(),
	}
	return &w.segment
}
