package format

import "unicode/utf8"

// How a byte is written in a JSON string. Names and character strings have the escapes of
// zone files, which are then escaped for JSON; other text has only the escapes of JSON.
const (
	asIs      = iota
	backslash // zone file: a backslash and the byte
	decimal   // zone file: \DDD
	control   // JSON: \n or \u00XX
	quoted    // JSON: a backslash and the byte
	multibyte // JSON: part of a UTF-8 sequence, or of none
)

var (
	inName   = zoneClass(` .'@;()"\`) // in a label of a domain name
	inString = zoneClass(`"\`)        // in a character string
	inText   = textClass()            // in other text
)

func zoneClass(special string) (t [256]uint8) {
	for c := range t {
		if c < ' ' || c > '~' {
			t[c] = decimal
		}
	}
	for _, c := range special {
		t[c] = backslash
	}
	return t
}

func textClass() (t [256]uint8) {
	for c := range t {
		switch {
		case c < ' ' || c == 0x7f:
			t[c] = control
		case c == '"' || c == '\\':
			t[c] = quoted
		case c >= utf8.RuneSelf:
			t[c] = multibyte
		}
	}
	return t
}

// appendZone appends s with the escapes of zone files, escaped for JSON.
func appendZone(dst, s []byte, class *[256]uint8) []byte {
	n := len(dst)
	dst = append(dst, s...)
	odd := uint8(0)
	for _, c := range s {
		odd |= class[c]
	}
	if odd == asIs {
		return dst
	}
	return appendEscapedZone(dst[:n], s, class)
}

// appendLabel appends a label of a name, with its dot.
func appendLabel(dst, s []byte) []byte {
	dst = reserve(dst, len(s)+1)
	at := len(dst)
	to := dst[at : at+len(s)+1]
	odd := uint8(0)
	for i, c := range s {
		to[i] = c
		odd |= inName[c]
	}
	if odd == asIs {
		to[len(s)] = '.'
		return dst[:at+len(to)]
	}
	return append(appendEscapedZone(dst, s, &inName), '.')
}

func appendEscapedZone(dst, s []byte, class *[256]uint8) []byte {
	for _, c := range s {
		switch class[c] {
		case asIs:
			dst = append(dst, c)
		case backslash:
			dst = append(dst, '\\', '\\')
			if c == '"' || c == '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, c)
		default:
			dst = append(dst, '\\', '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
		}
	}
	return dst
}

const lowerHex = "0123456789abcdef"

// appendText appends s for a JSON string. Each byte that is not UTF-8 becomes
// \ufffd. All control characters are escaped, including DEL and U+0080 to U+009F, which
// JSON does not require.
func appendText[T string | []byte](dst []byte, s T) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		switch inText[c] {
		case asIs:
			i++
			continue
		case multibyte:
			r, n := utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
			if r > 0x9f && (r != utf8.RuneError || n != 1) {
				i += n
				continue
			}
			dst = append(dst, s[start:i]...)
			if r <= 0x9f {
				dst = appendControl(dst, byte(r))
			} else {
				dst = append(dst, `\ufffd`...)
			}
			i += n
			start = i
			continue
		case quoted:
			dst = append(append(dst, s[start:i]...), '\\', c)
		default:
			dst = appendControl(append(dst, s[start:i]...), c)
		}
		i++
		start = i
	}
	return append(dst, s[start:]...)
}

func appendControl(dst []byte, c byte) []byte {
	switch c {
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return append(dst, '\\', 'u', '0', '0', lowerHex[c>>4], lowerHex[c&15])
}
