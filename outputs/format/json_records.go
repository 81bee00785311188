package format

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/dns"
)

// field is a field of record data, with the text around its value.
type field struct {
	kind dns.Kind
	must bool   // the data must not end before it
	name short  // `,"Name":` and, if the value is a string, its first quote
	zero string // the whole field, for data that end before it
}

// recordType is the fields of a type's data.
type recordType struct {
	known  bool   // to dns.FieldsOf
	empty  string // all fields, for a record without data
	fields []field
}

var (
	lowTypes    [256 + 16]recordType // by number; nearly all are here
	highTypes   = map[uint16]*recordType{}
	unknownType = newRecordType([]dns.Field{{Name: "Rdata", Kind: dns.KindHex}}) // RFC 3597
)

func init() {
	for _, rrtype := range dns.KnownTypes() {
		fields, _ := dns.FieldsOf(rrtype)
		r := newRecordType(fields)
		r.known = true
		if int(rrtype) < len(lowTypes) {
			lowTypes[rrtype] = r
		} else {
			highTypes[rrtype] = &r
		}
	}
}

func newRecordType(fields []dns.Field) (r recordType) {
	for _, f := range fields {
		r.fields = append(r.fields, newField(f))
	}
	for _, f := range r.fields {
		r.empty += f.zero
	}
	r.empty += "}"
	return r
}

func newField(d dns.Field) field {
	f := field{kind: d.Kind, must: d.Must}
	start := `,"` + d.Name + `":`
	switch {
	case d.Kind == dns.KindGateway:
		start, f.zero = `,"GatewayAddr":"`, `,"GatewayAddr":"","GatewayHost":""`
	case d.Kind <= dns.KindLen16:
		f.zero = start + "0"
	case d.Kind >= dns.KindStrings:
		f.zero = start + "null"
	default:
		start += `"`
		f.zero = start + `"`
	}
	f.name = newShort(start)
	return f
}

func recordTypeOf(rrtype uint16) *recordType {
	if int(rrtype) < len(lowTypes) {
		if r := &lowTypes[rrtype]; r.known {
			return r
		}
	} else if r := highTypes[rrtype]; r != nil {
		return r
	}
	return &unknownType
}

// appendRecord appends the record at off. fits is false if the data do not fit the type:
// they are written as those of an unknown type. next is the offset after the record, or -1
// if it is not whole: then the caller drops what was appended. Beyond the limit the text may
// be incomplete.
func (j *JSON) appendRecord(dst, msg []byte, off int) (extended []byte, next int, fits bool) {
	dst, off = j.appendHead(dst, msg, off)
	if off < 0 {
		return dst, -1, true
	}
	length := int(binary.BigEndian.Uint16(msg[off-2:]))
	end := off + length
	if end > len(msg) {
		return dst, -1, true
	}
	dst = append(appendUint(dst, uint64(length)), '}')
	r := recordTypeOf(binary.BigEndian.Uint16(msg[off-10:]))
	if length == 0 {
		return append(dst, r.empty...), end, true
	}
	at := len(dst)
	dst, got := j.appendData(dst, msg[:end], off, r.fields)
	if got == end || len(dst) > j.limit {
		return append(dst, '}'), end, true
	}
	j.names.reset() // some may be in the part that is dropped
	dst = appendShort(dst[:at], &unknownType.fields[0].name)
	return append(appendHex(dst, msg[off:end]), `"}`...), end, false
}

// appendHead appends a record's name, type, class and TTL, and the key "Rdlength". It
// returns the offset after the length of the data.
func (j *JSON) appendHead(dst, msg []byte, off int) ([]byte, int) {
	if len(msg)-off >= pointedHead && msg[off] >= 0xc0 {
		h := headOf(msg[off:])
		if h == j.previous {
			return append(dst, dst[j.previousAt:j.previousEnd]...), off + pointedHead
		}
		j.previous, j.previousAt = h, len(dst)
	} else {
		j.previous = head{}
	}
	dst = append(dst, `{"Hdr":{"Name":"`...)
	dst, off = j.names.append(dst, msg, off)
	if off < 0 || off+10 > len(msg) {
		return dst, -1
	}
	dst = j.heads.append(dst, binary.BigEndian.Uint64(msg[off:]))
	j.previousEnd = len(dst)
	return dst, off + 10
}

// head is the part of a record before the length of the data, if its name is a
// pointer. The records of a set share it. No record has the zero value.
type head struct {
	name uint16
	kind uint64
}

const pointedHead = 12 // bytes of a head and the length of the data

func headOf(b []byte) head {
	return head{binary.BigEndian.Uint16(b), binary.BigEndian.Uint64(b[2:])}
}

// headTexts caches the texts of types, classes and TTLs: few combinations are common.
type headTexts [64]headText

type headText struct {
	kind uint64 // type, class and TTL as on the wire
	n    int    // 0: unused
	text [64]byte
}

// append appends the text between a record's name and the length of its data.
func (t *headTexts) append(dst []byte, kind uint64) []byte {
	k := &t[kind*0x9e3779b97f4a7c15>>58]
	if k.kind != kind || k.n == 0 {
		k.set(kind)
	}
	dst = reserve(dst, len(k.text))
	at := len(dst)
	*(*[len(k.text)]byte)(dst[at : at+len(k.text)]) = k.text
	return dst[:at+k.n]
}

func (k *headText) set(kind uint64) {
	var room [2 * len(k.text)]byte // more than the text, since appendUint needs more
	text := appendUint(append(room[:0], `","Rrtype":`...), kind>>48)
	text = appendUint(append(text, `,"Class":`...), kind>>32&0xffff)
	text = appendUint(append(text, `,"Ttl":`...), kind&0xffffffff)
	k.kind, k.n = kind, copy(k.text[:], append(text, `,"Rdlength":`...)) // at most 59
}

// sizes passes the numbers of KindLen fields on to the later fields whose length or form they
// set, in the same order.
type sizes struct {
	size      [2]int
	put, take int
}

func (s *sizes) push(n int) { s.size[s.put&1] = n; s.put++ }

func (s *sizes) pop() int { n := s.size[s.take&1]; s.take++; return n }

// appendData appends the fields of the data from off to the end of msg. It returns
// the offset where it stopped, or -1 if the data do not fit.
func (j *JSON) appendData(dst, msg []byte, off int, fields []field) ([]byte, int) {
	var s sizes
	for i := range fields {
		f := &fields[i]
		if off == len(msg) && !f.must {
			for ; i < len(fields); i++ {
				dst = append(dst, fields[i].zero...)
			}
			return dst, off
		}
		dst = appendShort(dst, &f.name)
		switch {
		case f.kind <= dns.KindLen16:
			dst, off = appendNumber(dst, msg, off, f.kind, &s)
		case f.kind < dns.KindStrings:
			dst, off = j.appendString(dst, msg, off, f.kind, &s)
			dst = append(dst, '"')
		default:
			dst, off = j.appendList(dst, msg, off, f.kind)
		}
		if off < 0 {
			return dst, -1
		}
	}
	return dst, off
}

func appendNumber(dst, msg []byte, off int, k dns.Kind, s *sizes) ([]byte, int) {
	rest := msg[off:]
	switch k {
	case dns.KindU8, dns.KindLen8:
		if len(rest) < 1 {
			return dst, -1
		}
		if k == dns.KindLen8 {
			s.push(int(rest[0]))
		}
		return appendUint(dst, uint64(rest[0])), off + 1
	case dns.KindU16, dns.KindLen16:
		if len(rest) < 2 {
			return dst, -1
		}
		v := binary.BigEndian.Uint16(rest)
		if k == dns.KindLen16 {
			s.push(int(v))
		}
		return appendUint(dst, uint64(v)), off + 2
	case dns.KindU32:
		if len(rest) < 4 {
			return dst, -1
		}
		return appendUint(dst, uint64(binary.BigEndian.Uint32(rest))), off + 4
	case dns.KindU48:
		if len(rest) < 6 {
			return dst, -1
		}
		return appendUint(dst, uint64(binary.BigEndian.Uint16(rest))<<32|uint64(binary.BigEndian.Uint32(rest[2:]))), off + 6
	default:
		if len(rest) < 8 {
			return dst, -1
		}
		return appendUint(dst, binary.BigEndian.Uint64(rest)), off + 8
	}
}

// appendString appends the value of a field that is a JSON string, without quotes.
func (j *JSON) appendString(dst, msg []byte, off int, k dns.Kind, s *sizes) ([]byte, int) {
	rest := msg[off:]
	switch k {
	case dns.KindName:
		return j.names.append(dst, msg, off)
	case dns.KindString:
		return appendCharString(dst, msg, off)
	case dns.KindText:
		return appendText(dst, rest), len(msg)
	case dns.KindHex:
		return appendHex(dst, rest), len(msg)
	case dns.KindBase64:
		return appendBase64(dst, rest), len(msg)
	case dns.KindIPv4:
		if len(rest) < 4 {
			return dst, -1
		}
		return appendIPv4(dst, rest), off + 4
	case dns.KindIPv6:
		if len(rest) < 16 {
			return dst, -1
		}
		return appendIPv6(dst, rest), off + 16
	case dns.KindGateway:
		return j.appendGateway(dst, msg, off, s.pop())
	}
	n := s.pop()
	if n > len(rest) {
		return dst, -1
	}
	switch k {
	case dns.KindSizedB64:
		dst = appendBase64(dst, rest[:n])
	case dns.KindSizedB32:
		dst = appendBase32(dst, rest[:n])
	default:
		dst = appendHex(dst, rest[:n])
	}
	return dst, off + n
}

func appendCharString(dst, msg []byte, off int) ([]byte, int) {
	if off >= len(msg) || off+1+int(msg[off]) > len(msg) {
		return dst, -1
	}
	end := off + 1 + int(msg[off])
	return appendZone(dst, msg[off+1:end], &inString), end
}

// appendGateway appends an address and a name, and the text between the two fields. At
// least one of them is empty (RFC 4025 section 2.3, RFC 8777 section 4.2.3).
func (j *JSON) appendGateway(dst, msg []byte, off, gateway int) ([]byte, int) {
	const middle = `","GatewayHost":"`
	switch uint8(gateway) {
	case dns.GatewayIPv4:
		dst, off = j.appendString(dst, msg, off, dns.KindIPv4, nil)
	case dns.GatewayIPv6:
		dst, off = j.appendString(dst, msg, off, dns.KindIPv6, nil)
	case dns.GatewayName:
		return j.names.append(append(dst, middle...), msg, off)
	}
	return append(dst, middle...), off
}
