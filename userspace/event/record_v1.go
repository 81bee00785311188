package event

import (
	"encoding/binary"
	"net/netip"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/packet"
)

// An event in a block of layout version 1, which is read, but no longer written;
// numbers little-endian, lengths in bytes:
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
//	94  identity, version, message, then the bits of selected questions up to the end of the record
//
// It cannot tell an absent address from ::, and has no fields.
const core1Len = 94

const (
	flag1Src4 = 1 << iota
	flag1Dst4
	flag1VLAN
	flag1Question
	flag1EDNS
	flag1DO
	flag1Selected
)

// readRecord1 is readRecord for version 1.
func readRecord1(buf []byte, e *Event) ([]byte, bool) {
	if len(buf) < core1Len {
		return nil, false
	}
	le := binary.LittleEndian
	n := uint64(le.Uint32(buf))
	identity, version, message := uint64(le.Uint16(buf[86:])), uint64(le.Uint16(buf[88:])), uint64(le.Uint32(buf[90:]))
	flags, selected := buf[7], core1Len+identity+version+message
	if n < selected || n > uint64(len(buf)) || n > selected != (flags&flag1Selected != 0) || message < dns.HeaderLen {
		return nil, false
	}
	r, tail := buf[:core1Len], buf[core1Len:selected]
	e.Time = int64(le.Uint64(r[8:]))
	e.Src = netip.AddrPortFrom(getAddr(r[16:32], flags&flag1Src4 != 0), le.Uint16(r[48:]))
	e.Dst = netip.AddrPortFrom(getAddr(r[32:48], flags&flag1Dst4 != 0), le.Uint16(r[50:]))
	e.Proto, e.Direction, e.Tunnel = Proto(r[4]), packet.Direction(r[5]), Tunnel(r[6])
	e.HasVLAN, e.VLAN = flags&flag1VLAN != 0, le.Uint16(r[68:])
	e.Interface = le.Uint32(r[52:])
	e.Sample = packet.Ratio{Keep: le.Uint32(r[56:]), Of: le.Uint32(r[60:])}
	e.CaptureCut = le.Uint32(r[64:])
	e.Identity, e.Version, e.Message = tail[:identity:identity], tail[identity:identity+version:identity+version], tail[identity+version:]
	e.QueryTime, e.ResponseTime, e.Fields, e.Selected = 0, 0, nil, nil
	if n > selected {
		e.Selected = buf[selected:n:n]
	}
	be, h, d := binary.BigEndian, e.Message[:dns.HeaderLen], &e.DNS
	d.ID, d.Flags = be.Uint16(h), be.Uint16(h[2:])
	d.QDCount, d.ANCount, d.NSCount, d.ARCount = be.Uint16(h[4:]), be.Uint16(h[6:]), be.Uint16(h[8:]), be.Uint16(h[10:])
	d.HasQuestion = flags&flag1Question != 0
	d.QType, d.QClass = le.Uint16(r[70:]), le.Uint16(r[72:])
	d.EDNS.Present, d.EDNS.DO = flags&flag1EDNS != 0, flags&flag1DO != 0
	d.EDNS.Version, d.EDNS.ExtRcode = r[74], r[75]
	d.EDNS.UDPSize, d.EDNS.DataStart, d.EDNS.DataLen = le.Uint16(r[76:]), le.Uint16(r[78:]), le.Uint16(r[80:])
	d.Malformed.Section, d.Malformed.Fault, d.Malformed.Index = dns.Section(r[82]), dns.Fault(r[83]), le.Uint16(r[84:])
	return buf[n:], true
}
