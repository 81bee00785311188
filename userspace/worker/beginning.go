package worker

import (
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/decode"
	"dnsmonster-sensor/userspace/defrag"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/packet"
)

const flagsSYNandRST = 2 | 4

// beginning takes the beginning of a datagram whose rest never came, and returns
// the outcome of its packets: the reason why it is given up where no message
// begins in it. It can be called while a packet is half handled.
func (w *Worker) beginning(d *defrag.Datagram, why account.Column) account.Column {
	l := &w.resumed
	p := packet.Packet{Time: d.Time, Interface: d.Origin.Interface, Sample: d.Origin.Sample, Direction: d.Origin.Direction}
	w.decoder.Resume(l, &d.Origin, d.Depth, d.ID, d.Src, d.Dst)
	found := l.Reassembled(d.Proto, d.Data, d.Missing)
	for range maxReassemblies {
		if found != decode.FoundFragment || l.FragOffset > 0 {
			break
		}
		// The beginning of what is itself a first fragment: its other fragments wait
		// for it no longer.
		found = l.Reassembled(l.FragProto, l.Payload, max(1, l.Missing))
	}
	switch {
	case found == decode.FoundUDP && len(l.Payload) >= dns.HeaderLen:
	case found == decode.FoundTCP && len(l.Payload) > 0 && l.TCPFlags&flagsSYNandRST == 0:
		// What it says of the connection is out of date.
		l.TCPFlags = 0
		if d.EndUnknown {
			l.Missing = 0 // a stream waits for what follows
		}
	default:
		return why
	}
	if c := w.whole(&p, l, found, d.Packets, true); c != account.NotDNS {
		return c
	}
	return why
}
