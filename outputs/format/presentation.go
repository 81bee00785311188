package format

import (
	"strings"

	"dnsmonster-sensor/userspace/dns"
)

// Numbers and record data in the presentation format of zone files, for json-flat
// and json-ocsf.

// appendType appends a type's mnemonic, or TYPE and its number (RFC 3597
// section 5).
func appendType(dst []byte, rrtype uint16) []byte {
	if name := dns.TypeName(rrtype); name != "" {
		return append(dst, name...)
	}
	return appendUint(append(dst, "TYPE"...), uint64(rrtype))
}

// appendClass appends a class's mnemonic, or CLASS and its number.
func appendClass(dst []byte, class uint16) []byte {
	if name := dns.ClassName(class); name != "" {
		return append(dst, name...)
	}
	return appendUint(append(dst, "CLASS"...), uint64(class))
}

// presented are the types whose presentation format is just their fields in turn.
var presented = func() (t [len(lowTypes)]bool) {
	list := " A AAAA AFSDB CAA CDNSKEY CDS CNAME DHCID DNAME DNSKEY DS HINFO KX LP MX NAPTR NS OPENPGPKEY PTR PX RP RT SMIMEA SOA SPF SRV " +
		"SSHFP TLSA TXT URI ZONEMD "
	for rrtype := range t {
		name := dns.TypeName(uint16(rrtype))
		t[rrtype] = name != "" && strings.Contains(list, " "+name+" ")
	}
	return t
}()

// appendPresented appends the data at the end of msg in presentation format, escaped
// for JSON. Types that are not in presented, and data that do not fit their type, are
// written as in RFC 3597 section 5.
func (j *JSON) appendPresented(dst, msg []byte, off int, rrtype uint16) []byte {
	if int(rrtype) < len(presented) && presented[rrtype] {
		if whole, ok := j.appendFieldsInTurn(dst, msg, off, recordTypeOf(rrtype).fields); ok {
			return whole
		}
		j.names.reset() // it remembers names in the part of dst that is dropped
	}
	dst = appendUint(append(dst, `\\# `...), uint64(len(msg)-off))
	if off < len(msg) {
		dst = appendHex(append(dst, ' '), msg[off:])
	}
	return dst
}

func (j *JSON) appendFieldsInTurn(dst, msg []byte, off int, fields []field) ([]byte, bool) {
	for i := range fields {
		if off < 0 || off >= len(msg) {
			return dst, false
		}
		if i > 0 {
			dst = append(dst, ' ')
		}
		switch k := fields[i].kind; {
		case k <= dns.KindLen16:
			dst, off = appendNumber(dst, msg, off, k, nil)
		case k == dns.KindStrings:
			for sep := ""; off >= 0 && off < len(msg); sep = " " {
				dst, off = appendCharString(append(append(dst, sep...), `\"`...), msg, off)
				dst = append(dst, `\"`...)
			}
		case k == dns.KindString:
			dst, off = appendCharString(append(dst, `\"`...), msg, off)
			dst = append(dst, `\"`...)
		case k == dns.KindText:
			dst = append(appendZone(append(dst, `\"`...), msg[off:], &inString), `\"`...)
			off = len(msg)
		default:
			dst, off = j.appendString(dst, msg, off, k, nil)
		}
	}
	return dst, off == len(msg)
}
