package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
)

var compressions = map[string]Compression{"none": None, "lz4": LZ4, "zstd": ZSTD}

// TestInsert: a server reads the block that was sent, whatever its protocol and the compression.
func TestInsert(t *testing.T) {
	for name, compression := range compressions {
		for _, revision := range []int{54060, 54412, 54429, 54449, 54460, 54483} {
			for _, rows := range []int{1, 3, 200_000} {
				if rows > 3 && revision != 54460 {
					continue
				}
				t.Run(fmt.Sprint(name, "/", revision, "/", rows), func(t *testing.T) { testInsert(t, compression, revision, rows) })
			}
		}
	}
}

func testInsert(t *testing.T, compression Compression, revision, rows int) {
	cols := block(rows)
	f := startFake(t, &fake{revision: revision, header: cols})
	c := dial(t, f.Addr, Config{Compression: compression})
	settings := []Setting{{Name: "insert_deduplication_token", Value: "a1"}, {Name: "async_insert", Value: "0"}}
	for range 2 {
		if err := c.Insert(within(t, patience), insertSQL, cols, settings); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Ping(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	if stored, ended := f.blocks(); stored != 2 || ended != 2 {
		t.Fatalf("%d blocks and %d ends arrived", stored, ended)
	}
	q := f.queries[1]
	if q.Body != insertSQL || c.Server().Settings != (revision >= 54429) {
		t.Errorf("query %q, settings %v", q.Body, c.Server().Settings)
	}
	if want := "insert_deduplication_token=a1 async_insert=0"; c.Server().Settings && texts(q.Settings) != want {
		t.Errorf("settings %s", texts(q.Settings))
	}
	checkBlock(t, f.stored[1], rows)
}

func texts(settings []proto.Setting) string {
	var list []string
	for _, s := range settings {
		if s.Important {
			list = append(list, "important")
		}
		list = append(list, s.Key+"="+s.Value)
	}
	return strings.Join(list, " ")
}

func checkBlock(t *testing.T, block proto.Results, rows int) {
	t.Helper()
	if len(block) != 3 || block[0].Name != "Number" || block[1].Name != "Question" || block[2].Name != "Protocol" {
		t.Fatalf("columns %v", block)
	}
	numbers := block[0].Data.(*proto.ColUInt32)
	question := block[1].Data.(*proto.ColStr)
	protocol := block[2].Data.(*proto.ColLowCardinality[string])
	if numbers.Rows() != rows || question.Rows() != rows || protocol.Rows() != rows {
		t.Fatalf("%d, %d and %d rows", numbers.Rows(), question.Rows(), protocol.Rows())
	}
	for i := range rows {
		if n, p := numbers.Row(i), protocol.Row(i); n != uint32(i&0xffff) || question.Row(i) != "example.org" || p != []string{"udp", "tcp"}[i%2] {
			t.Fatalf("row %d: %d %q %q", i, n, question.Row(i), p)
		}
	}
}

// TestInsertSaysWhatIsStored: a connection ends after any number of bytes that the server has
// read. A block that it has read completely is never said to be absent, and one whose
// query was not read yet never to be there.
func TestInsertSaysWhatIsStored(t *testing.T) {
	const rows = 4
	for name, compression := range compressions {
		for _, reset := range []bool{false, true} {
			t.Run(fmt.Sprint(name, "/", reset), func(t *testing.T) {
				complete, step := 0, 1
				if compression != None {
					step = 5 // a connection with compression costs more
				}
				for n := 1; complete < 2; n += step {
					f := startFake(t, &fake{header: block(rows), wrap: func(c net.Conn) net.Conn { return &cutAfter{c, n, -1, reset} }})
					c, err := Dial(within(t, patience), f.Addr, Config{Compression: compression})
					if err != nil {
						if Classify(err) != Retry {
							t.Fatalf("after %d bytes: %v is %v", n, err, Classify(err))
						}
						continue
					}
					err = c.Insert(within(t, patience), insertSQL, block(rows), nil)
					stored, ended := f.blocks()
					switch {
					case stored > 0 && err != nil && !MayBeStored(err):
						t.Fatalf("after %d bytes: stored, but %v", n, err)
					case err == nil && ended == 0:
						t.Fatalf("after %d bytes: acknowledged, but no end has arrived", n)
					case err != nil && (!c.Broken() || Classify(err) != Retry || !strings.Contains(err.Error(), "insert at "+f.Addr)):
						t.Fatalf("after %d bytes: %v, broken %v", n, err, c.Broken())
					case len(f.queries) == 0 && MayBeStored(err):
						t.Fatalf("after %d bytes: no query has arrived, but MayBeStored", n)
					}
					if err == nil {
						complete++
					}
					c.Close()
				}
			})
		}
	}
}

// TestInsertWithoutAnswer: the answer is cut after any byte: the block may be stored from the
// moment in which the server wants it.
func TestInsertWithoutAnswer(t *testing.T) {
	var greeting, header, all int
	sum := &counting{}
	f := startFake(t, &fake{header: block(2), wrap: func(c net.Conn) net.Conn { sum.Conn = c; return sum }, query: func(s *session) {
		greeting = sum.written
		s.putHeader()
		header = greeting + len(s.b.Buf)
		s.finish()
	}})
	c := dial(t, f.Addr, Config{})
	if err := c.Insert(within(t, patience), insertSQL, block(2), nil); err != nil {
		t.Fatal(err)
	}
	c.Close()
	all = sum.written
	for n := range all {
		f := startFake(t, &fake{header: block(2), wrap: func(c net.Conn) net.Conn { return &cutAfter{c, -1, n, false} }})
		c, err := Dial(within(t, patience), f.Addr, Config{})
		if err == nil {
			err = c.Insert(within(t, patience), insertSQL, block(2), nil)
		}
		stored, _ := f.blocks()
		if err == nil || Classify(err) != Retry || n < header && MayBeStored(err) || stored > 0 && !MayBeStored(err) || n > header && stored == 0 {
			t.Errorf("answer cut after %d of %d bytes, header at %d: %v, may be stored: %v", n, all, header, err, MayBeStored(err))
		}
	}
	if greeting < 20 || header <= greeting || all <= header {
		t.Errorf("greeting %d, header %d, all %d bytes", greeting, header, all)
	}
}

type counting struct {
	net.Conn
	written int
}

func (c *counting) Write(p []byte) (int, error) {
	c.written += len(p)
	return c.Conn.Write(p)
}

// TestInsertOfMuch: of a block that no socket buffer holds, a part is not stored. The server
// says why it reads no more, and leaves the connection open.
func TestInsertOfMuch(t *testing.T) {
	cols := block(2_000_000)
	for name, compression := range compressions {
		t.Run(name, func(t *testing.T) {
			cols := cols
			if compression != None {
				cols = incompressible(cols)
			}
			release := make(chan struct{})
			defer close(release)
			f := startFake(t, &fake{header: cols, query: func(s *session) {
				s.putHeader()
				s.flush()
				s.conn.Read(make([]byte, 1000))
				s.putException(241, "Memory limit (for query) exceeded: would use 9.32 GiB")
				s.flush()
				<-release
			}})
			c := dial(t, f.Addr, Config{Compression: compression})
			start := time.Now()
			err := c.Insert(within(t, patience), insertSQL, cols, nil)
			if took := time.Since(start); took > patience/2 {
				t.Errorf("the error was found after %v", took)
			}
			if MayBeStored(err) || Classify(err) != Retry || !strings.Contains(err.Error(), "MEMORY_LIMIT_EXCEEDED (code 241): Memory limit") {
				t.Errorf("%v, %v, %v", err, Classify(err), MayBeStored(err))
			}
		})
	}
}

// TestInsertRefused: the server's error is found at every stage.
func TestInsertRefused(t *testing.T) {
	const message = "Table is in readonly mode (zookeeper path: /clickhouse/tables/1/t)"
	at := map[string]struct {
		query       func(s *session)
		mayBeStored bool
	}{
		"before the data": {func(s *session) {
			s.putException(242, message)
			s.flush()
		}, false},
		"before the data, cut": {func(s *session) {
			s.putException(242, message)
			s.flush()
			s.conn.Close()
		}, false},
		"after the data": {func(s *session) {
			s.putHeader()
			s.flush()
			s.readBlock()
			s.putException(242, message)
			s.flush()
			s.conn.Close()
		}, true},
		"after the end": {func(s *session) {
			s.putHeader()
			s.flush()
			s.readBlock()
			s.readBlock()
			s.putStatistics()
			s.putException(242, message)
			s.flush()
		}, true},
	}
	for name, stage := range at {
		t.Run(name, func(t *testing.T) {
			f := startFake(t, &fake{header: block(3), query: stage.query})
			c := dial(t, f.Addr, Config{})
			err := c.Insert(within(t, patience), insertSQL, block(3), nil)
			var said *Error
			if !errors.As(err, &said) || said.Code != 242 || said.Message != message || said.Address != f.Addr || said.Name != "TABLE_IS_READ_ONLY" {
				t.Fatalf("error %v", err)
			}
			if Classify(err) != OtherReplica || MayBeStored(err) != stage.mayBeStored || !c.Broken() {
				t.Errorf("class %v, may be stored %v, broken %v", Classify(err), MayBeStored(err), c.Broken())
			}
			if again := c.Insert(within(t, patience), insertSQL, block(3), nil); again == nil || MayBeStored(again) {
				t.Errorf("a broken connection: %v", again)
			}
		})
	}
}

// TestInsertIntoChangedTable: a column of another type, name or number is found before any
// data is sent.
func TestInsertIntoChangedTable(t *testing.T) {
	f := func(want string, change func(cols []Column) []Column) {
		t.Helper()
		server := startFake(t, &fake{header: change(block(3))})
		for _, compression := range compressions {
			c := dial(t, server.Addr, Config{Compression: compression})
			err := c.Insert(within(t, patience), insertSQL, block(3), nil)
			if err == nil || Classify(err) != Changed || MayBeStored(err) || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("%v is %v; want %s", err, Classify(err), want)
			}
		}
		if stored, _ := server.blocks(); stored > 0 {
			t.Error("data was sent")
		}
	}
	f("column Number is UInt64 now, not UInt32", func(c []Column) []Column { c[0].Type = "UInt64"; return c })
	f(`column Number is UInt\u001b[64 now, not UInt32`, func(c []Column) []Column { c[0].Type = "UInt\x1b[64"; return c })
	f("the server expects column Name, not Question", func(c []Column) []Column { c[1].Name = "Name"; return c })
	f("the server expects 2 columns, not 3", func(c []Column) []Column { return c[:2] })
	f("the server expects 4 columns, not 3", func(c []Column) []Column { return append(c, c[0]) })
}

// TestInsertNothing: a block without rows or with columns of different lengths is a mistake
// that is found before anything is sent.
func TestInsertNothing(t *testing.T) {
	f := startFake(t, &fake{header: block(3)})
	c := dial(t, f.Addr, Config{})
	uneven := block(3)
	uneven[2].Rows = 2
	for _, cols := range [][]Column{nil, block(0), uneven} {
		if err := c.Insert(within(t, patience), insertSQL, cols, nil); err == nil || MayBeStored(err) {
			t.Errorf("%v", err)
		}
	}
	if len(f.queries) > 0 {
		t.Error("a query was sent")
	}
}

// TestInsertEndsWithContext: at every stage the end of the context ends Insert, and nothing
// reads the columns afterwards: the race detector would see that.
func TestInsertEndsWithContext(t *testing.T) {
	cols := block(1_000_000)
	at := map[string]struct {
		query       func(s *session)
		mayBeStored bool
	}{
		"header": {func(s *session) {}, false},
		"data":   {func(s *session) { s.putHeader(); s.flush() }, false},
		"answer": {func(s *session) {
			s.putHeader()
			s.flush()
			s.readBlock()
			s.readBlock()
		}, true},
	}
	for stage, at := range at {
		for name, compression := range compressions {
			t.Run(stage+"/"+name, func(t *testing.T) {
				release, waiting := make(chan struct{}), make(chan struct{})
				defer close(release)
				f := startFake(t, &fake{header: cols, query: func(s *session) {
					at.query(s)
					close(waiting)
					<-release
				}})
				c := dial(t, f.Addr, Config{Compression: compression})
				ctx, cancel := context.WithCancelCause(within(t, patience))
				go func() {
					<-waiting
					time.Sleep(50 * time.Millisecond)
					cancel(errors.New("stopped"))
				}()
				rows := cols
				if stage == "answer" {
					rows = block(1000)
				}
				if stage == "data" && compression != None {
					rows = incompressible(cols)
				}
				err := c.Insert(ctx, insertSQL, rows, nil)
				for _, b := range rows[0].Data {
					clear(b)
				}
				if !errors.Is(err, context.Canceled) || !strings.HasSuffix(err.Error(), "context canceled: stopped") || MayBeStored(err) != at.mayBeStored || !c.Broken() || Classify(err) != Retry {
					t.Errorf("%v, may be stored %v, broken %v", err, MayBeStored(err), c.Broken())
				}
			})
		}
	}
}

// incompressible replaces the numbers by noise, so that no socket buffer holds them.
func incompressible(cols []Column) []Column {
	n := 4_000_000
	noise, seed := make([]byte, 4*n), uint64(1)
	for i := range noise {
		seed = seed*6364136223846793005 + 1442695040888963407
		noise[i] = byte(seed >> 56)
	}
	cols = append([]Column(nil), cols...)
	cols[0].Data = [][]byte{noise}
	return cols
}

// TestWithoutDictionaries: the types of a server that hides LowCardinality.
func TestWithoutDictionaries(t *testing.T) {
	for typ, want := range map[string]string{
		"String":                 "String",
		"LowCardinality(String)": "String",
		"LowCardinality(Nullable(FixedString(3)))":                      "Nullable(FixedString(3))",
		"Array(LowCardinality(String))":                                 "Array(String)",
		"Map(LowCardinality(String), LowCardinality(Nullable(String)))": "Map(String, Nullable(String))",
		"LowCardinality(String":                                         "LowCardinality(String",
	} {
		if got := withoutDictionaries(typ); got != want {
			t.Errorf("%s: %s, want %s", typ, got, want)
		}
	}
}
