package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"dnsmonster-sensor/userspace/packet"
)

// Classic pcap files, https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap
// and pcap-savefile(5).
const (
	pcapHeaderLen  = 24
	pcapRecordLen  = 16
	pcapMicros     = 0xa1b2c3d4
	pcapNanos      = 0xa1b23c4d
	maxCaptureLen  = 256 << 20 // a length beyond that is damage, not a packet
	secondNanos    = 1_000_000_000
	linkRawOld     = 12 // DLT_RAW of most systems, written to files by some programs
	linkRawOpenBSD = 14
)

var errCutFile = errors.New("the file ends in the middle of a packet")

// format reads the records of a file. It may keep what it has learnt on the way:
// each lane has its own.
type format interface {
	// record reads the packet at off, or the first one behind it, into p and
	// returns where to read on. At the end of the file the error is io.EOF.
	record(data []byte, off int, p *packet.Packet) (int, error)
}

// newFormat tells the format of a file by its first bytes, and where its
// records start.
func newFormat(data []byte) (format, int, error) {
	if len(data) >= 4 && binary.BigEndian.Uint32(data) == ngSection {
		return &pcapng{}, 0, nil
	}
	f, err := parsePcapHeader(data)
	return f, pcapHeaderLen, err
}

// pcap is a classic file: its header says how to read its records.
type pcap struct {
	order binary.ByteOrder
	nanos int64 // that one unit of the fraction stands for
	link  packet.LinkType
}

// parsePcapHeader reads the first 24 bytes of a file.
func parsePcapHeader(data []byte) (*pcap, error) {
	f := &pcap{}
	if len(data) < pcapHeaderLen {
		return nil, fmt.Errorf("%d bytes are too few for a capture file", len(data))
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		switch order.Uint32(data) {
		case pcapMicros:
			f.order, f.nanos = order, 1000
		case pcapNanos:
			f.order, f.nanos = order, 1
		}
	}
	if f.order == nil {
		return nil, fmt.Errorf("not a pcap or pcapng file: it starts with bytes % x", data[:4])
	}
	var err error
	f.link, err = linkType(f.order.Uint32(data[20:]) & 0xffff) // above are FCS bits
	return f, err
}

// linkType maps a file's number to one that the decoder knows.
func linkType(n uint32) (packet.LinkType, error) {
	switch l := packet.LinkType(n); l {
	case packet.LinkNull, packet.LinkEthernet, packet.LinkPPP, packet.LinkFDDI, packet.LinkRaw, packet.LinkLoop,
		packet.LinkSLL, packet.LinkIPv4, packet.LinkIPv6, packet.LinkSLL2:
		return l, nil
	case linkRawOld, linkRawOpenBSD:
		return packet.LinkRaw, nil
	}
	return 0, fmt.Errorf("link type %d is not supported (see tcpdump.org/linktypes.html); "+
		"supported: Ethernet, Linux cooked, raw IP, BSD loopback, PPP, FDDI", n)
}

// record reads the record at off.
func (f *pcap) record(data []byte, off int, p *packet.Packet) (int, error) {
	if off == len(data) {
		return 0, io.EOF
	}
	if len(data)-off < pcapRecordLen {
		return 0, errCutFile
	}
	h := data[off : off+pcapRecordLen]
	captured, wire := f.order.Uint32(h[8:]), f.order.Uint32(h[12:])
	if captured > maxCaptureLen {
		return 0, fmt.Errorf("a packet of %d bytes: the file is damaged", captured)
	}
	body := off + pcapRecordLen
	if int(captured) > len(data)-body {
		return 0, errCutFile
	}
	end := body + int(captured)
	*p = packet.Packet{
		Data:    data[body:end:end],
		WireLen: max(wire, captured),
		Time:    int64(f.order.Uint32(h))*secondNanos + int64(f.order.Uint32(h[4:]))*f.nanos,
		Link:    f.link,
	}
	return end, nil
}
