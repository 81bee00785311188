package packets

import (
	"encoding/binary"
	"fmt"
)

// Client is the address of the client whose packets a test counts, 192.0.2.99.
const Client = 0xc0000263

// AppendIPv4 appends a packet to 192.0.2.<dst>.
func AppendIPv4(b []byte, src uint32, dst byte, id, frag uint16, proto byte, payload []byte) []byte {
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(20+len(payload)))
	b = binary.BigEndian.AppendUint16(b, id)
	b = binary.BigEndian.AppendUint16(b, frag)
	b = append(b, 64, proto, 0, 0)
	b = binary.BigEndian.AppendUint32(b, src)
	return append(append(b, 192, 0, 2, dst), payload...)
}

// AppendUDP appends a datagram.
func AppendUDP(b []byte, src, dst uint16, payload []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, src)
	b = binary.BigEndian.AppendUint16(b, dst)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	return append(append(b, 0, 0), payload...)
}

// AppendTCP appends a segment from port to port 53.
func AppendTCP(b []byte, port uint16, seq uint32, flags byte, payload []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, port)
	b = append(b, 0, 53)
	b = binary.BigEndian.AppendUint32(b, seq)
	b = append(b, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0)
	return append(b, payload...)
}

// AppendQuestion appends a query for KIND-NUMBER.example.org, with padding after the question.
func AppendQuestion(b []byte, number int, kind string, padding int) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(number))
	b = append(b, 1, 0, 0, 1, 0, 0, 0, 0, 0, byte(min(padding, 1)))
	at := len(b)
	b = fmt.Appendf(append(b, 0), "%s-%d", kind, number)
	b[at] = byte(len(b) - at - 1)
	b = append(b, "\x07example\x03org\x00\x00\x01\x00\x01"...)
	if padding > 0 {
		b = append(b, 0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(padding+4))
		b = append(b, 0, 12)
		b = binary.BigEndian.AppendUint16(b, uint16(padding))
		b = append(b, make([]byte, padding)...)
	}
	return b
}
