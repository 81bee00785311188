package server

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math"
)

// source bounds how much is read, whatever the server sends.
type source struct {
	conn io.Reader
	left int
}

var errTooLong = errors.New("the answer is too long")

func (s *source) Read(p []byte) (int, error) {
	if s.left <= 0 {
		return 0, errTooLong
	}
	n, err := s.conn.Read(p[:min(len(p), s.left)])
	s.left -= n
	return n, err
}

// reader reads the parts of answers. Its first error stays, so that a caller may look at
// it once after several parts.
type reader struct {
	source   source
	buffered *bufio.Reader
	err      error
	scratch  [8]byte
}

// allow begins an answer of at most n bytes.
func (r *reader) allow(n int) { r.source.left, r.err = n, nil }

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// left is an upper bound of what can still come: no length in the answer may exceed it.
func (r *reader) left() int { return r.source.left + r.buffered.Buffered() }

func (r *reader) uvarint() (uint64, error) {
	if r.err == nil {
		var n uint64
		if n, r.err = binary.ReadUvarint(r.buffered); r.err == nil {
			return n, nil
		}
	}
	return 0, r.err
}

// uvarints skips n numbers.
func (r *reader) uvarints(n int) {
	for range n {
		r.uvarint()
	}
}

// int reads a number that fits an int32: versions and counts.
func (r *reader) int() int {
	n, _ := r.uvarint()
	if n > math.MaxInt32 {
		r.fail(errTooLong)
		return 0
	}
	return int(n)
}

func (r *reader) byte() byte {
	if r.err != nil {
		return 0
	}
	var b byte
	b, r.err = r.buffered.ReadByte()
	return b
}

// fixed reads a little-endian number of 1, 2, 4 or 8 bytes.
func (r *reader) fixed(size int) uint64 {
	if r.err != nil {
		return 0
	}
	clear(r.scratch[:])
	if _, r.err = io.ReadFull(r.buffered, r.scratch[:size]); r.err != nil {
		return 0
	}
	return binary.LittleEndian.Uint64(r.scratch[:])
}

// bytes reads n bytes.
func (r *reader) bytes(n int) []byte {
	if r.err == nil && (n < 0 || n > r.left()) {
		r.err = errTooLong
	}
	if r.err != nil {
		return nil
	}
	b := make([]byte, n)
	_, r.err = io.ReadFull(r.buffered, b)
	return b
}

func (r *reader) string() string { return string(r.bytes(r.int())) }

// over returns a reader of bytes that have arrived.
func over(b []byte) *reader {
	r := &reader{source: source{left: len(b)}}
	r.source.conn = &sliceReader{b}
	r.buffered = bufio.NewReaderSize(&r.source, 512)
	return r
}

type sliceReader struct{ b []byte }

func (s *sliceReader) Read(p []byte) (int, error) {
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.b)
	s.b = s.b[n:]
	return n, nil
}
