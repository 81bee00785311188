package format

import (
	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/userspace/dns"
)

// The words of zone files for numbers, and records' data in their presentation
// format, for records that do not show the message as miekg/dns holds it.

// appendType appends a type's mnemonic, or TYPE and its number (RFC 3597
// section 5).
func appendType(dst []byte, rrtype uint16) []byte {
	if name, ok := mdns.TypeToString[rrtype]; ok {
		return append(dst, name...)
	}
	return appendUint(append(dst, "TYPE"...), uint64(rrtype))
}

// appendClass appends a class' mnemonic, or CLASS and its number.
func appendClass(dst []byte, class uint16) []byte {
	switch class {
	case mdns.ClassINET:
		return append(dst, "IN"...)
	case mdns.ClassCHAOS:
		return append(dst, "CH"...)
	case mdns.ClassHESIOD:
		return append(dst, "HS"...)
	case mdns.ClassNONE:
		return append(dst, "NONE"...)
	case mdns.ClassANY:
		return append(dst, "ANY"...)
	}
	return appendUint(append(dst, "CLASS"...), uint64(class))
}

// presented are the types whose presentation format is their fields in turn.
var presented = func() (t [len(lowTypes)]bool) {
	for _, rrtype := range []uint16{
		mdns.TypeA, mdns.TypeAAAA, mdns.TypeAFSDB, mdns.TypeCAA, mdns.TypeCDNSKEY, mdns.TypeCDS, mdns.TypeCNAME, mdns.TypeDHCID,
		mdns.TypeDNAME, mdns.TypeDNSKEY, mdns.TypeDS, mdns.TypeHINFO, mdns.TypeKX, mdns.TypeLP, mdns.TypeMX, mdns.TypeNAPTR,
		mdns.TypeNS, mdns.TypeOPENPGPKEY, mdns.TypePTR, mdns.TypePX, mdns.TypeRP, mdns.TypeRT, mdns.TypeSMIMEA, mdns.TypeSOA,
		mdns.TypeSPF, mdns.TypeSRV, mdns.TypeSSHFP, mdns.TypeTLSA, mdns.TypeTXT, mdns.TypeURI, mdns.TypeZONEMD,
	} {
		t[rrtype] = true
	}
	return t
}()

// appendPresented appends the data that ends msg as a zone file has it, with
// JSON's escapes: other types than the ones above, and data that does not fit
// its type, as RFC 3597 section 5 has it.
func (j *JSON) appendPresented(dst, msg []byte, off int, rrtype uint16) []byte {
	if int(rrtype) < len(presented) && presented[rrtype] {
		if whole, ok := j.appendFieldsInTurn(dst, msg, off, layoutOf(rrtype).fields); ok {
			return whole
		}
		j.names.reset() // what it remembers of dst is cut off
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
