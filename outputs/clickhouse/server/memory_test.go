package server

import (
	"io"
	"net"
	"testing"

	"github.com/ClickHouse/ch-go/proto"

	"dnsmonster-sensor/test/lab/tier"
)

// TestInsertAllocatesLittle: an INSERT allocates the same few objects for 10 rows and for
// 100,000, and no memory for them.
func TestInsertAllocatesLittle(t *testing.T) {
	const most = 40
	for name, compression := range compressions {
		t.Run(name, func(t *testing.T) {
			var objects [2]float64
			for i, rows := range []int{10, 100_000} {
				cols := block(rows)
				c := discarding(t, compression, cols)
				ctx := t.Context()
				insert := func() {
					if err := c.Insert(ctx, insertSQL, cols, nil); err != nil {
						t.Fatal(err)
					}
				}
				insert()
				objects[i] = testing.AllocsPerRun(5, insert)
				if used := allocated(insert); used > 64<<10 && !tier.Race {
					t.Errorf("%d rows: %d bytes", rows, used)
				}
			}
			if objects[0] > most || objects[1] > most || objects[1] > objects[0]+3 {
				t.Errorf("%v objects for 10 rows and for 100,000", objects)
			}
			t.Log(objects)
		})
	}
}

// discarding connects to a server that acknowledges each INSERT and reads nothing of it. It
// allocates nothing itself.
func discarding(t testing.TB, compression Compression, cols []Column) *Conn {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { near.Close(); far.Close(); <-done })
	s := &session{fake: &fake{header: cols}, version: revision}
	if compression != None {
		s.q.Compression = proto.CompressionEnabled
	}
	s.putHeader()
	header := append([]byte(nil), s.b.Buf...)
	end := []byte{byte(proto.ServerCodeEndOfStream)}
	c := &Conn{config: Config{Compression: compression}, raw: near, conn: near, revision: revision, answers: make(chan error, 1), in: newReader(near)}
	c.out.conn = near
	c.chooseCompression()
	size := insertSize(c, cols)
	go func() {
		defer close(done)
		buf := make([]byte, 64<<10)
		for {
			if _, err := far.Read(buf); err != nil { // the query, which comes at once
				return
			}
			if _, err := far.Write(header); err != nil {
				return
			}
			for left := size; left > 0; {
				n, err := far.Read(buf)
				if err != nil {
					return
				}
				left -= n
			}
			if _, err := far.Write(end); err != nil {
				return
			}
		}
	}()
	return c
}

// insertSize returns how many bytes the data of an INSERT takes.
func insertSize(c *Conn, cols []Column) int {
	near, far := net.Pipe()
	size := make(chan int)
	go func() {
		n, _ := io.Copy(io.Discard, far)
		size <- int(n)
	}()
	w := &writer{conn: near, compress: c.out.compress}
	if _, err := w.block(cols); err != nil {
		panic(err)
	}
	near.Close()
	return <-size
}

// BenchmarkInsert sends blocks of 100,000 rows to a server that discards them.
func BenchmarkInsert(b *testing.B) {
	for name, compression := range compressions {
		b.Run(name, func(b *testing.B) {
			cols := block(100_000)
			c := discarding(b, compression, cols)
			size := 0
			for _, col := range cols {
				for _, p := range col.Data {
					size += len(p)
				}
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Insert(b.Context(), insertSQL, cols, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
