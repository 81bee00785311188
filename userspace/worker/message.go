package worker

import (
	"net/netip"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/decode"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
	"dnsmonster-sensor/userspace/tcp"
)

// datagram handles a UDP payload. It is one message, or several if the kernel has merged
// datagrams of equal size into one packet (UDP GSO and GRO).
func (w *Worker) datagram(p *packet.Packet, l *decode.Layers, reassembled bool) {
	e := &w.event
	// Field by field: a literal would be built elsewhere and copied, and the copy would
	// wait for the many small stores before it.
	e.Time = p.Time
	e.Src = netip.AddrPortFrom(addr(l.Src), l.SrcPort)
	e.Dst = netip.AddrPortFrom(addr(l.Dst), l.DstPort)
	e.Proto = event.UDP
	e.Direction = p.Direction
	e.Tunnel = l.Tunnel
	e.HasVLAN, e.VLAN = l.HasVLAN, l.VLAN
	e.Interface = p.Interface
	e.Sample = p.Sample
	w.maskAddrs()
	rest, missing := l.Payload, l.Missing
	if segment := int(p.Segment); segment > 0 && !reassembled {
		for len(rest) > segment {
			w.messages.Add(account.MessageIn, 1)
			w.message(rest[:segment], 0)
			rest = rest[segment:]
		}
		missing = min(missing, segment-len(rest)) // other missing bytes were in later datagrams
	}
	w.messages.Add(account.MessageIn, 1)
	w.message(rest, missing)
}

// streamMessage handles a message from a TCP stream.
func (w *Worker) streamMessage(m *tcp.Message) {
	o := &m.Origin
	w.event = event.Event{
		Time:      m.Time,
		Src:       m.Src,
		Dst:       m.Dst,
		Proto:     event.TCP,
		Direction: o.Direction,
		Tunnel:    o.Tunnel,
		HasVLAN:   o.HasVLAN,
		VLAN:      o.VLAN,
		Interface: o.Interface,
		Sample:    o.Sample,
	}
	w.maskAddrs()
	w.messages.Add(account.MessageIn, 1)
	w.message(m.Data, m.Missing)
}

// maxMessage is the longest DNS message: its length has two bytes on a stream.
const maxMessage = 1<<16 - 1

// Message handles a message that came without a packet, and calls emit for its event, as
// Packet does.
func (w *Worker) Message(m *packet.Message, emit func(*event.Event)) {
	w.packets.Add(account.PacketBytes, uint64(len(m.Data))+uint64(m.Missing))
	if m.Missing > 0 {
		w.packets.Add(account.PacketCut, 1)
	}
	w.emit = emit
	sample, kept := w.sample()
	if !kept {
		w.packets.Add(account.SampledOut, 1)
		return
	}
	w.wholeMessage(m, sample)
	w.packets.Add(account.WholeMessage, 1)
}

// sample decides about the next whole message.
func (w *Worker) sample() (ratio packet.Ratio, kept bool) {
	s := w.cfg.Sample
	if s == nil {
		return packet.Ratio{}, true
	}
	return s.ratio, s.next()
}

func (w *Worker) wholeMessage(m *packet.Message, sample packet.Ratio) {
	e := &w.event // field by field, as in datagram
	e.Time = m.When()
	e.QueryTime, e.ResponseTime = m.QueryTime, m.ResponseTime
	e.Src, e.Dst = withoutZone(m.Src), withoutZone(m.Dst)
	e.Proto = m.Proto
	e.Direction = m.Direction
	e.Tunnel, e.HasVLAN, e.VLAN = event.TunnelNone, false, 0
	e.Interface = m.Interface
	e.Sample = sample
	e.Identity, e.Version = m.Identity, m.Version
	e.Fields = m.Fields
	w.maskAddrs()
	w.messages.Add(account.MessageIn, 1)
	if uint64(len(m.Data))+uint64(m.Missing) > maxMessage {
		w.messages.Add(account.MessageUnreadable, 1)
	} else {
		w.message(m.Data, int(m.Missing))
	}
	// datagram does not set these.
	e.QueryTime, e.ResponseTime, e.Identity, e.Version, e.Fields = 0, 0, nil, nil, nil
}

func withoutZone(a netip.AddrPort) netip.AddrPort {
	if !a.Addr().Is6() {
		return a
	}
	return netip.AddrPortFrom(a.Addr().WithZone(""), a.Port())
}

// message handles a DNS message. missing is the number of bytes that were not captured.
// The event's other fields are set.
func (w *Worker) message(msg []byte, missing int) {
	w.halfRead = true
	w.messages.Add(w.read(msg, missing), 1)
	w.halfRead = false
}

// read emits the event of a message, and returns the outcome.
func (w *Worker) read(msg []byte, missing int) account.Column {
	e := &w.event
	if !dns.Read(msg, missing > 0, &e.DNS) {
		return account.MessageUnreadable
	}
	if w.cfg.DropMalformed && !writtenByDnsmonster(&e.DNS, msg) {
		return account.MessageDropped
	}
	if e.DNS.Malformed.Yes() {
		w.messages.Add(account.MessageMalformed, 1)
	}
	if w.cfg.MaskECS && w.cfg.Mask != nil {
		var changed bool
		if w.masked, changed = w.cfg.Mask.AppendMasked(w.masked[:0], msg); changed {
			msg = w.masked
		}
	}
	e.Message, e.CaptureCut = msg, uint32(missing)
	w.emit(e)
	return account.MessageEvent
}

// writtenByDnsmonster reports whether dnsmonster writes the message: its library accepts
// it, and it has a question: dnsmonster writes a record for each.
func writtenByDnsmonster(s *dns.Summary, msg []byte) bool {
	return s.QDCount > 0 && len(msg) > dns.HeaderLen && s.Accepted(msg)
}

// maskAddrs masks the event's addresses.
func (w *Worker) maskAddrs() {
	if m := w.cfg.Mask; m != nil {
		w.event.Src, w.event.Dst = m.AddrPort(w.event.Src), m.AddrPort(w.event.Dst)
	}
}

func addr(b []byte) netip.Addr {
	if len(b) == 4 {
		return netip.AddrFrom4([4]byte(b))
	}
	return netip.AddrFrom16([16]byte(b))
}
