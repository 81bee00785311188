package server

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/ClickHouse/ch-go/proto"
)

// fake is a server that speaks as ch-go's server side does, so that it reads what is sent
// independently. Its fields say how it behaves.
type fake struct {
	Addr     string
	revision int              // of its greeting
	header   []Column         // of the table
	query    func(c *session) // answers a query; nil: stores
	wrap     func(net.Conn) net.Conn

	mu      sync.Mutex
	hello   proto.ClientHello
	queries []proto.Query
	stored  []proto.Results // blocks that arrived completely
	ended   int             // INSERTs whose end has arrived
}

// session is a connection to a fake.
type session struct {
	*fake
	conn    net.Conn
	r       *proto.Reader
	b       proto.Buffer
	version int
	q       proto.Query
}

func startFake(t testing.TB, f *fake) *fake {
	t.Helper()
	if f.revision == 0 {
		f.revision = 54460
	}
	f.Addr = serve(t, func(conn net.Conn) {
		if f.wrap != nil {
			conn = f.wrap(conn)
		}
		s := &session{fake: f, conn: conn, r: proto.NewReader(conn)}
		s.run()
	})
	return f
}

// serve runs handle for each connection, and ends with the test.
func serve(t testing.TB, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			wg.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	return l.Addr().String()
}

func (s *session) flush() error {
	_, err := s.conn.Write(s.b.Buf)
	s.b.Reset()
	return err
}

func (s *session) run() {
	for {
		code, err := s.r.UVarInt()
		if err != nil {
			return
		}
		switch proto.ClientCode(code) {
		case proto.ClientCodeHello:
			err = s.greet()
		case proto.ClientCodePing:
			proto.ServerCodePong.Encode(&s.b)
			err = s.flush()
		case proto.ClientCodeQuery:
			err = s.readQuery()
			if err == nil && s.query != nil {
				s.query(s)
			} else if err == nil {
				err = s.store()
			}
		}
		if err != nil {
			return
		}
	}
}

func (s *session) greet() error {
	var h proto.ClientHello
	if err := h.Decode(s.r); err != nil {
		return err
	}
	s.mu.Lock()
	s.hello = h
	s.mu.Unlock()
	s.version = min(h.ProtocolVersion, s.revision)
	hello := proto.ServerHello{Name: "ClickHouse", Major: 26, Minor: 5, Patch: 7, Revision: s.revision, Timezone: "Europe/Berlin", DisplayName: "db.example.org"}
	hello.EncodeAware(&s.b, s.version)
	return s.flush()
}

// readQuery reads a query and the end of its external tables.
func (s *session) readQuery() error {
	s.q = proto.Query{}
	if proto.FeatureSettingsSerializedAsStrings.In(s.version) {
		if err := s.q.DecodeAware(s.r, s.version); err != nil {
			return err
		}
	} else if err := s.readOldQuery(); err != nil {
		return err
	}
	s.mu.Lock()
	s.queries = append(s.queries, s.q)
	s.mu.Unlock()
	_, _, err := s.readBlock()
	return err
}

// readOldQuery reads the query of a server that ch-go does not know: settings had types.
func (s *session) readOldQuery() (err error) {
	if s.q.ID, err = s.r.Str(); err != nil {
		return err
	}
	if err = s.q.Info.DecodeAware(s.r, s.version); err != nil {
		return err
	}
	if end, err := s.r.Str(); err != nil || end != "" {
		return errors.Join(err, errors.New("settings "+end))
	}
	stage, err := s.r.UVarInt()
	if err != nil || stage != uint64(proto.StageComplete) {
		return errors.Join(err, errors.New("stage"))
	}
	how, err := s.r.UVarInt()
	if err != nil {
		return err
	}
	s.q.Compression = proto.Compression(how)
	s.q.Body, err = s.r.Str()
	return err
}

// readBlock reads a block; end reports an empty one.
func (s *session) readBlock() (columns proto.Results, end bool, err error) {
	code, err := s.r.UVarInt()
	if err != nil || proto.ClientCode(code) != proto.ClientCodeData {
		return nil, false, errors.Join(err, errors.New("not data"))
	}
	if _, err := s.r.Str(); err != nil {
		return nil, false, err
	}
	if s.q.Compression == proto.CompressionEnabled {
		s.r.EnableCompression()
		defer s.r.DisableCompression()
	}
	var b proto.Block
	err = b.DecodeBlock(s.r, s.version, columns.Auto())
	return columns, b.End(), err
}

// putBlock encodes a block of ready columns.
func (s *session) putBlock(cols []Column, compressed bool) {
	proto.ServerCodeData.Encode(&s.b)
	s.b.PutString("")
	var b proto.Buffer
	rows := 0
	if len(cols) > 0 {
		rows = cols[0].Rows
	}
	proto.BlockInfo{BucketNum: -1}.Encode(&b)
	b.PutInt(len(cols))
	b.PutInt(rows)
	for _, c := range cols {
		b.PutString(c.Name)
		b.PutString(c.Type)
		for _, p := range append(c.State, c.Data...) {
			b.PutRaw(p)
		}
	}
	if !compressed {
		s.b.PutRaw(b.Buf)
		return
	}
	w := compress.NewWriter(compress.LevelZero, compress.LZ4)
	if err := w.Compress(b.Buf); err != nil {
		panic(err)
	}
	s.b.PutRaw(w.Data)
}

// putHeader sends what precedes the data of an INSERT.
func (s *session) putHeader() {
	proto.TableColumns{First: "", Second: "columns format version: 1"}.EncodeAware(&s.b, s.version)
	head := append([]Column(nil), s.header...)
	for i := range head {
		head[i].Rows, head[i].State, head[i].Data = 0, nil, nil
	}
	s.putBlock(head, s.q.Compression == proto.CompressionEnabled)
}

func (s *session) putException(code int, message string) {
	proto.ServerCodeException.Encode(&s.b)
	(&proto.Exception{Code: proto.Error(code), Name: "DB::Exception", Message: message, Stack: "0. main"}).EncodeAware(&s.b, s.version)
}

// putStatistics sends packets that tell nothing.
func (s *session) putStatistics() {
	s.b.PutByte(byte(proto.ServerCodeProgress))
	proto.Progress{Rows: 300, Bytes: 1 << 40, TotalRows: 7, WroteRows: 300, WroteBytes: 5}.EncodeAware(&s.b, s.version)
	proto.Profile{Rows: 1, Blocks: 1, Bytes: 1000}.EncodeAware(&s.b, s.version)
}

// store answers an INSERT as a server does.
func (s *session) store() error {
	s.putHeader()
	return s.finish()
}

// finish reads the data of an INSERT, and acknowledges it.
func (s *session) finish() error {
	if err := s.flush(); err != nil {
		return err
	}
	for {
		block, end, err := s.readBlock()
		if err != nil {
			return err
		}
		s.mu.Lock()
		if end {
			s.ended++
		} else {
			s.stored = append(s.stored, block)
		}
		s.mu.Unlock()
		if end {
			break
		}
	}
	s.putStatistics()
	proto.ServerCodeEndOfStream.Encode(&s.b)
	return s.flush()
}

// blocks returns how many blocks were stored, and how many INSERTs ended.
func (f *fake) blocks() (stored, ended int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.stored), f.ended
}

// within returns a context for one call.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// patience is for calls that succeed on a busy machine.
const patience = 20 * time.Second

func dial(t testing.TB, address string, config Config) *Conn {
	t.Helper()
	c, err := Dial(within(t, patience), address, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// block returns columns of n rows: numbers, text and a dictionary.
func block(n int) []Column {
	numbers, text, dictionary := make([]byte, 4*n), []byte(nil), make([]byte, 0, n+64)
	for i := range n {
		numbers[4*i], numbers[4*i+1] = byte(i), byte(i>>8)
		text = append(append(text, 11), "example.org"...)
	}
	put := func(v uint64) {
		for i := range 8 {
			dictionary = append(dictionary, byte(v>>(8*i)))
		}
	}
	put(hasAdditionalKeys)
	put(2)
	dictionary = append(dictionary, "\x03udp\x03tcp"...)
	put(uint64(n))
	for i := range n {
		dictionary = append(dictionary, byte(i%2))
	}
	half := len(numbers) / 2
	return []Column{
		{Name: "Number", Type: "UInt32", Rows: n, Data: [][]byte{numbers[:half], numbers[half:]}},
		{Name: "Question", Type: "String", Rows: n, Data: [][]byte{text}},
		{Name: "Protocol", Type: "LowCardinality(String)", Rows: n, State: [][]byte{{1, 0, 0, 0, 0, 0, 0, 0}}, Data: [][]byte{dictionary}},
	}
}

const insertSQL = "INSERT INTO d.t (Number, Question, Protocol) VALUES"

// cutAfter ends a connection after it has read or written so many bytes.
type cutAfter struct {
	net.Conn
	reads, writes int // -1: never
	reset         bool
}

func (c *cutAfter) cut() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok && c.reset {
		tcp.SetLinger(0)
	}
	c.Conn.Close()
}

func (c *cutAfter) Read(p []byte) (int, error) {
	if c.reads < 0 {
		return c.Conn.Read(p)
	}
	if c.reads == 0 {
		c.cut()
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p[:min(len(p), c.reads)])
	c.reads -= n
	return n, err
}

func (c *cutAfter) Write(p []byte) (int, error) {
	if c.writes < 0 || len(p) < c.writes {
		if c.writes > 0 {
			c.writes -= len(p)
		}
		return c.Conn.Write(p)
	}
	n, _ := c.Conn.Write(p[:c.writes])
	c.writes = 0
	c.cut()
	return n, io.ErrClosedPipe
}
