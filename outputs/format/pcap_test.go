package format

import (
	"encoding/binary"
	"iter"
)

// udpPayloads yields the payloads of whole UDP packets from or to port 53 in a pcap or
// pcapng file of Ethernet or raw IP. It skips fragments, tags and tunnels.
func udpPayloads(file []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for link, frame := range frames(file) {
			if p := udpPayload(ipPacket(link, frame)); p != nil && !yield(p) {
				return
			}
		}
	}
}

func frames(file []byte) iter.Seq2[uint32, []byte] {
	if len(file) >= 28 && file[0] == 0x0a {
		return pcapngFrames(file)
	}
	return pcapFrames(file)
}

func pcapFrames(file []byte) iter.Seq2[uint32, []byte] {
	return func(yield func(uint32, []byte) bool) {
		var order binary.ByteOrder = binary.LittleEndian
		if len(file) < 24 {
			return
		}
		if file[0] == 0xa1 {
			order = binary.BigEndian
		}
		link := order.Uint32(file[20:]) & 0xffff
		for rest := file[24:]; len(rest) >= 16; {
			n := int(order.Uint32(rest[8:]))
			if n > len(rest)-16 || !yield(link, rest[16:16+n]) {
				return
			}
			rest = rest[16+n:]
		}
	}
}

// pcapngFrames reads little-endian files with one link type.
func pcapngFrames(file []byte) iter.Seq2[uint32, []byte] {
	return func(yield func(uint32, []byte) bool) {
		le := binary.LittleEndian
		link := uint32(0)
		for len(file) >= 32 {
			kind, n := le.Uint32(file), int(le.Uint32(file[4:]))
			if n < 12 || n > len(file) {
				return
			}
			switch kind {
			case 1: // interface description
				link = uint32(le.Uint16(file[8:]))
			case 6: // enhanced packet
				if !yield(link, file[28:28+min(int(le.Uint32(file[20:])), n-32)]) {
					return
				}
			}
			file = file[n:]
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
