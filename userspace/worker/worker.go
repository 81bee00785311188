// Package worker takes each packet of one lane all the way to events. It knows
// every step in between; the steps do not know each other.
package worker

import (
	"net/netip"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/decode"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// Ports is the set of ports that carry DNS.
type Ports [1024]uint64

// Add puts a port into the set.
func (s *Ports) Add(port uint16) { s[port>>6] |= 1 << (port & 63) }

// Has reports whether a port is in the set.
func (s *Ports) Has(port uint16) bool { return s[port>>6]&(1<<(port&63)) != 0 }

// Config is what all workers of a run share.
type Config struct {
	Ports *Ports
}

// Worker serves one lane. It is for one goroutine.
type Worker struct {
	cfg      Config
	packets  *account.Page
	messages *account.Page
	layers   decode.Layers
	event    event.Event
	halfRead bool // a message has come in and its outcome is not known yet
}

// New makes a worker that keeps its books on the given pages.
func New(cfg Config, packets, messages *account.Page) *Worker {
	return &Worker{cfg: cfg, packets: packets, messages: messages}
}

// Packet takes one packet and calls emit for each event that it completes. The
// event is borrowed, and valid during the call.
func (w *Worker) Packet(p *packet.Packet, emit func(*event.Event)) {
	w.packets.Add(account.PacketBytes, uint64(p.WireLen))
	if p.Cut() > 0 {
		w.packets.Add(account.PacketCut, 1)
	}
	w.packets.Add(w.handle(p, emit), 1)
}

// Lost closes the books over n packets of a batch, the first of which may have
// been half done when its bytes went away (a mapped file that became shorter).
func (w *Worker) Lost(n int) {
	w.packets.Add(account.FileShrank, uint64(n))
	if w.halfRead {
		w.messages.Add(account.MessageUnreadable, 1)
		w.halfRead = false
	}
}

// Publish shows the books to readers. Call it once per batch.
func (w *Worker) Publish() {
	w.packets.Publish()
	w.messages.Publish()
}

// handle returns the packet's outcome.
func (w *Worker) handle(p *packet.Packet, emit func(*event.Event)) account.Column {
	l := &w.layers
	switch decode.Decode(p, l) {
	case decode.FoundUDP:
		if !w.watched(l) {
			return account.NotDNS
		}
		w.datagram(p, l, emit)
		return account.UDPMessage
	case decode.FoundTCP:
		if !w.watched(l) {
			return account.NotDNS
		}
		return account.NotYetRead
	case decode.FoundFragment, decode.FoundUnread:
		return account.NotYetRead
	case decode.FoundBad:
		return account.PacketMalformed
	}
	return account.NotDNS
}

func (w *Worker) watched(l *decode.Layers) bool {
	return w.cfg.Ports.Has(l.SrcPort) || w.cfg.Ports.Has(l.DstPort)
}

// datagram hands on a UDP payload: one message, or several where the kernel
// shows a train of equal datagrams as one packet (UDP GSO and GRO).
func (w *Worker) datagram(p *packet.Packet, l *decode.Layers, emit func(*event.Event)) {
	e := &w.event
	*e = event.Event{
		Time:      p.Time,
		Src:       netip.AddrPortFrom(addr(l.Src), l.SrcPort),
		Dst:       netip.AddrPortFrom(addr(l.Dst), l.DstPort),
		Proto:     event.UDP,
		Direction: p.Direction,
		HasVLAN:   l.HasVLAN,
		VLAN:      l.VLAN,
		Interface: p.Interface,
		Sample:    p.Sample,
	}
	rest, segment := l.Payload, int(p.Segment)
	for segment > 0 && len(rest) > segment {
		w.messages.Add(account.MessageIn, 1)
		w.message(rest[:segment], 0, emit)
		rest = rest[segment:]
	}
	w.messages.Add(account.MessageIn, 1)
	w.message(rest, l.Missing, emit)
}

// message takes one DNS message, of which missing bytes were not captured. The
// event's other fields are set.
func (w *Worker) message(msg []byte, missing int, emit func(*event.Event)) {
	w.halfRead = true
	w.messages.Add(w.read(msg, missing, emit), 1)
	w.halfRead = false
}

// read returns the message's outcome.
func (w *Worker) read(msg []byte, missing int, emit func(*event.Event)) account.Column {
	e := &w.event
	if !dns.Read(msg, missing > 0, &e.DNS) {
		return account.MessageUnreadable
	}
	e.Message, e.CaptureCut = msg, uint32(missing)
	if e.DNS.Malformed.Yes() {
		w.messages.Add(account.MessageMalformed, 1)
	}
	emit(e)
	return account.MessageEvent
}

func addr(b []byte) netip.Addr {
	if len(b) == 4 {
		return netip.AddrFrom4([4]byte(b))
	}
	return netip.AddrFrom16([16]byte(b))
}
