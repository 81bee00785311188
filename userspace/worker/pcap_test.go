package worker

import (
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/userspace/packet"
)

// readCapture reads the packets of a capture file.
func readCapture(file []byte) (list []packet.Packet, err error) {
	frames, err := packets.Read(file)
	for _, f := range frames {
		list = append(list, packet.Packet{Data: f.Data, WireLen: f.WireLen, Link: packet.LinkType(f.Link), Interface: f.Interface, Time: f.Time})
	}
	return list, err
}
