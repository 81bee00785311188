package file

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"

	"dnsmonster-sensor/userspace/packet"
)

// pcapng files, https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng.
const (
	ngBlockSection   = 0x0a0d0d0a
	ngBlockInterface = 1
	ngBlockPacket    = 2
	ngBlockSimple    = 3
	ngBlockEnhanced  = 6
	ngByteOrderMagic = uint32(0x1a2b3c4d)

	ngOptEnd    = 0
	ngOptFlags  = 2 // of an enhanced packet
	ngOptName   = 2 // of an interface
	ngOptTSRes  = 9
	ngOptOffset = 14
)

// maxInterfaces bounds the memory for a section.
const maxInterfaces = 1 << 16

var errShortBlock = errors.New("a block is too short for what it holds: the file is damaged")

// pcapng reads the blocks of a file. Its state is the current section.
type pcapng struct {
	order      byteOrder
	interfaces []ngInterface
	context    formatContext
}

// ngInterface is the content of an interface block.
type ngInterface struct {
	link      packet.LinkType
	snap      uint32 // length to which packets are cut, 0: not cut
	id        uint32 // as in packet.Packet
	divisor   uint64 // time stamps divided by it
	units     uint64 // count 1/units of a second
	offset    int64  // seconds to add
	unitNanos uint64 // nanoseconds of one unit, 0 if that is not a whole number
	fastBelow uint64 // time stamps below it are converted the fast way
}

// record reads on from off to the next packet.
func (f *pcapng) record(data []byte, off int, p *packet.Packet) (int, error) {
	for {
		kind, body, next, err := f.block(data, off)
		if err != nil {
			return off, err
		}
		found, err := f.read(kind, body, p)
		if err != nil {
			return off, err
		}
		off = next
		if found {
			return off, nil
		}
	}
}

// block returns the type and body of the block at off, and the offset of the next one.
func (f *pcapng) block(data []byte, off int) (kind uint32, body []byte, next int, err error) {
	rest := data[off:]
	if len(rest) < 12 {
		if len(rest) == 0 {
			return 0, nil, 0, io.EOF
		}
		return 0, nil, 0, errCutBlock
	}
	if binary.LittleEndian.Uint32(rest) == ngBlockSection { // the same in both byte orders
		if len(rest) < 16 { // byte order and version
			return 0, nil, 0, errCutBlock
		}
		if err := f.section(rest); err != nil {
			return 0, nil, 0, err
		}
	}
	length := int64(f.order.u32(rest[4:]))
	if length < 12 || length%4 != 0 {
		return 0, nil, 0, fmt.Errorf("a block of %d bytes: the file is damaged", length)
	}
	if length > int64(len(rest)) {
		return 0, nil, 0, errCutBlock
	}
	if trailer := f.order.u32(rest[length-4:]); int64(trailer) != length {
		return 0, nil, 0, fmt.Errorf("a block of %d bytes ends as one of %d: the file is damaged", length, trailer)
	}
	return f.order.u32(rest), rest[8 : length-4], off + int(length), nil
}

// section starts a section: each has its own byte order and interfaces.
func (f *pcapng) section(rest []byte) error {
	switch ngByteOrderMagic {
	case littleEndian.u32(rest[8:]):
		f.order = littleEndian
	case bigEndian.u32(rest[8:]):
		f.order = bigEndian
	default:
		return errors.New("a section without byte-order magic: the file is damaged")
	}
	if f.order.u16(rest[12:]) != 1 {
		return fmt.Errorf("version %d of pcapng: this build reads version 1", f.order.u16(rest[12:]))
	}
	f.interfaces = f.interfaces[:0]
	return nil
}

// read handles one block, and reports whether it was a packet.
func (f *pcapng) read(kind uint32, body []byte, p *packet.Packet) (bool, error) {
	switch kind {
	case ngBlockInterface:
		return false, f.newInterface(body)
	case ngBlockEnhanced:
		if len(body) < 20 {
			return false, errShortBlock
		}
		return true, f.enhanced(body, f.order.u32(body), p)
	case ngBlockPacket: // as the enhanced one, but with a 16-bit interface and drop count
		if len(body) < 20 {
			return false, errShortBlock
		}
		return true, f.enhanced(body, uint32(f.order.u16(body)), p)
	case ngBlockSimple:
		if len(body) < 4 {
			return false, errShortBlock
		}
		return true, f.simple(body, p)
	}
	return false, nil // names, statistics, secrets, and unknown blocks
}

func (f *pcapng) newInterface(body []byte) error {
	if len(body) < 8 {
		return errShortBlock
	}
	if len(f.interfaces) == maxInterfaces {
		return fmt.Errorf("a section with more than %d interfaces: the file is damaged", maxInterfaces)
	}
	l := ngInterface{snap: f.order.u32(body[4:]), id: unnamed(len(f.interfaces)), divisor: 1, units: 1_000_000}
	var err error
	if l.link, err = packet.ParseLinkType(f.order.u16(body)); err != nil && f.context.warn != nil {
		f.context.warn(fmt.Sprintf("packets of interface %d are not read: %v", len(f.interfaces), err))
	}
	f.options(body[8:], func(code uint16, value []byte) {
		switch {
		case code == ngOptName:
			l.id = f.context.interfaces.number(string(bytes.TrimRight(value, "\x00")), l.id)
		case code == ngOptTSRes && len(value) >= 1:
			l.units, l.divisor = ngUnits(value[0])
		case code == ngOptOffset && len(value) >= 8:
			l.offset = f.seconds(value)
		}
	})
	l.prepare()
	f.interfaces = append(f.interfaces, l)
	return nil
}

// seconds reads the 64-bit number of an option.
func (f *pcapng) seconds(b []byte) int64 {
	lo, hi := f.order.u32(b), f.order.u32(b[4:])
	if f.order == bigEndian {
		lo, hi = hi, lo
	}
	return int64(uint64(hi)<<32 | uint64(lo))
}

// ngUnits reads a resolution: the negative exponent of ten, or of two if the highest bit
// is set. A second has units times divisor units; divisor is greater than 1 if their
// number does not fit in 64 bits.
func ngUnits(resolution byte) (units, divisor uint64) {
	base, limit := uint64(10), byte(19)
	if resolution&0x80 != 0 {
		base, limit = 2, 63
	}
	n := resolution & 0x7f
	return power(base, min(n, limit)), power(base, min(max(n, limit)-limit, limit))
}

func power(base uint64, n byte) uint64 {
	p := uint64(1)
	for range n {
		p *= base
	}
	return p
}

// options calls each for each option, and stops at the end or at one that does not fit.
func (f *pcapng) options(b []byte, each func(code uint16, value []byte)) {
	for len(b) >= 4 {
		code, n := f.order.u16(b), int(f.order.u16(b[2:]))
		if code == ngOptEnd || 4+n > len(b) {
			return
		}
		each(code, b[4:4+n])
		b = b[min(len(b), 4+(n+3)&^3):]
	}
}

func (f *pcapng) enhanced(body []byte, number uint32, p *packet.Packet) error {
	captured := f.order.u32(body[12:])
	if uint64(captured) > uint64(len(body)-20) {
		return errShortBlock
	}
	l, err := f.link(number)
	if err != nil {
		return err
	}
	stamp := uint64(f.order.u32(body[4:]))<<32 | uint64(f.order.u32(body[8:]))
	*p = packet.Packet{
		Data:      body[20 : 20+captured : 20+captured],
		Time:      l.nanos(stamp),
		WireLen:   max(f.order.u32(body[16:]), captured),
		Interface: l.id,
		Link:      l.link,
	}
	if pad := 20 + (int(captured)+3)&^3; pad < len(body) {
		p.Direction = f.direction(body[pad:])
	}
	return nil
}

// direction reads the flags among the options of an enhanced packet.
func (f *pcapng) direction(options []byte) (d packet.Direction) {
	f.options(options, func(code uint16, value []byte) {
		if code == ngOptFlags && len(value) >= 4 {
			switch f.order.u32(value) & 3 {
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
	wire := f.order.u32(body)
	captured := min(wire, uint32(len(body)-4))
	if l.snap > 0 {
		captured = min(captured, l.snap)
	}
	*p = packet.Packet{Data: body[4 : 4+captured : 4+captured], WireLen: wire, Interface: l.id, Link: l.link}
	return nil
}

func (f *pcapng) link(number uint32) (*ngInterface, error) {
	if uint64(number) >= uint64(len(f.interfaces)) {
		return nil, fmt.Errorf("a packet of interface %d, of which there are %d: the file is damaged", number, len(f.interfaces))
	}
	return &f.interfaces[number], nil
}

// lastSecond is the last whole second that fits in nanoseconds since 1970, in 2262.
const lastSecond = math.MaxInt64 / secondNanos

// prepare sets the fields for the fast conversion of time stamps: one multiplication and
// one addition.
func (l *ngInterface) prepare() {
	l.offset = min(max(l.offset, -1<<62), 1<<62) // so that sums do not overflow
	if secondNanos%l.units == 0 && l.divisor == 1 && l.offset > -lastSecond/2 && l.offset < lastSecond/2 {
		l.unitNanos = secondNanos / l.units
		l.fastBelow = math.MaxInt64 / 2 / l.unitNanos
	}
}

// nanos converts a time stamp to nanoseconds since the Unix epoch. If the result does
// not fit, it is the nearest second that does.
func (l *ngInterface) nanos(stamp uint64) int64 {
	if stamp < l.fastBelow {
		return int64(stamp*l.unitNanos) + l.offset*secondNanos
	}
	stamp /= l.divisor
	seconds, rest := stamp/l.units, stamp%l.units
	hi, lo := bits.Mul64(rest, secondNanos)
	fraction, _ := bits.Div64(hi, lo, l.units)
	whole := int64(min(seconds, 1<<61)) + l.offset
	switch {
	case whole >= lastSecond:
		return lastSecond * secondNanos
	case whole <= -lastSecond:
		return -lastSecond * secondNanos
	}
	return whole*secondNanos + int64(fraction)
}
