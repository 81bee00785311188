package worker

import (
	"dnsmonster-sensor/userspace/decode"
	"dnsmonster-sensor/userspace/dedup"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// seen reports whether what n packets carry was seen before. Segments without
// payload are not asked for: streams ignore them if need be.
func (w *Worker) seen(p *packet.Packet, l *decode.Layers, found decode.Found, n uint32, cut bool) bool {
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
	// One mirror port can have lost a fragment that the other one has, so that the
	// same datagram is whole here and a beginning there: they share the number of
	// the fragments and the message's header.
	s.Proto, s.Seq, s.Data = beginningProto, l.ID, l.Payload[:min(dns.HeaderLen, len(l.Payload))]
	return w.dedup.Seen(s) && cut
}

// beginningProto sets sightings of beginnings apart from those of whole packets.
const beginningProto = 0xff
