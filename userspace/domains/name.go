package domains

import "dnsmonster-sensor/userspace/dns"

// appendNormal appends a name in the form of dns.AppendName: with its final dot, and with
// the same escapes.
func appendNormal(dst, name []byte) []byte {
	var room [64]byte
	label := room[:0]
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '.':
			dst = append(dns.AppendLabel(dst, label), '.')
			label = label[:0]
		case c != '\\':
			label = append(label, c)
		default:
			c, n := unescape(name[i+1:])
			label = append(label, c)
			i += n
		}
	}
	if len(label) > 0 || len(name) == 0 {
		dst = append(dns.AppendLabel(dst, label), '.')
	}
	return dst
}

// unescape reads the n bytes of an escape after its backslash: three decimal digits, or
// the byte itself. A backslash at the end of the text stands for itself.
func unescape(text []byte) (c byte, n int) {
	if len(text) == 0 {
		return '\\', 0
	}
	if len(text) >= 3 {
		v := 0
		for _, d := range text[:3] {
			if d < '0' || d > '9' {
				v = 256
				break
			}
			v = 10*v + int(d-'0')
		}
		if v < 256 {
			return lower[v], 3
		}
	}
	return text[0], 1
}
