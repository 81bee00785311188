package dns

import "encoding/binary"

// Fits reports whether the record's data fit its type, as miekg/dns reads them. No
// data at all fit any type, and data may end before a field that can be left out.
// msg is the message that the record was read from.
func (rec *Record) Fits(msg []byte) bool {
	switch size := rec.End - rec.Data; {
	case size == 0:
		return true
	case rec.Type == TypeA: // most records
		return size == 4
	case rec.Type == TypeAAAA:
		return size == 16
	}
	fields, known := FieldsOf(rec.Type)
	if !known {
		return true
	}
	d := rdata{reader: reader{msg: msg[:rec.End], off: rec.Data}}
	return d.fits(fields)
}

// rdata reads the record data at the end of msg. size holds the numbers of the
// KindLen fields, for the later fields whose length or form they give, in turn.
type rdata struct {
	reader
	size      [2]int
	put, take int
}

func (d *rdata) left() []byte { return d.msg[d.off:] }

func (d *rdata) fits(fields []Field) bool {
	for i := range fields {
		f := &fields[i]
		if d.off == len(d.msg) && !f.Must {
			return true
		}
		if !d.field(f.Kind) {
			return false
		}
	}
	return d.off == len(d.msg)
}

var kindSizes = [...]int{
	KindU8: 1, KindU16: 2, KindU32: 4, KindU48: 6, KindU64: 8, KindLen8: 1, KindLen16: 2, KindIPv4: 4, KindIPv6: 16, KindPrefixes: 0,
}

func (d *rdata) field(k Kind) bool {
	switch k {
	case KindLen8, KindLen16:
		b := d.left()
		if len(b) < kindSizes[k] {
			return false
		}
		n := int(b[0])
		if k == KindLen16 {
			n = int(binary.BigEndian.Uint16(b))
		}
		d.size[d.put&1] = n
		d.put++
		return d.skip(kindSizes[k])
	case KindText, KindHex, KindBase64:
		return d.skip(len(d.left()))
	case KindSizedHex, KindSizedB64, KindSizedB32:
		return d.skip(d.pop())
	case KindName:
		return d.skipName() == FaultNone
	case KindString:
		return d.skipString()
	case KindGateway:
		return d.gateway()
	case KindStrings, KindNames, KindTypes, KindOptions, KindParameters, KindPrefixes:
		return d.list(k)
	}
	return d.skip(kindSizes[k])
}

func (d *rdata) skip(n int) bool {
	if n > len(d.left()) {
		return false
	}
	d.off += n
	return true
}

func (d *rdata) pop() int { n := d.size[d.take&1]; d.take++; return n }

func (d *rdata) skipString() bool {
	b := d.left()
	return len(b) > 0 && d.skip(1+int(b[0]))
}

func (d *rdata) gateway() bool {
	switch uint8(d.pop()) {
	case GatewayIPv4:
		return d.skip(4)
	case GatewayIPv6:
		return d.skip(16)
	case GatewayName:
		return d.skipName() == FaultNone
	}
	return true
}

// list reads the rest of the data.
func (d *rdata) list(k Kind) bool {
	prev := -1 // the last window or key: they must ascend
	for ok := true; d.off < len(d.msg); {
		switch k {
		case KindStrings:
			ok = d.skipString()
		case KindNames:
			ok = d.skipName() == FaultNone
		case KindTypes:
			ok = d.window(&prev)
		case KindPrefixes:
			ok = d.prefix()
		default:
			ok = d.pair(k, &prev)
		}
		if !ok {
			return false
		}
	}
	return true
}

// window reads one window of a type bitmap (RFC 4034 section 4.1.2).
func (d *rdata) window(prev *int) bool {
	b := d.left()
	if len(b) < 2 || int(b[0]) <= *prev || b[1] == 0 || b[1] > 32 {
		return false
	}
	*prev = int(b[0])
	return d.skip(2 + int(b[1]))
}

// prefix reads one address prefix (RFC 3123 section 4).
func (d *rdata) prefix() bool {
	b := d.left()
	if len(b) < 4 {
		return false
	}
	size := 0
	switch binary.BigEndian.Uint16(b) {
	case FamilyIPv4:
		size = 4
	case FamilyIPv6:
		size = 16
	}
	bits, n := int(b[2]), int(b[3]&0x7f)
	if size == 0 || bits > 8*size || n > size || n > len(b)-4 || n > 0 && b[4+n-1] == 0 {
		return false
	}
	return d.skip(4 + n)
}

// pair reads an EDNS option or an SVCB parameter: a code, a length and as many
// bytes.
func (d *rdata) pair(k Kind, prev *int) bool {
	b := d.left()
	if len(b) < 4 {
		return false
	}
	code, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
	if n > len(b)-4 {
		return false
	}
	d.off += 4 + n
	if k == KindOptions {
		return optionFits(code, b[4:4+n])
	}
	if int(code) <= *prev {
		return false
	}
	*prev = int(code)
	return parameterFits(code, b[4:4+n])
}

// optionFits checks the EDNS options that miekg/dns checks: all others fit.
func optionFits(code uint16, b []byte) bool {
	n := len(b)
	switch code {
	case OptionLLQ:
		return n >= 18
	case OptionUL:
		return n == 4 || n == 8
	case OptionSubnet:
		if n < 4 {
			return false
		}
		source, scope := b[2], b[3]
		switch binary.BigEndian.Uint16(b) {
		case FamilyNone:
			return source == 0
		case FamilyIPv4:
			return source <= 32 && scope <= 32
		case FamilyIPv6:
			return source <= 128 && scope <= 128
		}
		return false
	case OptionExpire:
		return n == 0 || n >= 4
	case OptionKeepalive:
		return n == 0 || n == 2
	case OptionEDE, OptionZoneVersion:
		return n >= 2
	case OptionReporting: // pointers count from the start of the option
		r := reader{msg: b}
		return r.skipName() == FaultNone
	}
	return true
}

// parameterFits checks the SVCB parameters (RFC 9460 section 2.2) that miekg/dns
// checks: all others fit.
func parameterFits(key uint16, b []byte) bool {
	n := len(b)
	switch key {
	case ParamMandatory:
		return n%2 == 0
	case ParamALPN:
		for len(b) > 0 {
			if 1+int(b[0]) > len(b) {
				return false
			}
			b = b[1+int(b[0]):]
		}
	case ParamNoDefaultALPN, ParamOHTTP:
		return n == 0
	case ParamPort:
		return n == 2
	case ParamIPv4Hint:
		return n > 0 && n%4 == 0
	case ParamIPv6Hint: // not of IPv4-mapped addresses
		for i := 0; i+16 <= n; i += 16 {
			if [12]byte(b[i:i+12]) == [12]byte{10: 0xff, 11: 0xff} {
				return false
			}
		}
		return n > 0 && n%16 == 0
	case ParamReserved:
		return false
	}
	return true
}
