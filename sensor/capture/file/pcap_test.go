package file

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/packet"
)

// pcapFile makes a capture file of frames, one each millisecond.
func pcapFile(order binary.AppendByteOrder, magic, link uint32, frames ...[]byte) []byte {
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint16(b, 2)
	b = order.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = order.AppendUint32(b, 65535)
	b = order.AppendUint32(b, link)
	for i, f := range frames {
		b = order.AppendUint32(b, 1700000000)
		b = order.AppendUint32(b, uint32(i)*1000)
		b = order.AppendUint32(b, uint32(len(f)))
		b = order.AppendUint32(b, uint32(len(f)+2)) // two bytes cut off
		b = append(b, f...)
	}
	return b
}

func write(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.pcap")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// readAll reads a lane to its end and returns copies of the frames.
func readAll(t *testing.T, l capture.Lane) (frames []string, packets []packet.Packet) {
	t.Helper()
	var b packet.Batch
	for {
		err := l.Read(&b)
		if err == io.EOF {
			return frames, packets
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range b.Packets {
			frames = append(frames, string(p.Data))
			p.Data = nil
			packets = append(packets, p)
		}
	}
}

// openFiles opens captures without further options.
func openFiles(paths []string, lanes int, choose Chooser) (*Source, error) {
	return Open(Options{Paths: paths, Lanes: lanes, Choose: choose})
}

// byFirstByte is a Chooser whose lanes a test can predict.
func byFirstByte(p *packet.Packet) packet.Hash { return packet.Hash(uint64(p.Data[0]) << 56) }

func TestPcapFormats(t *testing.T) {
	f := func(name string, order binary.AppendByteOrder, magic, link uint32, wantLink packet.LinkType, wantNanos int64) {
		t.Helper()
		s, err := openFiles([]string{write(t, pcapFile(order, magic, link, []byte("one"), []byte("two")))}, 1, byFirstByte)
		if err != nil {
			t.Fatal(err)
		}
		frames, packets := readAll(t, s.Lanes()[0])
		if strings.Join(frames, " ") != "one two" || s.Err() != nil {
			t.Fatalf("%s: frames %q, error %v", name, frames, s.Err())
		}
		p := packets[1]
		if p.Time != 1700000000*secondNanos+wantNanos || p.WireLen != 5 || p.Link != wantLink {
			t.Errorf("%s: time %d, wire length %d, link %d", name, p.Time, p.WireLen, p.Link)
		}
	}
	f("little-endian micros", binary.LittleEndian, pcapMicros, 1, packet.LinkEthernet, 1_000_000)
	f("big-endian micros", binary.BigEndian, pcapMicros, 113, packet.LinkSLL, 1_000_000)
	f("little-endian nanos", binary.LittleEndian, pcapNanos, 276, packet.LinkSLL2, 1000)
	f("big-endian nanos", binary.BigEndian, pcapNanos, 0, packet.LinkNull, 1000)
	f("DLT_RAW in a file", binary.LittleEndian, pcapMicros, 12, packet.LinkRaw, 1_000_000)
	f("FCS bits above the link type", binary.LittleEndian, pcapMicros, 0x14000001, packet.LinkEthernet, 1_000_000)
}

func TestPcapDamage(t *testing.T) {
	good := pcapFile(binary.LittleEndian, pcapMicros, 1, []byte("one"), []byte("two"))
	huge := append([]byte(nil), good...)
	binary.LittleEndian.PutUint32(huge[24+16+3+8:], 1<<30)
	f := func(name string, content []byte, wantFrames int, wantError string) {
		t.Helper()
		s, err := openFiles([]string{write(t, content)}, 2, byFirstByte)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, l := range s.Lanes() {
			frames, _ := readAll(t, l)
			n += len(frames)
		}
		if err := s.Err(); n != wantFrames || err == nil || !strings.Contains(err.Error(), wantError) || !strings.Contains(err.Error(), "test.pcap") {
			t.Errorf("%s: %d frames, error %v; want %d and %q", name, n, err, wantFrames, wantError)
		}
		if s.Given() != uint64(n) {
			t.Errorf("%s: Given is %d, lanes returned %d", name, s.Given(), n)
		}
	}
	f("cut in data", good[:len(good)-1], 1, "offset 43: the file ends in the middle of a packet")
	f("cut in header", good[:24+16+3+5], 1, "offset 43: the file ends in the middle of a packet")
	f("absurd length", huge, 1, "offset 43: a packet of 1073741824 bytes")
	f("empty", nil, 0, "there is nothing in it")
	f("text", []byte("this is not a capture file at all"), 0, "not a pcap, pcapng or dnstap file: it starts with bytes 74 68 69 73")
	f("unknown link type", pcapFile(binary.LittleEndian, pcapMicros, 147), 0, "link type 147 is not supported")
}

func TestMissingFile(t *testing.T) {
	_, err := openFiles([]string{filepath.Join(t.TempDir(), "no.pcap")}, 1, byFirstByte)
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want that the file does not exist", err)
	}
	if _, err = openFiles([]string{t.TempDir()}, 1, byFirstByte); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("error %v for a folder", err)
	}
}
