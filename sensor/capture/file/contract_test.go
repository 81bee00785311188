//go:build linux

package file_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/capture/file"
	"dnsmonster-sensor/test/capturetest"
	"dnsmonster-sensor/userspace/dnstap"
	"dnsmonster-sensor/userspace/framestream"
	"dnsmonster-sensor/userspace/packet"
)

// capturePackets is a pcap file of n frames of different lengths.
func capturePackets(n int) []byte {
	le := binary.LittleEndian
	file := le.AppendUint32(nil, 0xa1b2c3d4)
	file = append(file, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0)
	for i := range n {
		data := bytes.Repeat([]byte{byte(i)}, 60+i%400)
		for _, v := range []uint32{uint32(i), 0, uint32(len(data)), uint32(len(data))} {
			file = le.AppendUint32(file, v)
		}
		file = append(file, data...)
	}
	return file
}

// openFiles opens files for three lanes, chosen by the first byte of a packet.
func openFiles(t *testing.T, unpinned bool, paths ...string) capture.Source {
	t.Helper()
	o := file.Options{Paths: paths, Lanes: 3, Choose: func(p *packet.Packet) packet.Hash { return packet.Hash(p.Data[0]) * 0x5555555555555555 }}
	if unpinned {
		o.Unpinned = func(p *packet.Packet) bool { return p.Data[0]%2 == 0 }
	}
	s, err := file.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestFilesKeepTheirPromises: mapped files, streams, and both.
func TestFilesKeepTheirPromises(t *testing.T) {
	const n = 5000
	dir := t.TempDir()
	plain, packed := filepath.Join(dir, "plain.pcap"), filepath.Join(dir, "packed.pcap.gz")
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(capturePackets(n))
	z.Close()
	frames := filepath.Join(dir, "frames.fstrm")
	stream := framestream.AppendControl(nil, framestream.Start, dnstap.ContentType)
	for i := range n {
		stream = append(framestream.AppendHead(stream, 60+i%400), bytes.Repeat([]byte{byte(i)}, 60+i%400)...)
	}
	for path, content := range map[string][]byte{plain: capturePackets(n), packed: b.Bytes(), frames: stream} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := func(name string, unpinned bool, packets int, paths ...string) {
		t.Run(name, func(t *testing.T) {
			capturetest.Check(t, capturetest.Target{Open: func() capture.Source { return openFiles(t, unpinned, paths...) }, Packets: packets})
		})
	}
	f("mapped", false, n, plain)
	f("mapped, some packets unpinned", true, n, plain)
	f("compressed", false, n, packed)
	f("dnstap", false, n, frames)
	f("all", true, 3*n, plain, packed, frames)
}

// TestPipeKeepsItsPromises with a pipe that stays open.
func TestPipeKeepsItsPromises(t *testing.T) {
	const n = 100 // fits in a pipe
	var pipe *os.File
	capturetest.Check(t, capturetest.Target{
		Open: func() capture.Source {
			fifo := filepath.Join(t.TempDir(), "fifo")
			if err := unix.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			var err error
			if pipe, err = os.OpenFile(fifo, os.O_RDWR, 0); err != nil { // reading and writing: open does not block
				t.Fatal(err)
			}
			opened := pipe
			t.Cleanup(func() { opened.Close() })
			return openFiles(t, false, fifo)
		},
		Feed: func() {
			if _, err := pipe.Write(capturePackets(n)); err != nil {
				t.Error(err)
			}
		},
		Packets: n,
	})
}
