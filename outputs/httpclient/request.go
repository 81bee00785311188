package httpclient

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Values of Config.Compression.
const (
	None = "none"
	Gzip = "gzip"
	Zstd = "zstd"
)

// Request is one kind of request of one goroutine, which sends it again and again.
// Buffers and compressor are kept from one time to the next.
type Request struct {
	Header http.Header // such as Content-Type

	method, path string
	compression  string

	raw, packed, sent []byte
	coding            string
	lent              *lease
	answer            []byte
	gzip              *gzip.Writer
	zstd              *zstd.Encoder
}

// lease counts the readers of a request's buffers. The library may still read a
// body when the attempt is over.
type lease struct{ readers atomic.Int32 }

// Request makes one. path, which may have a query, is put behind that of the
// endpoint; it may be empty.
func (c *Client) Request(method, path string) *Request {
	return &Request{Header: http.Header{}, method: method, path: path, compression: c.config.Compression, lent: new(lease)}
}

// Buffer is empty and has room for a body as large as the last one: append to it
// and give it to Body.
func (r *Request) Buffer() []byte {
	if r.lent.readers.Load() > 0 {
		r.raw, r.packed, r.lent = nil, nil, new(lease)
	}
	r.sent = nil
	return r.raw[:0]
}

// Body sets what is sent from now on, and compresses it once, however often that
// is. raw is what Buffer gave, with something appended; it is borrowed until the
// next Buffer.
func (r *Request) Body(raw []byte) {
	r.raw = raw
	r.Part(raw)
}

// Part sets what is sent to a part of the body.
func (r *Request) Part(raw []byte) {
	if r.lent.readers.Load() > 0 {
		r.packed, r.lent = nil, new(lease)
	}
	r.coding = ""
	if len(raw) == 0 {
		r.sent = nil
		return
	}
	switch r.compression {
	case Gzip:
		r.coding, r.packed = Gzip, r.zip(raw)
		r.sent = r.packed
	case Zstd:
		if r.zstd == nil {
			// One goroutine: compression must not compete with capture. No error: the
			// options are right, and nothing is written.
			r.zstd, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20))
		}
		r.coding, r.packed = Zstd, r.zstd.EncodeAll(raw, r.packed[:0])
		r.sent = r.packed
	default:
		r.sent = raw
	}
}

// zip never fails: it writes to memory.
func (r *Request) zip(raw []byte) []byte {
	b := bytes.NewBuffer(r.packed[:0])
	if r.gzip == nil {
		r.gzip, _ = gzip.NewWriterLevel(b, gzip.BestSpeed)
	} else {
		r.gzip.Reset(b)
	}
	r.gzip.Write(raw)
	r.gzip.Close()
	return b.Bytes()
}

// attach gives an HTTP request the body, without a copy.
func (r *Request) attach(q *http.Request) {
	if len(r.sent) == 0 {
		return
	}
	sent, lent := r.sent, r.lent
	body := func() (io.ReadCloser, error) {
		lent.readers.Add(1)
		return &reader{r: bytes.NewReader(sent), done: func() { lent.readers.Add(-1) }}, nil
	}
	q.Body, _ = body()
	q.GetBody = body
	q.ContentLength = int64(len(sent))
	// A server that closes a kept connection at the very moment costs no attempt:
	// the library may send the body again, on a new one. The header is not sent.
	q.Header["Idempotency-Key"] = nil
}

// reader reads a buffer that is somebody else's again once it is closed.
type reader struct {
	mu   sync.Mutex
	r    *bytes.Reader
	done func() // nil: closed
}

func (b *reader) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.r.Read(p)
}

func (b *reader) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done != nil {
		b.done()
		b.done = nil
	}
	return nil
}
