package server

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// decoder reads the values of one column as text.
type decoder struct {
	*reader
	zone  *time.Location // of times whose type has none
	text  *int           // bytes of text so far
	cells int
}

const null = `\N`

// state reads what precedes the values: the version of each dictionary's format.
func (d *decoder) state(t *columnType) {
	if t.name == "LowCardinality" {
		if version := d.fixed(8); version != 1 {
			d.fail(fmt.Errorf("version %d of a dictionary is unknown", version))
		}
	}
	if t.inner != nil {
		d.state(t.inner)
	}
}

// count accepts n more values, of at least size bytes each.
func (d *decoder) count(n uint64, size int) int {
	if d.err == nil && (n > maxCells || d.cells+int(n) > 4*maxCells || n*uint64(size) > uint64(d.left())) {
		d.fail(errTooLong)
	}
	if d.err != nil {
		return 0
	}
	d.cells += int(n)
	return int(n)
}

// keep accounts for text that is made here.
func (d *decoder) keep(text string) string {
	if *d.text += len(text); *d.text > maxText {
		d.fail(errTooLong)
		return ""
	}
	return text
}

// values reads n values.
func (d *decoder) values(t *columnType, n int) []string {
	switch t.name {
	case "Array":
		return d.arrays(t, n)
	case "Nullable":
		return d.nullables(t, n)
	case "LowCardinality":
		return d.dictionary(t, n)
	}
	n = d.count(uint64(n), max(t.size, 1))
	out := make([]string, 0, n)
	for i := 0; i < n && d.err == nil; i++ {
		out = append(out, d.keep(d.value(t)))
	}
	return out
}

func (d *decoder) nullables(t *columnType, n int) []string {
	nulls := d.bytes(n)
	out := d.values(t.inner, n)
	for i := range out {
		if nulls[i] != 0 {
			out[i] = null
		}
	}
	return out
}

// arrays reads n arrays: where each ends, then the elements of all.
func (d *decoder) arrays(t *columnType, n int) []string {
	n = d.count(uint64(n), 8)
	ends, last := make([]int, n), uint64(0)
	for i := range ends {
		end := d.fixed(8)
		if end < last || end > maxCells {
			d.fail(errTooLong)
		}
		if d.err != nil {
			return nil
		}
		ends[i], last = int(end), end
	}
	elements := d.values(t.inner, int(last))
	if d.err != nil {
		return nil
	}
	out, from := make([]string, 0, n), 0
	for _, end := range ends {
		out = append(out, d.array(t.inner, elements[from:end]))
		from = end
	}
	return out
}

func (d *decoder) array(t *columnType, elements []string) string {
	size := 2
	for _, e := range elements {
		size += len(e) + 1
	}
	if d.err != nil || *d.text+size > maxText {
		d.fail(errTooLong)
		return ""
	}
	quoted, nullable := t.quoted(), t.nullable()
	if quoted || nullable {
		elements = slices.Clone(elements)
		for i, e := range elements {
			switch {
			case nullable && e == null:
				elements[i] = "NULL"
			case quoted:
				elements[i] = "'" + quoter.Replace(e) + "'"
			}
		}
	}
	return d.keep("[" + strings.Join(elements, ",") + "]")
}

var quoter = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

// quoted reports whether values stand in quotes inside an array.
func (t *columnType) quoted() bool {
	switch t.name {
	case "Nullable", "LowCardinality":
		return t.inner.quoted()
	case "String", "FixedString", "UUID", "IPv4", "IPv6", "Date", "DateTime", "DateTime64", "Enum8", "Enum16":
		return true
	}
	return false
}

// nullable reports whether values may be NULL.
func (t *columnType) nullable() bool {
	return t.name == "Nullable" || t.name == "LowCardinality" && t.inner.nullable()
}

// Flags of a dictionary. Its low byte says how many bytes a position has.
const (
	needGlobalDictionary = 1 << 8
	hasAdditionalKeys    = 1 << 9
)

// dictionary reads n values as positions in a list of keys.
func (d *decoder) dictionary(t *columnType, n int) []string {
	flags := d.fixed(8)
	width := flags & 0xff
	if d.err == nil && (width > 3 || flags&needGlobalDictionary != 0 || flags&hasAdditionalKeys == 0) {
		d.fail(errors.New("the form of a dictionary is unknown"))
	}
	inner, nullable := t.inner, false
	if inner.name == "Nullable" {
		inner, nullable = inner.inner, true
	}
	keys := d.values(inner, d.count(d.fixed(8), 1))
	if nullable && len(keys) > 0 {
		keys[0] = null
	}
	if d.err == nil && d.fixed(8) != uint64(n) {
		d.fail(errors.New("a dictionary has another number of rows"))
	}
	n = d.count(uint64(n), 1<<width)
	out := make([]string, 0, n)
	for range n {
		at := d.fixed(1 << width)
		if at >= uint64(len(keys)) {
			d.fail(errors.New("a dictionary lacks a key"))
		}
		if d.err != nil {
			return nil
		}
		out = append(out, keys[at])
	}
	return out
}

// value reads one value.
func (d *decoder) value(t *columnType) string {
	switch t.name {
	case "String":
		return d.string()
	case "FixedString":
		return strings.TrimRight(string(d.bytes(t.size)), "\x00")
	case "UUID":
		return uuid(d.fixed(8), d.fixed(8))
	case "IPv6":
		if b := d.bytes(16); d.err == nil {
			return netip.AddrFrom16([16]byte(b)).String()
		}
		return ""
	}
	return t.number(d.fixed(t.size), d.zone)
}

// number writes a value that is a number on the wire.
func (t *columnType) number(n uint64, zone *time.Location) string {
	if t.zone != nil {
		zone = t.zone
	}
	switch t.name {
	case "Int8", "Int16", "Int32", "Int64":
		shift := 64 - 8*t.size
		return strconv.FormatInt(int64(n)<<shift>>shift, 10)
	case "Float32":
		return strconv.FormatFloat(float64(math.Float32frombits(uint32(n))), 'g', -1, 32)
	case "Float64":
		return strconv.FormatFloat(math.Float64frombits(n), 'g', -1, 64)
	case "Bool":
		return strconv.FormatBool(n != 0)
	case "Enum8", "Enum16":
		return t.enum[n]
	case "Date":
		return time.Unix(int64(n)*86400, 0).UTC().Format(time.DateOnly)
	case "DateTime":
		return time.Unix(int64(n), 0).In(zone).Format(time.DateTime)
	case "DateTime64":
		return dateTime64(int64(n), t.scale, zone)
	case "IPv4":
		return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}).String()
	case "Nothing":
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func dateTime64(ticks int64, scale int, zone *time.Location) string {
	unit := int64(math.Pow10(scale))
	seconds, rest := ticks/unit, ticks%unit
	if rest < 0 {
		seconds, rest = seconds-1, rest+unit
	}
	text := time.Unix(seconds, 0).In(zone).Format(time.DateTime)
	if scale > 0 {
		text += fmt.Sprintf(".%0*d", scale, rest)
	}
	return text
}

// uuid writes both halves, each of which is little-endian on the wire.
func uuid(high, low uint64) string {
	h, l := fmt.Sprintf("%016x", high), fmt.Sprintf("%016x", low)
	return h[:8] + "-" + h[8:12] + "-" + h[12:] + "-" + l[:4] + "-" + l[4:]
}
