//go:build linux

package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
	"dnsmonster-sensor/test/pty"
)

// variables are what decides on format and colours.
var variables = regexp.MustCompile(`^(NO_COLOR|TERM|DNSMONSTER_.*)=`)

// toTerminal is what a sensor writes to a terminal of 80 columns. Assignments before the
// arguments are its environment.
func toTerminal(t *testing.T, args ...string) string {
	t.Helper()
	term := pty.New(t, 80)
	env := []string{"TERM=xterm"}
	for strings.Contains(args[0], "=") {
		env, args = append(env, args[0]), args[1:]
	}
	cmd := program.CommandAsTyped(nil, args...)
	for _, v := range cmd.Environ() {
		if !variables.MatchString(v) {
			env = append(env, v)
		}
	}
	cmd.Env, cmd.Stdout = env, term.File
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	term.File.Close()
	shown := term.All()
	if err := cmd.Wait(); err != nil {
		t.Errorf("%q: %v", args, err)
	}
	return shown
}

// TestTextOnTerminal: attach and replay write text to a terminal, with colours if they are
// wanted, unless any layer sets the format. run does not, and a pipe gets JSON.
func TestTextOnTerminal(t *testing.T) {
	t.Parallel()
	file := packets.TempFile(t, packets.Queries(2))
	config := filepath.Join(t.TempDir(), "sensor.ini")
	if err := os.WriteFile(config, []byte("[stdout_output]\nstdoutoutputformat = json\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const (
		text   = `^\d\d:\d\d:\d\d\.\d\d\d \d+\.\d+\.\d+\.\d+(:\d+)? > \S+ .*A\? \S+\n`
		colour = "^\x1b\\[2m\\d\\d:\\d\\d:\\d\\d\\.\\d\\d\\d\x1b\\[0m \\d+\\.\\d+\\.\\d+\\.\\d+"
		json   = `^{"Timestamp":"`
	)
	f := func(want string, args ...string) {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			if shown := toTerminal(t, args...); !regexp.MustCompile(want).MatchString(shown) || strings.Count(shown, "\n") != 2+strings.Count(shown, "Year,") {
				t.Errorf("got %q, want %s", shown, want)
			}
		})
	}
	f(colour, "replay", file)
	f(text, "NO_COLOR=1", "replay", file)
	f(colour, "NO_COLOR=", "replay", file)
	f(text, "TERM=dumb", "replay", file)
	f(text, "NO_COLOR=1", "replay", file, "--format", "text")
	f(json, "replay", file, "--format=json")
	f(json, "DNSMONSTER_STDOUTOUTPUTFORMAT=json", "replay", file)
	f(json, "replay", file, "--config", config)
	f("^Year,", "replay", file, "--format", "csv")
	f(json, "run", "--pcapfile", file, "--stdoutoutputtype=1")
	t.Run("pipe", func(t *testing.T) {
		t.Parallel()
		if out := program.Output(t, exitOK, "", "replay", file); !regexp.MustCompile(json).MatchString(out) {
			t.Errorf("a pipe gets %q", out)
		}
		if out := program.Output(t, exitOK, "", "replay", file, "--format=text", "--verbose=false"); !regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{6} .*A\? \S+\n`).MatchString(out) {
			t.Errorf("text in a pipe is %q", out)
		}
	})
}

// TestTextAppearsAtOnce: a record appears while its file is still being written, with the
// width that the terminal has by then. After Ctrl-C the last line is whole.
func TestTextAppearsAtOnce(t *testing.T) {
	t.Parallel()
	term := pty.New(t, 100)
	cmd := program.CommandAsTyped(nil, "replay", "-")
	cmd.Env, cmd.Stdout = append(cmd.Env, "NO_COLOR="), term.File
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	term.File.Close()
	write := func(b []byte) {
		t.Helper()
		if _, err := in.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	const fileHeader = 24
	long := packets.Asking(strings.Repeat(strings.Repeat("n", 60)+".", 3) + "org") // fits into no terminal
	write(long)
	lines := func() []string { return strings.SplitAfter(term.Shown(), "\n") }
	begun := time.Now()
	await.True(t, "the first record appears", func() bool { return len(lines()) > 1 })
	if waited := time.Since(begun); waited > 10*time.Second {
		t.Errorf("it took %s", waited)
	}
	term.Resize(150)
	write(long[fileHeader:])
	await.True(t, "the second record appears", func() bool { return len(lines()) > 2 })
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	in.Close()
	cmd.Wait()
	shown := term.All()
	plain := strings.Split(regexp.MustCompile("\x1b\\[\\d+m").ReplaceAllString(shown, ""), "\n")
	if len(plain) != 3 || len(plain[0]) != 100 || len(plain[1]) != 150 || plain[2] != "" {
		t.Errorf("got %q, want a line of 100 and one of 150 cells", plain)
	}
	if strings.Count(shown, "\x1b[") != 2*strings.Count(shown, "\x1b[0m") || !strings.HasSuffix(shown, "\n") {
		t.Errorf("a colour or line does not end: %q", shown)
	}
}

// TestTextKeepsOrder: on a terminal the records of a file are in its order, even if it is
// too large for that elsewhere.
func TestTextKeepsOrder(t *testing.T) {
	t.Parallel()
	content := packets.Queries(250_000)
	if len(content) <= smallInput {
		t.Fatalf("%d bytes are a small file", len(content))
	}
	shown := toTerminal(t, "NO_COLOR=1", "replay", packets.TempFile(t, content), "--sampleratio=1:100", "--progress=false")
	name := regexp.MustCompile(`h(\d+)\.example\.org\.\n`)
	last, n := -1, 0
	for _, m := range name.FindAllStringSubmatch(shown, -1) {
		i, err := strconv.Atoi(m[1])
		if err != nil || i <= last {
			t.Fatalf("%s after %d", m[0], last)
		}
		last, n = i, n+1
	}
	if n != 2500 {
		t.Errorf("%d records, want 2500", n)
	}
}
