package event

import (
	"encoding/binary"
	"net/netip"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/packet"
)

// An event in a block, numbers little-endian, lengths in bytes:
//
//	 0  u32 length of the whole record
//	 4  u8 proto, u8 direction, u8 tunnel, u8 flags
//	 8  i64 time
//	16  source address, 16; 32 destination address, 16 (IPv4 in the first four)
//	48  u16 source port, u16 destination port
//	52  u32 interface
//	56  u32 sample keep, u32 sample of
//	64  u32 capture cut
//	68  u16 VLAN TCI
//	70  u16 question type, u16 question class
//	74  EDNS: u8 version, u8 extended rcode, u16 UDP size, u16 data start, u16 data length
//	82  malformed: u8 section, u8 fault, u16 index
//	86  u16 identity length, u16 version length
//	90  u32 message length
//	94  identity, version, message, taken (what the record's length leaves for it)
const recordLen = 94

const (
	flagSrc4 = 1 << iota
	flagDst4
	flagVLAN
	flagQuestion
	flagEDNS
	flagDO
	flagTaken
)

// StoredSize is how many bytes Block.Append adds for e.
func (e *Event) StoredSize() int {
	return recordLen + min(len(e.Identity), 0xffff) + min(len(e.Version), 0xffff) + len(e.Message) + len(e.Taken)
}

func appendRecord(buf []byte, e *Event) []byte {
	identity, version := e.Identity[:min(len(e.Identity), 0xffff)], e.Version[:min(len(e.Version), 0xffff)]
	n := recordLen + len(identity) + len(version) + len(e.Message) + len(e.Taken)
	at := len(buf)
	if cap(buf)-at < n {
		grown := make([]byte, at, max(at+n, 2*cap(buf)))
		copy(grown, buf)
		buf = grown
	}
	buf = buf[:at+n]
	r := buf[at : at+n]
	_ = r[recordLen-1]
	le := binary.LittleEndian
	s := &e.DNS
	le.PutUint32(r, uint32(n))
	r[4], r[5], r[6] = uint8(e.Proto), uint8(e.Direction), uint8(e.Tunnel)
	flags := putAddr(r[16:32], e.Src.Addr(), flagSrc4) | putAddr(r[32:48], e.Dst.Addr(), flagDst4)
	if e.HasVLAN {
		flags |= flagVLAN
	}
	if s.HasQuestion {
		flags |= flagQuestion
	}
	if s.EDNS.Present {
		flags |= flagEDNS
	}
	if s.EDNS.DO {
		flags |= flagDO
	}
	if len(e.Taken) > 0 {
		flags |= flagTaken
	}
	r[7] = flags
	le.PutUint64(r[8:], uint64(e.Time))
	le.PutUint16(r[48:], e.Src.Port())
	le.PutUint16(r[50:], e.Dst.Port())
	le.PutUint32(r[52:], e.Interface)
	le.PutUint32(r[56:], e.Sample.Keep)
	le.PutUint32(r[60:], e.Sample.Of)
	le.PutUint32(r[64:], e.CaptureCut)
	le.PutUint16(r[68:], e.VLAN)
	le.PutUint16(r[70:], s.QType)
	le.PutUint16(r[72:], s.QClass)
	r[74], r[75] = s.EDNS.Version, s.EDNS.ExtRcode
	le.PutUint16(r[76:], s.EDNS.UDPSize)
	le.PutUint16(r[78:], s.EDNS.DataStart)
	le.PutUint16(r[80:], s.EDNS.DataLen)
	r[82], r[83] = uint8(s.Malformed.Section), uint8(s.Malformed.Fault)
	le.PutUint16(r[84:], s.Malformed.Index)
	le.PutUint16(r[86:], uint16(len(identity)))
	le.PutUint16(r[88:], uint16(len(version)))
	le.PutUint32(r[90:], uint32(len(e.Message)))
	tail := r[recordLen:]
	copy(tail, identity)
	copy(tail[len(identity):], version)
	copy(tail[len(identity)+len(version):], e.Message)
	copy(tail[len(identity)+len(version)+len(e.Message):], e.Taken)
	return buf
}

func putAddr(dst []byte, a netip.Addr, is4 uint8) uint8 {
	if a.Is4() {
		b := a.As4()
		copy(dst, b[:])
		clear(dst[4:])
		return is4
	}
	b := a.As16()
	copy(dst, b[:])
	return 0
}

func getAddr(src []byte, is4 bool) netip.Addr {
	if is4 {
		return netip.AddrFrom4([4]byte(src[:4]))
	}
	return netip.AddrFrom16([16]byte(src[:16]))
}

// readRecord reads the event that stands first in buf. It returns what is
// behind it, and false where buf holds no whole record. It sets all of e, field
// by field: a literal would be built elsewhere and copied.
func readRecord(buf []byte, e *Event) ([]byte, bool) {
	if len(buf) < recordLen {
		return nil, false
	}
	le := binary.LittleEndian
	n := uint64(le.Uint32(buf))
	identity, version, message := uint64(le.Uint16(buf[86:])), uint64(le.Uint16(buf[88:])), uint64(le.Uint32(buf[90:]))
	flags, taken := buf[7], recordLen+identity+version+message
	if n < taken || n > uint64(len(buf)) || n > taken != (flags&flagTaken != 0) || message < dns.HeaderLen {
		return nil, false
	}
	r, tail := buf[:recordLen], buf[recordLen:taken]
	e.Time = int64(le.Uint64(r[8:]))
	e.Src = netip.AddrPortFrom(getAddr(r[16:32], flags&flagSrc4 != 0), le.Uint16(r[48:]))
	e.Dst = netip.AddrPortFrom(getAddr(r[32:48], flags&flagDst4 != 0), le.Uint16(r[50:]))
	e.Proto, e.Direction, e.Tunnel = Proto(r[4]), packet.Direction(r[5]), Tunnel(r[6])
	e.HasVLAN, e.VLAN = flags&flagVLAN != 0, le.Uint16(r[68:])
	e.Interface = le.Uint32(r[52:])
	e.Sample = packet.Ratio{Keep: le.Uint32(r[56:]), Of: le.Uint32(r[60:])}
	e.CaptureCut = le.Uint32(r[64:])
	e.Identity, e.Version, e.Message = tail[:identity:identity], tail[identity:identity+version:identity+version], tail[identity+version:]
	e.QueryTime, e.ResponseTime, e.Fields, e.Taken = 0, 0, nil, nil
	if n > taken {
		e.Taken = buf[taken:n:n]
	}
	be, h, d := binary.BigEndian, e.Message[:dns.HeaderLen], &e.DNS
	d.ID, d.Flags = be.Uint16(h), be.Uint16(h[2:])
	d.QDCount, d.ANCount, d.NSCount, d.ARCount = be.Uint16(h[4:]), be.Uint16(h[6:]), be.Uint16(h[8:]), be.Uint16(h[10:])
	d.HasQuestion = flags&flagQuestion != 0
	d.QType, d.QClass = le.Uint16(r[70:]), le.Uint16(r[72:])
	d.EDNS.Present, d.EDNS.DO = flags&flagEDNS != 0, flags&flagDO != 0
	d.EDNS.Version, d.EDNS.ExtRcode = r[74], r[75]
	d.EDNS.UDPSize, d.EDNS.DataStart, d.EDNS.DataLen = le.Uint16(r[76:]), le.Uint16(r[78:]), le.Uint16(r[80:])
	d.Malformed.Section, d.Malformed.Fault, d.Malformed.Index = dns.Section(r[82]), dns.Fault(r[83]), le.Uint16(r[84:])
	return buf[n:], true
}
