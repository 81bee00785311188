package format

import (
	"encoding/binary"
	"net"

	"dnsmonster-sensor/userspace/dns"
)

// appendList appends a list of all entries up to the end of msg. There is at least one.
// It returns the end of msg, or -1 if an entry is bad.
func (j *JSON) appendList(dst, msg []byte, off int, k dns.Kind) ([]byte, int) {
	at := len(dst)
	prev := -1 // the last window or key: they must ascend
	for off >= 0 && off < len(msg) && len(dst) <= j.limit {
		dst = append(dst, ',')
		switch k {
		case dns.KindStrings:
			dst, off = appendCharString(append(dst, '"'), msg, off)
			dst = append(dst, '"')
		case dns.KindNames:
			dst, off = j.names.append(append(dst, '"'), msg, off)
			dst = append(dst, '"')
		case dns.KindTypes:
			dst, off, prev = appendWindow(dst[:len(dst)-1], msg, off, prev)
		case dns.KindOptions:
			dst, off = j.appendOption(dst, msg, off)
		case dns.KindParameters:
			dst, off, prev = appendParameter(dst, msg, off, prev)
		case dns.KindPrefixes:
			dst, off = appendPrefix(dst, msg, off)
		}
	}
	if len(dst) == at {
		return append(dst, "null"...), off
	}
	dst[at] = '['
	return append(dst, ']'), off
}

// appendWindow appends the types in one window of a type bitmap (RFC 4034
// section 4.1.2), each after a comma.
func appendWindow(dst, msg []byte, off, prev int) ([]byte, int, int) {
	rest := msg[off:]
	if len(rest) < 2 {
		return dst, -1, 0
	}
	window, n := int(rest[0]), int(rest[1])
	if window <= prev || n == 0 || n > 32 || n > len(rest)-2 {
		return dst, -1, 0
	}
	for i, b := range rest[2 : 2+n] {
		for bit := 0; b != 0; bit, b = bit+1, b<<1 {
			if b&0x80 != 0 {
				dst = appendUint(append(dst, ','), uint64(window<<8+i<<3+bit))
			}
		}
	}
	return dst, off + 2 + n, window
}

// pair reads an EDNS option or SVCB parameter: a code, a length and as much data. next
// is the offset after it, or -1 if it runs past the end.
func pair(msg []byte, off int) (code uint16, data []byte, next int) {
	rest := msg[off:]
	if len(rest) < 4 {
		return 0, nil, -1
	}
	n := int(binary.BigEndian.Uint16(rest[2:]))
	if n > len(rest)-4 {
		return 0, nil, -1
	}
	return binary.BigEndian.Uint16(rest), rest[4 : 4+n], off + 4 + n
}

// optionStarts is the start of miekg/dns' struct for each option that it knows. None
// of them contains its own code.
var optionStarts = [...]string{
	dns.OptionLLQ:         `{"Code":0,"Version":`,
	dns.OptionUL:          `{"Code":0,"Lease":`,
	dns.OptionNSID:        `{"Code":0,"Nsid":"`,
	dns.OptionESU:         `{"Code":0,"Uri":"`,
	dns.OptionDAU:         `{"Code":0,"AlgCode":`,
	dns.OptionDHU:         `{"Code":0,"AlgCode":`,
	dns.OptionN3U:         `{"Code":0,"AlgCode":`,
	dns.OptionSubnet:      `{"Code":0,"Family":`,
	dns.OptionExpire:      `{"Code":0,"Expire":`,
	dns.OptionCookie:      `{"Code":0,"Cookie":"`,
	dns.OptionKeepalive:   `{"Code":0,"Timeout":`,
	dns.OptionPadding:     `{"Padding":`,
	dns.OptionEDE:         `{"InfoCode":`,
	dns.OptionReporting:   `{"Code":0,"AgentDomain":"`,
	dns.OptionZoneVersion: `{"Code":0,"LabelCount":`,
}

func (j *JSON) appendOption(dst, msg []byte, off int) ([]byte, int) {
	code, b, next := pair(msg, off)
	if next < 0 {
		return dst, -1
	}
	if int(code) >= len(optionStarts) || optionStarts[code] == "" {
		dst = appendUint(append(dst, `{"Code":`...), uint64(code))
		dst = appendBytes(append(dst, `,"Data":`...), b)
		return append(dst, '}'), next
	}
	dst = append(dst, optionStarts[code]...)
	ok := true
	switch code {
	case dns.OptionNSID, dns.OptionCookie:
		dst = append(appendHex(dst, b), '"')
	case dns.OptionESU:
		dst = append(appendText(dst, b), '"')
	case dns.OptionDAU, dns.OptionDHU, dns.OptionN3U, dns.OptionPadding:
		dst = appendBytes(dst, b)
	case dns.OptionReporting:
		var end int
		j.isolated.reset() // pointers count from the start of the option
		dst, end = j.isolated.append(dst, b, 0)
		dst, ok = append(dst, '"'), end >= 0
	case dns.OptionSubnet:
		dst, ok = appendSubnet(dst, b)
	default:
		dst, ok = appendSmallOption(dst, b, code)
	}
	if !ok {
		return dst, -1
	}
	return append(dst, '}'), next
}

// appendSmallOption appends the options that are a few numbers.
func appendSmallOption(dst, b []byte, code uint16) ([]byte, bool) {
	be := binary.BigEndian
	switch code {
	case dns.OptionLLQ:
		if len(b) < 18 {
			return dst, false
		}
		dst = appendUint(dst, uint64(be.Uint16(b)))
		dst = appendUint(append(dst, `,"Opcode":`...), uint64(be.Uint16(b[2:])))
		dst = appendUint(append(dst, `,"Error":`...), uint64(be.Uint16(b[4:])))
		dst = appendUint(append(dst, `,"Id":`...), be.Uint64(b[6:]))
		dst = appendUint(append(dst, `,"LeaseLife":`...), uint64(be.Uint32(b[14:])))
	case dns.OptionUL:
		if len(b) != 4 && len(b) != 8 {
			return dst, false
		}
		key := uint64(0)
		if len(b) == 8 {
			key = uint64(be.Uint32(b[4:]))
		}
		dst = appendUint(dst, uint64(be.Uint32(b)))
		dst = appendUint(append(dst, `,"KeyLease":`...), key)
	case dns.OptionExpire:
		if len(b) == 0 {
			return append(dst, `0,"Empty":true`...), true
		}
		if len(b) < 4 {
			return dst, false
		}
		dst = append(appendUint(dst, uint64(be.Uint32(b))), `,"Empty":false`...)
	case dns.OptionKeepalive:
		if len(b) != 0 && len(b) != 2 {
			return dst, false
		}
		timeout := uint64(0)
		if len(b) == 2 {
			timeout = uint64(be.Uint16(b))
		}
		dst = append(appendUint(dst, timeout), `,"Length":0`...)
	case dns.OptionEDE:
		if len(b) < 2 {
			return dst, false
		}
		dst = append(appendUint(dst, uint64(be.Uint16(b))), `,"ExtraText":"`...)
		dst = append(appendText(dst, b[2:]), '"')
	case dns.OptionZoneVersion:
		if len(b) < 2 {
			return dst, false
		}
		dst = appendUint(dst, uint64(b[0]))
		dst = appendUint(append(dst, `,"Type":`...), uint64(b[1]))
		dst = append(appendText(append(dst, `,"Version":"`...), b[2:]), '"')
	}
	return dst, true
}

// appendSubnet appends a client subnet (RFC 7871 section 6). Missing bytes of its
// address are zero, and surplus bytes are ignored.
func appendSubnet(dst, b []byte) ([]byte, bool) {
	if len(b) < 4 {
		return dst, false
	}
	family, source, scope := binary.BigEndian.Uint16(b), b[2], b[3]
	var ip [16]byte
	copy(ip[:], b[4:])
	dst = appendUint(dst, uint64(family))
	dst = appendUint(append(dst, `,"SourceNetmask":`...), uint64(source))
	dst = appendUint(append(dst, `,"SourceScope":`...), uint64(scope))
	dst = append(dst, `,"Address":"`...)
	ok := false
	switch family {
	case dns.FamilyNone:
		dst, ok = append(dst, "0.0.0.0"...), source == 0
	case dns.FamilyIPv4:
		dst, ok = appendIPv4(dst, ip[:]), source <= 32 && scope <= 32
	case dns.FamilyIPv6:
		dst, ok = appendIPv6(dst, ip[:]), source <= 128 && scope <= 128
	}
	return append(dst, '"'), ok
}

// appendParameter appends one SvcParam (RFC 9460 section 2.2).
func appendParameter(dst, msg []byte, off, prev int) ([]byte, int, int) {
	key, b, next := pair(msg, off)
	if next < 0 || int(key) <= prev || key == dns.ParamReserved {
		return dst, -1, 0
	}
	ok := true
	switch key {
	case dns.ParamMandatory:
		dst, ok = appendMandatory(dst, b)
	case dns.ParamALPN:
		dst, ok = appendALPN(dst, b)
	case dns.ParamNoDefaultALPN, dns.ParamOHTTP:
		dst, ok = append(dst, '{'), len(b) == 0
	case dns.ParamPort:
		if ok = len(b) == 2; ok {
			dst = appendUint(append(dst, `{"Port":`...), uint64(binary.BigEndian.Uint16(b)))
		}
	case dns.ParamIPv4Hint:
		dst, ok = appendHints(dst, b, net.IPv4len)
	case dns.ParamIPv6Hint:
		dst, ok = appendHints(dst, b, net.IPv6len)
	case dns.ParamECH:
		dst = appendBytes(append(dst, `{"ECH":`...), b)
	case dns.ParamDoHPath:
		dst = append(appendText(append(dst, `{"Template":"`...), b), '"')
	default:
		dst = appendUint(append(dst, `{"KeyCode":`...), uint64(key))
		dst = appendBytes(append(dst, `,"Data":`...), b)
	}
	if !ok {
		return dst, -1, 0
	}
	return append(dst, '}'), next, int(key)
}

func appendMandatory(dst, b []byte) ([]byte, bool) {
	if len(b)%2 != 0 {
		return dst, false
	}
	dst = append(dst, `{"Code":[`...)
	for i := 0; i < len(b); i += 2 {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendUint(dst, uint64(binary.BigEndian.Uint16(b[i:])))
	}
	return append(dst, ']'), true
}

func appendALPN(dst, b []byte) ([]byte, bool) {
	dst = append(dst, `{"Alpn":[`...)
	for i := 0; i < len(b); {
		end := i + 1 + int(b[i])
		if end > len(b) {
			return dst, false
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendText(append(dst, '"'), b[i+1:end]), '"')
		i = end
	}
	return append(dst, ']'), true
}

// appendHints appends addresses of size bytes. IPv4-mapped addresses are not valid as
// IPv6 hints.
func appendHints(dst, b []byte, size int) ([]byte, bool) {
	if len(b) == 0 || len(b)%size != 0 {
		return dst, false
	}
	dst = append(dst, `{"Hint":[`...)
	for i := 0; i < len(b); i += size {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		if size == net.IPv4len {
			dst = appendIPv4(dst, b[i:])
		} else if net.IP(b[i:i+size]).To4() != nil {
			return dst, false
		} else {
			dst = appendIPv6(dst, b[i:])
		}
		dst = append(dst, '"')
	}
	return append(dst, ']'), true
}

// appendPrefix appends one address prefix (RFC 3123 section 4).
func appendPrefix(dst, msg []byte, off int) ([]byte, int) {
	rest := msg[off:]
	if len(rest) < 4 {
		return dst, -1
	}
	size := 0
	switch binary.BigEndian.Uint16(rest) {
	case dns.FamilyIPv4:
		size = net.IPv4len
	case dns.FamilyIPv6:
		size = net.IPv6len
	}
	bits, n := int(rest[2]), int(rest[3]&0x7f)
	if bits > 8*size || n > size || n > len(rest)-4 || n > 0 && rest[4+n-1] == 0 || size == 0 {
		return dst, -1
	}
	var ip, mask [net.IPv6len]byte
	copy(ip[:], rest[4:4+n])
	for i := range mask {
		mask[i] = byte(uint(0xff00) >> min(max(bits-8*i, 0), 8))
	}
	dst = appendBool(append(dst, `{"Negation":`...), rest[3]&0x80 != 0)
	dst = append(dst, `,"Network":{"IP":"`...)
	if size == net.IPv4len {
		dst = appendIPv4(dst, ip[:])
	} else {
		dst = appendIPv6(dst, ip[:])
	}
	dst = appendBase64(append(dst, `","Mask":"`...), mask[:size])
	return append(dst, `"}}`...), off + 4 + n
}
