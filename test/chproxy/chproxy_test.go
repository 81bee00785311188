//go:build linux

package main_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/chproxy/fault"
	"dnsmonster-sensor/test/lab"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
)

func dial(t *testing.T, o ch.Options) *ch.Client {
	t.Helper()
	c, err := tryDial(t, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func tryDial(t *testing.T, o ch.Options) (*ch.Client, error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	o.ReadTimeout = ch.NoTimeout
	return ch.Dial(ctx, o)
}

// states is a column of AggregateFunction(uniq, String), as the bytes it has.
type states struct {
	rows  int
	bytes []byte
}

func (s *states) Type() proto.ColumnType       { return "AggregateFunction(uniq, String)" }
func (s *states) Rows() int                    { return s.rows }
func (s *states) Reset()                       { *s = states{} }
func (s *states) EncodeColumn(b *proto.Buffer) { b.PutRaw(s.bytes) }
func (s *states) WriteColumn(w *proto.Writer)  { w.ChainWrite(s.bytes) }
func (s *states) DecodeColumn(r *proto.Reader, rows int) error {
	s.rows = rows
	for range rows {
		head, err := r.ReadRaw(2) // the degree, and how many hashes follow
		if err != nil {
			return err
		}
		s.bytes = append(s.bytes, head...)
		hashes, err := r.ReadRaw(4 * int(head[1]))
		if err != nil {
			return err
		}
		s.bytes = append(s.bytes, hashes...)
	}
	return nil
}

// lowNull is a column of LowCardinality(Nullable(String)), as the bytes it has: ch-go
// expects others.
type lowNull struct{ states }

func (l *lowNull) Type() proto.ColumnType { return "LowCardinality(Nullable(String))" }
func (l *lowNull) DecodeColumn(r *proto.Reader, rows int) error {
	l.rows = rows
	head, err := r.ReadRaw(24) // version, flags, size of the dictionary
	l.bytes = append(l.bytes, head...)
	for range head[16] {
		var text string
		if text, err = r.Str(); err != nil {
			return err
		}
		l.bytes = append(append(l.bytes, byte(len(text))), text...)
	}
	if err != nil {
		return err
	}
	indexes, err := r.ReadRaw(8 + rows)
	l.bytes = append(l.bytes, indexes...)
	return err
}

// row has a column of each kind of type.
type row struct {
	names  []string
	result proto.Results
	input  proto.Input
}

func newRow() *row {
	r := &row{}
	add := func(name string, c interface {
		proto.ColInput
		proto.ColResult
	}) {
		r.names = append(r.names, name)
		r.result = append(r.result, proto.ResultColumn{Name: name, Data: c})
		r.input = append(r.input, proto.InputColumn{Name: name, Data: c})
	}
	add("num", new(proto.ColUInt16))
	add("str", new(proto.ColStr))
	add("fixed", &proto.ColFixedStr{Size: 3})
	add("low", new(proto.ColStr).LowCardinality())
	add("lownull", new(lowNull))
	add("arr", new(proto.ColStr).Array())
	add("lowarr", proto.NewArray(new(proto.ColStr).LowCardinality()))
	add("maybe", new(proto.ColUInt32).Nullable())
	add("sec", new(proto.ColDateTime))
	add("zone", &proto.ColDateTime{Location: time.UTC})
	add("milli", new(proto.ColDateTime64).WithPrecision(3).WithLocation(time.UTC))
	add("enum", new(proto.ColEnum))
	add("four", new(proto.ColIPv4))
	add("six", new(proto.ColIPv6))
	add("pairs", proto.NewMap(new(proto.ColStr), new(proto.ColUInt64)))
	add("float", new(proto.ColFloat64))
	add("total", proto.Alias(new(proto.ColUInt64), "SimpleAggregateFunction(sum, UInt64)"))
	add("uniq", new(states))
	return r
}

const allTypes = "num UInt16, str String, fixed FixedString(3), low LowCardinality(String), lownull LowCardinality(Nullable(String)), arr Array(String), " +
	"lowarr Array(LowCardinality(String)), maybe Nullable(UInt32), sec DateTime, zone DateTime('UTC'), milli DateTime64(3, 'UTC'), enum Enum8('udp' = 1, 'tcp' = -2), " +
	"four IPv4, six IPv6, pairs Map(String, UInt64), float Float64, total SimpleAggregateFunction(sum, UInt64), uniq AggregateFunction(uniq, String)"

const twoRows = "SELECT 53 num, 'a\\nb' str, 'tcp' fixed, 'x' low, NULL lownull, ['p', ''] arr, ['q', 'q'] lowarr, NULL maybe, toDateTime(7) sec, toDateTime(8) zone, " +
	"toDateTime64(9.125, 3) milli, 'tcp' enum, toIPv4('192.0.2.1') four, toIPv6('2001:db8::1') six, map('k', 1) pairs, 0.5 float, 4 total, uniqState('u') uniq " +
	"UNION ALL SELECT 54, '', 'udp', 'y', 'z', [], [], 6, toDateTime(0), toDateTime(1), toDateTime64(2, 3), 'udp', toIPv4('192.0.2.2'), toIPv6('::'), map(), 1.5, 5, uniqState('v')"

func TestAllTypesPassBothWays(t *testing.T) {
	t.Parallel()
	s := lab.SharedChDB(t)
	s.Exec(t, "CREATE TABLE source ("+allTypes+") ENGINE = MergeTree ORDER BY num", "INSERT INTO source "+twoRows)
	const show = "SELECT * EXCEPT uniq, finalizeAggregation(uniq) FROM %s ORDER BY num"
	want := fmt.Sprint(s.Query(t, fmt.Sprintf(show, "source")))
	if !strings.Contains(want, "2001:db8::1") {
		t.Fatal(want)
	}
	f := func(revision int, compression ch.Compression, settings ...ch.Setting) {
		t.Helper()
		s.Exec(t, "DROP TABLE IF EXISTS target", "CREATE TABLE target AS source")
		c := dial(t, ch.Options{Address: s.Addr, Database: s.Database, ProtocolVersion: revision, Compression: compression, Settings: settings})
		r := newRow()
		if err := c.Do(t.Context(), ch.Query{Body: "SELECT * FROM source ORDER BY num LIMIT 1", Result: r.result}); err != nil {
			t.Fatalf("revision %d: %v", revision, err)
		}
		if err := c.Do(t.Context(), ch.Query{Body: "INSERT INTO target (" + strings.Join(r.names, ", ") + ") VALUES", Input: r.input}); err != nil {
			t.Fatalf("revision %d: %v", revision, err)
		}
		rest := newRow()
		if err := c.Do(t.Context(), ch.Query{Body: "SELECT * FROM source ORDER BY num LIMIT 1, 1;", Result: rest.result}); err != nil {
			t.Fatal(err)
		}
		if err := c.Do(t.Context(), ch.Query{Body: "INSERT INTO `target` FORMAT Native", Input: rest.input}); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(s.Query(t, fmt.Sprintf(show, "target"))); got != want {
			t.Errorf("revision %d:\n%s\nwant\n%s", revision, got, want)
		}
		if err := c.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	}
	f(proto.Version, ch.CompressionDisabled)
	f(proto.Version, ch.CompressionLZ4)
	f(54453, ch.CompressionZSTD, ch.Setting{Key: "network_compression_method", Value: "ZSTD"})
	f(54031, ch.CompressionLZ4)
}

func TestRepeatedBatchIsOneBatch(t *testing.T) {
	t.Parallel()
	s := lab.SharedChDB(t)
	s.Exec(t, "CREATE TABLE log (name String) ENGINE = MergeTree ORDER BY name SETTINGS non_replicated_deduplication_window = 100",
		"CREATE TABLE counts (name String, c UInt64) ENGINE = SummingMergeTree ORDER BY name SETTINGS non_replicated_deduplication_window = 100",
		"CREATE MATERIALIZED VIEW counts_mv TO counts AS SELECT name, count() AS c FROM log GROUP BY name")
	c := dial(t, ch.Options{Address: s.Addr, Database: s.Database})
	insert := func(token, clause string) {
		t.Helper()
		name := proto.ColStr{}
		name.Append("example.org")
		err := c.Do(t.Context(), ch.Query{Body: "INSERT INTO log (name) " + clause + "VALUES", Input: proto.Input{{Name: "name", Data: &name}}, Settings: []ch.Setting{
			{Key: "insert_deduplication_token", Value: token}, {Key: "insert_deduplicate", Value: "1"}, {Key: "async_insert", Value: "0"},
			{Key: "deduplicate_blocks_in_dependent_materialized_views", Value: "1"}, {Key: "no_such_setting", Value: "1"},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, token := range []string{"batch 1", "batch 1", "batch 2", "batch 1", "it's 3"} {
		insert(token, "")
	}
	insert("no batch", "SETTINGS insert_deduplication_token = 'batch 2' ")
	if log, counts := s.Int(t, "SELECT count() FROM log"), s.Int(t, "SELECT sum(c) FROM counts"); log != 3 || counts != 3 {
		t.Errorf("%d rows, and %d in the view; want 3 and 3", log, counts)
	}
}

func TestServerRefuses(t *testing.T) {
	t.Parallel()
	ca := lab.NewAuthority(t)
	s := lab.StartChDB(t, lab.ChDBOptions{Users: map[string]string{"sensor": "secret"}, TLS: ca})
	s.Exec(t, "CREATE TABLE log (name String, n UInt8) ENGINE = MergeTree ORDER BY name")
	isCode := func(err error, code proto.Error) {
		t.Helper()
		if !ch.IsErr(err, code) {
			t.Errorf("%v, want code %d", err, code)
		}
	}
	o := ch.Options{Address: s.Addr, User: "sensor", Password: "wrong"}
	_, err := tryDial(t, o)
	isCode(err, proto.ErrAuthenticationFailed)
	o.Password = "secret"
	o.Database = "nowhere"
	_, err = tryDial(t, o)
	isCode(err, proto.ErrUnknownDatabase)
	o.Database = ""

	pem, err := os.ReadFile(ca.File)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	o.Address, o.TLS = s.TLSAddr, &tls.Config{RootCAs: pool, ServerName: "db.example.org"}
	c := dial(t, o)
	name := proto.ColStr{}
	name.Append("example.org")
	insert := func(into string) error {
		return c.Do(t.Context(), ch.Query{Body: "INSERT INTO " + into + " VALUES", Input: proto.Input{{Name: "name", Data: &name}}})
	}
	isCode(insert("nowhere (name)"), proto.ErrUnknownTable)
	c = dial(t, o)
	isCode(insert("log (name, what)"), proto.ErrNoSuchColumnInTable)
	c = dial(t, o)
	isCode(c.Do(t.Context(), ch.Query{Body: "SELECT nothing"}), proto.ErrUnknownIdentifier)
	if err := c.Do(t.Context(), ch.Query{Body: "SELECT 1 AS one WHERE 0", Result: new(proto.Results).Auto()}); err != nil {
		t.Error(err)
	}
	if err := insert("log (name)"); err != nil || s.Int(t, "SELECT count() FROM log") != 1 {
		t.Error("no row after the errors: ", err)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	s := lab.StartChDB(t, lab.ChDBOptions{})
	s.Exec(t, "CREATE TABLE log (name String, n UInt8) ENGINE = MergeTree ORDER BY name")
	insert := func(f fault.Fault) error {
		t.Helper()
		s.SetFaults(t, f)
		c := dial(t, ch.Options{Address: s.Addr})
		name, n := proto.ColStr{}, proto.ColUInt8{1}
		name.Append("example.org")
		limit := time.Minute
		if f.Do == fault.Hang {
			limit = 100 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		return c.Do(ctx, ch.Query{Body: "INSERT INTO log (name, n) VALUES", Input: proto.Input{{Name: "name", Data: &name}, {Name: "n", Data: &n}}})
	}
	rows := func() int { return s.Int(t, "SELECT count() FROM log") }
	check := func(f fault.Fault, failure bool, stored int) {
		t.Helper()
		before := rows()
		err := insert(f)
		if (err != nil) != failure || rows()-before != stored {
			t.Errorf("%+v: %v, and %d rows stored", f, err, rows()-before)
		}
		if f.Do == fault.Exception && !ch.IsErr(err, proto.Error(f.Code)) {
			t.Errorf("%+v: %v", f, err)
		}
	}
	for _, at := range []fault.At{fault.Query, fault.Header, fault.Data} {
		check(fault.Fault{At: at, Do: fault.Exception, Code: 252, Message: "Too many parts", Times: 1}, true, 0)
		check(fault.Fault{At: at, Do: fault.Close, Times: 1}, true, 0)
		check(fault.Fault{At: at, Do: fault.Delay, Milliseconds: 1, Times: 1}, false, 1)
	}
	check(fault.Fault{At: fault.Block, Do: fault.Close, Times: 1}, true, 0)
	check(fault.Fault{At: fault.Stored, Do: fault.Close, Times: 1}, true, 1)
	check(fault.Fault{At: fault.Query, Do: fault.Hang}, true, 0)
	check(fault.Fault{At: fault.Stored, Do: fault.Hang}, true, 1)
	check(fault.Fault{Do: fault.Discard}, false, 0)
	check(fault.Fault{Query: "no such SQL", At: fault.Query, Do: fault.Close}, false, 1)

	s.SetFaults(t)
	list := s.Inserts(t)
	last := list[len(list)-1]
	if last.Rows != 1 || last.Blocks != 1 || last.Error != "" || last.SQL != "INSERT INTO log (name, n) VALUES" {
		t.Errorf("the last INSERT was %+v", last)
	}
	n := rows()
	s.Stop(t)
	s.Restart(t)
	if rows() != n {
		t.Errorf("%d rows after a restart, want %d", rows(), n)
	}
}
