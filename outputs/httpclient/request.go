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
	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/secure"
)

// Values of Config.Compression.
const (
	None = "none" // also of Config.Proxy
	Gzip = "gzip"
	Zstd = "zstd"
)

// CompressionFlag declares the option of Config.Compression.
func CompressionFlag(section, env, value string, to *string) cli.Flag {
	return &cli.StringFlag{
		Category: section, Name: secure.OptionName(env), EnvVars: []string{env}, Value: value, Destination: to,
		Usage: "`METHOD` of compressing requests: none, gzip or zstd; the server must support it",
	}
}

func checkCompression(value string) error {
	switch value {
	case "", None, Gzip, Zstd:
		return nil
	}
	return fmt.Errorf("%q: use %s, %s or %s", value, None, Gzip, Zstd)
}

// Request is a request that one goroutine sends again and again, with different bodies. It
// keeps its buffers and its compressor between sends.
type Request struct {
	Header http.Header // such as Content-Type

	method, path string
	compression  string

	raw, compressed buffer
	compressedFrom  []byte // what compressed was made from; nil: compressed is outdated
	sentBuffer      *buffer
	body            []byte // to send, part of raw or of compressed; empty: none
	encoding        string
	responseBody    []byte
	gzip            *gzip.Writer
	zstd            *zstd.Encoder
}

// buffer is memory that is reused once it has no readers: the library may still read a
// body after the attempt has ended.
type buffer struct {
	b       []byte
	readers *atomic.Int32
}

// reuse returns the buffer emptied, or new memory while the old one still has readers.
func (b *buffer) reuse() []byte {
	if b.readers.Load() > 0 {
		*b = buffer{readers: new(atomic.Int32)}
	}
	return b.b[:0]
}

// NewRequest returns a request. path, which may have a query and may be empty, is
// appended to that of the endpoint.
func (c *Client) NewRequest(method, path string) *Request {
	r := &Request{Header: http.Header{}, method: method, path: path, compression: c.config.Compression}
	r.raw.readers, r.compressed.readers, r.sentBuffer = new(atomic.Int32), new(atomic.Int32), &r.raw
	return r
}

// Buffer returns an empty slice with room for a body as large as the last one: append
// to it and pass it to Body.
func (r *Request) Buffer() []byte {
	r.body, r.compressedFrom = nil, nil
	return r.raw.reuse()
}

// Body sets the body of all sends from now on. It is compressed once, however often it
// is sent. raw is the slice from Buffer with something appended; it is borrowed until
// the next Buffer.
func (r *Request) Body(raw []byte) {
	r.raw.b = raw
	r.setPart(raw)
}

// setPart sets the body to a part of raw.
func (r *Request) setPart(raw []byte) {
	r.body, r.sentBuffer, r.encoding = raw, &r.raw, ""
	if len(raw) == 0 || r.compression != Gzip && r.compression != Zstd {
		return
	}
	if len(r.compressedFrom) != len(raw) || &r.compressedFrom[0] != &raw[0] {
		r.compressed.b, r.compressedFrom = r.compress(r.compressed.reuse(), raw), raw
	}
	r.body, r.sentBuffer, r.encoding = r.compressed.b, &r.compressed, r.compression
}

// compress writes to memory and so never fails. It uses one goroutine: compression
// must not compete with capture for CPU.
func (r *Request) compress(to, raw []byte) []byte {
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

// attach gives an HTTP request the body without copying it.
func (r *Request) attach(req *http.Request) {
	if len(r.body) == 0 {
		return
	}
	sent, readers := r.body, r.sentBuffer.readers
	body := func() (io.ReadCloser, error) {
		readers.Add(1)
		return &bodyReader{r: bytes.NewReader(sent), done: func() { readers.Add(-1) }}, nil
	}
	req.Body, _ = body()
	req.GetBody = body
	req.ContentLength = int64(len(sent))
	// Allow the library to resend the body on a new connection if the server has
	// just closed an idle one. A nil value keeps the header from being sent.
	req.Header["Idempotency-Key"] = nil
}

// bodyReader reads a buffer, which may be reused after Close.
type bodyReader struct {
	mu   sync.Mutex
	r    *bytes.Reader
	done func() // nil: closed
}

func (b *bodyReader) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.r.Read(p)
}

func (b *bodyReader) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done != nil {
		b.done()
		b.done = nil
	}
	return nil
}
