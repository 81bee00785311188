package lists

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"dnsmonster-sensor/outputs/httpclient"
	"dnsmonster-sensor/userspace/domains"
)

const (
	// maxBytes bounds a decompressed list: about ten million entries.
	maxBytes = 256 << 20
	// timeout bounds one load of a list.
	timeout = time.Minute
	// A file that changed less than settled ago may still be written: it is checked
	// again after a pause.
	settled, pause = time.Second, 100 * time.Millisecond
	// attempts bounds how often a file that changes while it is read is read again.
	attempts = 5
)

// reader reads a list when it has changed since the last read.
type reader struct {
	location string
	matching domains.Matching
	client   *httpclient.Client // nil: location is a file
	request  *httpclient.Request
	badURL   error // location looks like a URL and is not one
	max      int64
	wait     func(time.Duration) // before a file is checked again

	file               os.FileInfo // of the last successful read; nil: none
	etag, lastModified string      // of the last answer that became the list
}

func newReader(location string, m domains.Matching, skipVerify bool) *reader {
	r := &reader{location: location, matching: m, max: maxBytes, wait: time.Sleep}
	if !isURL(location) {
		return r
	}
	// The server would close the connection before the next request.
	client, err := httpclient.New(httpclient.Config{Endpoints: []string{location}, SkipVerify: skipVerify, DisableKeepAlives: true})
	if err != nil {
		r.badURL = errors.New("not a URL")
		return r
	}
	r.client, r.request = client, client.NewRequest(http.MethodGet, "")
	return r
}

// sameSource reports whether two readers read the same list. What one of them
// remembers of its last read then holds for the other.
func (r *reader) sameSource(other *reader) bool {
	return r.location == other.location && r.matching == other.matching
}

// read returns the list, or nil if it has not changed. With force, a file is read
// even then.
func (r *reader) read(ctx context.Context, force bool) (*domains.List, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	switch {
	case r.badURL != nil:
		return nil, fmt.Errorf("GET %s: %w", masked(r.location), r.badURL)
	case r.client != nil:
		return r.readURL(ctx)
	}
	for range attempts {
		if l, err := r.readFile(ctx, force); err != errChanged {
			return l, err
		}
	}
	return nil, fmt.Errorf("%s changed during each of %d attempts to read it: write a new file and rename it to this name", r.location, attempts)
}

// checkFile reports whether a file can be opened. It does not read it.
func (r *reader) checkFile() error {
	f, err := openRegular(r.location)
	if err != nil {
		return err
	}
	return f.Close()
}

// openRegular opens a regular file. Opening a FIFO or device could block for ever.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.Unwrap(err)}
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	return os.Open(path)
}

func (r *reader) readFile(ctx context.Context, force bool) (*domains.List, error) {
	f, err := openRegular(r.location)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !force && r.file != nil && sameFile(before, r.file) {
		return nil, nil
	}
	l, err := r.parse(ctx, f)
	if time.Since(before.ModTime()) < settled {
		r.wait(pause)
	}
	after, serr := os.Stat(r.location)
	switch {
	case serr != nil:
		return nil, serr
	case !sameFile(before, after):
		return nil, errChanged
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", r.location, err)
	}
	r.file = after
	return l, nil
}

var errChanged = errors.New("changed while it was read")

// sameFile reports whether nobody replaced or changed the file in between.
func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

func (r *reader) readURL(ctx context.Context) (*domains.List, error) {
	r.request.Header = http.Header{}
	if r.etag != "" {
		r.request.Header.Set("If-None-Match", r.etag)
	}
	if r.lastModified != "" {
		r.request.Header.Set("If-Modified-Since", r.lastModified)
	}
	answer, err := r.client.Stream(ctx, r.request)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", masked(r.location), err)
	}
	defer answer.Body.Close()
	switch {
	case answer.StatusCode == http.StatusNotModified && r.etag+r.lastModified != "":
		return nil, nil
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("GET %s: the server answers %s", masked(r.location), r.client.Status(answer))
	case answer.ContentLength > r.max:
		return nil, fmt.Errorf("GET %s: %w", masked(r.location), errTooLarge)
	}
	l, err := r.parse(ctx, answer.Body)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", masked(r.location), err)
	}
	r.etag, r.lastModified = answer.Header.Get("ETag"), answer.Header.Get("Last-Modified")
	return l, nil
}

// parse reads a list, and decompresses it if it is gzipped. From a URL, a web page
// is refused: servers answer with error and login pages.
func (r *reader) parse(ctx context.Context, from io.Reader) (*domains.List, error) {
	content := bufio.NewReader(contextReader{ctx, from})
	if magic, _ := content.Peek(2); string(magic) == "\x1f\x8b" {
		unpacked, err := gzip.NewReader(content)
		if err != nil {
			return nil, err
		}
		content = bufio.NewReader(unpacked)
	}
	if r.client != nil {
		start, _ := content.Peek(512)
		if strings.HasPrefix(http.DetectContentType(start), "text/html") {
			return nil, errors.New("the answer is a web page, not a list")
		}
	}
	return domains.Parse(&limited{content, r.max}, r.matching)
}

// contextReader fails once its context ends.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.Reader.Read(p)
}

var errTooLarge = fmt.Errorf("the list is too large: more than %d MiB", maxBytes>>20)

// limited fails beyond left bytes, where an io.LimitedReader would end.
type limited struct {
	io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}
