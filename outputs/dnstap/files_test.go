//go:build linux

package dnstap

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	golang "github.com/dnstap/golang-dnstap"
	"google.golang.org/protobuf/proto"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/folder"
	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/userspace/dnstap"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/framestream"
)

// written returns the file of n records.
func written(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	w := opened(t, parsed(t, "--dnstapoutputaddress="+dir))
	put(t, w, outputtest.Queries(0, n))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, fileName)
}

func tool(t *testing.T, name, debian string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed: %v", name, err)
		}
		t.Skipf("%s is not installed (apt-get install %s): %v", name, debian, err)
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// Debian's readers read files that are ended, and files that a sensor writes to.
func TestDebiansReaders(t *testing.T) {
	const n = 20
	ended := written(t, n)
	dir := t.TempDir()
	w := opened(t, parsed(t, "--dnstapoutputaddress="+dir))
	put(t, w, outputtest.Queries(0, n))
	for _, path := range []string{ended, filepath.Join(dir, fileName)} {
		t.Run("dnstap-ldns", func(t *testing.T) {
			if out := tool(t, "dnstap-ldns", "dnstap-ldns", "-y", "-r", path); strings.Count(out, "type: CLIENT_QUERY") != n || !strings.Contains(out, "n000019.example.org.") || !strings.Contains(out, "identity: \"sensor\"") {
				t.Errorf("%s:\n%s", path, out)
			}
		})
		t.Run("fstrm_dump", func(t *testing.T) {
			if out := tool(t, "fstrm_dump", "fstrm-bin", path); strings.Count(out, "Data frame (") != n && strings.Count(out, "\n") < n {
				t.Errorf("%s:\n%s", path, out)
			}
		})
	}
}

// golang-dnstap reads what the frames say.
func TestGolangDnstap(t *testing.T) {
	list, ended := payloads(t, written(t, 5))
	if len(list) != 5 || !ended {
		t.Fatalf("%d frames, ended %v", len(list), ended)
	}
	for i, p := range list {
		var d golang.Dnstap
		if err := proto.Unmarshal([]byte(p), &d); err != nil {
			t.Fatal(err)
		}
		e, m := outputtest.Query(i), d.GetMessage()
		if text, ok := golang.TextFormat(&d); !ok || !bytes.Contains(text, []byte("CQ")) {
			t.Errorf("text %q", text)
		}
		at := int64(m.GetQueryTimeSec())*1e9 + int64(m.GetQueryTimeNsec())
		if m.GetType() != golang.Message_CLIENT_QUERY || !bytes.Equal(m.GetQueryMessage(), e.Message) || at != e.Time ||
			!bytes.Equal(m.GetQueryAddress(), e.Src.Addr().AsSlice()) || m.GetQueryPort() != uint32(e.Src.Port()) ||
			!bytes.Equal(m.GetResponseAddress(), e.Dst.Addr().AsSlice()) || m.GetResponsePort() != uint32(e.Dst.Port()) {
			t.Errorf("frame %d says %v", i, &d)
		}
	}
}

// A file is continued by later runs, whatever the earlier one left at its end, and is one
// stream that all readers read to its end.
func TestContinued(t *testing.T) {
	f := func(what string, torn uint64, change func(file []byte) []byte) {
		t.Helper()
		path := written(t, 3)
		b, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, change(b), 0o640)
		}
		if err != nil {
			t.Fatal(err)
		}
		o := parsed(t, "--dnstapoutputaddress="+filepath.Dir(path))
		w := opened(t, o)
		put(t, w, outputtest.Queries(3, 2))
		if list, ended := payloads(t, path); len(list) != 5 || ended {
			t.Errorf("%s, while it is written: %d frames, ended %v", what, len(list), ended)
		}
		w.Close()
		list, ended := payloads(t, path)
		if len(list) != 5 || !ended {
			t.Fatalf("%s: %d frames, ended %v", what, len(list), ended)
		}
		for i, p := range list {
			if got, want := described(t, p), wanted(t, outputtest.Query(i)); got != want {
				t.Errorf("%s: frame %d is\n%s, want\n%s", what, i, got, want)
			}
		}
		for _, m := range o.Meters() {
			if m.Name == "torn_bytes" && m.Value != torn {
				t.Errorf("%s: %d bytes cut, want %d", what, m.Value, torn)
			}
		}
	}
	whole := func(b []byte) []byte { return b[:len(b)-len(stop)] }
	f("ended", 0, func(b []byte) []byte { return b })
	f("killed", 0, whole)
	f("half a STOP", 7, func(b []byte) []byte { return b[:len(b)-5] })
	f("half a frame", 20, func(b []byte) []byte { return append(whole(b), append([]byte{0, 0, 0, 100}, make([]byte, 16)...)...) })
	f("half a length", 2, func(b []byte) []byte { return append(whole(b), 0, 0) })
	f("zeros", 100_000, func(b []byte) []byte { return append(whole(b), make([]byte, 100_000)...) })
	f("rubbish after STOP", uint64(len(stop))+3, func(b []byte) []byte { return append(b, 1, 2, 3) })
}

// A start and an end without records leave the file as it was, its time too.
func TestStartChangesNothing(t *testing.T) {
	path := written(t, 3)
	then := time.Now().Add(-time.Second).Truncate(time.Second)
	before, err := os.ReadFile(path)
	if err = errors.Join(err, os.Chtimes(path, then, then)); err != nil {
		t.Fatal(err)
	}
	opened(t, parsed(t, "--dnstapoutputaddress="+filepath.Dir(path))).Close()
	after, err := os.ReadFile(path)
	st, err2 := os.Stat(path)
	if err = errors.Join(err, err2); err != nil || !bytes.Equal(before, after) || !st.ModTime().Equal(then) {
		t.Errorf("the file has %d bytes of %d, %s (%v)", len(after), len(before), st.ModTime(), err)
	}
}

// A file without records is a stream too, and is not rotated. Each rotated file is a whole
// stream.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	o := parsed(t, "--dnstapoutputaddress="+dir, "--dnstapoutputcompress=none")
	w := opened(t, o)
	current := filepath.Join(dir, fileName)
	if list, ended := payloads(t, current); len(list) != 0 || ended {
		t.Errorf("at the start: %d frames, ended %v", len(list), ended)
	}
	o.files.Folder().Tick(time.Now().AddDate(0, 0, 2))
	put(t, w, outputtest.Queries(0, 3))
	o.files.Folder().Tick(time.Now().AddDate(0, 0, 4))
	put(t, w, outputtest.Queries(3, 2))
	w.Close()
	old, err := filepath.Glob(current + ".*")
	if err != nil || len(old) != 1 {
		t.Fatalf("old files %q, %v", old, err)
	}
	if list, ended := payloads(t, old[0]); len(list) != 3 || !ended {
		t.Errorf("the old file: %d frames, ended %v", len(list), ended)
	}
	if list, ended := payloads(t, current); len(list) != 2 || !ended {
		t.Errorf("the new file: %d frames, ended %v", len(list), ended)
	}
}

// What is no dnstap file, or one that cannot be continued, is never cut: it becomes an old
// file, or, without rotation, an error.
func TestForeignFile(t *testing.T) {
	f := func(what, text, want string) {
		t.Helper()
		dir := t.TempDir()
		path := filepath.Join(dir, fileName)
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		o := parsed(t, "--dnstapoutputaddress="+dir, "--dnstapoutputrotatecount=0")
		if err := o.Check(t.Context()); !errors.Is(err, outputs.ErrPermanent) || !errors.Is(err, folder.ErrForeign) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s, without rotation: %v, want %q", what, err, want)
		}
		w := opened(t, parsed(t, "--dnstapoutputaddress="+dir, "--dnstapoutputcompress=none"))
		put(t, w, outputtest.Queries(0, 2))
		w.Close()
		old, err := filepath.Glob(path + ".*")
		if err != nil || len(old) != 1 {
			t.Fatalf("%s: old files %q, %v", what, old, err)
		}
		if b, err := os.ReadFile(old[0]); err != nil || string(b) != text {
			t.Errorf("%s: it has been changed (%v)", what, err)
		}
		if list, ended := payloads(t, path); len(list) != 2 || !ended {
			t.Errorf("%s: the new file: %d frames, ended %v", what, len(list), ended)
		}
	}
	f("text", strings.Repeat("a line of text\n", 10), "does not begin as a dnstap file")
	f("other content", string(framestream.AppendControl(nil, framestream.Start, "text/plain")), "does not begin as a dnstap file")
	f("two streams", string(start)+string(stop)+string(start)+string(stop), "several streams")
}

// A file that is broken in its middle is not cut there.
func TestBrokenInTheMiddle(t *testing.T) {
	path := written(t, 2)
	st, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, st.Size()+longestTorn)
	}
	if err != nil {
		t.Fatal(err)
	}
	o := parsed(t, "--dnstapoutputaddress="+filepath.Dir(path), "--dnstapoutputrotatecount=0")
	if err := o.Check(t.Context()); !errors.Is(err, folder.ErrForeign) || !strings.Contains(err.Error(), "it is broken at byte") {
		t.Errorf("error %v", err)
	}
	if after, err := os.Stat(path); err != nil || after.Size() != st.Size()+longestTorn {
		t.Errorf("it has been cut (%v)", err)
	}
}

// A file that was moved away is ended.
func TestMovedAway(t *testing.T) {
	dir := t.TempDir()
	w := opened(t, parsed(t, "--dnstapoutputaddress="+dir))
	put(t, w, outputtest.Queries(0, 2))
	path := filepath.Join(dir, fileName)
	if err := os.Rename(path, path+".mine"); err != nil {
		t.Fatal(err)
	}
	put(t, w, outputtest.Queries(2, 3))
	if list, ended := payloads(t, path+".mine"); len(list) != 2 || !ended {
		t.Errorf("the moved file: %d frames, ended %v", len(list), ended)
	}
	if list, _ := payloads(t, path); len(list) != 3 {
		t.Errorf("the new file: %d frames", len(list))
	}
}

// What came in a frame goes out in the same bytes, whatever is in it.
func TestRelay(t *testing.T) {
	var frames []string
	var list []*event.Event
	add := func(f dnstap.Frame, unknown string) {
		payload, _, _ := f.Append(nil)
		payload = append(payload, unknown...)
		var again dnstap.Frame
		if fault := again.Parse(payload); fault != dnstap.NoFault {
			t.Fatal(fault)
		}
		e := outputtest.Query(len(list))
		e.Message, e.Fields = again.Main(), again.AppendFields(nil, payload)
		list, frames = append(list, e), append(frames, string(payload))
	}
	query := outputtest.Query(0).Message
	const odd = "\xfa\x01\x05hello" // field 31
	for number := range 12 {
		add(dnstap.Frame{Type: dnstap.Type(number%14 + 1), Protocol: dnstap.Protocol(number), Query: query, Response: query, Policy: []byte("\x0a\x01x"), Zone: []byte("\x00")}, "")
	}
	add(dnstap.Frame{Type: dnstap.ClientQuery, Query: query, Extra: []byte("more")}, odd)
	add(dnstap.Frame{Type: dnstap.ClientQuery, Query: query, Version: []byte{}}, odd+"\x78\x01") // the type a second time, after an unknown field
	dir := t.TempDir()
	w := opened(t, parsed(t, "--dnstapoutputaddress="+dir))
	put(t, w, outputtest.Block(list...))
	got, _ := payloads(t, filepath.Join(dir, fileName))
	if len(got) != len(frames) {
		t.Fatalf("%d frames, want %d", len(got), len(frames))
	}
	for i := range frames {
		if got[i] != frames[i] {
			t.Errorf("frame %d is\n%x, want\n%x", i, got[i], frames[i])
		}
	}
}

// A frame that no receiver takes is refused, and costs no other one.
func TestRefused(t *testing.T) {
	long := outputtest.Query(1)
	long.Fields = event.AppendField(event.AppendField(nil, event.FrameHead, make([]byte, 200<<10)), event.FrameTail, make([]byte, 60<<10))
	dir := t.TempDir()
	w := opened(t, parsed(t, "--dnstapoutputaddress="+dir))
	n, err := w.Write(t.Context(), outputtest.Block(outputtest.Query(0), long, outputtest.Query(3)))
	var p *outputs.Partial
	if n != 1 || !errors.As(err, &p) || len(p.Failed) != 0 {
		t.Errorf("Write = %d, %v", n, err)
	}
	if list, _ := payloads(t, filepath.Join(dir, fileName)); len(list) != 2 {
		t.Errorf("%d frames, want 2", len(list))
	}
}

// TestNoAllocation: frames are made in the encoder's memory.
func TestNoAllocation(t *testing.T) {
	kept := outputtest.Query(1)
	kept.Fields = event.AppendField(event.AppendField(nil, event.FrameHead, []byte("head")), event.FrameTail, []byte("tail"))
	response := outputtest.Query(2)
	response.DNS.Flags |= 1 << 15
	b := outputtest.Block(outputtest.Query(0), kept, response)
	enc, err := parsed(t, "--dnstapoutputaddress=/", "--dnstapoutputversion=1").newEncoder()
	if err != nil {
		t.Fatal(err)
	}
	dst, _, _ := enc.appendBlock(nil, b)
	if n := testing.AllocsPerRun(100, func() { dst, _, _ = enc.appendBlock(dst[:0], b) }); n > 1 { // the reader of the block
		t.Errorf("%v allocations for a block", n)
	}
}

func BenchmarkFrames(b *testing.B) {
	o := New()
	o.message = "client"
	enc, err := o.newEncoder()
	if err != nil {
		b.Fatal(err)
	}
	block := outputtest.Queries(0, 1000)
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	var dst []byte
	for b.Loop() {
		dst, _, _ = enc.appendBlock(dst[:0], block)
		null.Write(dst)
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "frames/s")
}
