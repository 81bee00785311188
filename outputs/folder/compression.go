package folder

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// compression is a method to compress old files.
type compression struct {
	name      string
	suffix    string // in file names; "": files stay as they are
	newWriter func(io.Writer) (io.WriteCloser, error)
}

var compressions = []compression{
	{"gzip", ".gz", func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }},
	{"zstd", ".zst", func(w io.Writer) (io.WriteCloser, error) {
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)) // one goroutine only: compression must not compete with capture for CPU
	}},
	{"none", "", nil},
}

func findCompression(name string) (compression, error) {
	for _, c := range compressions {
		if c.name == name {
			return c, nil
		}
	}
	return compression{}, fmt.Errorf("%q: use gzip, zstd or none", name)
}
