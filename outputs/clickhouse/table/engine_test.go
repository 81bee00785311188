//go:build linux

package table

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dnsmonster-sensor/outputs/clickhouse/schema"
	"dnsmonster-sensor/outputs/clickhouse/server"
	"dnsmonster-sensor/outputs/columns"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/userspace/event"
)

// engine is a server, and a connection to it.
type engine struct {
	*lab.ClickHouse
	conn *server.Conn
}

func connected(t *testing.T, c *lab.ClickHouse) *engine {
	t.Helper()
	e := &engine{ClickHouse: c}
	e.dial(t)
	return e
}

func (e *engine) dial(t *testing.T) {
	t.Helper()
	c, err := server.Dial(context.Background(), e.Addr, server.Config{User: e.User, Password: e.Password, Database: e.Database})
	if err != nil {
		t.Fatal(err)
	}
	e.conn = c
	t.Cleanup(func() { c.Close() })
}

func (e *engine) read(t *testing.T, name string) *Def {
	t.Helper()
	d, err := Read(context.Background(), e.conn, e.Database, name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// insert sends a part, and connects again after an error.
func (e *engine) insert(t *testing.T, p *Plan, part *Part) error {
	t.Helper()
	err := e.conn.Insert(context.Background(), p.InsertSQL(), part.Columns, nil)
	if err != nil {
		e.dial(t)
	}
	return err
}

// readBack is an expression for what a column holds, and its value for a value of ours.
func readBack(column, typ string) (sql string, want func(v any) string) {
	number := func(convert func(v any) string) (string, func(any) string) {
		return "toString(" + column + ")", convert
	}
	asHex := func(v any) string { return strings.ToUpper(hex.EncodeToString([]byte(text(v)))) }
	inner := strings.TrimSuffix(strings.NewReplacer("Nullable(", "", "LowCardinality(", "", "Array(", "").Replace(typ), ")")
	if strings.HasPrefix(typ, "Array(") {
		element := "x"
		if strings.HasPrefix(inner, "String") {
			element = "hex(x)"
		}
		return "concat(toString(length(" + column + ")), ':', arrayStringConcat(arrayMap(x -> ifNull(toString(" + element + "), '-'), " + column + "), ','))", func(v any) string { return listText(v, inner) }
	}
	switch base, _, _ := strings.Cut(inner, "("); {
	case strings.HasPrefix(base, "DateTime64"):
		digits := int(inner[len("DateTime64(")] - '0')
		return "toString(toUnixTimestamp64Nano(" + column + "::Nullable(DateTime64(9))))", func(v any) string {
			return strconv.FormatInt(ticks(digits)(v)*int64(math.Pow10(9-digits)), 10)
		}
	case base == "DateTime" || base == "DateTime)":
		return "toString(toUnixTimestamp(" + column + "))", func(v any) string { return fmt.Sprint(min(max(seconds(v), 0), math.MaxUint32)) }
	case base == "Date", base == "Date32":
		return "toString(toInt32(" + column + "))", func(v any) string {
			days := int64(math.Floor(float64(seconds(v)) / 86400))
			if base == "Date" {
				days = min(max(days, 0), math.MaxUint16)
			}
			return fmt.Sprint(days)
		}
	case strings.HasPrefix(inner, "String"):
		return "hex(" + column + ")", asHex
	case base == "IPv6":
		return number(func(v any) string { return addr6(v).ToIP().String() })
	case base == "IPv4":
		return number(func(v any) string { return addr4(v).ToIP().String() })
	case base == "FixedString":
		n, _ := strconv.Atoi(strings.Trim(inner[len("FixedString"):], "()"))
		return "hex(" + column + ")", func(v any) string {
			if n != 16 && n != 4 {
				return strings.ToUpper(hex.EncodeToString(padded(n)(v)))
			}
			b := addr6(v)
			if n == 4 {
				a := addr4(v)
				return fmt.Sprintf("%08X", uint32(a))
			}
			return strings.ToUpper(hex.EncodeToString(b[:]))
		}
	case base == "Enum8":
		return number(func(v any) string {
			if v != "udp" && v != "tcp" {
				return "unknown"
			}
			return v.(string)
		})
	case base == "Enum16":
		return number(func(v any) string {
			switch v {
			case uint64(1):
				return "response"
			case uint64(300):
				return "most"
			}
			return "query"
		})
	case base == "Bool":
		return number(func(v any) string { return fmt.Sprint(v.(uint64) > 0) })
	}
	if strings.HasPrefix(inner, "Float") { // the text of one may have an exponent
		return "toString(toInt64(" + column + " * 8))", func(v any) string {
			f, ok := v.(float64)
			if !ok {
				f = float64(v.(uint64))
			}
			return fmt.Sprint(int64(8 * float64(float32(f))))
		}
	}
	limit := wholeNumbers[strings.TrimRight(inner, ")")]
	return number(func(v any) string {
		if f, ok := v.(float64); ok {
			return fmt.Sprint(uint64(math.Round(f)))
		}
		return fmt.Sprint(min(v.(uint64), limit.limit))
	})
}

func listText(v any, inner string) string {
	var list []string
	switch v := v.(type) {
	case []string:
		for _, s := range v {
			list = append(list, strings.ToUpper(hex.EncodeToString([]byte(s))))
		}
	case []uint32:
		for _, n := range v {
			list = append(list, fmt.Sprint(min(uint64(n), wholeNumbers[inner].limit)))
		}
	}
	return fmt.Sprint(len(list), ":", strings.Join(list, ","))
}

// typesFor is the types of slowColumns that a column can have at a server.
func typesFor(c *columns.Column, has func(typ string) bool) (list []string) {
	for _, s := range slowColumns {
		if s.kinds(c.Kind) && has(s.typ) {
			list = append(list, s.typ)
		}
	}
	return list
}

// TestEngineReadsBack: ClickHouse reads all types as they were meant, for all columns and
// all shapes of events.
func TestEngineReadsBack(t *testing.T) {
	s := connected(t, &lab.SharedChDB(t).ClickHouse)
	if n := s.readsBack(t, " SETTINGS allow_suspicious_low_cardinality_types = 1", func(string) bool { return true }); n < 10 {
		t.Errorf("only %d tables", n)
	}
}

// TestOldServerReadsBack is the same for the types of 2018.
func TestOldServerReadsBack(t *testing.T) {
	s := connected(t, lab.StartClickHouse18(t, lab.ClickHouse18Options{}))
	if n := s.readsBack(t, "", func(typ string) bool {
		for _, young := range []string{"DateTime64", "Date32", "IPv", "Int128", "Int256", "Bool", "LowCardinality"} {
			if strings.Contains(typ, young) {
				return false
			}
		}
		return true
	}); n < 8 {
		t.Errorf("only %d tables", n)
	}
}

// readsBack makes tables until each column has had each type that the server has, inserts
// all shapes of events, and compares what is there. It returns the number of tables.
func (s *engine) readsBack(t *testing.T, settings string, has func(typ string) bool) int {
	o := Options{Server: "sensor1", FullQuery: true}
	o.Records.InterfaceName = func(number uint32, _ int64) string { return fmt.Sprint("eth", number%3) }
	rows := rowsOf(shapes()[1], o)
	seen := make(map[string]bool)
	for i := 0; ; i++ {
		var defs, selects []string
		var wants []func(v any) string
		var list []field
		fresh := false
		for _, f := range fields {
			types := typesFor(f.ID.Column(), has)
			if len(types) == 0 {
				continue
			}
			typ := types[i%len(types)]
			fresh = fresh || !seen[f.Name+typ]
			seen[f.Name+typ] = true
			defs, list = append(defs, f.Name+" "+typ), append(list, f)
			sql, want := readBack(f.Name, typ)
			selects, wants = append(selects, sql), append(wants, want)
		}
		if !fresh {
			return i
		}
		name := fmt.Sprint("t", i)
		s.Exec(t, "CREATE TABLE "+name+" ("+strings.Join(defs, ", ")+") ENGINE = Memory"+settings)
		p := planOf(t, s.read(t, name), o)
		parts := NewEncoder(p).Encode(shapes()[1], now)
		if err := s.insert(t, p, &parts[0]); err != nil || len(parts) != 1 {
			t.Errorf("%s: %v", defs, err)
			continue
		}
		got := s.Query(t, "SELECT "+strings.Join(selects, ", ")+" FROM "+name)
		if len(got) != len(rows) {
			t.Errorf("%s: %d rows, want %d", name, len(got), len(rows))
			continue
		}
		for r := range rows {
			for k, f := range list {
				c := f.ID.Column()
				want := wants[k](valueOf(c, &rows[r].Row))
				if strings.Contains(defs[k], " Nullable(") && !rows[r].has(c) {
					want = `\N`
				}
				if got[r][k] != want {
					t.Errorf("row %d, %s: %.200s, want %.200s", r, defs[k], got[r][k], want)
				}
			}
		}
	}
}

// TestSchemas: a table of ours has all columns, and loses nothing; dnsmonster's has its
// seventeen. Both take all shapes of events.
func TestSchemas(t *testing.T) {
	s := connected(t, &lab.SharedChDB(t).ClickHouse)
	for _, layout := range []schema.Layout{schema.Ours, schema.Dnsmonster} {
		so := schema.Options{Layout: layout, Database: s.Database, Table: fmt.Sprint("DNS_LOG", layout)}
		for _, statement := range schema.Statements(so) {
			if strings.Contains(statement.SQL, so.Table) && strings.HasPrefix(statement.SQL, "CREATE TABLE") {
				s.Exec(t, statement.SQL)
				break
			}
		}
		d := s.read(t, so.Table)
		p := planOf(t, d, Options{Server: "sensor1", FullQuery: true})
		wantLosses, wantMissing := 0, 0
		if layout == schema.Dnsmonster {
			wantLosses, wantMissing = 3, len(fields)-Dnsmonster
		}
		if len(p.Losses) != wantLosses || len(p.Missing) != wantMissing || len(p.Foreign) > 0 || p.key.unknown || len(p.key.steps) == 0 || d.Engine == "" || d.SortingKey == "" {
			t.Errorf("%s: losses %v, missing %v, foreign %v, key %s %+v", d.Name(), p.Losses, p.Missing, p.Foreign, d.PartitionKey, p.key)
		}
		for _, b := range shapes() {
			before := s.Int(t, "SELECT count() FROM "+so.Table)
			parts := NewEncoder(p).Encode(b, now)
			if err := s.insert(t, p, &parts[0]); err != nil {
				t.Errorf("%s: %v", d.Name(), err)
			}
			if got := s.Int(t, "SELECT count() FROM "+so.Table) - before; got != parts[0].Rows {
				t.Errorf("%s has %d more rows, want %d", d.Name(), got, parts[0].Rows)
			}
		}
	}
}

// TestTooManyPartitions: a server refuses the rows of many days in one block, and accepts
// the parts; if the key is unknown to us, the halves.
func TestTooManyPartitions(t *testing.T) {
	s := connected(t, &lab.SharedChDB(t).ClickHouse)
	b := replay(120, 2)
	for i, key := range []string{"(toStartOfWeek(PacketTime), toDate(PacketTime), Server)", "toRelativeDayNum(PacketTime) % 1000"} {
		name := fmt.Sprint("p", i)
		s.Exec(t, "CREATE TABLE "+name+" (PacketTime DateTime64(3), Server String, Question String) ENGINE = MergeTree PARTITION BY "+key+" ORDER BY Question")
		p := planOf(t, s.read(t, name), Options{})
		if p.key.unknown != (i == 1) {
			t.Errorf("%s, read as %s: %+v", key, p.Def.PartitionKey, p.key)
		}
		whole := *p
		whole.key = partitionKey{unknown: true}
		open := slices.Clone(NewEncoder(&whole).Encode(b, now))
		var refused *server.Error
		if err := s.insert(t, p, &open[0]); !errors.As(err, &refused) || server.Classify(err) != server.Parts {
			t.Errorf("%s: the whole block: %v", key, err)
		}
		e := NewEncoder(p)
		open = slices.Clone(e.Encode(b, now))
		n := s.insertParts(t, e, b, open)
		if want := []int{3, 2}[i]; n != want {
			t.Errorf("%s: %d parts, want %d", key, n, want)
		}
		if got := s.Int(t, "SELECT countDistinct(Question) FROM "+name); got != b.Len() || s.Int(t, "SELECT count() FROM "+name) != b.Len() {
			t.Errorf("%s: %d different rows, want %d", key, got, b.Len())
		}
	}
}

// insertParts inserts parts, and halves those that the server refuses. It returns the
// number of blocks.
func (s *engine) insertParts(t *testing.T, e *Encoder, b *event.Block, open []Part) (blocks int) {
	t.Helper()
	for len(open) > 0 {
		part := open[0]
		open = open[1:]
		err := s.insert(t, e.plan, &part)
		if err == nil {
			blocks++
			continue
		}
		halves, ok := e.Halve(b, now, &part)
		if server.Classify(err) != server.Parts || !ok {
			t.Fatal(err)
		}
		open = append(halves[:], open...)
	}
	return blocks
}
