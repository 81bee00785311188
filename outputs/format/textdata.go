package format

import (
	"encoding/binary"
	"time"

	"dnsmonster-sensor/userspace/dns"
)

// AppendRecordData appends the data from off to the end of msg as in zone files, in
// printable ASCII. Data of
// unknown types, and data that do not fit their type, are written as in RFC 3597 section 5.
// Lists may stop once dst is longer than limit.
func AppendRecordData(dst, msg []byte, off int, rrtype uint16, limit int) []byte {
	if off == len(msg) {
		return dst
	}
	start := len(dst)
	if r := recordTypeOf(rrtype); r.known && !isOpaque(rrtype) {
		if dst, ok := appendDataFields(dst, msg, off, rrtype, r.fields, limit); ok {
			return dst
		}
	}
	dst = append(appendUint(append(dst[:start], `\# `...), uint64(len(msg)-off)), ' ')
	return appendHex(dst, msg[off:])
}

// isOpaque reports types whose fields one by one are not their presentation format.
func isOpaque(rrtype uint16) bool {
	switch rrtype {
	case dns.TypeNULL, dns.TypeLOC, dns.TypeOPT:
		return true
	}
	return false
}

func appendDataFields(dst, msg []byte, off int, rrtype uint16, fields []field, limit int) ([]byte, bool) {
	var s sizes
	start := len(dst)
	for i := range fields {
		k := fields[i].kind
		if off == len(msg) && (!fields[i].must || i == 0) {
			return dst, i > 0
		}
		at := len(dst)
		if at > start && dst[at-1] != ' ' {
			dst = append(dst, ' ')
		}
		if k <= dns.KindLen16 {
			dst, off = appendDataNumber(dst, msg, off, rrtype, i, k, &s)
		} else {
			dst, off = appendDataField(dst, msg, off, k, &s, limit)
		}
		if off < 0 {
			return dst, false
		}
		if len(dst) > limit {
			return dst, true
		}
	}
	if n := len(dst); n > start && dst[n-1] == ' ' { // the last field was a length
		dst = dst[:n-1]
	}
	return dst, off == len(msg)
}

// appendDataNumber appends a number in the form that its type has in zone files.
func appendDataNumber(dst, msg []byte, off int, rrtype uint16, i int, k dns.Kind, s *sizes) ([]byte, int) {
	at := len(dst)
	dst, next := appendNumber(dst, msg, off, k, s)
	if next < 0 {
		return dst, -1
	}
	signature := rrtype == dns.TypeRRSIG || rrtype == dns.TypeSIG
	switch {
	case k >= dns.KindLen8 && rrtype != dns.TypeIPSECKEY && rrtype != dns.TypeAMTRELAY && rrtype != dns.TypeTSIG && rrtype != dns.TypeTKEY:
		return dst[:at], next
	case signature && i == 0:
		dst = appendType(dst[:at], binary.BigEndian.Uint16(msg[off:]))
	case signature && (i == 4 || i == 5):
		dst = time.Unix(int64(binary.BigEndian.Uint32(msg[off:])), 0).UTC().AppendFormat(dst[:at], "20060102150405")
	case rrtype == dns.TypeEUI48 || rrtype == dns.TypeEUI64:
		dst = appendGroups(dst[:at], msg[off:next], 1, '-')
	case k == dns.KindU64:
		dst = appendGroups(dst[:at], msg[off:next], 2, ':')
	}
	return dst, next
}

// appendGroups appends b in hexadecimal, with a separator after each n bytes.
func appendGroups(dst, b []byte, n int, sep byte) []byte {
	for i := 0; i < len(b); i += n {
		if i > 0 {
			dst = append(dst, sep)
		}
		dst = appendHex(dst, b[i:i+n])
	}
	return dst
}

func appendDataField(dst, msg []byte, off int, k dns.Kind, s *sizes, limit int) ([]byte, int) {
	rest := msg[off:]
	switch k {
	case dns.KindName:
		return appendDataName(dst, msg, off)
	case dns.KindString:
		return appendDataString(dst, msg, off)
	case dns.KindText:
		return appendQuoted(dst, rest), len(msg)
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
		switch uint8(s.pop()) {
		case dns.GatewayIPv4:
			return appendDataField(dst, msg, off, dns.KindIPv4, nil, limit)
		case dns.GatewayIPv6:
			return appendDataField(dst, msg, off, dns.KindIPv6, nil, limit)
		case dns.GatewayName:
			return appendDataName(dst, msg, off)
		}
		return append(dst, '.'), off
	}
	if k >= dns.KindStrings {
		return appendDataList(dst, msg, off, k, limit)
	}
	n := s.pop()
	switch {
	case n > len(rest):
		return dst, -1
	case n == 0:
		return append(dst, '-'), off
	case k == dns.KindSizedB64:
		dst = appendBase64(dst, rest[:n])
	case k == dns.KindSizedB32:
		dst = appendBase32(dst, rest[:n])
	default:
		dst = appendHex(dst, rest[:n])
	}
	return dst, off + n
}

func appendDataName(dst, msg []byte, off int) ([]byte, int) {
	dst, ok := dns.AppendName(dst, msg, off)
	if !ok {
		return dst, -1
	}
	_, next, _ := dns.SkipName(msg, off)
	return dst, next
}

func appendDataString(dst, msg []byte, off int) ([]byte, int) {
	if off >= len(msg) || off+1+int(msg[off]) > len(msg) {
		return dst, -1
	}
	end := off + 1 + int(msg[off])
	return appendQuoted(dst, msg[off+1:end]), end
}

// appendDataList appends all entries up to the end of msg.
func appendDataList(dst, msg []byte, off int, k dns.Kind, limit int) ([]byte, int) {
	prev := -1 // the last window or key: they must ascend
	for sep := false; off >= 0 && off < len(msg) && len(dst) <= limit; sep = true {
		if sep {
			dst = append(dst, ' ')
		}
		switch k {
		case dns.KindStrings:
			dst, off = appendDataString(dst, msg, off)
		case dns.KindNames:
			dst, off = appendDataName(dst, msg, off)
		case dns.KindTypes:
			dst, off, prev = appendTypeWindow(dst, msg, off, prev)
		case dns.KindParameters:
			dst, off, prev = appendDataParameter(dst, msg, off, prev)
		case dns.KindPrefixes:
			dst, off = appendDataPrefix(dst, msg, off)
		default:
			return dst, -1
		}
	}
	if off >= 0 && len(dst) > limit {
		off = len(msg)
	}
	return dst, off
}

// appendTypeWindow appends the types in one window of a type bitmap (RFC 4034
// section 4.1.2).
func appendTypeWindow(dst, msg []byte, off, prev int) ([]byte, int, int) {
	rest := msg[off:]
	if len(rest) < 2 {
		return dst, -1, 0
	}
	window, n := int(rest[0]), int(rest[1])
	if window <= prev || n == 0 || n > 32 || n > len(rest)-2 {
		return dst, -1, 0
	}
	start := len(dst)
	for i, b := range rest[2 : 2+n] {
		for bit := 0; b != 0; bit, b = bit+1, b<<1 {
			if b&0x80 == 0 {
				continue
			}
			if len(dst) > start {
				dst = append(dst, ' ')
			}
			dst = appendType(dst, uint16(window<<8+i<<3+bit))
		}
	}
	return dst, off + 2 + n, window
}

// parameterNames are the keys of RFC 9460 section 14.3.2.
var parameterNames = [...]string{
	dns.ParamMandatory: "mandatory", dns.ParamALPN: "alpn", dns.ParamNoDefaultALPN: "no-default-alpn", dns.ParamPort: "port",
	dns.ParamIPv4Hint: "ipv4hint", dns.ParamECH: "ech", dns.ParamIPv6Hint: "ipv6hint", dns.ParamDoHPath: "dohpath", dns.ParamOHTTP: "ohttp",
}

func appendParameterKey(dst []byte, key uint16) []byte {
	if int(key) < len(parameterNames) {
		return append(dst, parameterNames[key]...)
	}
	return appendUint(append(dst, "key"...), uint64(key))
}

// appendDataParameter appends one SvcParam (RFC 9460 section 2.1).
func appendDataParameter(dst, msg []byte, off, prev int) ([]byte, int, int) {
	key, b, next := pair(msg, off)
	if next < 0 || int(key) <= prev || key == dns.ParamReserved {
		return dst, -1, 0
	}
	dst = appendParameterKey(dst, key)
	if len(b) == 0 {
		return dst, next, int(key)
	}
	dst = append(dst, '=')
	ok := true
	switch key {
	case dns.ParamMandatory:
		for i := 0; i+1 < len(b); i += 2 {
			dst = append(appendParameterKey(dst, binary.BigEndian.Uint16(b[i:])), ',')
		}
		dst, ok = dst[:len(dst)-1], len(b)%2 == 0
	case dns.ParamALPN:
		dst, ok = appendDataALPN(dst, b)
	case dns.ParamPort:
		if ok = len(b) == 2; ok {
			dst = appendUint(dst, uint64(binary.BigEndian.Uint16(b)))
		}
	case dns.ParamIPv4Hint, dns.ParamIPv6Hint:
		size := 4
		if key == dns.ParamIPv6Hint {
			size = 16
		}
		for i := 0; i+size <= len(b); i += size {
			if size == 4 {
				dst = append(appendIPv4(dst, b[i:]), ',')
			} else {
				dst = append(appendIPv6(dst, b[i:]), ',')
			}
		}
		dst, ok = dst[:len(dst)-1], len(b)%size == 0
	case dns.ParamECH:
		dst = appendBase64(dst, b)
	default:
		dst = appendQuoted(dst, b)
	}
	if !ok {
		return dst, -1, 0
	}
	return dst, next, int(key)
}

func appendDataALPN(dst, b []byte) ([]byte, bool) {
	for i := 0; i < len(b); {
		end := i + 1 + int(b[i])
		if end > len(b) {
			return dst, false
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		for j := i + 1; j < end; j++ {
			if b[j] == ',' {
				dst = append(dst, '\\')
			}
			dst = appendPlain(dst, b[j:j+1])
		}
		i = end
	}
	return dst, true
}

// appendDataPrefix appends one address prefix (RFC 3123 section 5).
func appendDataPrefix(dst, msg []byte, off int) ([]byte, int) {
	rest := msg[off:]
	if len(rest) < 4 {
		return dst, -1
	}
	family, n := binary.BigEndian.Uint16(rest), int(rest[3]&0x7f)
	var ip [16]byte
	if n > len(rest)-4 || n > len(ip) {
		return dst, -1
	}
	copy(ip[:], rest[4:4+n])
	if rest[3]&0x80 != 0 {
		dst = append(dst, '!')
	}
	dst = append(appendUint(dst, uint64(family)), ':')
	switch {
	case family == dns.FamilyIPv4 && n <= 4:
		dst = appendIPv4(dst, ip[:])
	case family == dns.FamilyIPv6:
		dst = appendIPv6(dst, ip[:])
	default:
		return dst, -1
	}
	return appendUint(append(dst, '/'), uint64(rest[2])), off + 4 + n
}
