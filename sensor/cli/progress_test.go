//go:build linux

package cli

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
	"dnsmonster-sensor/test/pty"
)

func TestProgressLine(t *testing.T) {
	begun := time.Unix(1000, 0)
	f := func(want string, p progress) {
		t.Helper()
		p.at = begun.Add(10 * time.Second)
		if got := p.line(progress{at: begun.Add(8 * time.Second), messages: 1000}, begun); got != want {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
	f("5,000 messages, 2,000/s", progress{messages: 5000})
	f("0%, 1,000 messages, 0/s", progress{messages: 1000, known: true})
	f("25%, 5,000 messages, 2,000/s, 30s left", progress{messages: 5000, share: 0.25, known: true})
	f("99%, 1,010 messages, 5/s, 1s left", progress{messages: 1010, share: 0.999, known: true})
	f("100%, 1,010 messages, 5/s", progress{messages: 1010, share: 1, known: true})
}

// onTerminal is what a sensor writes to a terminal of that many columns.
func onTerminal(t *testing.T, columns uint16, stdin io.Reader, args ...string) string {
	t.Helper()
	term := pty.New(t, columns)
	out, err := os.Create(filepath.Join(t.TempDir(), "records.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := program.Command(nil, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, out, term.File
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	term.File.Close()
	shown := term.All()
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, shown)
	}
	return shown
}

// TestProgress: on a terminal a line changes, is no wider than the terminal, and is gone
// at the end; elsewhere there is none.
func TestProgress(t *testing.T) {
	t.Parallel()
	content := packets.Queries(100_000) // 0.1 s of packets
	file := packets.TempFile(t, content)
	f := func(name string, check func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each of them only waits
			check(t)
		})
	}
	f("terminal", func(t *testing.T) {
		shown := onTerminal(t, 100, nil, "replay", file, "--speed=0.07", "--skiptlsverification")
		line, rest, ok := strings.Cut(shown, "left")
		if !ok || !strings.Contains(line, clearLine) || !strings.Contains(line, "% ") && !strings.Contains(line, "%, ") {
			t.Fatalf("no progress on the terminal: %q", shown)
		}
		last := rest[strings.LastIndex(rest, clearLine)+len(clearLine):]
		if strings.Contains(last, "messages, ") || !strings.Contains(last, "ledgers after") {
			t.Errorf("the line is not gone at the end: %q", shown)
		}
		if !strings.Contains(shown, "packet                 in 100000, udp_message 100000; unaccounted 0") {
			t.Errorf("not all is read: %q", shown)
		}
	})
	f("narrow terminal", func(t *testing.T) {
		shown := onTerminal(t, 12, nil, "replay", file, "--speed=0.1")
		lines := strings.Split(shown, clearLine)
		for _, line := range lines[1 : len(lines)-1] { // the first is the start line
			line = line[strings.LastIndexByte(line, '\n')+1:] // what is logged above it may be wider
			if len(line) > 11 {
				t.Errorf("%q is too wide for 12 columns", line)
			}
		}
		if len(lines) < 3 {
			t.Errorf("no progress on a narrow terminal: %q", shown)
		}
	})
	f("not wanted", func(t *testing.T) {
		if shown := onTerminal(t, 100, nil, "replay", file, "--speed=0.1", "--progress=false"); strings.Contains(shown, "\x1b") {
			t.Errorf("a progress line: %q", shown)
		}
	})
	f("pipe", func(t *testing.T) {
		shown := onTerminal(t, 100, bytes.NewReader(content), "replay", "-", "--speed=0.1")
		if !strings.Contains(shown, clearLine) || strings.Contains(shown, "% ") || !strings.Contains(shown, " messages, ") {
			t.Errorf("the share of a pipe that was read is not known, and yet shown: %q", shown)
		}
	})
	f("stderr is a file", func(t *testing.T) {
		p := program.Start(t, nil, "replay", file, "--speed=0.2")
		p.Wait(time.Minute).Expect(t, exitOK)
		if strings.Contains(p.Log(), "\x1b") {
			t.Errorf("a progress line: %q", p.Log())
		}
	})
}
