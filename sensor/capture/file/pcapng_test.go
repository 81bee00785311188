//go:build linux

package file

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/userspace/packet"
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

// option makes one option of a block, padded.
func (f *ngFile) option(code uint16, value ...byte) []byte {
	b := f.order.AppendUint16(nil, code)
	b = f.order.AppendUint16(b, uint16(len(value)))
	return append(append(b, value...), make([]byte, -len(value)&3)...)
}

// resolution adds an interface whose time stamps have a resolution, and an offset in
// seconds.
func (f *ngFile) resolution(exponent byte, offset int64) {
	options := f.option(ngOptTSRes, exponent)
	options = append(options, f.option(ngOptOffset, f.order.AppendUint64(nil, uint64(offset))...)...)
	f.iface(1, append(options, f.option(ngOptEnd)...)...)
}

// ngRead reads a file, with one lane, as a mapped file and as a stream.
func ngRead(t *testing.T, file []byte) ([]kept, *Source) {
	t.Helper()
	var list [2][]kept
	var last *Source
	for i, content := range [][]byte{file, compress(t, "zstd", file)} {
		s, err := openFiles([]string{write(t, content)}, 1, byFirstByte)
		if err != nil {
			t.Fatal(err)
		}
		frames, packets := readAll(t, s.Lanes()[0])
		for n, p := range packets {
			p.Data = nil
			list[i] = append(list[i], kept{p, frames[n]})
		}
		if s.Given() != uint64(len(packets)) {
			t.Errorf("%d packets, Given is %d", len(packets), s.Given())
		}
		last = s
	}
	if fmt.Sprint(list[0]) != fmt.Sprint(list[1]) {
		t.Errorf("mapped %+v,\nas a stream %+v", list[0], list[1])
	}
	return list[0], last
}

var bothOrders = []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian}

// TestPcapngTimes: every resolution and offset that a file can have.
func TestPcapngTimes(t *testing.T) {
	for _, order := range bothOrders {
		f := func(exponent byte, offset int64, stamp uint64, want string) {
			t.Helper()
			file := ngFile{}
			file.section(order)
			file.resolution(exponent, offset)
			file.packet(0, stamp, []byte("one"))
			list, s := ngRead(t, file.b)
			if len(list) != 1 || s.Err() != nil {
				t.Fatalf("%d packets, error %v", len(list), s.Err())
			}
			if got := time.Unix(0, list[0].Time).UTC().Format("2006-01-02T15:04:05.999999999"); got != want {
				t.Errorf("resolution %#x, offset %d, stamp %d: %s, want %s", exponent, offset, stamp, got, want)
			}
		}
		f(6, 0, 1700000000_123456, "2023-11-14T22:13:20.123456")
		f(9, 0, 1700000000_123456789, "2023-11-14T22:13:20.123456789")
		f(3, 0, 1700000000_123, "2023-11-14T22:13:20.123")
		f(0, 0, 1700000000, "2023-11-14T22:13:20")
		f(10, 0, 1700000000_1234567890, "2023-11-14T22:13:20.123456789")
		f(6, 1700000000, 123456, "2023-11-14T22:13:20.123456")
		f(6, -1, 1700000000_500000, "2023-11-14T22:13:19.5")
		f(12, 1700000000, 123456789_012, "2023-11-14T22:13:20.123456789")
		f(18, 1700000000, 1_123456789_012345678, "2023-11-14T22:13:21.123456789")
		f(19, 1700000000, 1_234567890_123456789, "2023-11-14T22:13:20.123456789")
		f(20, 1700000000, 12_345678901_23456789, "2023-11-14T22:13:20.012345678")
		f(28, 1700000000, 10_000_000_000_000_000_000, "2023-11-14T22:13:20.000000001")
		f(29, 1700000000, math.MaxUint64, "2023-11-14T22:13:20")
		f(127, 1700000000, math.MaxUint64, "2023-11-14T22:13:20")
		f(0x80, 0, 1700000000, "2023-11-14T22:13:20")
		f(0x80|1, 0, 1700000000*2+1, "2023-11-14T22:13:20.5")
		f(0x80|20, 0, 1700000000<<20|1<<18, "2023-11-14T22:13:20.25")
		f(0x80|32, 0, 1700000000<<32|0xffffffff, "2023-11-14T22:13:20.999999999")
		f(0x80|63, 1700000000, 1<<63|1<<60, "2023-11-14T22:13:21.125")
		f(0x80|64, 1700000000, 1<<63, "2023-11-14T22:13:20.5")
		f(0x80|90, 1700000000, math.MaxUint64, "2023-11-14T22:13:20.000000014")
		f(0x80|127, 1700000000, math.MaxUint64, "2023-11-14T22:13:20")
		f(6, math.MaxInt64, 5, "2262-04-11T23:47:16")
		f(6, math.MinInt64, 5, "1677-09-21T00:12:44")
		f(0, 0, math.MaxUint64, "2262-04-11T23:47:16")
	}
}

// TestPcapngBlocks: sections of either byte order with their own interfaces, packet blocks
// of every kind, and other blocks.
func TestPcapngBlocks(t *testing.T) {
	var f ngFile
	other := func() { // blocks that are skipped
		f.block(4, []byte("name resolution"))
		f.block(5, make([]byte, 24))        // interface statistics
		f.block(9, []byte("journal entry")) // systemd
		f.block(10, make([]byte, 8))        // secrets
		f.block(0x00000bad, []byte("custom, copied on"))
		f.block(0x40000bad, []byte("custom, not copied on"))
		f.block(0x0badf00d, []byte("not invented yet"))
		f.block(0xffffffff, nil)
	}
	for _, order := range []binary.AppendByteOrder{binary.BigEndian, binary.LittleEndian, binary.BigEndian} {
		f.section(order)
		other()
		f.iface(1)
		f.resolution(9, 0)
		f.iface(101, append(f.option(ngOptName, []byte("eth0\x00")...), f.option(ngOptEnd)...)...)
		f.packet(0, 1_000_001, []byte("a"))
		other()
		f.packet(1, 1_000_001, []byte("bb"), append(f.option(ngOptFlags, order.AppendUint32(nil, 2)...), f.option(ngOptEnd)...)...)
		f.packet(2, 1_000_001, []byte("ccc"))
		f.block(ngBlockSimple, append(order.AppendUint32(nil, 4), "dddd"...))
		f.block(ngBlockSimple, append(order.AppendUint32(nil, 9), "eeeee\x00\x00\x00"...)) // 9 bytes on the wire, and no snap length: all bytes of the block count
		old := order.AppendUint16(nil, 2)
		old = order.AppendUint16(old, 7) // drops
		old = order.AppendUint32(old, 0)
		old = order.AppendUint32(old, 2_000_000)
		old = order.AppendUint32(old, 6)
		old = order.AppendUint32(old, 60)
		f.block(ngBlockPacket, append(old, "ffffff"...))
		f.packet(0, 3_000_000, nil)
	}
	list, s := ngRead(t, f.b)
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	named := s.interfaces.numbers["eth0"]
	want := []kept{
		{packet.Packet{Time: 1_000_001_000, WireLen: 3, Link: packet.LinkEthernet}, "a"},
		{packet.Packet{Time: 1_000_001, WireLen: 4, Interface: firstUnnamed + 1, Link: packet.LinkEthernet, Direction: packet.DirectionOut}, "bb"},
		{packet.Packet{Time: 1_000_001_000, WireLen: 5, Interface: named, Link: packet.LinkRaw}, "ccc"},
		{packet.Packet{WireLen: 4, Link: packet.LinkEthernet}, "dddd"},
		{packet.Packet{WireLen: 9, Link: packet.LinkEthernet}, "eeeee\x00\x00\x00"},
		{packet.Packet{Time: 2_000_000_000, WireLen: 60, Interface: named, Link: packet.LinkRaw}, "ffffff"},
		{packet.Packet{Time: 3_000_000_000, WireLen: 2, Link: packet.LinkEthernet}, ""},
	}
	want = slices.Concat(want, want, want) // sections
	if fmt.Sprint(list) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", list, want)
	}
	_, again := ngRead(t, f.b)
	if repeated := again.interfaces.numbers["eth0"]; named < firstNamed || repeated != named {
		t.Errorf("eth0 has the numbers %d and %d, want the same in all runs", named, repeated)
	}
	if s.InterfaceName(named, 0) != "eth0" || s.InterfaceName(0, 0) != "" || s.InterfaceName(named+1, 0) != "" {
		t.Errorf("interface names %q, %q, %q", s.InterfaceName(named, 0), s.InterfaceName(0, 0), s.InterfaceName(named+1, 0))
	}
}

// TestPcapngDamage: packets after damage are lost; the error says where the damage is.
func TestPcapngDamage(t *testing.T) {
	for _, order := range bothOrders {
		var good ngFile
		good.section(order)
		good.iface(1)
		good.packet(0, 1, []byte("one"))
		good.packet(0, 2, []byte("two"))
		end := len(good.b)
		f := func(what string, file []byte, packets, offset int, problem string) {
			t.Helper()
			list, s := ngRead(t, file)
			if len(list) != packets {
				t.Errorf("%s: %d packets, want %d", what, len(list), packets)
			}
			for _, want := range []string{problem, fmt.Sprintf("decompressed data %d: ", offset), "test.pcap"} {
				if err := s.Err(); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: error %v, want %q", what, err, want)
				}
			}
		}
		last := end - 36 // where the second packet's block starts
		f("cut", good.b[:end-1], 1, last, "ends in the middle of a block")
		f("cut after a length", good.b[:last+8], 1, last, "ends in the middle of a block")
		more := func(add func(f *ngFile)) []byte {
			f := ngFile{slices.Clone(good.b), order}
			add(&f)
			f.packet(0, 3, []byte("after it"))
			return f.b
		}
		f("other interface", more(func(f *ngFile) { f.packet(7, 1, nil) }), 2, end, "a packet of interface 7, of which there are 1")
		f("no interface", more(func(f *ngFile) {
			f.section(order)
			f.packet(0, 1, nil)
		}), 2, end+28, "a packet of interface 0, of which there are 0")
		f("short packet", more(func(f *ngFile) { f.block(ngBlockEnhanced, make([]byte, 16)) }), 2, end, "too short")
		f("short interface", more(func(f *ngFile) { f.block(ngBlockInterface, make([]byte, 4)) }), 2, end, "too short")
		f("longer than its block", more(func(f *ngFile) {
			f.block(ngBlockEnhanced, append(make([]byte, 12), order.AppendUint64(nil, math.MaxUint64)...))
		}), 2, end, "too short")
		f("odd length", more(func(f *ngFile) { f.b = append(f.b, order.AppendUint32(order.AppendUint32(nil, 6), 33)...) }), 2, end, "a block of 33 bytes")
		f("two lengths", more(func(f *ngFile) {
			f.packet(0, 1, []byte("bad"))
			copy(f.b[len(f.b)-4:], order.AppendUint32(nil, 40))
		}), 2, end, "ends as one of 40")
		f("no byte order", more(func(f *ngFile) {
			f.section(order)
			f.b[end+8] ^= 0xff
		}), 2, end, "byte-order magic")
		f("version 2", more(func(f *ngFile) {
			f.section(order)
			copy(f.b[end+12:], order.AppendUint16(nil, 2))
		}), 2, end, "version 2 of pcapng")
	}
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
