package server

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Bounds of one answer.
const (
	maxColumns = 1000
	maxRows    = 100_000
	maxCells   = 1_000_000
	maxText    = 16 << 20
)

// startBlock begins to read a block, and returns where its parts come from.
func (c *Conn) startBlock(compressed bool) (*reader, error) {
	r := c.in
	if c.has(proto.FeatureTempTables) {
		r.string()
	}
	if r.err == nil && compressed {
		r = c.frame()
	}
	return r, c.in.err
}

// readBlockHead returns the numbers of columns and rows, which are within the bounds.
func (c *Conn) readBlockHead(r *reader) (columns, rows int) {
	for field := r.int(); field != 0 && r.err == nil; field = r.int() {
		switch field {
		case 1:
			r.byte()
		case 2:
			r.fixed(4)
		default:
			r.fail(fmt.Errorf("field %d of a block is unknown", field))
		}
	}
	columns, rows = r.int(), r.int()
	if columns > maxColumns || rows > maxRows || columns*rows > maxCells {
		r.fail(errTooLong)
	}
	if r.err != nil {
		return 0, 0
	}
	return columns, rows
}

// skipBlock reads a block of which nothing is needed.
func (c *Conn) skipBlock() error {
	r, err := c.startBlock(false)
	if err != nil {
		return err
	}
	return c.readColumns(r, new(Result), new(int))
}

// Bytes of a compressed frame: checksum, method, sizes of what follows and of the data.
const (
	frameHead   = 16 + 1 + 4 + 4
	frameSizes  = 1 + 4 + 4 // the first size counts these
	maxOneFrame = 64 << 10  // the empty block before data
)

// frame reads one compressed frame. TCP or TLS guards its bytes already.
func (c *Conn) frame() *reader {
	head := c.in.bytes(frameHead)
	if c.in.err != nil {
		return c.in
	}
	packed, size := int(binary.LittleEndian.Uint32(head[17:]))-frameSizes, int(binary.LittleEndian.Uint32(head[21:]))
	if packed < 0 || packed > maxOneFrame || size < 0 || size > maxOneFrame { // an int of 32 bits may be negative
		c.in.fail(errTooLong)
		return c.in
	}
	data, err := unpack(head[16], c.in.bytes(packed), size)
	if err != nil {
		c.in.fail(fmt.Errorf("a compressed answer: %w", err))
		return c.in
	}
	return over(data)
}

func unpack(method byte, packed []byte, size int) ([]byte, error) {
	switch method {
	case 0x02:
		return packed, nil
	case 0x82:
		data := make([]byte, size)
		n, err := lz4.UncompressBlock(packed, data)
		if err == nil && n != size {
			err = io.ErrUnexpectedEOF
		}
		return data, err
	case 0x90:
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxOneFrame))
		if err != nil {
			return nil, err
		}
		defer d.Close()
		return d.DecodeAll(packed, make([]byte, 0, size))
	}
	return nil, fmt.Errorf("method %#x is unknown", method)
}
