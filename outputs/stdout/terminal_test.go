//go:build linux

package stdout

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/test/pty"
	"dnsmonster-sensor/userspace/event"
)

// TestTerminalAt: a terminal is recognised, and its width follows a resize. A file, a
// pipe and a closed descriptor are none.
func TestTerminalAt(t *testing.T) {
	window := pty.New(t, 100)
	term := terminalAt(int(window.File.Fd()))
	if term == nil || term.width() != 100 {
		t.Fatalf("terminal %+v, want one of 100 columns", term)
	}
	window.Resize(37)
	if term.measure(); term.width() != 37 {
		t.Errorf("%d columns after a resize to 37", term.width())
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, fd := range []int{int(file.Fd()), -1} {
		if term := terminalAt(fd); term != nil {
			t.Errorf("descriptor %d is a terminal of %d columns", fd, term.width())
		}
	}
}

// TestTerminalSettings: on a terminal there is one writer, which waits a tenth of a
// second. Elsewhere nothing has changed.
func TestTerminalSettings(t *testing.T) {
	o := parsed(t, newOutput(io.Discard))
	if s, _ := o.Settings(); s.Workers != 8 || s.BatchDelay != 0 {
		t.Errorf("%d writers, delay %s; want 8 and the runner's", s.Workers, s.BatchDelay)
	}
	if r := o.records(); r.Width != nil || r.Colour {
		t.Errorf("width or colour without a terminal: %+v", r)
	}
	o.terminal = terminalAt(int(pty.New(t, 100).File.Fd()))
	if s, _ := o.Settings(); s.Workers != 1 || s.BatchDelay != terminalDelay {
		t.Errorf("on a terminal %d writers, delay %s", s.Workers, s.BatchDelay)
	}
	f := func(noColour, term string, want bool) {
		t.Helper()
		t.Setenv("NO_COLOR", noColour)
		t.Setenv("TERM", term)
		if r := o.records(); r.Colour != want || r.Width() != 100 {
			t.Errorf("NO_COLOR=%q, TERM=%q: colour %v, width %d", noColour, term, r.Colour, r.Width())
		}
	}
	f("", "xterm", true)
	f("1", "xterm", false)
	f("", "dumb", false)
	f("", "", true)
}

// TestTerminalOrder: the events of several lanes are written in the order of their times,
// those of one time in the order in which they came, in writes that end with a line.
func TestTerminalOrder(t *testing.T) {
	b := event.NewBlock(1024)
	const lanes, each = 3, 400
	want := make([]string, lanes*each)
	for lane := range lanes {
		for i := range each {
			n := i/2*2*lanes + 2*lane + i%2 // pairs of one lane have the same time
			e := outputtest.Query(n)
			e.Time = int64(n / 2)
			b.Append(e)
			want[n] = outputtest.QueryName(n)
		}
	}
	b.Seal(event.NewIDs().Next(), time.Now())
	out := &recordingWriter{}
	o := parsed(t, newOutput(out), "--stdoutoutputformat", "text")
	o.terminal = terminalAt(int(pty.New(t, 100).File.Fd()))
	w, err := o.Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, write := range out.writes {
		if len(write) > mostWritten || !bytes.HasSuffix(write, []byte("\n")) {
			t.Errorf("a write of %d bytes, which ends with %q", len(write), write[len(write)-1:])
		}
		for line := range strings.Lines(string(write)) {
			got = append(got, strings.Fields(line)[len(strings.Fields(line))-1])
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d names %q, want %q", len(got), got, want)
	}
	if len(out.writes) < 3 {
		t.Errorf("only %d writes: nothing is tested", len(out.writes))
	}
}

// TestClosedTerminal: a closed terminal is a reader that has left. A file whose disk fails in
// the same way is written to again.
func TestClosedTerminal(t *testing.T) {
	window := pty.New(t, 100)
	o := parsed(t, newOutput(window.File), "--stdoutoutputformat", "text")
	o.terminal = terminalAt(int(window.File.Fd()))
	w, err := o.Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	b := event.NewBlock(1)
	b.Append(outputtest.Query(1))
	b.Seal(event.NewIDs().Next(), time.Now())
	window.Close()
	if _, err := w.Write(context.Background(), b); !errors.Is(err, outputs.ErrReaderGone) {
		t.Errorf("a closed terminal gives %v, want that the reader has left", err)
	}
	var none *terminal
	if none.isReaderGone(syscall.EIO) || !none.isReaderGone(syscall.EPIPE) {
		t.Error("without a terminal, a failing disk is no reader that has left, but a closed pipe is")
	}
}

type recordingWriter struct{ writes [][]byte }

func (w *recordingWriter) Write(p []byte) (int, error) {
	w.writes = append(w.writes, bytes.Clone(p))
	return len(p), nil
}

// TestLongLines: a line longer than a write is written at once.
func TestLongLines(t *testing.T) {
	text := []byte(strings.Repeat("x", 2*mostWritten) + "\nshort\n")
	if got := wholeLines(text); len(got) != 2*mostWritten+1 {
		t.Errorf("%d bytes of a line of %d", len(got), 2*mostWritten+1)
	}
	if got := wholeLines(text[2*mostWritten+1:]); string(got) != "short\n" {
		t.Errorf("%q of the last line", got)
	}
}

// TestTerminalDoesNotAllocate: sorting costs no memory once it has seen a block.
func TestTerminalDoesNotAllocate(t *testing.T) {
	b := event.NewBlock(1024)
	for i := range 200 {
		e := outputtest.Query(i)
		e.Time = int64(i * 77 % 200)
		b.Append(e)
	}
	var s sorter
	if n := testing.AllocsPerRun(20, func() { s.sort(b) }); n != 0 {
		t.Errorf("a block allocates %v times", n)
	}
}
