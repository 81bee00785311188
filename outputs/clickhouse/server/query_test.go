package server

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
)

// answer makes a fake that answers each query with these blocks.
func answer(t testing.TB, revision int, blocks ...[]Column) *fake {
	return startFake(t, &fake{revision: revision, query: func(s *session) {
		s.putStatistics()
		for _, b := range blocks {
			s.putBlock(b, false)
		}
		proto.ServerCodeEndOfStream.Encode(&s.b)
		s.flush()
	}})
}

func encoded(name string, c proto.ColInput) Column {
	col := Column{Name: name, Type: string(c.Type()), Rows: c.Rows()}
	if p, ok := c.(proto.Preparable); ok {
		if err := p.Prepare(); err != nil {
			panic(err)
		}
	}
	var state, data proto.Buffer
	if s, ok := c.(proto.StateEncoder); ok {
		s.EncodeState(&state)
	}
	c.EncodeColumn(&data)
	col.State, col.Data = [][]byte{state.Buf}, [][]byte{data.Buf}
	return col
}

// TestQuery: values of the types that system tables have, as ch-go encodes them.
func TestQuery(t *testing.T) {
	names := new(proto.ColStr).LowCardinality()
	names.AppendArr([]string{"a", "b", "a"})
	lists := new(proto.ColStr).Array()
	lists.Append([]string{"it's", `a\b`})
	lists.Append(nil)
	lists.Append([]string{""})
	dictionaries := proto.NewArray[string](new(proto.ColStr).LowCardinality())
	dictionaries.Append([]string{"x", "y", "x"})
	dictionaries.Append([]string{})
	dictionaries.Append([]string{"z"})
	maybe := new(proto.ColStr).Nullable()
	maybe.Append(proto.NewNullable("v"))
	maybe.Append(proto.Null[string]())
	maybe.Append(proto.NewNullable(""))
	first := []Column{
		encoded("n", proto.ColUInt64{0, 1, 1<<64 - 1}),
		encoded("i", proto.ColInt8{-128, 0, 127}),
		encoded("f", proto.ColFloat64{0.5, -1, 1e300}),
		encoded("lc", names), encoded("list", lists), encoded("lists", dictionaries), encoded("maybe", maybe),
		{Name: "e", Type: `Enum8('' = 0, 'it\'s' = -1, 'b, c' = 7)`, Rows: 3, Data: [][]byte{{0, 255, 7}}},
		{Name: "t", Type: "DateTime", Rows: 3, Data: [][]byte{{0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x80}}},
		{Name: "u", Type: "DateTime('UTC')", Rows: 3, Data: [][]byte{{0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x80}}},
		{Name: "t64", Type: "DateTime64(3, 'UTC')", Rows: 3, Data: [][]byte{binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(make([]byte, 8), 1<<64-1), 1700000000123)}},
		{Name: "x", Type: "FixedString(3)", Rows: 3, Data: [][]byte{[]byte("udptcpa\x00\x00")}},
	}
	second := slices.Clone(first)
	f := answer(t, 0, nil, first, second)
	c := dial(t, f.Addr, Config{})
	r, err := c.Query(within(t, patience), "SELECT")
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{"0", "-128", "0.5", "a", `['it\'s','a\\b']`, "['x','y','x']", "v", "", "1970-01-01 01:00:00", "1970-01-01 00:00:00", "1970-01-01 00:00:00.000", "udp"},
		{"1", "0", "-1", "b", "[]", "[]", `\N`, "it's", "1970-01-01 01:00:01", "1970-01-01 00:00:01", "1969-12-31 23:59:59.999", "tcp"},
		{"18446744073709551615", "127", "1e+300", "a", "['']", "['z']", "", "b, c", "2038-01-19 04:14:08", "2038-01-19 03:14:08", "2023-11-14 22:13:20.123", "a"},
	}
	want = append(want, want...)
	if fmt.Sprint(r.Rows) != fmt.Sprint(want) {
		t.Errorf("rows\n%q, want\n%q", r.Rows, want)
	}
	if len(r.Names) != 12 || r.Names[3] != "lc" || r.Types[3] != "LowCardinality(String)" {
		t.Errorf("names %q, types %q", r.Names, r.Types)
	}
	if c.Broken() || c.Ping(within(t, patience)) != nil {
		t.Error("the connection is broken")
	}
}

// TestQueryRefuses: what is not read says what to do, and the limits hold.
func TestQueryRefuses(t *testing.T) {
	f := func(want string, blocks ...[]Column) {
		t.Helper()
		c := dial(t, answer(t, 0, blocks...).Addr, Config{})
		r, err := c.Query(within(t, patience), "SELECT")
		if err == nil || r != nil || !strings.Contains(err.Error(), want) || !c.Broken() {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	one := func(typ string, data ...byte) []Column {
		return []Column{{Name: "a\n\x1b", Type: typ, Rows: 1, Data: [][]byte{data}}}
	}
	f("column a: values of type Decimal(9, 2) are not read: select toString of it", one("Decimal(9, 2)", 1))
	f("values of type Map(String, String)", one("Map(String, String)"))
	f("values of type Array(Array(", one(strings.Repeat("Array(", 20)+"UInt8"+strings.Repeat(")", 20)))
	f("values of type FixedString(0)", one("FixedString(0)"))
	f("values of type Enum('a' = )", one("Enum8('a' = )", 1))
	f("values of type DateTime64(10)", one("DateTime64(10)", 1))
	f("different columns", one("UInt8", 1), []Column{{Name: "b", Type: "UInt8", Rows: 1, Data: [][]byte{{1}}}})
	many := []Column{{Name: "a", Type: "UInt8", Rows: 60_000, Data: [][]byte{make([]byte, 60_000)}}}
	f("too long", many, many)
	f("too long", one("Array(LowCardinality(String))", longArray()...))
}

// longArray is an array of few bytes whose text would be 60 GB.
func longArray() (b []byte) {
	put := func(v uint64) { b = binary.LittleEndian.AppendUint64(b, v) }
	const n, length = 60_000, 1 << 20
	put(1) // version
	put(n) // end of the array
	put(hasAdditionalKeys)
	put(1)
	b = append(binary.AppendUvarint(b, length), make([]byte, length)...)
	put(n)
	return append(b, make([]byte, n)...)
}

// TestHostileAnswers: no answer takes much memory, ends the program or holds a call.
func TestHostileAnswers(t *testing.T) {
	long := binary.AppendUvarint(nil, 1<<62)
	block := func(rest ...byte) []byte { return append([]byte{1, 0, 0}, rest...) }
	answers := map[string][]byte{
		"a long name of a table":   append([]byte{1}, long...),
		"an unknown field":         {1, 0, 9},
		"many columns":             block(append(long, 1)...),
		"many rows":                block(append([]byte{1}, long...)...),
		"a million rows":           block(1, 0xc0, 0x84, 0x3d),
		"2^30 rows":                block(1, 0x80, 0x80, 0x80, 0x80, 4),
		"arrays that go back":      block(append([]byte{1, 2, 0, 12}, append([]byte("Array(UInt8)"), 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2)...)...),
		"a long column's name":     block(append([]byte{1, 1}, long...)...),
		"a long type":              block(append([]byte{1, 1, 0}, long...)...),
		"a long value":             block(append([]byte{1, 1, 0, 6, 'S', 't', 'r', 'i', 'n', 'g'}, long...)...),
		"16 MiB that do not come":  block(append([]byte{1, 1, 0, 6, 'S', 't', 'r', 'i', 'n', 'g'}, 0xff, 0xff, 0xff, 7)...),
		"1 GiB that does not come": block(append([]byte{1, 1, 0, 6, 'S', 't', 'r', 'i', 'n', 'g'}, 0xff, 0xff, 0xff, 0xff, 3)...),
		"an array without end":     block(append([]byte{1, 1, 0, 12}, append([]byte("Array(UInt8)"), 255, 255, 255, 255, 255, 255, 255, 127)...)...),
		"a long message":           append([]byte{2, 1, 0, 0, 0}, long...),
		"an endless number":        {1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"an unknown packet":        {99},
		"a greeting":               {0},
	}
	for name, bytes := range answers {
		t.Run(name, func(t *testing.T) {
			f := startFake(t, &fake{query: func(s *session) {
				s.b.PutRaw(bytes)
				s.flush()
				s.conn.Close()
			}})
			c := dial(t, f.Addr, Config{})
			used := allocated(func() {
				if r, err := c.Query(within(t, patience), "SELECT"); err == nil || r != nil {
					t.Errorf("%v, %v", r, err)
				}
			})
			if used > 40<<20 {
				t.Errorf("%d MiB used", used>>20)
			}
		})
	}
}

// TestEndlessAnswer: an answer without end is left after 16 MiB.
func TestEndlessAnswer(t *testing.T) {
	number := "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
	table := "\x64" + strings.Repeat("t", 100)
	for name, packet := range map[string]string{
		"progress": "\x03" + strings.Repeat(number, 5),
		"blocks":   "\x01" + table + "\x00\x00\x00",
		"logs":     "\x0a" + table + "\x00\x00\x00",
		"rows":     "\x01\x00\x00\x01\x01\x00\x06String" + table,
	} {
		t.Run(name, func(t *testing.T) {
			many := []byte(strings.Repeat(packet, 1000))
			f := startFake(t, &fake{query: func(s *session) {
				for {
					if _, err := s.conn.Write(many); err != nil {
						return
					}
				}
			}})
			c := dial(t, f.Addr, Config{})
			if _, err := c.Query(within(t, patience), "SELECT"); err == nil || !strings.HasSuffix(err.Error(), "the answer is too long") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// FuzzAnswer: no bytes of a server end the program.
func FuzzAnswer(f *testing.F) {
	for _, typ := range []string{"LowCardinality(Nullable(String))", "Array(Array(UInt8))", "Enum16('a' = 1)", "DateTime64(3)", "Array(Nullable(FixedString(2)))", "IPv6", "UUID", "Nothing"} {
		head := append([]byte{1, 0, 0, 1, 2, 0, byte(len(typ))}, typ...)
		f.Add(append(head, make([]byte, 100)...))
		f.Add(append(head, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0))
	}
	f.Add([]byte{2, 1, 0, 0, 0, 0, 1, 'a', 0, 1, 2, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &Conn{revision: revision, in: over(b), zone: time.UTC}
		c.in.allow(maxAnswer)
		text, result := 0, new(Result)
		for {
			_, err := c.packet(func() error {
				r, err := c.startBlock(false)
				if err != nil {
					return err
				}
				return c.readColumns(r, result, &text)
			})
			if err != nil {
				return
			}
		}
	})
}
