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
//	 4  u32 message length
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
//	86  u8 proto, u8 direction, u8 tunnel, u8 zero
//	90  u16 flags
//	92  message, then fields up to the end of the record
//
// This core never changes. Other properties of an event are fields, as in fields.go,
// which take bytes only if they are present. Fields that are members of Event come
// first, in the order of their types. The first other field and all after it are
// Event.Fields. So a build keeps fields that it does not know, even when it writes the
// event again.
//
// Addresses lose their zone. Everything else is read as it was written.
const coreLen = 92

const (
	flagSrc4 = 1 << iota
	flagDst4
	flagNoSrc
	flagNoDst
	flagVLAN
	flagQuestion
	flagEDNS
	flagDO
)

// Fields that are members of Event.
const (
	fieldIdentity FieldType = 1 + iota
	fieldVersion
	fieldQueryTime
	fieldResponseTime
	fieldSelected
	lastMember = fieldSelected
)

const timeFieldLen = fieldHeaderLen + 8

// StoredSize is the number of bytes that Block.Append adds for e.
func (e *Event) StoredSize() int {
	n := coreLen + len(e.Message)
	if e.hasFields() {
		n += e.fieldsSize()
	}
	return n
}

// hasFields reports whether the event has more than the core.
func (e *Event) hasFields() bool {
	return len(e.Identity)|len(e.Version)|len(e.Fields)|len(e.Selected) != 0 || e.QueryTime|e.ResponseTime != 0
}

func (e *Event) fieldsSize() (n int) {
	if len(e.Identity) > 0 {
		n += fieldHeaderLen + len(e.Identity)
	}
	if len(e.Version) > 0 {
		n += fieldHeaderLen + len(e.Version)
	}
	if e.QueryTime != 0 {
		n += timeFieldLen
	}
	if e.ResponseTime != 0 {
		n += timeFieldLen
	}
	if len(e.Selected) > 0 {
		n += fieldHeaderLen + len(e.Selected)
	}
	if len(e.Fields) > 0 {
		n += len(e.Fields.storable())
	}
	return n
}

// storable is f without its leading fields that have the type of a member of Event: they
// would be read as that member.
func (f Fields) storable() Fields {
	for {
		t, _, rest, whole := f.cut()
		if !whole || t > lastMember {
			return f
		}
		f = rest
	}
}

func appendRecord(buf []byte, e *Event) []byte {
	n, at := coreLen+len(e.Message), len(buf)
	if e.hasFields() {
		n += e.fieldsSize()
	}
	if cap(buf)-at < n {
		grown := make([]byte, at, max(at+n, 2*cap(buf)))
		copy(grown, buf)
		buf = grown
	}
	buf = buf[:at+n]
	r := buf[at : at+n]
	_ = r[coreLen-1]
	le := binary.LittleEndian
	s := &e.DNS
	le.PutUint32(r, uint32(n))
	le.PutUint32(r[4:], uint32(len(e.Message)))
	le.PutUint64(r[8:], uint64(e.Time))
	flags := putAddr(r[16:32], e.Src.Addr(), flagSrc4, flagNoSrc) | putAddr(r[32:48], e.Dst.Addr(), flagDst4, flagNoDst)
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
	r[86], r[87], r[88], r[89] = uint8(e.Proto), uint8(e.Direction), uint8(e.Tunnel), 0
	le.PutUint16(r[90:], flags)
	copy(r[coreLen:], e.Message)
	if end := coreLen + len(e.Message); n > end {
		e.putFields(r[end:])
	}
	return buf
}

// putFields fills dst, which is exactly as long as the fields.
func (e *Event) putFields(dst []byte) {
	dst = putBytes(dst, fieldIdentity, e.Identity)
	dst = putBytes(dst, fieldVersion, e.Version)
	dst = putTime(dst, fieldQueryTime, e.QueryTime)
	dst = putTime(dst, fieldResponseTime, e.ResponseTime)
	dst = putBytes(dst, fieldSelected, e.Selected)
	if len(dst) > 0 {
		copy(dst, e.Fields.storable())
	}
}

func putHead(dst []byte, t FieldType, length int) {
	binary.LittleEndian.PutUint16(dst, uint16(t))
	binary.LittleEndian.PutUint32(dst[2:], uint32(length))
}

// putBytes returns the rest of dst.
func putBytes(dst []byte, t FieldType, value []byte) []byte {
	if len(value) == 0 {
		return dst
	}
	putHead(dst, t, len(value))
	return dst[fieldHeaderLen+copy(dst[fieldHeaderLen:], value):]
}

func putTime(dst []byte, t FieldType, ns int64) []byte {
	if ns == 0 {
		return dst
	}
	putHead(dst, t, 8)
	binary.LittleEndian.PutUint64(dst[fieldHeaderLen:], uint64(ns))
	return dst[timeFieldLen:]
}

func putAddr(dst []byte, a netip.Addr, is4, absent uint16) uint16 {
	switch {
	case a.Is4():
		b := a.As4()
		copy(dst, b[:])
		clear(dst[4:])
		return is4
	case a.IsValid():
		b := a.As16()
		copy(dst, b[:])
		return 0
	}
	clear(dst)
	return absent
}

func getAddr(src []byte, is4 bool) netip.Addr {
	if is4 {
		return netip.AddrFrom4([4]byte(src[:4]))
	}
	return netip.AddrFrom16([16]byte(src[:16]))
}

// readRecord reads the first event of buf and returns the rest, or false if buf does not
// begin with a whole record. It sets all of e, field by field, since a literal would be
// built elsewhere and copied.
func readRecord(buf []byte, e *Event) ([]byte, bool) {
	if len(buf) < coreLen {
		return nil, false
	}
	le := binary.LittleEndian
	n, message := uint64(le.Uint32(buf)), uint64(le.Uint32(buf[4:]))
	end := coreLen + message
	if n < end || n > uint64(len(buf)) || message < dns.HeaderLen {
		return nil, false
	}
	r, flags := buf[:coreLen], le.Uint16(buf[90:])
	e.Time = int64(le.Uint64(r[8:]))
	e.Src = netip.AddrPortFrom(getAddr(r[16:32], flags&flagSrc4 != 0), le.Uint16(r[48:]))
	e.Dst = netip.AddrPortFrom(getAddr(r[32:48], flags&flagDst4 != 0), le.Uint16(r[50:]))
	if flags&(flagNoSrc|flagNoDst) != 0 {
		e.clearAddrs(flags)
	}
	e.Proto, e.Direction, e.Tunnel = Proto(r[86]), packet.Direction(r[87]), Tunnel(r[88])
	e.HasVLAN, e.VLAN = flags&flagVLAN != 0, le.Uint16(r[68:])
	e.Interface = le.Uint32(r[52:])
	e.Sample = packet.Ratio{Keep: le.Uint32(r[56:]), Of: le.Uint32(r[60:])}
	e.CaptureCut = le.Uint32(r[64:])
	e.Message = buf[coreLen:end:end]
	be, h, d := binary.BigEndian, e.Message[:dns.HeaderLen], &e.DNS
	d.ID, d.Flags = be.Uint16(h), be.Uint16(h[2:])
	d.QDCount, d.ANCount, d.NSCount, d.ARCount = be.Uint16(h[4:]), be.Uint16(h[6:]), be.Uint16(h[8:]), be.Uint16(h[10:])
	d.HasQuestion = flags&flagQuestion != 0
	d.QType, d.QClass = le.Uint16(r[70:]), le.Uint16(r[72:])
	d.EDNS.Present, d.EDNS.DO = flags&flagEDNS != 0, flags&flagDO != 0
	d.EDNS.Version, d.EDNS.ExtRcode = r[74], r[75]
	d.EDNS.UDPSize, d.EDNS.DataStart, d.EDNS.DataLen = le.Uint16(r[76:]), le.Uint16(r[78:]), le.Uint16(r[80:])
	d.Malformed.Section, d.Malformed.Fault, d.Malformed.Index = dns.Section(r[82]), dns.Fault(r[83]), le.Uint16(r[84:])
	if e.hasFields() { // of the event before
		e.Identity, e.Version, e.QueryTime, e.ResponseTime, e.Selected, e.Fields = nil, nil, 0, 0, nil, nil
	}
	if n > end && !e.readFields(buf[end:n:n]) {
		return nil, false
	}
	return buf[n:], true
}

// clearAddrs clears the absent addresses, but not the ports.
func (e *Event) clearAddrs(flags uint16) {
	if flags&flagNoSrc != 0 {
		e.Src = netip.AddrPortFrom(netip.Addr{}, e.Src.Port())
	}
	if flags&flagNoDst != 0 {
		e.Dst = netip.AddrPortFrom(netip.Addr{}, e.Dst.Port())
	}
}

// readFields reads the fields after the message. It returns false if the value of a
// member has the wrong length.
func (e *Event) readFields(f Fields) bool {
	le := binary.LittleEndian
	for before := FieldType(0); len(f) > 0; {
		var t FieldType
		end := uint64(len(f)) + 1
		if len(f) >= fieldHeaderLen {
			t, end = FieldType(le.Uint16(f)), fieldHeaderLen+uint64(le.Uint32(f[2:]))
		}
		if t <= before || t > lastMember || end > uint64(len(f)) {
			e.Fields = f
			return true
		}
		value := []byte(f[fieldHeaderLen:end:end])
		if len(value) == 0 { // an empty member is absent
			value = nil
		}
		switch t {
		case fieldIdentity:
			e.Identity = value
		case fieldVersion:
			e.Version = value
		case fieldSelected:
			e.Selected = value
		default:
			if len(value) != 8 {
				return false
			}
			ns := int64(le.Uint64(value))
			if t == fieldQueryTime {
				e.QueryTime = ns
			} else {
				e.ResponseTime = ns
			}
		}
		before, f = t, f[end:]
	}
	return true
}
