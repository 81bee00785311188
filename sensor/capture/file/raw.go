package file

import "dnsmonster-sensor/userspace/packet"

// rawFormat reads a file with link type Ethernet whose packets start with the IP header
// nevertheless.
type rawFormat struct{ format }

func (f rawFormat) record(data []byte, off int, p *packet.Packet) (int, error) {
	next, err := f.format.record(data, off, p)
	if p.Link == packet.LinkEthernet {
		p.Link = packet.LinkRaw
	}
	return next, err
}

// asRaw applies Options.Raw to a format.
func asRaw(f format, raw bool) format {
	if raw {
		return rawFormat{f}
	}
	return f
}
