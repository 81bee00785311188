package file

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"dnsmonster-sensor/userspace/packet"
)

// Classic pcap files, https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap
// and pcap-savefile(5).
const (
	pcapHeaderLen = 24
	pcapRecordLen = 16
	pcapMicros    = 0xa1b2c3d4
	pcapNanos     = 0xa1b23c4d
	pcapModified  = 0xa1b2cd34 // of a patched libpcap: eight more bytes before each packet
	maxCaptureLen = 256 << 20  // a greater length means damage
	secondNanos   = 1_000_000_000
)

// byteOrder reads numbers of a file in the order of the machine that wrote it.
type byteOrder bool

const (
	littleEndian byteOrder = false
	bigEndian    byteOrder = true
)

func (o byteOrder) u32(b []byte) uint32 {
	v := binary.LittleEndian.Uint32(b)
	if o == bigEndian {
		v = bits.ReverseBytes32(v)
	}
	return v
}

func (o byteOrder) u16(b []byte) uint16 {
	v := binary.LittleEndian.Uint16(b)
	if o == bigEndian {
		v = bits.ReverseBytes16(v)
	}
	return v
}

// Errors for bytes that are missing at the end. A stream may still bring them.
var (
	errCutFile  = errors.New("the file ends in the middle of a packet")
	errCutBlock = errors.New("the file ends in the middle of a block")
)

func isCut(err error) bool { return err == errCutFile || err == errCutBlock || err == errCutFrame }

// format reads the records of a file. It may keep state between records.
type format interface {
	// record reads the packet at off, or the next one after it, into p, and returns
	// the offset of the next record. At the end of the data the error is io.EOF. With
	// an error the offset is that of the record that could not be read; if isCut is
	// true for the error, record can be called again for it with more data.
	record(data []byte, off int, p *packet.Packet) (int, error)
}

// finisher is a format whose files end where their writer is, while it still writes.
type finisher interface {
	// unfinished says what is missing at the end of the file, "" for nothing. rest is the
	// number of bytes there that are no whole record.
	unfinished(rest int) string
}

// atEnd returns nil for the error of the last record, if it is only the file's end. rest
// is the number of bytes that are no whole record.
func (c *formatContext) atEnd(f format, rest int, err error) error {
	if raw, ok := f.(rawFormat); ok {
		f = raw.format
	}
	end, ok := f.(finisher)
	switch {
	case ok && (err == io.EOF || isCut(err)):
		if text := end.unfinished(rest); text != "" && c.warn != nil {
			c.warn(text)
		}
		return nil
	case err == io.EOF:
		return nil
	}
	return err
}

// formatContext is what a format needs beside the bytes of its file.
type formatContext struct {
	warn       func(string) // about what is skipped without an error; may be nil
	interfaces *interfaceTable
	paced      bool  // packets need their times
	noFrames   error // why dnstap cannot be read; nil: it can
}

// newFormat recognizes the format of a file by its first bytes, and returns the offset
// of its first record.
func newFormat(data []byte, c formatContext) (format, int, error) {
	if len(data) >= 4 && binary.BigEndian.Uint32(data) == ngBlockSection {
		return &pcapng{context: c}, 0, nil
	}
	if isFrameStream(data) {
		return newFstrm(c), 0, c.noFrames
	}
	f, err := parsePcapHeader(data)
	return f, pcapHeaderLen, err
}

// pcap is a classic file: its header says how to read its records.
type pcap struct {
	order byteOrder
	head  int   // bytes before each packet
	nanos int64 // in one unit of the fraction of a time stamp
	link  packet.LinkType
}

// parsePcapHeader reads the first 24 bytes of a file.
func parsePcapHeader(data []byte) (*pcap, error) {
	f := &pcap{head: pcapRecordLen}
	if len(data) == 0 {
		return nil, errors.New("there is nothing in it: a capture begins with a header")
	}
	if len(data) < pcapHeaderLen {
		return nil, fmt.Errorf("%d bytes are too few for a capture file", len(data))
	}
	for _, order := range []byteOrder{littleEndian, bigEndian} {
		switch order.u32(data) {
		case pcapMicros:
			f.order, f.nanos = order, 1000
		case pcapNanos:
			f.order, f.nanos = order, 1
		case pcapModified:
			f.order, f.nanos, f.head = order, 1000, pcapRecordLen+8
		}
	}
	if f.nanos == 0 {
		return nil, fmt.Errorf("not a pcap, pcapng or dnstap file: it starts with bytes % x (%q)", data[:4], data[:4])
	}
	var err error
	f.link, err = packet.ParseLinkType(uint16(f.order.u32(data[20:]))) // the upper bits describe the FCS
	return f, err
}

// record reads the record at off.
func (f *pcap) record(data []byte, off int, p *packet.Packet) (int, error) {
	rest := data[off:]
	if len(rest) < f.head {
		if len(rest) == 0 {
			return off, io.EOF
		}
		return off, errCutFile
	}
	captured, wire := f.order.u32(rest[8:]), f.order.u32(rest[12:])
	if captured > maxCaptureLen {
		return off, fmt.Errorf("a packet of %d bytes: the file is damaged", captured)
	}
	end := f.head + int(captured)
	if end > len(rest) {
		return off, errCutFile
	}
	*p = packet.Packet{}
	p.Data = rest[f.head:end:end]
	p.WireLen = max(wire, captured)
	p.Time = int64(f.order.u32(rest))*secondNanos + int64(f.order.u32(rest[4:]))*f.nanos
	p.Link = f.link
	return off + end, nil
}
