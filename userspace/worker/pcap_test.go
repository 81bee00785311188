package worker

import (
	"encoding/binary"
	"errors"

	"dnsmonster-sensor/userspace/packet"
)

// readCapture reads the packets of a pcap or pcapng file, with the features that the
// tests' captures have.
func readCapture(b []byte) ([]packet.Packet, error) {
	if len(b) < 24 {
		return nil, errors.New("not a capture file")
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch string(b[:4]) {
	case "\x0a\x0d\x0d\x0a":
		return readPcapng(b)
	case "\xa1\xb2\xc3\xd4":
		order = binary.BigEndian
	case "\xd4\xc3\xb2\xa1":
	default:
		return nil, errors.New("not a capture file")
	}
	link := packet.LinkType(order.Uint32(b[20:]))
	var out []packet.Packet
	for b = b[24:]; len(b) >= 16; {
		n := int(order.Uint32(b[8:]))
		if n > len(b)-16 {
			break
		}
		out = append(out, packet.Packet{
			Data: b[16 : 16+n], WireLen: order.Uint32(b[12:]), Link: link,
			Time: int64(order.Uint32(b))*1e9 + int64(order.Uint32(b[4:]))*1e3,
		})
		b = b[16+n:]
	}
	return out, nil
}

// readPcapng reads the enhanced packet blocks of little-endian files.
func readPcapng(b []byte) ([]packet.Packet, error) {
	order := binary.LittleEndian
	if order.Uint32(b[8:]) != 0x1a2b3c4d {
		return nil, errors.New("pcapng in another byte order")
	}
	type face struct {
		link packet.LinkType
		tick int64 // nanoseconds
	}
	var faces []face
	var out []packet.Packet
	for len(b) >= 12 {
		kind, n := order.Uint32(b), int(order.Uint32(b[4:]))
		if n < 12 || n > len(b) {
			break
		}
		body := b[8 : n-4]
		switch kind {
		case 1:
			f := face{packet.LinkType(order.Uint16(body)), 1000}
			for o := body[8:]; len(o) >= 4; {
				code, size := order.Uint16(o), int(order.Uint16(o[2:]))
				if code == 9 {
					f.tick = map[byte]int64{6: 1000, 9: 1}[o[4]]
				}
				o = o[min(len(o), 4+(size+3)&^3):]
			}
			faces = append(faces, f)
		case 6:
			i, size := order.Uint32(body), order.Uint32(body[12:])
			ticks := int64(order.Uint32(body[4:]))<<32 | int64(order.Uint32(body[8:]))
			out = append(out, packet.Packet{
				Data: body[20 : 20+size], WireLen: order.Uint32(body[16:]), Link: faces[i].link, Interface: i,
				Time: ticks * faces[i].tick,
			})
		}
		b = b[n:]
	}
	return out, nil
}
