//go:build linux

package file

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/userspace/dnstap"
	"dnsmonster-sensor/userspace/framestream"
	"dnsmonster-sensor/userspace/packet"
)

// frameFile is a dnstap file of these payloads, with or without the STOP at its end.
func frameFile(stop bool, payloads ...[]byte) []byte {
	b := framestream.AppendControl(nil, framestream.Start, dnstap.ContentType)
	for _, p := range payloads {
		b = append(framestream.AppendHead(b, len(p)), p...)
	}
	if stop {
		b = framestream.AppendControl(b, framestream.Stop, "")
	}
	return b
}

// noLane fails the test if somebody asks it for the lane of a frame.
func noLane(t *testing.T) Chooser {
	return func(*packet.Packet) packet.Hash { t.Error("a frame has no hash"); return 0 }
}

// drainFrames reads all lanes in turn, and returns what came, sorted.
func drainFrames(t *testing.T, s *Source) (all []string) {
	t.Helper()
	lanes := s.Lanes()
	var b packet.Batch
	for len(lanes) > 0 {
		for i := 0; i < len(lanes); i++ {
			switch err := lanes[i].Read(&b); err {
			case nil, os.ErrDeadlineExceeded:
			case io.EOF:
				lanes = slices.Delete(lanes, i, i+1)
			default:
				t.Fatal(err)
			}
			for _, p := range b.Packets {
				if p.Link != packet.LinkDnstap || int(p.WireLen) != len(p.Data) {
					t.Fatalf("frame with link type %d, %d of %d bytes", p.Link, len(p.Data), p.WireLen)
				}
				all = append(all, string(p.Data))
			}
		}
	}
	slices.Sort(all)
	return all
}

// firstOf is what drainFrames returns for the first n of these frames.
func firstOf(frames [][]byte, n int) (all []string) {
	for _, f := range frames[:n] {
		all = append(all, string(f))
	}
	slices.Sort(all)
	return all
}

// TestFrameStreams: files that are whole, written still, damaged, and of something else,
// mapped and as streams. An unfinished file is no error.
func TestFrameStreams(t *testing.T) {
	const n = 3000
	frames := numbered(0, n)
	for i := range frames {
		frames[i] = append(frames[i], bytes.Repeat([]byte{'x'}, i%200)...)
	}
	whole := frameFile(true, frames...)
	f := func(what string, content []byte, want int, wantLog, wantError string) {
		t.Helper()
		for _, kind := range []string{"", "zstd"} {
			var log bytes.Buffer
			file := content
			if kind != "" {
				file = compress(t, kind, content)
			}
			s, err := Open(Options{Paths: []string{write(t, file)}, Lanes: 2, Choose: noLane(t), Log: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			all := drainFrames(t, s)
			err = s.Err()
			if !slices.Equal(all, firstOf(frames, want)) || s.Given() != uint64(want) || (err == nil) != (wantError == "") || err != nil && !strings.Contains(err.Error(), wantError) {
				t.Errorf("%s %s: %d frames, Given is %d, error %v; want %d and %q", what, kind, len(all), s.Given(), err, want, wantError)
			}
			if got := log.String(); strings.Count(got, "not finished") != strings.Count(wantLog, "not finished") || !strings.Contains(got, wantLog) {
				t.Errorf("%s %s: log %q, want %q", what, kind, got, wantLog)
			}
		}
	}
	f("whole", whole, n, "", "")
	f("two streams in one file", append(frameFile(true, frames[:10]...), frameFile(true, frames[10:]...)...), n, "", "")
	f("two streams, the first one without STOP", append(frameFile(false, frames[:10]...), frameFile(true, frames[10:]...)...), n, "several streams, 1 without STOP", "")
	f("bytes after STOP", append(frameFile(true, frames...), 0, 0, 0), n, "ends with 3 bytes of an incomplete frame, after STOP", "")
	f("STOP at once", framestream.AppendControl(nil, framestream.Stop, ""), 0, "", "unexpected STOP frame")
	f("without STOP", frameFile(false, frames...), n, "the dnstap file is not finished: it ends without STOP", "")
	f("in a frame", frameFile(false, frames...)[:len(frameFile(false, frames...))-3], n-1, "the dnstap file is not finished: it ends with ", "")
	f("in the length of a frame", append(frameFile(false, frames...), 0, 0), n, "the dnstap file is not finished: it ends with 2 bytes", "")
	f("no frames yet", frameFile(false), 0, "the dnstap file is not finished", "")
	f("START alone, cut", frameFile(false)[:10], 0, "the dnstap file is not finished: it ends with 10 bytes", "")
	long := binary.BigEndian.AppendUint32(frameFile(false, frames[:5]...), 1<<31)
	f("absurd length", append(long, frames[6]...), 5, "", "a frame of 2147483648 bytes: the file is damaged")
	f("other content", framestream.AppendControl(nil, framestream.Start, "protobuf:example"), 0, "", `"protobuf:example"`)
	f("data first", append(framestream.AppendControl(nil, framestream.Ready, dnstap.ContentType), 0, 0, 0, 2, 'h', 'i'), 0, "", "data")
}

// TestAllFrames: dnstap files are recognised before they are read, compressed or not.
func TestAllFrames(t *testing.T) {
	frames := write(t, frameFile(true, numbered(0, 1)...))
	packed := write(t, compress(t, "gzip", frameFile(true, numbered(0, 1)...)))
	other, short := write(t, []byte("not dnstap, but long enough")), write(t, []byte{0, 0})
	if !AllFrames([]string{frames, packed}) {
		t.Error("dnstap files are not recognised")
	}
	for _, paths := range [][]string{nil, {other}, {frames, other}, {short}, {t.TempDir()}, {frames + "-missing"}, {"-"}} {
		if AllFrames(paths) {
			t.Errorf("%q counts as dnstap", paths)
		}
	}
}

// TestFrameStreamsRefused: with an option that cannot apply to dnstap.
func TestFrameStreamsRefused(t *testing.T) {
	content := frameFile(true, numbered(0, 1)...)
	for _, file := range [][]byte{content, compress(t, "gzip", content)} {
		s, err := Open(Options{Paths: []string{write(t, file)}, Lanes: 1, Choose: byFirstByte, NoFrames: errors.New("the reason")})
		if err != nil {
			t.Fatal(err)
		}
		if all := drainFrames(t, s); len(all) != 0 || s.Err() == nil || !strings.Contains(s.Err().Error(), "the reason") {
			t.Errorf("%d frames, error %v", len(all), s.Err())
		}
	}
}

// TestFrameStreamsPace: the times of frames set the pace.
func TestFrameStreamsPace(t *testing.T) {
	var payloads [][]byte
	for i := range 3 {
		frame := dnstap.Frame{Type: dnstap.ClientQuery, Query: []byte("query"), QueryTime: int64(1e18) + int64(i)*100e6}
		payload, _, _ := frame.Append(nil)
		payloads = append(payloads, payload)
	}
	s, err := Open(Options{Paths: []string{write(t, frameFile(true, payloads...))}, Lanes: 1, Choose: noLane(t), Speed: 1})
	if err != nil {
		t.Fatal(err)
	}
	begun, n := time.Now(), 0
	var b packet.Batch
	for {
		err := s.Lanes()[0].Read(&b)
		if err == io.EOF {
			break
		}
		if err == nil {
			n += len(b.Packets)
		}
	}
	if took := time.Since(begun); n != 3 || took < 190*time.Millisecond {
		t.Errorf("%d frames in %v, want 3 in 200 ms", n, took)
	}
}
