//go:build linux

// Package program runs the sensor as a process of its own, for tests: a test binary whose
// TestMain calls Main acts as the sensor when this package starts it. Results are the
// exit status, the records, the log, and the ledgers of the summary. Captures come from
// the test, usually from package packets. This package must not import the command line
// (sensor/cli): the test passes that to Main.
package program

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/testlog"
)

// variable makes a test binary the sensor.
const variable = "SENSOR_TEST_MAIN"

// Main is the body of a TestMain. It runs the tests, or, in a process that Command
// started, the sensor.
func Main(m *testing.M, sensor func(args []string, stdout, stderr io.Writer) int) {
	if os.Getenv(variable) == "1" {
		os.Exit(sensor(os.Args, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// Exit statuses of the sensor.
const (
	ExitOK          = 0 // all that was captured was delivered
	ExitUsage       = 1 // bad use or configuration; nothing was written
	ExitFailure     = 2 // failed while running
	ExitUndelivered = 3 // finished, but some records were not delivered
)

// Process is the sensor as a process of its own, until the test ends. What it
// writes to stdout goes to RecordsFile.
type Process struct {
	T           *testing.T // the test that made it
	Cmd         *exec.Cmd
	RecordsFile string
	stderr      testlog.Log
	lines       chan struct{} // one for each line on stderr
	Done        chan struct{} // closed when it has ended
}

// Command is the sensor as a command, inside a host of a lab, or outside where host
// is nil. attach and replay get -v, so that they always print their ledgers.
func Command(host *lab.Host, args ...string) *exec.Cmd {
	if len(args) > 0 && (args[0] == "attach" || args[0] == "replay") {
		args = slices.Insert(slices.Clone(args), 1, "-v")
	}
	return CommandAsTyped(host, args...)
}

// CommandAsTyped is Command without added options, for tests of what a person sees.
func CommandAsTyped(host *lab.Host, args ...string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(exe, args...)
	if host != nil {
		cmd = host.Command(context.Background(), exe, args...)
	}
	cmd.Env = append(os.Environ(), variable+"=1")
	return cmd
}

// New makes a process that Process.Start starts: the test can change Cmd before.
func New(t *testing.T, host *lab.Host, args ...string) *Process {
	return &Process{
		T: t, Cmd: Command(host, args...), RecordsFile: filepath.Join(t.TempDir(), "records.json"),
		lines: make(chan struct{}, 1000), Done: make(chan struct{}),
	}
}

// Start starts the sensor in the background.
func Start(t *testing.T, host *lab.Host, args ...string) *Process {
	t.Helper()
	p := New(t, host, args...)
	p.Start()
	return p
}

// Attach starts the sensor on a host's interface and waits until it captures.
func Attach(t *testing.T, host *lab.Host, args ...string) *Process {
	t.Helper()
	p := Start(t, host, append([]string{"attach", host.Iface}, args...)...)
	p.WaitForCapture()
	return p
}

// Feed starts a replay of a pipe. It writes text to the pipe; the replay goes on
// until the test closes in.
func Feed(t *testing.T, text []byte, args ...string) (p *Process, in io.WriteCloser) {
	t.Helper()
	p = New(t, nil, append([]string{"replay", "-"}, args...)...)
	in, err := p.Cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.Start()
	if _, err := in.Write(text); err != nil {
		t.Fatal(err)
	}
	return p, in
}

// Run runs a command that ends by itself, and expects it to succeed.
func Run(t *testing.T, args ...string) *Process {
	t.Helper()
	p := Start(t, nil, args...)
	p.Wait(time.Minute).Expect(t, ExitOK)
	return p
}

// Output runs a command that ends by itself, and expects an exit status and a text
// in what it prints. It returns what the command wrote to stdout.
func Output(t *testing.T, code int, want string, args ...string) string {
	t.Helper()
	cmd := Command(nil, args...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(out.String()+log.String(), want) {
		t.Errorf("%q: exit status %d, want %d and %q:\n%.2000s\n%s", args, got, code, want, out.String(), log.String())
	}
	return out.String()
}

// Start starts a process that New has made.
func (p *Process) Start() {
	p.T.Helper()
	out, err := os.Create(p.RecordsFile)
	if err != nil {
		p.T.Fatal(err)
	}
	defer out.Close()
	p.Cmd.Stdout = out
	pipe, err := p.Cmd.StderrPipe()
	if err != nil {
		p.T.Fatal(err)
	}
	if err := p.Cmd.Start(); err != nil {
		p.T.Fatal(err)
	}
	go p.follow(pipe)
	p.T.Cleanup(func() {
		p.Cmd.Process.Kill()
		<-p.Done
	})
}

// follow keeps the lines on stderr until the process ends.
func (p *Process) follow(stderr io.Reader) {
	for s := bufio.NewScanner(stderr); s.Scan(); {
		io.WriteString(&p.stderr, s.Text()+"\n")
		select {
		case p.lines <- struct{}{}:
		default:
		}
	}
	p.Cmd.Wait()
	close(p.Done)
}

// Log returns what stands on stderr so far.
func (p *Process) Log() string { return p.stderr.String() }

// CountLines returns how many lines on stderr have all of the texts.
func (p *Process) CountLines(texts ...string) int { return p.stderr.Lines(texts...) }

// WaitFor waits for a text on stderr.
func (p *Process) WaitFor(text string) {
	p.T.Helper()
	timeout := time.After(await.Limit)
	for !strings.Contains(p.Log(), text) {
		select {
		case <-p.lines:
		case <-p.Done:
			if !strings.Contains(p.Log(), text) {
				p.T.Fatalf("the sensor ended without saying %q:\n%s", text, p.Log())
			}
		case <-timeout:
			p.T.Fatalf("the sensor does not say %q:\n%s", text, p.Log())
		}
	}
}

// WaitForCapture waits until the sensor has attached. attach prints a line for people
// then, run logs it.
func (p *Process) WaitForCapture() {
	p.T.Helper()
	p.WaitFor("capturing ")
}

// WaitForWaiting waits until a line of --stats says that n records wait for the outputs.
func (p *Process) WaitForWaiting(n int) {
	p.T.Helper()
	p.Until(fmt.Sprintf("%d records wait", n), func() bool {
		return slices.ContainsFunc(ParseStats(p.Log()), func(s Stats) bool { return s.Waiting == n })
	})
}

// WaitForCount waits until stderr has a text n times.
func (p *Process) WaitForCount(text string, n int) {
	p.T.Helper()
	p.Until(fmt.Sprintf("%q, %d times", text, n), func() bool { return strings.Count(p.Log(), text) >= n })
}

// Until waits for a condition that becomes true while the sensor runs.
func (p *Process) Until(what string, is func() bool) {
	p.T.Helper()
	await.True(p.T, what, func() bool {
		select {
		case <-p.Done:
			if !is() {
				p.T.Fatalf("the sensor ended before: %s\n%s", what, p.Log())
			}
			return true
		default:
			return is()
		}
	}, &p.stderr)
}

// WaitForRecords waits until n records are written.
func (p *Process) WaitForRecords(n int) {
	p.T.Helper()
	await.True(p.T, fmt.Sprintf("%d records", n), func() bool {
		b, err := os.ReadFile(p.RecordsFile)
		if err != nil {
			p.T.Fatal(err)
		}
		return bytes.Count(b, []byte("\n")) >= n
	}, &p.stderr)
}

// Records returns the lines that a finished process wrote to stdout.
func (p *Process) Records() []string {
	p.T.Helper()
	b, err := os.ReadFile(p.RecordsFile)
	if err != nil {
		p.T.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) {
	p.T.Helper()
	if err := p.Cmd.Process.Signal(s); err != nil {
		p.T.Fatal(err)
	}
}

// Reload sends SIGHUP.
func (p *Process) Reload() {
	p.T.Helper()
	p.Signal(syscall.SIGHUP)
}

// Stop sends SIGTERM and waits for the end.
func (p *Process) Stop() Result {
	p.T.Helper()
	p.Signal(syscall.SIGTERM)
	return p.Wait(await.Limit)
}

// Wait waits for the end; one later than limit fails the test.
func (p *Process) Wait(limit time.Duration) Result {
	p.T.Helper()
	select {
	case <-p.Done:
	case <-time.After(limit):
		p.T.Fatalf("the sensor does not end within %s:\n%s", limit, p.Log())
	}
	return Result{Code: p.Cmd.ProcessState.ExitCode(), Log: p.Log(), Ledgers: ParseLedgers(p.Log())}
}
