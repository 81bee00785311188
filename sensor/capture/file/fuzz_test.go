//go:build linux

package file

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"

	"dnsmonster-sensor/userspace/packet"
)

// kept is a packet whose bytes have memory of their own.
type kept struct {
	packet.Packet
	data string
}

func keep(p packet.Packet) kept {
	k := kept{p, string(p.Data)}
	k.Data = nil
	return k
}

// readRecords reads the records of a file one by one, and checks each step.
func readRecords(t *testing.T, data []byte) (packets []string, err error) {
	f, off, err := newFormat(data, formatContext{interfaces: new(interfaceTable)})
	if err != nil {
		return nil, fmt.Errorf("read it: %w", err)
	}
	for {
		var p packet.Packet
		next, err := f.record(data, off, &p)
		if c := (formatContext{}); err != nil && c.atEnd(f, len(data)-next, err) == nil {
			return packets, nil
		}
		if err != nil {
			return packets, fmt.Errorf("read it: offset %d: %w", next, err)
		}
		if next <= off || next > len(data) || len(p.Data) > next-off || int(p.WireLen) < len(p.Data) || cap(p.Data) != len(p.Data) {
			t.Fatalf("record at %d: next %d, %d of %d bytes, capacity %d", off, next, len(p.Data), p.WireLen, cap(p.Data))
		}
		packets = append(packets, fmt.Sprint(keep(p)))
		off = next
	}
}

// readStream reads the same bytes as a stream, step bytes at a time.
func readStream(data []byte, step int) (packets []string, err error) {
	s := &Source{log: slog.New(slog.DiscardHandler)}
	o := Options{Lanes: 1, Choose: func(*packet.Packet) packet.Hash { return 0 }}
	s.inputs = []*input{s.newStream("it", -1, &o, func(*stream) (io.ReadCloser, error) {
		return io.NopCloser(&steps{data, step}), nil
	})}
	l := &lane{source: s}
	var b packet.Batch
	for {
		switch err := l.Read(&b); {
		case err == io.EOF:
			return packets, s.Err()
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil:
			return packets, err
		}
		for _, p := range b.Packets {
			packets = append(packets, fmt.Sprint(keep(p)))
		}
	}
}

// steps is a reader that returns a few bytes at a time.
type steps struct {
	data []byte
	step int
}

func (s *steps) Read(b []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), s.step)], s.data)
	s.data = s.data[n:]
	return n, nil
}

func fuzzSeeds() (seeds [][]byte) {
	seeds = append(seeds, pcapFile(binary.LittleEndian, pcapMicros, 1, []byte("one"), []byte("two")),
		pcapFile(binary.BigEndian, pcapNanos, 276, []byte("one")))
	seeds = append(seeds, frameFile(true, []byte("one"), []byte("two")), frameFile(false, []byte("one")))
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		var f ngFile
		f.section(order)
		f.iface(1)
		f.iface(101, 0, 9, 0, 1, 9, 0, 0, 0)
		f.packet(0, 1700000000e6, []byte("one"))
		f.packet(1, 1700000000e6, []byte("two"), 0, 2, 0, 4, 1, 0, 0, 0)
		f.block(ngBlockSimple, append(order.AppendUint32(nil, 5), "three"...))
		f.section(order)
		f.iface(147)
		f.packet(0, 1<<63, nil)
		seeds = append(seeds, f.b)
	}
	return seeds
}

// FuzzFiles: any bytes give packets that lie within them, or an error. As a stream, in
// steps of any length, they give the same packets and the same error.
func FuzzFiles(f *testing.F) {
	for i, seed := range fuzzSeeds() {
		f.Add(seed, uint16(i))
		f.Add(seed[:len(seed)-i-1], uint16(40*i))
	}
	// Here the version of a section comes in a later step than its byte order and length.
	f.Add([]byte("\n\r\r\n\x1c\x00\x00\x00M<+\x1a\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x1c\x00\x00\x00\n\r\r\nne\x00$M<+\x1a\x10\x00"), uint16(39))
	f.Fuzz(func(t *testing.T, data []byte, step uint16) {
		want, wantErr := readRecords(t, data)
		if compressed(data) {
			return
		}
		got, err := readStream(data, int(step)+1)
		if fmt.Sprint(got) != fmt.Sprint(want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Errorf("as a file %d packets, %v; as a stream %d packets, %v", len(want), wantErr, len(got), err)
		}
	})
}

// FuzzCompressed: compressed bytes give the same packets as the plain ones. Damaged, they
// give an error if the format has a checksum, unless the damage has no effect.
func FuzzCompressed(f *testing.F) {
	kinds := []string{"gzip", "zstd", "xz", "lz4", "lz4 legacy"}
	for i, seed := range fuzzSeeds() {
		for kind := range kinds {
			f.Add(seed, uint8(kind), uint16(0), uint8(0))
			f.Add(seed, uint8(kind), uint16(10*i), uint8(255))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, number uint8, at uint16, flip uint8) {
		kind := kinds[int(number)%len(kinds)]
		file := compress(t, kind, data)
		file[int(at)%len(file)] ^= flip
		got, err := readStream(file, 1000)
		if flip != 0 && (err != nil || kind == "lz4" || kind == "lz4 legacy") {
			return
		}
		want, wantErr := readRecords(t, data)
		if fmt.Sprint(got) != fmt.Sprint(want) || (err == nil) != (wantErr == nil) {
			t.Errorf("%d packets, %v; as %s %d packets, %v", len(want), wantErr, kind, len(got), err)
		}
	})
}
