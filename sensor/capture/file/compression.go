package file

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
)

// maxZstdWindow is what the zstd program accepts by default (--long=27).
const maxZstdWindow = 128 << 20

// compression is a format of compressed captures. It is recognized by the first bytes,
// whatever the file is called.
type compression struct {
	name  string
	magic string
	open  func(io.Reader) (io.ReadCloser, error)
}

var compressions = []compression{
	{"gzip", "\x1f\x8b", func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }},
	{"zstd", "\x28\xb5\x2f\xfd", openZstd},
	{"zstd", "\x50\x2a\x4d\x18", openZstd}, // starts with a skippable frame, as pzstd writes it
	{"xz", "\xfd7zXZ\x00", openXZ},
	{"lz4", "\x04\x22\x4d\x18", openLZ4},
	{"lz4", "\x02\x21\x4c\x18", openLZ4}, // the legacy format of Linux kernels
}

func openZstd(r io.Reader) (io.ReadCloser, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxZstdWindow))
	if err != nil {
		return nil, err
	}
	return z.IOReadCloser(), nil
}

func openXZ(r io.Reader) (io.ReadCloser, error) {
	x, err := xz.NewReader(newXZGuard(r))
	return io.NopCloser(x), err
}

func openLZ4(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(lz4.NewReader(r)), nil }

// compressionOf recognizes a compression by a file's first bytes, nil for none.
func compressionOf(start []byte) *compression {
	for i := range compressions {
		if bytes.HasPrefix(start, []byte(compressions[i].magic)) {
			return &compressions[i]
		}
	}
	return nil
}

func compressed(data []byte) bool { return compressionOf(data) != nil }

// plainReader reads the uncompressed content of a capture file.
type plainReader struct {
	io.Reader
	compression *compression // nil: none
	closers     []io.Closer
}

// newPlainReader reads the first bytes of file and puts the right decompressor before
// it. It owns file, and closes it if it fails.
func newPlainReader(file io.ReadCloser) (*plainReader, error) {
	p := &plainReader{closers: []io.Closer{file}}
	b := bufio.NewReaderSize(file, 64<<10)
	p.Reader = b
	start, err := b.Peek(6)
	if err != nil && err != io.EOF { // a short file: the format reports it
		p.Close()
		return nil, err
	}
	if p.compression = compressionOf(start); p.compression == nil {
		return p, nil
	}
	d, err := p.compression.open(b)
	if err != nil {
		p.Close()
		return nil, p.explain(err)
	}
	p.Reader = d
	p.closers = append(p.closers, d)
	return p, nil
}

// explain says what an error of Read means for the user.
func (p *plainReader) explain(err error) error {
	switch {
	case p.compression == nil:
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the %s data ends too early", p.compression.name)
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return fmt.Errorf("the zstd data needs a window of more than %d MiB: decompress it first, with zstd -d --long=31", maxZstdWindow>>20)
	case errors.Is(err, errXZDict):
		return fmt.Errorf("the xz data needs a dictionary of more than %d MiB: decompress it first, with xz -d", maxXZDict>>20)
	}
	return fmt.Errorf("the %s data is damaged: %w", p.compression.name, err)
}

// Close closes the decompressor, then the file.
func (p *plainReader) Close() error {
	var errs []error
	for i := len(p.closers) - 1; i >= 0; i-- {
		errs = append(errs, p.closers[i].Close())
	}
	return errors.Join(errs...)
}
