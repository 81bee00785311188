package server

import (
	"net"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/ClickHouse/ch-go/proto"
)

// writer gathers a message and sends it with one call: what is encoded here, and the
// columns, which are sent from where they lie. With compression it sends frame by frame,
// so that its memory does not depend on the size of a block.
type writer struct {
	conn net.Conn
	buf  proto.Buffer // what is encoded here
	cut  int          // buf up to here is in parts

	all, parts net.Buffers // parts is all of all; the library advances it
	compress   *compress.Writer
	frame      []byte
}

// frameSize is what ClickHouse's own client compresses at once.
const frameSize = 1 << 20

// smallPart is copied rather than sent from where it lies.
const smallPart = 512

// chain adds bytes that are sent from where they lie.
func (w *writer) chain(b []byte) {
	if len(b) < smallPart {
		w.buf.Buf = append(w.buf.Buf, b...)
		return
	}
	w.cutBuffer()
	w.all = append(w.all, b)
}

// cutBuffer adds what was encoded since the last cut. A buffer that grows later leaves
// these bytes where they are.
func (w *writer) cutBuffer() {
	if end := len(w.buf.Buf); end > w.cut {
		w.all = append(w.all, w.buf.Buf[w.cut:end:end])
		w.cut = end
	}
}

func (w *writer) flush() error {
	_, err := w.flushCount()
	return err
}

// flushCount sends everything, and returns how many bytes the kernel has accepted.
func (w *writer) flushCount() (n int64, err error) {
	w.cutBuffer()
	w.parts = w.all
	n, err = w.parts.WriteTo(w.conn)
	clear(w.all) // the columns are only borrowed
	w.all, w.parts = w.all[:0], nil
	w.buf.Reset()
	w.cut = 0
	return n, err
}

// size is the number of bytes that are ready.
func (w *writer) size() (n int64) {
	for _, part := range w.all {
		n += int64(len(part))
	}
	return n + int64(len(w.buf.Buf)-w.cut)
}

// startBlock begins a data packet: what follows it may be compressed.
func (w *writer) startBlock() {
	proto.ClientCodeData.Encode(&w.buf)
	w.buf.PutString("") // not an external table
}

// blockHead begins a block.
func blockHead(b *proto.Buffer, columns, rows int) {
	proto.BlockInfo{BucketNum: -1}.Encode(b)
	b.PutInt(columns)
	b.PutInt(rows)
}

// endOfData adds the empty block.
func (w *writer) endOfData(compressed bool) error {
	w.startBlock()
	if !compressed {
		blockHead(&w.buf, 0, 0)
		return nil
	}
	var b proto.Buffer
	blockHead(&b, 0, 0)
	if err := w.compress.Compress(b.Buf); err != nil {
		return err
	}
	w.buf.PutRaw(w.compress.Data)
	return nil
}

// block adds the columns and the end of the data, and sends them. sent reports whether
// all of the block has been handed to the kernel.
func (w *writer) block(cols []Column) (sent bool, err error) {
	w.startBlock()
	if w.compress != nil {
		return w.compressedBlock(cols)
	}
	blockHead(&w.buf, len(cols), cols[0].Rows)
	for i := range cols {
		w.column(&cols[i])
	}
	size := w.size()
	w.endOfData(false)
	n, err := w.flushCount()
	return n >= size, err
}

func (w *writer) column(c *Column) {
	w.buf.PutString(c.Name)
	w.buf.PutString(c.Type)
	for _, b := range c.State {
		w.chain(b)
	}
	for _, b := range c.Data {
		w.chain(b)
	}
}

// compressedBlock sends a block in frames.
func (w *writer) compressedBlock(cols []Column) (sent bool, err error) {
	if w.frame == nil {
		w.frame = make([]byte, 0, frameSize)
	}
	w.frame = w.frame[:0]
	var b proto.Buffer
	blockHead(&b, len(cols), cols[0].Rows)
	err = w.add(b.Buf)
	for i := 0; i < len(cols) && err == nil; i++ {
		b.Reset()
		b.PutString(cols[i].Name)
		b.PutString(cols[i].Type)
		err = w.add(b.Buf)
		for _, list := range [2][][]byte{cols[i].State, cols[i].Data} {
			for j := 0; j < len(list) && err == nil; j++ {
				err = w.add(list[j])
			}
		}
	}
	if err == nil {
		err = w.sendFrame()
	}
	if err != nil {
		return false, err
	}
	if err = w.endOfData(true); err == nil {
		err = w.flush()
	}
	return true, err
}

// add copies bytes into frames, and sends those that are full.
func (w *writer) add(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), frameSize-len(w.frame))
		w.frame = append(w.frame, b[:n]...)
		b = b[n:]
		if len(w.frame) == frameSize {
			if err := w.sendFrame(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *writer) sendFrame() error {
	if len(w.frame) == 0 {
		return nil
	}
	if err := w.compress.Compress(w.frame); err != nil {
		return err
	}
	w.frame = w.frame[:0]
	w.chain(w.compress.Data)
	return w.flush()
}
