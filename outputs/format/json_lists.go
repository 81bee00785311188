package format

import (
	"encoding/binary"
	"net"

	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/userspace/dns"
)

// appendList appends a list of all entries up to the end of msg, of which there is at
// least one. It returns the end of msg, or -1 if an entry is bad.
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
// is the offset behind it, or -1 if it runs past the end.
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
	mdns.EDNS0LLQ:          `{"Code":0,"Version":`,
	mdns.EDNS0UL:           `{"Code":0,"Lease":`,
	mdns.EDNS0NSID:         `{"Code":0,"Nsid":"`,
	mdns.EDNS0ESU:          `{"Code":0,"Uri":"`,
	mdns.EDNS0DAU:          `{"Code":0,"AlgCode":`,
	mdns.EDNS0DHU:          `{"Code":0,"AlgCode":`,
	mdns.EDNS0N3U:          `{"Code":0,"AlgCode":`,
	mdns.EDNS0SUBNET:       `{"Code":0,"Family":`,
	mdns.EDNS0EXPIRE:       `{"Code":0,"Expire":`,
	mdns.EDNS0COOKIE:       `{"Code":0,"Cookie":"`,
	mdns.EDNS0TCPKEEPALIVE: `{"Code":0,"Timeout":`,
	mdns.EDNS0PADDING:      `{"Padding":`,
	mdns.EDNS0EDE:          `{"InfoCode":`,
	mdns.EDNS0REPORTING:    `{"Code":0,"AgentDomain":"`,
	mdns.EDNS0ZONEVERSION:  `{"Code":0,"LabelCount":`,
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
	case mdns.EDNS0NSID, mdns.EDNS0COOKIE:
		dst = append(appendHex(dst, b), '"')
	case mdns.EDNS0ESU:
		dst = append(appendText(dst, b), '"')
	case mdns.EDNS0DAU, mdns.EDNS0DHU, mdns.EDNS0N3U, mdns.EDNS0PADDING:
		dst = appendBytes(dst, b)
	case mdns.EDNS0REPORTING:
		var end int
		j.apart.reset() // pointers count from the start of the option
		dst, end = j.apart.append(dst, b, 0)
		dst, ok = append(dst, '"'), end >= 0
	case mdns.EDNS0SUBNET:
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
	case mdns.EDNS0LLQ:
		if len(b) < 18 {
			return dst, false
		}
		dst = appendUint(dst, uint64(be.Uint16(b)))
		dst = appendUint(append(dst, `,"Opcode":`...), uint64(be.Uint16(b[2:])))
		dst = appendUint(append(dst, `,"Error":`...), uint64(be.Uint16(b[4:])))
		dst = appendUint(append(dst, `,"Id":`...), be.Uint64(b[6:]))
		dst = appendUint(append(dst, `,"LeaseLife":`...), uint64(be.Uint32(b[14:])))
	case mdns.EDNS0UL:
		if len(b) != 4 && len(b) != 8 {
			return dst, false
		}
		key := uint64(0)
		if len(b) == 8 {
			key = uint64(be.Uint32(b[4:]))
		}
		dst = appendUint(dst, uint64(be.Uint32(b)))
		dst = appendUint(append(dst, `,"KeyLease":`...), key)
	case mdns.EDNS0EXPIRE:
		if len(b) == 0 {
			return append(dst, `0,"Empty":true`...), true
		}
		if len(b) < 4 {
			return dst, false
		}
		dst = append(appendUint(dst, uint64(be.Uint32(b))), `,"Empty":false`...)
	case mdns.EDNS0TCPKEEPALIVE:
		if len(b) != 0 && len(b) != 2 {
			return dst, false
		}
		timeout := uint64(0)
		if len(b) == 2 {
			timeout = uint64(be.Uint16(b))
		}
		dst = append(appendUint(dst, timeout), `,"Length":0`...)
	case mdns.EDNS0EDE:
		if len(b) < 2 {
			return dst, false
		}
		dst = append(appendUint(dst, uint64(be.Uint16(b))), `,"ExtraText":"`...)
		dst = append(appendText(dst, b[2:]), '"')
	case mdns.EDNS0ZONEVERSION:
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
	case 0:
		dst, ok = append(dst, "0.0.0.0"...), source == 0
	case 1:
		dst, ok = appendIPv4(dst, ip[:]), source <= 32 && scope <= 32
	case 2:
		dst, ok = appendIPv6(dst, ip[:]), source <= 128 && scope <= 128
	}
	return append(dst, '"'), ok
}

// appendParameter appends one SvcParam (RFC 9460 section 2.2).
func appendParameter(dst, msg []byte, off, prev int) ([]byte, int, int) {
	code, b, next := pair(msg, off)
	key := mdns.SVCBKey(code)
	if next < 0 || int(code) <= prev || code == 65535 {
		return dst, -1, 0
	}
	ok := true
	switch key {
	case mdns.SVCB_MANDATORY:
		dst, ok = appendMandatory(dst, b)
	case mdns.SVCB_ALPN:
		dst, ok = appendALPN(dst, b)
	case mdns.SVCB_NO_DEFAULT_ALPN, mdns.SVCB_OHTTP:
		dst, ok = append(dst, '{'), len(b) == 0
	case mdns.SVCB_PORT:
		if ok = len(b) == 2; ok {
			dst = appendUint(append(dst, `{"Port":`...), uint64(binary.BigEndian.Uint16(b)))
		}
	case mdns.SVCB_IPV4HINT:
		dst, ok = appendHints(dst, b, net.IPv4len)
	case mdns.SVCB_IPV6HINT:
		dst, ok = appendHints(dst, b, net.IPv6len)
	case mdns.SVCB_ECHCONFIG:
		dst = appendBytes(append(dst, `{"ECH":`...), b)
	case mdns.SVCB_DOHPATH:
		dst = append(appendText(append(dst, `{"Template":"`...), b), '"')
	default:
		dst = appendUint(append(dst, `{"KeyCode":`...), uint64(code))
		dst = appendBytes(append(dst, `,"Data":`...), b)
	}
	if !ok {
		return dst, -1, 0
	}
	return append(dst, '}'), next, int(code)
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
	case 1:
		size = net.IPv4len
	case 2:
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
