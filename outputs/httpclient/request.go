package httpclient

import (
	"bytes"
	"fmt"
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

func checkCompression(value string) error {
	switch value {
	case "", None, Gzip, Zstd:
		return nil
	}
	return fmt.Errorf("%q, use %s, %s or %s", value, None, Gzip, Zstd)
}

// Request is one kind of request of one goroutine, which sends it again and again.
// Buffers and compressor are kept from one time to the next.
type Request struct {
	Header http.Header // such as Content-Type

	method, path string
	compression  string

	raw, packed buffer
	from        []byte // what packed has been made of; nil: nothing that still holds
	sent        *buffer
	body        []byte // that is sent: of raw or of packed; empty: none
	coding      string
	answer      []byte
	gzip        *gzip.Writer
	zstd        *zstd.Encoder
}

// buffer is memory that is used again, but not while somebody reads it: the
// library may still do that when the attempt is over.
type buffer struct {
	b       []byte
	readers *atomic.Int32
}

// empty is the buffer, or another one.
func (b *buffer) empty() []byte {
	if b.readers.Load() > 0 {
		*b = buffer{readers: new(atomic.Int32)}
	}
	return b.b[:0]
}

// Request makes one. path, which may have a query, is put behind that of the
// endpoint; it may be empty.
func (c *Client) NewRequest(method, path string) *Request {
	r := &Request{Header: http.Header{}, method: method, path: path, compression: c.config.Compression}
	r.raw.readers, r.packed.readers, r.sent = new(atomic.Int32), new(atomic.Int32), &r.raw
	return r
}

// Buffer is empty and has room for a body as large as the last one: append to it
// and give it to Body.
func (r *Request) Buffer() []byte {
	r.body, r.from = nil, nil
	return r.raw.empty()
}

// Body sets what is sent from now on, and compresses it once, however often that
// is. raw is what Buffer gave, with something appended; it is borrowed until the
// next Buffer.
func (r *Request) Body(raw []byte) {
	r.raw.b = raw
	r.part(raw)
}

// part sets what is sent to a part of the body.
func (r *Request) part(raw []byte) {
	r.body, r.sent, r.coding = raw, &r.raw, ""
	if len(raw) == 0 || r.compression != Gzip && r.compression != Zstd {
		return
	}
	if len(r.from) != len(raw) || &r.from[0] != &raw[0] {
		r.packed.b, r.from = r.pack(r.packed.empty(), raw), raw
	}
	r.body, r.sent, r.coding = r.packed.b, &r.packed, r.compression
}

// pack writes to memory, and so never fails. It takes one goroutine: compression
// must not compete with capture.
func (r *Request) pack(to, raw []byte) []byte {
	if r.compression == Zstd {
		if r.zstd == nil {
			r.zstd, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20))
		}
		return r.zstd.EncodeAll(raw, to)
	}
	b := bytes.NewBuffer(to)
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
	if len(r.body) == 0 {
		return
	}
	sent, readers := r.body, r.sent.readers
	body := func() (io.ReadCloser, error) {
		readers.Add(1)
		return &reader{r: bytes.NewReader(sent), done: func() { readers.Add(-1) }}, nil
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
