package format

import (
	"encoding/binary"
	"iter"

	"dnsmonster-sensor/test/packets"
)

// udpPayloads yields the payloads of whole UDP packets from or to port 53 in a capture
// file of Ethernet or raw IP. It skips fragments, tags and tunnels.
func udpPayloads(file []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		frames, _ := packets.Read(file) // the folder may have other files
		for _, f := range frames {
			if p := udpPayload(ipPacket(f.Link, f.Data)); p != nil && !yield(p) {
				return
			}
		}
	}
}

func ipPacket(link uint32, frame []byte) []byte {
	switch {
	case link == 101:
		return frame
	case link == 1 && len(frame) > 14 && (frame[12] == 8 && frame[13] == 0 || frame[12] == 0x86 && frame[13] == 0xdd):
		return frame[14:]
	}
	return nil
}

func udpPayload(ip []byte) []byte {
	var udp []byte
	switch {
	case len(ip) >= 20 && ip[0]>>4 == 4 && ip[9] == 17 && binary.BigEndian.Uint16(ip[6:])&0x3fff == 0:
		if h := int(ip[0]&15) * 4; h <= len(ip) {
			udp = ip[h:]
		}
	case len(ip) >= 40 && ip[0]>>4 == 6 && ip[6] == 17:
		udp = ip[40:]
	}
	if len(udp) < 8 || binary.BigEndian.Uint16(udp) != 53 && binary.BigEndian.Uint16(udp[2:]) != 53 {
		return nil
	}
	n := int(binary.BigEndian.Uint16(udp[4:]))
	if n < 8 || n > len(udp) {
		return nil
	}
	return udp[8:n]
}
