package worker

import (
	"dnsmonster-sensor/userspace/decode"
	"dnsmonster-sensor/userspace/dedup"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// isDuplicate reports whether the payload of n packets was seen before. It is not for
// segments without payload: streams ignore duplicates of those.
func (w *Worker) isDuplicate(p *packet.Packet, l *decode.Layers, found decode.Found, n uint32, cut bool) bool {
	s := &w.sighting
	*s = dedup.Packet{
		Src: l.Src, Dst: l.Dst, SrcPort: l.SrcPort, DstPort: l.DstPort, Proto: uint8(event.UDP), Data: l.Payload, Time: p.Time,
	}
	if len(l.Src) == 4 {
		s.ID = uint16(l.ID)
	}
	if found == decode.FoundTCP {
		s.Proto, s.Seq = uint8(event.TCP), l.Seq
		return len(l.Payload) > 0 && w.dedup.Seen(s)
	}
	if !cut && w.dedup.Seen(s) {
		return true
	}
	if !cut && n == 1 {
		return false
	}
	// If one mirror port lost a fragment and another did not, the same datagram is a
	// beginning from one and whole from the other: they share the IP ID and the
	// header of the message.
	s.Proto, s.Seq, s.Data = beginningProto, l.ID, l.Payload[:min(dns.HeaderLen, len(l.Payload))]
	return w.dedup.Seen(s) && cut
}

// beginningProto tells beginnings apart from whole packets.
const beginningProto = 0xff
