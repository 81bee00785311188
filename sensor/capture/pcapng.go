package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"dnsmonster-sensor/userspace/packet"
)

// pcapng files, https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng.
const (
	ngSection   = 0x0a0d0d0a
	ngInterface = 1
	ngPacketOld = 2
	ngSimple    = 3
	ngEnhanced  = 6
	ngOrder     = uint32(0x1a2b3c4d)

	ngOptEnd    = 0
	ngOptFlags  = 2 // of an enhanced packet
	ngOptTSRes  = 9 // of an interface
	ngOptOffset = 14
)

var errCutBlock = errors.New("the file ends in the middle of a block")

// pcapng reads the blocks of a file. What it has learnt of the sections and
// interfaces so far is its state, so that each lane has its own.
type pcapng struct {
	order      binary.ByteOrder
	interfaces []ngLink
}

// ngLink is what an interface block says.
type ngLink struct {
	link    packet.LinkType
	unknown error // why its packets cannot be read, nil if they can
	snap    uint32
	units   uint64 // time stamps count 1/units of a second
	offset  int64  // seconds to add
}

// record reads on from off to the next packet.
func (f *pcapng) record(data []byte, off int, p *packet.Packet) (int, error) {
	for {
		if off == len(data) {
			return 0, io.EOF
		}
		kind, body, next, err := f.block(data, off)
		if err != nil {
			return 0, err
		}
		found, err := f.read(kind, body, p)
		if err != nil {
			return 0, err
		}
		if found {
			return next, nil
		}
		off = next
	}
}

// block finds the block at off: its type, its content and where the next one
// starts.
func (f *pcapng) block(data []byte, off int) (kind uint32, body []byte, next int, err error) {
	rest := data[off:]
	if len(rest) < 12 {
		return 0, nil, 0, errCutBlock
	}
	if binary.BigEndian.Uint32(rest) == ngSection { // reads the same in both orders
		if err := f.section(rest); err != nil {
			return 0, nil, 0, err
		}
	}
	length := int64(f.order.Uint32(rest[4:]))
	if length < 12 || length%4 != 0 {
		return 0, nil, 0, fmt.Errorf("a block of %d bytes: the file is damaged", length)
	}
	if length > int64(len(rest)) {
		return 0, nil, 0, errCutBlock
	}
	if trailer := f.order.Uint32(rest[length-4:]); int64(trailer) != length {
		return 0, nil, 0, fmt.Errorf("a block of %d bytes ends as one of %d: the file is damaged", length, trailer)
	}
	return f.order.Uint32(rest), rest[8 : length-4], off + int(length), nil
}

// section starts anew: byte order and interfaces are a section's own.
func (f *pcapng) section(rest []byte) error {
	switch ngOrder {
	case binary.LittleEndian.Uint32(rest[8:]):
		f.order = binary.LittleEndian
	case binary.BigEndian.Uint32(rest[8:]):
		f.order = binary.BigEndian
	default:
		return fmt.Errorf("a section without byte order mark: the file is damaged")
	}
	f.interfaces = f.interfaces[:0]
	return nil
}

// read takes one block. It reports whether it was a packet.
func (f *pcapng) read(kind uint32, body []byte, p *packet.Packet) (bool, error) {
	switch kind {
	case ngInterface:
		return false, f.newInterface(body)
	case ngEnhanced:
		if len(body) < 20 {
			return false, errCutBlock
		}
		return true, f.enhanced(body, f.order.Uint32(body), p)
	case ngPacketOld: // as the enhanced one, but with a 16-bit interface and drop count
		if len(body) < 20 {
			return false, errCutBlock
		}
		return true, f.enhanced(body, uint32(f.order.Uint16(body)), p)
	case ngSimple:
		if len(body) < 4 {
			return false, errCutBlock
		}
		return true, f.simple(body, p)
	}
	return false, nil // names, statistics, secrets, and what is yet to be invented
}

func (f *pcapng) newInterface(body []byte) error {
	if len(body) < 8 {
		return errCutBlock
	}
	l := ngLink{snap: f.order.Uint32(body[4:]), units: 1_000_000}
	l.link, l.unknown = linkType(uint32(f.order.Uint16(body)))
	f.options(body[8:], func(code uint16, value []byte) {
		switch {
		case code == ngOptTSRes && len(value) >= 1:
			l.units = ngUnits(value[0])
		case code == ngOptOffset && len(value) >= 8:
			l.offset = int64(f.order.Uint64(value))
		}
	})
	f.interfaces = append(f.interfaces, l)
	return nil
}

// ngUnits reads a resolution: a negative power of ten, or of two where the
// uppermost bit is set.
func ngUnits(resolution byte) uint64 {
	n := resolution & 0x7f
	if resolution&0x80 != 0 {
		return 1 << min(n, 63)
	}
	units := uint64(1)
	for range min(n, 19) {
		units *= 10
	}
	return units
}

// options calls f for each option, and stops where they end or do not fit.
func (f *pcapng) options(b []byte, each func(code uint16, value []byte)) {
	for len(b) >= 4 {
		code, n := f.order.Uint16(b), int(f.order.Uint16(b[2:]))
		if code == ngOptEnd || 4+n > len(b) {
			return
		}
		each(code, b[4:4+n])
		b = b[min(len(b), 4+(n+3)&^3):]
	}
}

func (f *pcapng) enhanced(body []byte, number uint32, p *packet.Packet) error {
	captured := f.order.Uint32(body[12:])
	if uint64(captured) > uint64(len(body)-20) {
		return errCutBlock
	}
	l, err := f.link(number)
	if err != nil {
		return err
	}
	stamp := uint64(f.order.Uint32(body[4:]))<<32 | uint64(f.order.Uint32(body[8:]))
	*p = packet.Packet{
		Data:      body[20 : 20+captured : 20+captured],
		Time:      l.nanos(stamp),
		WireLen:   max(f.order.Uint32(body[16:]), captured),
		Interface: number,
		Link:      l.link,
	}
	if pad := 20 + (int(captured)+3)&^3; pad < len(body) {
		p.Direction = f.direction(body[pad:])
	}
	return nil
}

// direction reads the flags of an enhanced packet.
func (f *pcapng) direction(options []byte) (d packet.Direction) {
	f.options(options, func(code uint16, value []byte) {
		if code == ngOptFlags && len(value) >= 4 {
			switch f.order.Uint32(value) & 3 {
			case 1:
				d = packet.DirectionIn
			case 2:
				d = packet.DirectionOut
			}
		}
	})
	return d
}

// simple is a packet of the first interface, without a time.
func (f *pcapng) simple(body []byte, p *packet.Packet) error {
	l, err := f.link(0)
	if err != nil {
		return err
	}
	wire := f.order.Uint32(body)
	captured := min(wire, uint32(len(body)-4))
	if l.snap > 0 {
		captured = min(captured, l.snap)
	}
	*p = packet.Packet{Data: body[4 : 4+captured : 4+captured], WireLen: wire, Link: l.link}
	return nil
}

func (f *pcapng) link(number uint32) (*ngLink, error) {
	if uint64(number) >= uint64(len(f.interfaces)) {
		return nil, fmt.Errorf("a packet of interface %d, of which there are %d: the file is damaged", number, len(f.interfaces))
	}
	l := &f.interfaces[number]
	return l, l.unknown
}

// nanos turns a time stamp into nanoseconds since the Unix epoch. One that does
// not fit (the year 2262) becomes the last that does.
func (l *ngLink) nanos(stamp uint64) int64 {
	seconds, rest := stamp/l.units, stamp%l.units
	hi, lo := bits.Mul64(rest, secondNanos)
	fraction, _ := bits.Div64(hi, lo, l.units)
	whole := int64(min(seconds, 1<<33)) + l.offset
	if whole >= 9_223_372_036 || whole <= -9_223_372_036 {
		return 9_223_372_036_000_000_000
	}
	return whole*secondNanos + int64(fraction)
}
