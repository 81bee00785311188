package format

import "time"

// timestamps writes times. It keeps the text of the last second.
type timestamps struct {
	loc    *time.Location // nil: UTC
	second int64
	date   [19]byte // 2006-01-02T15:04:05
	zone   string   // Z or +01:00; "" until first used
}

// append appends ns in RFC 3339, with as many decimals as it needs.
func (t *timestamps) append(dst []byte, ns int64) []byte {
	second, fraction := splitSecond(ns)
	if second != t.second || t.zone == "" {
		t.setSecond(second)
	}
	dst = append(dst, t.date[:]...)
	if fraction > 0 {
		dst = append(dst, '.')
		n := len(dst)
		dst = appendNano(dst, fraction)
		for dst[len(dst)-1] == '0' && len(dst) > n {
			dst = dst[:len(dst)-1]
		}
	}
	return append(dst, t.zone...)
}

// splitSecond splits nanoseconds into seconds and a fraction that is not negative.
func splitSecond(ns int64) (second, fraction int64) {
	second, fraction = ns/1e9, ns%1e9
	if fraction < 0 {
		second, fraction = second-1, fraction+1e9
	}
	return second, fraction
}

func (t *timestamps) setSecond(second int64) {
	when := time.Unix(second, 0).UTC()
	if t.loc != nil {
		when = when.In(t.loc)
	}
	var b [40]byte
	text := when.AppendFormat(b[:0], time.RFC3339)
	copy(t.date[:], text)
	if zone := text[len(t.date):]; string(zone) != t.zone {
		t.zone = string(zone)
	}
	t.second = second
}

// appendNano appends nine digits.
func appendNano(dst []byte, fraction int64) []byte {
	hi, lo := int(fraction/100000), int(fraction%100000)
	dst = appendTwo(dst, hi/100)
	dst = appendTwo(dst, hi%100)
	dst = append(dst, '0'+byte(lo/10000))
	dst = appendTwo(dst, lo/100%100)
	return appendTwo(dst, lo%100)
}
