package packets

import (
	"encoding/binary"
	"errors"
)

// Frame is a packet of a capture file.
type Frame struct {
	Data      []byte
	WireLen   uint32
	Link      uint32 // link type
	Interface uint32 // number in a pcapng file
	Time      int64  // nanoseconds since the Unix epoch
}

// Read returns the packets of a pcap or pcapng file, with the features that the captures
// of tests have. It reads a torn file up to its last whole packet.
func Read(file []byte) ([]Frame, error) {
	if len(file) < FileHeaderSize {
		return nil, errors.New("not a capture file")
	}
	switch string(file[:4]) {
	case "\x0a\x0d\x0d\x0a":
		return readPcapng(file)
	case "\xa1\xb2\xc3\xd4":
		return readPcap(file, binary.BigEndian, 1000), nil
	case "\xd4\xc3\xb2\xa1":
		return readPcap(file, binary.LittleEndian, 1000), nil
	case "\xa1\xb2\x3c\x4d":
		return readPcap(file, binary.BigEndian, 1), nil
	case "\x4d\x3c\xb2\xa1":
		return readPcap(file, binary.LittleEndian, 1), nil
	}
	return nil, errors.New("not a capture file")
}

// readPcap reads a file whose times have fractions of tick nanoseconds.
func readPcap(b []byte, order binary.ByteOrder, tick int64) (frames []Frame) {
	link := order.Uint32(b[20:]) & 0xffff
	for b = b[FileHeaderSize:]; len(b) >= 16; {
		n := int(order.Uint32(b[8:]))
		if n > len(b)-16 {
			break
		}
		frames = append(frames, Frame{
			Data: b[16 : 16+n], WireLen: order.Uint32(b[12:]), Link: link,
			Time: int64(order.Uint32(b))*1e9 + int64(order.Uint32(b[4:]))*tick,
		})
		b = b[16+n:]
	}
	return frames
}

// readPcapng reads the enhanced packet blocks of little-endian files.
func readPcapng(b []byte) (frames []Frame, err error) {
	order := binary.LittleEndian
	if order.Uint32(b[8:]) != 0x1a2b3c4d {
		return nil, errors.New("a pcapng file in big-endian byte order")
	}
	type face struct {
		link uint32
		tick int64 // nanoseconds
	}
	var faces []face
	for len(b) >= 12 {
		kind, n := order.Uint32(b), int(order.Uint32(b[4:]))
		if n < 12 || n > len(b) {
			break
		}
		body := b[8 : n-4]
		switch kind {
		case 1: // interface description
			f := face{uint32(order.Uint16(body)), 1000}
			for o := body[8:]; len(o) >= 4; {
				code, size := order.Uint16(o), int(order.Uint16(o[2:]))
				if code == 9 { // if_tsresol
					f.tick = map[byte]int64{6: 1000, 9: 1}[o[4]]
				}
				o = o[min(len(o), 4+(size+3)&^3):]
			}
			faces = append(faces, f)
		case 6: // enhanced packet
			i, size := order.Uint32(body), order.Uint32(body[12:])
			ticks := int64(order.Uint32(body[4:]))<<32 | int64(order.Uint32(body[8:]))
			frames = append(frames, Frame{
				Data: body[20 : 20+size], WireLen: order.Uint32(body[16:]), Link: faces[i].link, Interface: i, Time: ticks * faces[i].tick,
			})
		}
		b = b[n:]
	}
	return frames, nil
}
