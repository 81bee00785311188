package worker

import (
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/decode"
	"dnsmonster-sensor/userspace/defrag"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/packet"
)

const flagsSYNandRST = 2 | 4

// beginning handles the beginning of a datagram that was never completed, and returns
// the outcome of its packets: why, the reason for which it was abandoned, if no message
// begins in it. It may be called while a packet is being handled.
func (w *Worker) beginning(d *defrag.Datagram, why account.Column) account.Column {
	l := &w.resumed
	p := packet.Packet{Time: d.Time, Interface: d.Origin.Interface, Sample: d.Origin.Sample, Direction: d.Origin.Direction}
	w.decoder.Resume(l, &d.Origin, d.Depth, d.ID, d.Src, d.Dst)
	found := l.Reassembled(d.Proto, d.Data, d.Missing)
	for range maxReassemblies {
		if found != decode.FoundFragment || l.FragOffset > 0 {
			break
		}
		// It is the beginning of another first fragment, whose other fragments are no
		// longer waited for.
		found = l.Reassembled(l.FragProto, l.Payload, max(1, l.Missing))
	}
	switch {
	case found == decode.FoundUDP && len(l.Payload) >= dns.HeaderLen:
	case found == decode.FoundTCP && len(l.Payload) > 0 && l.TCPFlags&flagsSYNandRST == 0:
		// Its flags are out of date.
		l.TCPFlags = 0
		if d.EndUnknown {
			l.Missing = 0 // the stream waits for the rest
		}
	default:
		return why
	}
	if c := w.transport(&p, l, found, d.Packets, true); c != account.NotDNS {
		return c
	}
	return why
}
