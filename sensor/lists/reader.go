package lists

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"dnsmonster-sensor/outputs/httpclient"
	"dnsmonster-sensor/userspace/domains"
)

const (
	// maxBytes bounds a list, unpacked: about ten million entries.
	maxBytes = 256 << 20
	// timeout bounds one load of a list.
	timeout = time.Minute
	// settled is how old a file's last change must be: a younger one may still be
	// written, and is looked at once more after a pause.
	settled, pause = time.Second, 100 * time.Millisecond
	// attempts bounds how often a file is read that changes meanwhile.
	attempts = 5
)

// reader reads a list when it has changed. It remembers what it has read last.
type reader struct {
	place    string
	matching domains.Matching
	client   *httpclient.Client // nil: place is a file
	request  *httpclient.Request
	wrong    error // why place is no URL
	max      int64
	wait     func(time.Duration) // before a file is looked at once more

	file               os.FileInfo // what was read last; nil: nothing
	etag, lastModified string      // of the last answer that was taken
}

func newReader(place string, m domains.Matching, skipVerify bool) *reader {
	r := &reader{place: place, matching: m, max: maxBytes, wait: time.Sleep}
	if !isURL(place) {
		return r
	}
	// The next request is an interval away, in which a server closes a connection.
	client, err := httpclient.New(httpclient.Config{Endpoints: []string{place}, SkipVerify: skipVerify, DisableKeepAlives: true})
	if err != nil {
		r.wrong = errors.New("this is no URL")
		return r
	}
	r.client, r.request = client, client.NewRequest(http.MethodGet, "")
	return r
}

// reads tells whether two readers give the same list.
func (r *reader) reads(other *reader) bool {
	return r.place == other.place && r.matching == other.matching
}

// read returns the list, or nil where it is as it was; force: where it is a
// file, read it all the same.
func (r *reader) read(ctx context.Context, force bool) (*domains.List, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	switch {
	case r.wrong != nil:
		return nil, fmt.Errorf("GET %s: %w", shown(r.place), r.wrong)
	case r.client != nil:
		return r.readURL(ctx)
	}
	for range attempts {
		if l, err := r.readFile(ctx, force); err != errChanged {
			return l, err
		}
	}
	return nil, fmt.Errorf("%s changes whenever it is read: replace it by renaming a whole one", r.place)
}

// look tells whether a file can be read, and leaves to read what is in it.
func (r *reader) look() error {
	info, err := os.Stat(r.place)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", r.place)
	}
	if err != nil {
		return err
	}
	f, err := os.Open(r.place)
	if err != nil {
		return err
	}
	return f.Close()
}

func (r *reader) readFile(ctx context.Context, force bool) (*domains.List, error) {
	// Opening what is no file could wait for ever.
	if info, err := os.Stat(r.place); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", r.place)
	}
	f, err := os.Open(r.place)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !force && r.file != nil && same(before, r.file) {
		return nil, nil
	}
	l, err := r.parse(ctx, f)
	if time.Since(before.ModTime()) < settled {
		r.wait(pause)
	}
	after, serr := os.Stat(r.place)
	switch {
	case serr != nil:
		return nil, serr
	case !same(before, after):
		return nil, errChanged
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", r.place, err)
	}
	r.file = after
	return l, nil
}

var errChanged = errors.New("changed while it was read")

func same(a, b os.FileInfo) bool {
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
		return nil, fmt.Errorf("GET %s: %w", shown(r.place), err)
	}
	defer answer.Body.Close()
	switch {
	case answer.StatusCode == http.StatusNotModified && r.etag+r.lastModified != "":
		return nil, nil
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("GET %s: the server answers %s", shown(r.place), r.client.Status(answer))
	case answer.ContentLength > r.max:
		return nil, fmt.Errorf("GET %s: %w", shown(r.place), errTooLarge)
	}
	l, err := r.parse(ctx, answer.Body)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", shown(r.place), err)
	}
	r.etag, r.lastModified = answer.Header.Get("ETag"), answer.Header.Get("Last-Modified")
	return l, nil
}

// parse reads a list, unpacking it where it is a gzip file. A web page is a
// server's way to say something else.
func (r *reader) parse(ctx context.Context, from io.Reader) (*domains.List, error) {
	content := bufio.NewReader(until{ctx, from})
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
			return nil, errors.New("the answer is a web page and no list")
		}
	}
	return domains.Parse(&bounded{content, r.max}, r.matching)
}

// until ends a reader with its context.
type until struct {
	ctx context.Context
	io.Reader
}

func (u until) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.Reader.Read(p)
}

var errTooLarge = fmt.Errorf("the list is too large: more than %d MiB", maxBytes>>20)

// bounded fails where more than left bytes come.
type bounded struct {
	io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}
