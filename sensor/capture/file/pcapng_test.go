package file

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"strings"
	"testing"
)

// ngFile makes a pcapng file block by block.
type ngFile struct {
	b     []byte
	order binary.AppendByteOrder
}

// block appends a block, padded as it must be.
func (f *ngFile) block(kind uint32, body []byte) {
	pad := -len(body) & 3
	length := uint32(12 + len(body) + pad)
	f.b = f.order.AppendUint32(f.b, kind)
	f.b = f.order.AppendUint32(f.b, length)
	f.b = append(append(f.b, body...), make([]byte, pad)...)
	f.b = f.order.AppendUint32(f.b, length)
}

// section starts a section in a byte order.
func (f *ngFile) section(order binary.AppendByteOrder) {
	f.order = order
	body := order.AppendUint32(nil, ngByteOrderMagic)
	body = order.AppendUint16(body, 1)
	body = order.AppendUint16(body, 0)
	body = order.AppendUint64(body, ^uint64(0)) // of unknown length
	f.block(ngBlockSection, body)
}

// iface adds an interface block; options are the encoded bytes.
func (f *ngFile) iface(link uint16, options ...byte) {
	body := f.order.AppendUint16(nil, link)
	body = f.order.AppendUint16(body, 0)
	body = f.order.AppendUint32(body, 0)
	f.block(ngBlockInterface, append(body, options...))
}

// packet adds an enhanced packet block; two bytes of the packet were cut off.
func (f *ngFile) packet(iface uint32, stamp uint64, frame []byte, options ...byte) {
	body := f.order.AppendUint32(nil, iface)
	body = f.order.AppendUint32(body, uint32(stamp>>32))
	body = f.order.AppendUint32(body, uint32(stamp))
	body = f.order.AppendUint32(body, uint32(len(frame)))
	body = f.order.AppendUint32(body, uint32(len(frame)+2))
	body = append(append(body, frame...), make([]byte, -len(frame)&3)...)
	f.block(ngBlockEnhanced, append(body, options...))
}

// TestPcapngManyInterfaces: a file of interface blocks alone uses little memory and does
// not fill the log.
func TestPcapngManyInterfaces(t *testing.T) {
	var f ngFile
	f.section(binary.LittleEndian)
	for range 2 * maxInterfaces {
		f.iface(147) // packets of it are not read
	}
	var log bytes.Buffer
	s, err := Open(Options{
		Paths: []string{write(t, f.b)}, Lanes: 1, Choose: byFirstByte, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, packets := readAll(t, s.Lanes()[0]); len(packets) != 0 {
		t.Errorf("%d packets", len(packets))
	}
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "more than 65536 interfaces") {
		t.Errorf("error %v, want that there are too many interfaces", err)
	}
	if lines := bytes.Count(log.Bytes(), []byte("level=WARN")); lines != maxWarnings+1 {
		t.Errorf("%d lines in the log, want %d:\n%s", lines, maxWarnings+1, log.String())
	}
}
