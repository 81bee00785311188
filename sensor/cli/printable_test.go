//go:build linux

package cli

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// forged is text that starts a new line, and controls a terminal.
const forged = "x\nunaccounted 0\r\x1b[2J\x7f\u009b31m\x9b"

// checkPrintable checks that text for people has no control characters except line ends
// and tabs, and that no line is forged.
func checkPrintable(t *testing.T, what, text string) {
	t.Helper()
	if i := strings.IndexFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }); i >= 0 || !utf8.ValidString(text) {
		t.Errorf("%s: a control character or bad UTF-8, at %d: %q", what, i, text)
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "unaccounted 0\\") || strings.HasPrefix(line, "dnsmonster-sensor: unaccounted") {
			t.Errorf("%s: a forged line: %q", what, text)
		}
	}
}

// TestNamesOfFiles: control characters in them are shown, and have no effect.
func TestNamesOfFiles(t *testing.T) {
	dir := t.TempDir()
	f := func(args ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if Main(append([]string{"dnsmonster-sensor"}, args...), &stdout, &stderr) == exitOK || stderr.Len() == 0 {
			t.Errorf("%q: no error", args)
		}
		checkPrintable(t, strings.Join(args, " "), stdout.String()+stderr.String())
	}
	name := filepath.Join(dir, strings.ReplaceAll(forged, "/", ""))
	f("replay", name)
	f("replay", name, name+"2")
	f("config", "check", name)
	f("--config=" + name)
	f(name)
	f("attach", forged)
	f("attach", "--"+forged)
	f("spool", "ls", "--spooldir="+name)
	f("replay", name, "--skipdomainsfile="+name, "--stdoutoutputtype=2")
	f("replay", name, "--logformat="+forged)
	f("postgres", "check", "--psqlendpoint=postgres://u@"+forged)
	ini := filepath.Join(dir, "c.ini")
	if err := os.WriteFile(ini, []byte("[general]\n\x1b[2J\x9b = 1\n["+"\x1b]0;x\x07]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f("config", "check", ini)
	f("--config=" + ini)
	for _, format := range []string{"text", "json"} { // the log
		p := program.Start(t, nil, "replay", packets.TempFile(t, packets.Queries(1)), name, "--logformat="+format)
		p.Wait(time.Minute)
		checkPrintable(t, "log in "+format, p.Log())
	}
}

// TestAnswersOfServers: control characters in them are shown, and have no effect: at the
// start, in the log, in the last line, in the output of a command.
func TestAnswersOfServers(t *testing.T) {
	endpoint := "postgres://u:p@" + lab.Serve(t, answerError) + "/d?sslmode=disable"
	f := func(args ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		Main(append([]string{"dnsmonster-sensor"}, args...), &stdout, &stderr)
		text := stdout.String() + stderr.String()
		if !strings.Contains(text, `[2J`) {
			t.Errorf("%q: the server's words are not there: %q", args, text)
		}
		checkPrintable(t, strings.Join(args, " "), text)
	}
	f("postgres", "check", "--psqlendpoint="+endpoint)
	f("postgres", "init", "--psqlendpoint="+endpoint)
	f("replay", packets.TempFile(t, packets.Queries(1)), "--psqlendpoint="+endpoint, "--psqloutputtype=1")
	f("replay", packets.TempFile(t, packets.Queries(1)), "--psqlendpoint="+endpoint, "--psqloutputtype=1", "--logformat=json")
}

// answerError refuses a client of PostgreSQL with a forged text.
func answerError(c net.Conn) {
	if _, err := c.Read(make([]byte, 1024)); err != nil {
		return
	}
	fields := "SFATAL\x00VFATAL\x00C28000\x00M" + strings.ReplaceAll(forged, "\x00", "") + "\x00\x00"
	n := 4 + len(fields)
	c.Write(append([]byte{'E', 0, 0, byte(n >> 8), byte(n)}, fields...))
}
