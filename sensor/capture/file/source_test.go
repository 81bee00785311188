//go:build linux

package file

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
	"golang.org/x/sys/unix"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/packet"
)

// compress makes a file of one of the formats.
func compress(t testing.TB, kind string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch kind {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zstd":
		w, err = zstd.NewWriter(&b)
	case "xz":
		w, err = xz.NewWriter(&b)
	case "lz4":
		w = lz4.NewWriter(&b)
	case "lz4 legacy":
		z := lz4.NewWriter(&b)
		err = z.Apply(lz4.LegacyOption(true))
		w = z
	default:
		return content
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// numbered makes n frames of different lengths. Each contains its number, and a first
// byte that spreads them over lanes.
func numbered(from, n int) (frames [][]byte) {
	for i := from; i < from+n; i++ {
		f := binary.LittleEndian.AppendUint32([]byte{byte(i * 37)}, uint32(i))
		frames = append(frames, append(f, make([]byte, i%200)...))
	}
	return frames
}

// drain reads all lanes concurrently, checks that each lane is in order, and returns
// the sorted numbers of all frames.
func drain(t *testing.T, s *Source) (all []int) {
	t.Helper()
	var mu sync.Mutex
	var lanes sync.WaitGroup
	for number, l := range s.Lanes() {
		lanes.Go(func() {
			var b packet.Batch
			last := -1
			for {
				err := l.Read(&b)
				if err == io.EOF {
					return
				}
				if errors.Is(err, os.ErrDeadlineExceeded) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, p := range b.Packets {
					n := int(binary.LittleEndian.Uint32(p.Data[1:]))
					if n <= last || byte(n*37) != p.Data[0] || len(p.Data) != 5+n%200 {
						t.Errorf("lane %d: frame %d (%d bytes) after frame %d", number, n, len(p.Data), last)
					}
					if want := byFirstByte(&p).Lane(len(s.lanes)); want != number && (s.unpinned == nil || !s.unpinned(&p)) {
						t.Errorf("frame %d on lane %d, want %d", n, number, want)
					}
					last = n
					all = append(all, n)
				}
				mu.Unlock()
			}
		})
	}
	lanes.Wait()
	slices.Sort(all)
	return all
}

// complete checks that all holds 0 to n-1, once each.
func complete(t *testing.T, what string, all []int, n int) {
	t.Helper()
	for i, v := range all {
		if v != i {
			t.Errorf("%s: found frame %d, want %d", what, v, i)
			return
		}
	}
	if len(all) != n {
		t.Errorf("%s: %d frames, want %d", what, len(all), n)
	}
}

// TestCompressedFiles: every compression is recognized by the content; the file's name
// does not tell.
func TestCompressedFiles(t *testing.T) {
	const n = 20000
	for _, kind := range []string{"", "gzip", "zstd", "xz", "lz4", "lz4 legacy"} {
		for _, lanes := range []int{1, 3} {
			s, err := openFiles([]string{write(t, compress(t, kind, pcapFile(binary.LittleEndian, pcapMicros, 1, numbered(0, n)...)))}, lanes, byFirstByte)
			if err != nil {
				t.Fatal(err)
			}
			complete(t, kind, drain(t, s), n)
			if s.Given() != n || s.Err() != nil {
				t.Errorf("%s, %d lanes: Given is %d, error %v", kind, lanes, s.Given(), s.Err())
			}
			if share, known := s.Progress(); share != 1 || !known {
				t.Errorf("%s: at the end the progress is %v (%v)", kind, share, known)
			}
			if isStream := s.inputs[0].stream != nil; isStream != (kind != "") {
				t.Errorf("%q is read as a stream: %v", kind, isStream)
			}
		}
	}
}

// TestSeveralFiles: files of all kinds, one after the other, on several lanes.
func TestSeveralFiles(t *testing.T) {
	const each = 7000
	var paths []string
	for i, kind := range []string{"gzip", "", "zstd", "lz4", "", "xz"} {
		frames := numbered(i*each, each)
		content := pcapFile(binary.BigEndian, pcapNanos, 1, frames...)
		if i%2 == 0 {
			var ng ngFile
			ng.section(binary.LittleEndian)
			ng.iface(1)
			for _, f := range frames {
				ng.packet(0, 1, f)
			}
			content = ng.b
		}
		paths = append(paths, write(t, compress(t, kind, content)))
	}
	s, err := openFiles(paths, 4, byFirstByte)
	if err != nil {
		t.Fatal(err)
	}
	complete(t, "six files", drain(t, s), 6*each)
	if s.Given() != 6*each || s.Err() != nil {
		t.Errorf("Given is %d, error %v", s.Given(), s.Err())
	}
}

// TestCompressedDamage: whole packets before the damage are returned; the error says
// which file, where and why.
func TestCompressedDamage(t *testing.T) {
	const n = 3000
	content := pcapFile(binary.LittleEndian, pcapMicros, 1, numbered(0, n)...)
	f := func(what string, file []byte, least, most int, wantError ...string) {
		t.Helper()
		s, err := openFiles([]string{write(t, file)}, 2, byFirstByte)
		if err != nil {
			t.Fatal(err)
		}
		all := drain(t, s)
		complete(t, what, all, len(all))
		if len(all) < least || len(all) > most || s.Given() != uint64(len(all)) {
			t.Errorf("%s: %d frames (Given is %d), want %d to %d", what, len(all), s.Given(), least, most)
		}
		for _, want := range append(wantError, "test.pcap") {
			if err := s.Err(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want %q", what, err, want)
			}
		}
	}
	for _, kind := range []string{"gzip", "zstd", "xz", "lz4"} {
		whole := compress(t, kind, content)
		f(kind+" cut", whole[:len(whole)/2], 0, n-1, "the "+kind+" data", "offset in the decompressed data ")
		f(kind+" of a cut capture", compress(t, kind, content[:len(content)-1]), n-1, n-1, "the file ends in the middle of a packet", "offset in the decompressed data ")
		f(kind+" of text", compress(t, kind, []byte("this is not a capture file at all")), 0, 0, "not a pcap, pcapng or dnstap file")
		f(kind+" of nothing", compress(t, kind, nil), 0, 0, "there is nothing in it")
		f(kind+" magic alone", whole[:7], 0, 0, "the "+kind+" data")
	}
	f("gzip cut late", compress(t, "gzip", content)[:len(compress(t, "gzip", content))-4], n, n, "the gzip data ends too early")
	huge := slices.Clone(content)
	binary.LittleEndian.PutUint32(huge[24+16+5+8:], 1<<30)
	f("absurd length", compress(t, "gzip", huge), 1, 1, "offset in the decompressed data 45: a packet of 1073741824 bytes")
}

// TestCompressedFlip: the checksum that reveals a flipped bit may come after the changed
// packets. Only the error is certain, and that Given is right.
func TestCompressedFlip(t *testing.T) {
	content := pcapFile(binary.LittleEndian, pcapMicros, 1, numbered(0, 3000)...)
	for _, kind := range []string{"gzip", "zstd", "xz", "lz4"} {
		flipped := compress(t, kind, content)
		flipped[len(flipped)/2] ^= 0x10
		s, err := openFiles([]string{write(t, flipped)}, 1, byFirstByte)
		if err != nil {
			t.Fatal(err)
		}
		frames, _ := readAll(t, s.Lanes()[0])
		if s.Given() != uint64(len(frames)) || s.Err() == nil || !strings.Contains(s.Err().Error(), "test.pcap") {
			t.Errorf("%s: %d frames (Given is %d), error %v", kind, len(frames), s.Given(), s.Err())
		}
	}
}

// TestStreamLongRecords: records may be longer than a chunk.
func TestStreamLongRecords(t *testing.T) {
	var frames [][]byte
	for _, size := range []int{5, chunkLen - 1, chunkLen, chunkLen + 1, 10, 3 * chunkLen, 2 << 20, 7} {
		frames = append(frames, bytes.Repeat([]byte{byte(len(frames))}, size))
	}
	s, err := openFiles([]string{write(t, compress(t, "zstd", pcapFile(binary.LittleEndian, pcapMicros, 1, frames...)))}, 1, byFirstByte)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := readAll(t, s.Lanes()[0])
	if len(got) != len(frames) || s.Err() != nil {
		t.Fatalf("%d frames, error %v; want %d", len(got), s.Err(), len(frames))
	}
	for i := range got {
		if got[i] != string(frames[i]) {
			t.Errorf("frame %d of %d bytes has changed", i, len(frames[i]))
		}
	}
}

// waitingChunks is the number of chunks that wait for a lane.
func waitingChunks(q *laneQueue) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	held := make(map[*chunk]bool)
	for _, b := range q.list {
		held[b.chunk] = true
	}
	return len(held)
}

// readSome reads until there are packets: on a busy machine that may take longer than
// one ReadTimeout.
func readSome(t *testing.T, l capture.Lane, b *packet.Batch) {
	t.Helper()
	for {
		if err := l.Read(b); err == nil {
			return
		} else if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
}

// TestStreamWaitsForSlowLane: if one lane does not read, the reader stops when the
// stream's memory is used up, and goes on when the lane reads.
func TestStreamWaitsForSlowLane(t *testing.T) {
	const n = 200_000 // about 23 MB
	s, err := openFiles([]string{write(t, compress(t, "lz4", pcapFile(binary.LittleEndian, pcapMicros, 1, numbered(0, n)...)))}, 2, byFirstByte)
	if err != nil {
		t.Fatal(err)
	}
	var b packet.Batch
	got := 0
	st := s.inputs[0].stream
	for full := false; ; { // lane 0 alone, until all memory waits for lane 1
		err := s.Lanes()[0].Read(&b)
		if errors.Is(err, os.ErrDeadlineExceeded) && full {
			break
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("lane 0 came to the end (%v) while lane 1 had read nothing", err)
		}
		got += len(b.Packets)
		full = waitingChunks(st.queues[1]) == st.chunks.limit
	}
	if held := waitingChunks(st.queues[1]) * chunkLen; s.Given() == n || held != 12*chunkLen {
		t.Errorf("%d packets given and %d bytes held while a lane waits", s.Given(), held)
	}
	rest := len(drain(t, s))
	if s.Given() != n || got == 0 || got+rest != n || s.Err() != nil {
		t.Errorf("Given is %d of %d, lanes got %d and %d, error %v", s.Given(), n, got, rest, s.Err())
	}
}

// TestStreamClose: after Close the lanes end soon, with all packets that were delivered.
func TestStreamClose(t *testing.T) {
	const n = 200_000
	path := write(t, compress(t, "gzip", pcapFile(binary.LittleEndian, pcapMicros, 1, numbered(0, n)...)))
	mapped := write(t, pcapFile(binary.LittleEndian, pcapMicros, 1, numbered(n, n)...))
	for _, paths := range [][]string{{path, mapped}, {mapped, path}, {path, path}} {
		s, err := openFiles(paths, 3, byFirstByte)
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		var b packet.Batch
		for _, l := range s.Lanes()[:2] { // the third has not begun
			readSome(t, l, &b)
			got += len(b.Packets)
		}
		s.Close()
		for _, l := range s.Lanes() {
			for {
				err := l.Read(&b)
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				got += len(b.Packets)
			}
		}
		if s.Given() != uint64(got) || got >= 2*n || s.Err() != nil {
			t.Errorf("Given is %d, lanes returned %d of %d; error %v", s.Given(), got, 2*n, s.Err())
		}
		if err := s.Lanes()[0].Read(&b); err != io.EOF {
			t.Errorf("Read after the end = %v", err)
		}
	}
}

// TestStdinPipe: while a stream pauses, Read returns so that the lane can expire old
// state. Packets are delivered without waiting for more.
func TestStdinPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Paths: []string{"-"}, Lanes: 2, Choose: byFirstByte, Stdin: r})
	if err != nil {
		t.Fatal(err)
	}
	frames := numbered(0, 3)
	content := pcapFile(binary.LittleEndian, pcapMicros, 1, frames...)
	firstEnd := 24 + 16 + len(frames[0])
	w.Write(content[:firstEnd+9]) // a packet, and the beginning of the next
	var b packet.Batch
	if readSome(t, s.Lanes()[0], &b); len(b.Packets) != 1 {
		t.Fatalf("%d packets; want the first one", len(b.Packets))
	}
	if err := s.Lanes()[0].Read(&b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v while nothing comes, want the deadline", err)
	}
	if _, known := s.Progress(); known {
		t.Error("the progress of a pipe is known")
	}
	w.Write(content[firstEnd+9:])
	w.Close()
	if rest := drain(t, s); len(rest) != 2 || s.Given() != 3 || s.Err() != nil {
		t.Errorf("%d more frames, Given is %d, error %v", len(rest), s.Given(), s.Err())
	}
}

// TestCloseWhileReaderWaits: Close ends the lanes while the reader waits for bytes.
func TestCloseWhileReaderWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := openFiles([]string{path}, 2, byFirstByte) // no writer: open blocks
	if err != nil {
		t.Fatal(err)
	}
	var b packet.Batch
	if err := s.Lanes()[0].Read(&b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("error %v, want the deadline", err)
	}
	s.Close()
	if all := drain(t, s); len(all) != 0 || s.Err() != nil {
		t.Errorf("%d frames, error %v", len(all), s.Err())
	}
	if w, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0); err == nil {
		w.Close() // lets the reader go
	}
}

func TestFifo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := openFiles([]string{path}, 2, byFirstByte)
	if err != nil {
		t.Fatal(err)
	}
	const n = 5000
	go os.WriteFile(path, compress(t, "gzip", pcapFile(binary.LittleEndian, pcapMicros, 1, numbered(0, n)...)), 0)
	complete(t, "fifo", drain(t, s), n)
	if s.Given() != n || s.Err() != nil {
		t.Errorf("Given is %d, error %v", s.Given(), s.Err())
	}
}

func TestOpenRefuses(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	f := func(want string, paths ...string) {
		t.Helper()
		if _, err := Open(Options{Paths: paths, Lanes: 1, Choose: byFirstByte, Stdin: null}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", paths, err, want)
		}
	}
	f("the standard input is named twice", "-", "-")
	f("no such file", "/no/such/file.pcap")
	f("is a folder", t.TempDir())
}
