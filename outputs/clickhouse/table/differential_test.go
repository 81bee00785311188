package table

import (
	"bytes"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"dnsmonster-sensor/outputs/columns"
)

// slow is a column of ch-go, and how a value gets into it.
type slow struct {
	proto.ColInput
	add func(value any, absent bool)
}

// bytes encodes the column as ch-go does.
func (s slow) bytes(t *testing.T) []byte {
	if p, ok := s.ColInput.(proto.Preparable); ok {
		if err := p.Prepare(); err != nil {
			t.Fatal(err)
		}
	}
	var b proto.Buffer
	if p, ok := s.ColInput.(proto.StateEncoder); ok {
		p.EncodeState(&b)
	}
	s.EncodeColumn(&b)
	return b.Buf
}

// valueOf reads a column's value of a row, in the plainest way.
func valueOf(c *columns.Column, r *columns.Row) any {
	switch c.Kind {
	case columns.Time:
		return c.Time(r)
	case columns.Uint, columns.Bool:
		return c.Uint(r)
	case columns.Float:
		return c.Float(r)
	case columns.Addr:
		return c.Addr(r)
	case columns.Uints:
		return c.Uints(r, nil)
	case columns.Texts:
		var l columns.TextList
		c.Texts(r, &l)
		list := []string{}
		for i := range l.Len() {
			list = append(list, string(l.At(i)))
		}
		return list
	}
	return string(c.Append(r, nil))
}

// adder appends values after a conversion.
func adder[T any](c interface {
	proto.ColInput
	Append(T)
}, convert func(any) T) slow {
	return slow{c, func(v any, _ bool) { c.Append(convert(v)) }}
}

// nullable and dictionary wrap a column.
func nullable[T any](c proto.ColumnOf[T], convert func(any) T) slow {
	n := proto.NewColNullable(c)
	return slow{n, func(v any, absent bool) {
		n.Append(proto.Nullable[T]{Set: !absent, Value: convert(v)})
	}}
}

func dictionaryOf[T comparable](c proto.ColumnOf[T], convert func(any) T) slow {
	return adder[T](proto.NewLowCardinality(c), convert)
}

func arrayOf[T any](c proto.ColumnOf[T], convert func(any) []T) slow {
	return adder[[]T](proto.NewArray(c), convert)
}

func clampTo(limit uint64) func(any) uint64 {
	return func(v any) uint64 { return min(v.(uint64), limit) }
}

func text(v any) string {
	switch v := v.(type) {
	case netip.Addr:
		if !v.IsValid() {
			return ""
		}
		return v.String()
	case uint64:
		return strconv.FormatUint(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return v.(string)
}

func padded(n int) func(any) []byte {
	return func(v any) []byte {
		s := text(v)
		if short := map[string]string{"dnscryptudp": "dcu", "dnscrypttcp": "dct", "unknown": "unk"}[s]; n == 3 && short != "" {
			s = short
		}
		return []byte((s + strings.Repeat("\x00", n))[:n])
	}
}

func seconds(v any) int64 { return time.Unix(0, v.(int64)).Unix() }

func addr6(v any) proto.IPv6 { return proto.ToIPv6(v.(netip.Addr)) }

func addr4(v any) proto.IPv4 {
	if a := v.(netip.Addr).Unmap(); a.Is4() {
		return proto.ToIPv4(a)
	}
	return 0
}

// ticks is a time in units of 10^-p seconds.
func ticks(p int) func(any) int64 {
	return func(v any) int64 {
		t := time.Unix(0, v.(int64))
		if first := time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC); t.Before(first) {
			t = first
		}
		ns, unit := t.UnixNano(), int64(math.Pow10(9-p))
		q := ns / unit
		if q*unit > ns {
			q--
		}
		return q
	}
}

func uints[T uint8 | uint16 | uint32 | uint64](v any) (list []T) {
	for _, n := range v.([]uint32) {
		list = append(list, T(min(uint64(n), uint64(^T(0)))))
	}
	return list
}

// is limits cases to kinds of values.
func is(kinds ...columns.Kind) func(columns.Kind) bool {
	return func(k columns.Kind) bool { return slices.Contains(kinds, k) }
}

var (
	numbers = is(columns.Uint, columns.Bool)
	words   = is(columns.Text, columns.Bytes)

	times = is(columns.Time)
	addrs = is(columns.Addr)
)

// slowColumns is all types that ch-go can write, each with the kinds of values that it can
// hold.
var slowColumns = []struct {
	typ   string
	kinds func(columns.Kind) bool
	make  func() slow
}{
	{"UInt8", numbers, func() slow { return adder(new(proto.ColUInt8), func(v any) uint8 { return uint8(clampTo(255)(v)) }) }},
	{"UInt16", numbers, func() slow {
		return adder(new(proto.ColUInt16), func(v any) uint16 { return uint16(clampTo(65535)(v)) })
	}},
	{"UInt32", numbers, func() slow {
		return adder(new(proto.ColUInt32), func(v any) uint32 { return uint32(clampTo(1<<32 - 1)(v)) })
	}},
	{"UInt64", numbers, func() slow { return adder(new(proto.ColUInt64), func(v any) uint64 { return v.(uint64) }) }},
	{"UInt128", numbers, func() slow {
		return adder(new(proto.ColUInt128), func(v any) proto.UInt128 { return proto.UInt128{Low: v.(uint64)} })
	}},
	{"UInt256", numbers, func() slow {
		return adder(new(proto.ColUInt256), func(v any) proto.UInt256 { return proto.UInt256{Low: proto.UInt128{Low: v.(uint64)}} })
	}},
	{"Int8", numbers, func() slow { return adder(new(proto.ColInt8), func(v any) int8 { return int8(clampTo(127)(v)) }) }},
	{"Int16", numbers, func() slow { return adder(new(proto.ColInt16), func(v any) int16 { return int16(clampTo(32767)(v)) }) }},
	{"Int32", numbers, func() slow {
		return adder(new(proto.ColInt32), func(v any) int32 { return int32(clampTo(1<<31 - 1)(v)) })
	}},
	{"Int64", numbers, func() slow {
		return adder(new(proto.ColInt64), func(v any) int64 { return int64(clampTo(1<<63 - 1)(v)) })
	}},
	{"Int128", numbers, func() slow {
		return adder(new(proto.ColInt128), func(v any) proto.Int128 { return proto.Int128{Low: v.(uint64)} })
	}},
	{"Bool", numbers, func() slow { return adder(new(proto.ColBool), func(v any) bool { return v.(uint64) > 0 }) }},
	{"Float32", is(columns.Uint, columns.Bool), func() slow { return adder(new(proto.ColFloat32), func(v any) float32 { return float32(v.(uint64)) }) }},
	{"Float64", is(columns.Uint, columns.Bool), func() slow { return adder(new(proto.ColFloat64), func(v any) float64 { return float64(v.(uint64)) }) }},
	{"Float64", is(columns.Float), func() slow { return adder(new(proto.ColFloat64), func(v any) float64 { return v.(float64) }) }},
	{"Float32", is(columns.Float), func() slow { return adder(new(proto.ColFloat32), func(v any) float32 { return float32(v.(float64)) }) }},
	{"UInt32", is(columns.Float), func() slow {
		return adder(new(proto.ColUInt32), func(v any) uint32 { return uint32(math.Round(v.(float64))) })
	}},
	{"Nullable(UInt16)", numbers, func() slow {
		return nullable(new(proto.ColUInt16), func(v any) uint16 { return uint16(clampTo(65535)(v)) })
	}},
	{"LowCardinality(UInt16)", numbers, func() slow {
		return dictionaryOf(new(proto.ColUInt16), func(v any) uint16 { return uint16(clampTo(65535)(v)) })
	}},

	{"DateTime", times, func() slow {
		return adder(new(proto.ColDateTime), func(v any) time.Time { return time.Unix(min(max(seconds(v), 0), math.MaxUint32), 0) })
	}},
	{"DateTime('Europe/Berlin')", times, func() slow {
		return adder(new(proto.ColDateTime), func(v any) time.Time { return time.Unix(min(max(seconds(v), 0), math.MaxUint32), 0) })
	}},
	{"Nullable(DateTime)", times, func() slow {
		return nullable(new(proto.ColDateTime), func(v any) time.Time { return time.Unix(min(max(seconds(v), 0), math.MaxUint32), 0) })
	}},
	{"DateTime64(0)", times, func() slow { return adder(new(proto.ColInt64), ticks(0)) }},
	{"DateTime64(3)", times, func() slow { return adder(new(proto.ColInt64), ticks(3)) }},
	{"DateTime64(5, 'UTC')", times, func() slow { return adder(new(proto.ColInt64), ticks(5)) }},
	{"DateTime64(6, 'UTC')", times, func() slow { return adder(new(proto.ColInt64), ticks(6)) }},
	{"DateTime64(9)", times, func() slow { return adder(new(proto.ColInt64), ticks(9)) }},
	{"Nullable(DateTime64(6))", times, func() slow { return nullable(new(proto.ColInt64), ticks(6)) }},
	{"Date", times, func() slow {
		return adder(new(proto.ColDate), func(v any) time.Time { return time.Unix(min(max(seconds(v), 0), 65535*86400), 0).UTC() })
	}},
	{"Date32", times, func() slow {
		return adder(new(proto.ColInt32), func(v any) int32 { return int32(math.Floor(float64(seconds(v)) / 86400)) })
	}},

	{"IPv6", addrs, func() slow { return adder(new(proto.ColIPv6), addr6) }},
	{"Nullable(IPv6)", addrs, func() slow { return nullable(new(proto.ColIPv6), addr6) }},
	{"IPv4", addrs, func() slow { return adder(new(proto.ColIPv4), addr4) }},
	{"FixedString(16)", addrs, func() slow {
		return adder(&proto.ColFixedStr{Size: 16}, func(v any) []byte { b := v.(netip.Addr).As16(); return b[:] })
	}},
	{"FixedString(4)", addrs, func() slow {
		return adder(&proto.ColFixedStr{Size: 4}, func(v any) []byte {
			if a := v.(netip.Addr).Unmap(); a.Is4() {
				return a.AsSlice()
			}
			return make([]byte, 4)
		})
	}},
	{"String", func(k columns.Kind) bool { return k != columns.Time && !isList(k) }, func() slow { return adder(new(proto.ColStr), text) }},
	{"Nullable(String)", func(k columns.Kind) bool { return k != columns.Time && !isList(k) }, func() slow { return nullable(new(proto.ColStr), text) }},
	{"LowCardinality(String)", func(k columns.Kind) bool { return k != columns.Time && !isList(k) }, func() slow { return dictionaryOf(new(proto.ColStr), text) }},
	{"FixedString(40)", words, func() slow { return adder(&proto.ColFixedStr{Size: 40}, padded(40)) }},
	{"FixedString(3)", words, func() slow { return adder(&proto.ColFixedStr{Size: 3}, padded(3)) }},
	{"FixedString(11)", words, func() slow { return adder(&proto.ColFixedStr{Size: 11}, padded(11)) }},
	{"Enum8('udp' = 3, 'tcp' = -7, 'unknown' = -8)", words, func() slow {
		return adder(new(proto.ColInt8), func(v any) int8 {
			if n, ok := map[any]int8{"udp": 3, "tcp": -7}[v]; ok {
				return n
			}
			return -8
		})
	}},
	{"Enum16('query' = 0, 'response' = 1, 'most' = 300)", numbers, func() slow {
		return adder(new(proto.ColInt16), func(v any) int16 {
			if n := v.(uint64); n == 1 || n == 300 {
				return int16(n)
			}
			return 0
		})
	}},

	{"Array(UInt16)", is(columns.Uints), func() slow { return arrayOf(new(proto.ColUInt16), uints[uint16]) }},
	{"Array(UInt64)", is(columns.Uints), func() slow { return arrayOf(new(proto.ColUInt64), uints[uint64]) }},
	{"Array(String)", is(columns.Texts), func() slow { return arrayOf(new(proto.ColStr), func(v any) []string { return v.([]string) }) }},
	{"Array(LowCardinality(String))", is(columns.Texts), func() slow {
		return arrayOf(proto.NewLowCardinality(new(proto.ColStr)), func(v any) []string { return v.([]string) })
	}},
	{"Array(Nullable(String))", is(columns.Texts), func() slow {
		return arrayOf(proto.NewColNullable(new(proto.ColStr)), func(v any) (list []proto.Nullable[string]) {
			for _, s := range v.([]string) {
				list = append(list, proto.NewNullable(s))
			}
			return list
		})
	}},
}

// TestSameAsChGo: for each type and each column of ours, the bytes are those that ch-go's
// columns give for the values one by one.
func TestSameAsChGo(t *testing.T) {
	cases := 0
	for _, o := range []Options{{Server: "sensor1"}, {Server: "sensor1", UseIdentity: true, FullQuery: true}} {
		o.Records.InterfaceName = func(number uint32, _ int64) string { return fmt.Sprint("eth", number%3)[:3+number%2] }
		o.Records.Server = "sensor1"
		b := shapes()[1]
		rows := rowsOf(b, o)
		for _, f := range fields {
			for _, s := range slowColumns {
				c := f.ID.Column()
				if !s.kinds(c.Kind) || f.ID != columns.FullRecord && o.FullQuery && f.ID != columns.Server && s.typ[0] != 'D' {
					continue
				}
				cases++
				want := s.make()
				for i := range rows {
					want.add(valueOf(c, &rows[i].Row), !rows[i].has(c))
				}
				parts := NewEncoder(planOf(t, tableOf(t, f.Name, s.typ), o)).Encode(b, now)
				last := len(parts[0].Columns) - 1
				if got := joined(&parts[0].Columns[last]); len(parts) != 1 || parts[0].Rows != len(rows) || !bytes.Equal(got, want.bytes(t)) {
					t.Errorf("%s as %s: %d parts of %d rows, %d bytes, want %d rows, %d bytes: %s", f.Name, s.typ, len(parts), parts[0].Rows, len(got), len(rows), len(want.bytes(t)), difference(got, want.bytes(t)))
				}
			}
		}
	}
	if cases < 500 {
		t.Errorf("only %d cases", cases)
	}
}

// difference shows where two texts begin to differ.
func difference(a, b []byte) string {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return fmt.Sprintf("from byte %d on %x, want %x", n, a[n:min(len(a), n+40)], b[n:min(len(b), n+40)])
}
