//go:build linux

package file

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/packet"
)

// framesUpTo is the number of frames before an offset of a capture file, -1 if the
// offset is in the middle of one.
func framesUpTo(content []byte, offset int64) (n int) {
	at := 24
	for ; int64(at) < offset; n++ {
		at += 16 + int(binary.LittleEndian.Uint32(content[at+8:]))
	}
	if int64(at) != offset {
		return -1
	}
	return n
}

// TestInterruptedFiles: after an interrupt in the middle of a file, the packets that were
// returned are those before the reported offset. Later files are listed as not begun,
// earlier ones are not listed.
func TestInterruptedFiles(t *testing.T) {
	const n = 45_000
	content := pcapFile(binary.LittleEndian, pcapMicros, 1, numbered(0, n)...)
	small := write(t, pcapFile(binary.LittleEndian, pcapMicros, 1, numbered(0, 3)...))
	for _, kind := range []string{"", "gzip", "lz4"} {
		middle := write(t, compress(t, kind, content))
		for _, lanes := range []int{1, 3} {
			last := write(t, content)
			s, err := openFiles([]string{small, middle, last}, lanes, byFirstByte)
			if err != nil {
				t.Fatal(err)
			}
			var b packet.Batch
			for s.Given() < 4 { // the lanes that do not read soon block this one
				if err := s.Lanes()[0].Read(&b); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatal(err)
				}
			}
			s.Drain()
			drained := make(chan struct{})
			go func() {
				defer close(drained)
				for _, l := range s.Lanes() {
					var b packet.Batch
					for !errors.Is(l.Read(&b), io.EOF) {
					}
				}
			}()
			select {
			case <-drained:
			case <-time.After(20 * time.Second):
				t.Fatalf("%q: the lanes do not end", kind)
			}
			list := s.Unread()
			if len(list) != 2 {
				t.Fatalf("%q, %d lanes: %d unread, want 2: %+v", kind, lanes, len(list), list)
			}
			u := list[0]
			if got := framesUpTo(content, u.Offset) + 3; uint64(got) != s.Given() || !u.Begun || u.Decompressed != (kind != "") {
				t.Errorf("%q, %d lanes: %d frames before the offset, Given is %d: %+v", kind, lanes, got, s.Given(), u)
			}
			if !u.Known || u.Share <= 0 || u.Share >= 1 || kind == "" && u.Share != float64(u.Offset)/float64(len(content)) {
				t.Errorf("%q, %d lanes: share %v of %d bytes: %+v", kind, lanes, u.Share, len(content), u)
			}
			if list[1].Path != last || list[1].Begun {
				t.Errorf("%q: %+v, want that %s was not opened", kind, list[1], last)
			}
		}
	}
}

// TestInterruptedAtTheEnd: a file that was read to its end is not listed.
func TestInterruptedAtTheEnd(t *testing.T) {
	content := pcapFile(binary.LittleEndian, pcapMicros, 1, numbered(0, 100)...)
	for _, kind := range []string{"", "gzip"} {
		s, err := openFiles([]string{write(t, compress(t, kind, content))}, 2, byFirstByte)
		if err != nil {
			t.Fatal(err)
		}
		complete(t, kind, drain(t, s), 100)
		s.Drain()
		if list := s.Unread(); list != nil {
			t.Errorf("%q: %+v is unread", kind, list)
		}
	}
}

// TestDrainReadsPipes: a pipe that follows a file is read to its end after the file was
// interrupted. A pipe without a writer holds nothing, and is not waited for.
func TestDrainReadsPipes(t *testing.T) {
	const n = 5000
	dir := t.TempDir()
	pipe, empty := filepath.Join(dir, "pipe"), filepath.Join(dir, "empty")
	for _, path := range []string{pipe, empty} {
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := write(t, pcapFile(binary.LittleEndian, pcapMicros, 1, numbered(0, 100)...))
	s, err := Open(Options{Paths: []string{file, empty, pipe}, Lanes: 2, Choose: byFirstByte, Speed: 0.001})
	if err != nil {
		t.Fatal(err)
	}
	s.Drain()
	if s.Delivering() {
		t.Error("Delivering is true for a named pipe that is not open")
	}
	content := pcapFile(binary.LittleEndian, pcapMicros, 1, numbered(0, n)...)
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(pipe, content, 0) }() // waits for the reader
	complete(t, "pipe", drain(t, s), n)
	if err := <-written; err != nil || s.Err() != nil {
		t.Error(err, s.Err())
	}
	if list := s.Unread(); len(list) != 1 || list[0].Path != file || list[0].Begun {
		t.Errorf("unread: %+v, want the file alone", list)
	}
}

// TestCloseEndsPipes: Close ends a pipe, too, and the pipe is listed.
func TestCloseEndsPipes(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	s, err := Open(Options{Paths: []string{stdinPath}, Lanes: 1, Choose: byFirstByte, Stdin: r})
	if err != nil {
		t.Fatal(err)
	}
	content := pcapFile(binary.LittleEndian, pcapMicros, 1, numbered(0, 10)...)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	var b packet.Batch
	for s.Given() < 10 {
		if err := s.Lanes()[0].Read(&b); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
	s.Drain()
	if !s.Delivering() {
		t.Error("Delivering is false for an open pipe")
	}
	s.Close()
	drain(t, s)
	want := capture.Unread{Path: stdinPath, Begun: true, Offset: int64(len(content)), Pipe: true}
	if list := s.Unread(); len(list) != 1 || list[0] != want {
		t.Errorf("unread: %+v, want %+v", list, want)
	}
}
