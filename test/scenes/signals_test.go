//go:build linux

package scenes

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// TestPipeIsReadToItsEnd: Ctrl-C signals all programs of a pipeline. The sensor records
// what the program before it still writes, compressed or not, and does not open the
// inputs after the pipe.
func TestPipeIsReadToItsEnd(t *testing.T) {
	content := packets.Queries(40)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(content)
	z.Close()
	file := packets.TempFile(t, content)
	f := func(name string, content []byte, code, least int, args ...string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, in := program.Feed(t, nil, args...)
			p.WaitFor("serving metrics") // the start is complete
			p.Signal(syscall.SIGINT)
			p.WaitFor("msg=stopping")
			in.Write(content)
			in.Close()
			r := p.Wait(time.Minute)
			r.Expect(t, code)
			if got := program.Count(t, p.RecordsFile).Total(); int(got) < least || code == program.ExitOK && int(got) != least {
				t.Errorf("%d records, want %d:\n%s", got, least, r.Log)
			}
		})
	}
	metrics := "--metricprometheusendpoint=http://127.0.0.1:0/m"
	f("plain", content, program.ExitOK, 40, metrics)
	f("one lane", content, program.ExitOK, 40, metrics, "--workers=1")
	f("at the pace of the recording", content, program.ExitOK, 40, metrics, "--speed=0.0000001")
	f("compressed", zipped.Bytes(), program.ExitOK, 40, metrics)
	f("before a file", content, program.ExitUndelivered, 40, metrics, "--speed=0.0000001", file) // at this speed the pipe is read as soon as the file is interrupted
}

// nextSignal is the time after which a repeated signal counts as a second one: within
// half a second it counts as the same.
const nextSignal = 750 * time.Millisecond

// TestPipeThatDoesNotEnd: the sensor stops reading such a pipe at the end of the grace
// time, or at a second signal. What it has read by then is delivered.
func TestPipeThatDoesNotEnd(t *testing.T) {
	f := func(name, grace string, second bool, says string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, in := program.Feed(t, packets.Queries(40), "--grace="+grace, "--stats=100ms")
			defer in.Close()
			p.WaitForRecords(40)
			p.Signal(syscall.SIGTERM)
			p.WaitFor("msg=stopping")
			if second {
				time.Sleep(nextSignal)
				p.Signal(syscall.SIGTERM)
			}
			r := p.Wait(await.Limit / 4) // less than the grace time of the second
			r.Expect(t, program.ExitUndelivered)
			r.ExpectLog(t, says, "\ndnsmonster-sensor: interrupted: the standard input was read up to offset "+strconv.Itoa(len(packets.Queries(40)))+"; the pipe had not ended\n")
			if got := program.Count(t, p.RecordsFile).Total(); got != 40 {
				t.Errorf("%d records, want 40:\n%s", got, r.Log)
			}
		})
	}
	f("grace", "300ms", false, "a pipe has not ended within the grace time")
	f("second signal", "1m", true, "second signal: exiting at once")
}

// TestPipeThatDoesNotEndAndOutputThatIsDown: the grace time ends both waits, for a pipe
// that does not end and for an output that accepts nothing.
func TestPipeThatDoesNotEndAndOutputThatIsDown(t *testing.T) {
	t.Parallel()
	port := lab.FreePort(t, "tcp")
	p, in := program.Feed(t, packets.Queries(40), "--grace=300ms", "--psqloutputtype=1", fmt.Sprintf("--psqlendpoint=postgres://sensor@127.0.0.1:%d/dns", port))
	defer in.Close()
	p.WaitFor("output fails, trying again")
	p.Signal(syscall.SIGTERM)
	r := p.Wait(await.Limit / 4)
	r.Expect(t, program.ExitUndelivered)
	r.ExpectLog(t, "not delivered: 40 abandoned (delivery, psql)", "the pipe had not ended")
	if n := strings.Count(r.Log, "a pipe has not ended within the grace time"); n != 1 {
		t.Errorf("said %d times", n)
	}
}

// TestStopWhileOutputsAreTriedOut: a stop while outputs are checked does not lose what a
// pipe holds. It is read within the grace time, and goes to the spool.
func TestStopWhileOutputsAreTriedOut(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, in := program.Feed(t, packets.Queries(40), "--grace=4s", "--spooldir="+filepath.Join(t.TempDir(), "spool"), "--spoolfreemb=0",
		"--psqloutputtype=1", "--psqlbatchtimeout=1m", "--psqlendpoint=postgres://sensor@"+l.Addr().String()+"/dns")
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p.Signal(syscall.SIGTERM)
	p.WaitFor("msg=stopping") // the grace time has just begun
	in.Write(packets.Queries(40)[24:])
	in.Close()
	r := p.Wait(await.Limit)
	r.Expect(t, program.ExitUndelivered)
	r.ExpectLog(t, "not delivered: 80 records in the spool (psql)")
}

// TestStopWhileAPipeIsOpened: a named pipe without a writer holds nothing, so a stop does
// not wait for it.
func TestStopWhileAPipeIsOpened(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	p := program.Start(t, nil, "replay", pipe, "--grace=1m", "--stats=100ms")
	p.WaitFor(" records/s, ")
	p.Stop().Expect(t, program.ExitOK)
}

// TestInterruptedReplay: the sensor says which file was read up to where, and which files
// were never opened. It exits with a status of its own, so that no script removes them.
func TestInterruptedReplay(t *testing.T) {
	content := packets.Queries(2)
	second := len(content) - (len(content)-24)/2 // both records have one length
	binary.LittleEndian.PutUint32(content[second:], 1700000600)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(content)
	z.Close()
	next := packets.TempFile(t, packets.Queries(1))
	f := func(name string, args []string, want ...string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := program.Start(t, nil, append(args, "--speed=1", "--stdoutoutputtype=1")...)
			p.WaitForRecords(1)
			r := p.Stop()
			r.Expect(t, program.ExitUndelivered)
			_, end, _ := strings.Cut(r.Log, "\nunaccounted 0\n")
			if lines := strings.Split(strings.TrimSpace(end), "\n"); !slices.Equal(lines, want) {
				t.Errorf("the last lines are\n%q, want\n%q", lines, want)
			}
		})
	}
	plain, compressed := packets.TempFile(t, content), packets.TempFile(t, zipped.Bytes())
	read := fmt.Sprintf("%d, %.1f%% of the file", second, float64(1000*second/len(content))/10)
	f("files", []string{"replay", plain, next, compressed},
		"dnsmonster-sensor: interrupted: "+plain+" was read up to offset "+read,
		"dnsmonster-sensor: interrupted: never opened: "+next+", "+compressed)
	f("run", []string{"run", "--pcapfile=" + plain}, "dnsmonster-sensor: interrupted: "+plain+" was read up to offset "+read)
	f("compressed", []string{"replay", compressed},
		fmt.Sprintf("dnsmonster-sensor: interrupted: %s was read up to offset %d in the decompressed data, about 99%% of the file", compressed, second))
}

// TestInterruptedWhileOutputsWait stops a replay at full speed whose output accepts
// nothing: the sensor names what was not read, and what was not delivered.
func TestInterruptedWhileOutputsWait(t *testing.T) {
	t.Parallel()
	path := packets.TempFile(t, packets.Queries(400_000))
	cmd, _ := startStalled(t, path, path, "--grace=100ms")
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
	r := program.Result{Code: cmd.ProcessState.ExitCode(), Log: fmt.Sprint(cmd.Stderr)}
	r.Expect(t, program.ExitUndelivered)
	r.ExpectLog(t, "\ndnsmonster-sensor: not delivered: ", "\ndnsmonster-sensor: interrupted: "+path+" was read up to offset ", "never opened: "+path)
}

// newHeldServer starts an HTTP server that reports each request on asked, and answers
// after release.
func newHeldServer(t *testing.T, answer string) (url string, asked <-chan struct{}, release func()) {
	t.Helper()
	requests, let := make(chan struct{}, 10), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- struct{}{}
		select {
		case <-let:
			io.WriteString(w, answer)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, requests, func() { close(let) }
}

// TestSignalsDuringTheStart: a stop while a list is fetched is an orderly stop, with
// ledgers, and without an error about the list. A reload is done after the start.
func TestSignalsDuringTheStart(t *testing.T) {
	path := packets.TempFile(t, packets.Queries(10))
	t.Run("stop", func(t *testing.T) {
		t.Parallel()
		url, asked, _ := newHeldServer(t, "")
		p := program.Start(t, nil, "replay", path, "--stdoutoutputtype=2", "--skipdomainsfile="+url)
		<-asked
		p.Signal(syscall.SIGHUP)
		r := p.Stop()
		r.Expect(t, program.ExitUndelivered) // the file was not read
		r.ExpectLog(t, "stopped during the start", "\ndnsmonster-sensor: interrupted: never opened: "+path+"\n")
		if strings.Contains(r.Log, "--skipdomainsfile") {
			t.Errorf("the list is not to blame:\n%s", r.Log)
		}
	})
	t.Run("reload", func(t *testing.T) {
		t.Parallel()
		url, asked, release := newHeldServer(t, "h1.example.org\n")
		p, in := program.Feed(t, nil, "--stdoutoutputtype=2", "--skipdomainsfile="+url)
		<-asked
		p.Signal(syscall.SIGHUP)
		p.Signal(syscall.SIGHUP)
		release()
		p.WaitFor("msg=reloaded changed=nothing")
		in.Write(packets.Queries(10))
		in.Close()
		p.Wait(time.Minute).Expect(t, program.ExitOK)
		if got := program.Count(t, p.RecordsFile).Total(); got != 9 {
			t.Errorf("%d records, want all but one of 10", got)
		}
	})
	t.Run("pipe", func(t *testing.T) { // what it delivers is read
		t.Parallel()
		url, asked, release := newHeldServer(t, "h1.example.org\n")
		p, in := program.Feed(t, packets.Queries(10), "--stdoutoutputtype=2", "--skipdomainsfile="+url, "--grace=1m")
		<-asked
		p.Signal(syscall.SIGINT)
		in.Close()
		release()
		p.Wait(time.Minute).Expect(t, program.ExitOK)
		if got := program.Count(t, p.RecordsFile).Total(); got != 9 {
			t.Errorf("%d records, want all but one of 10", got)
		}
	})
	t.Run("something that nothing ends", func(t *testing.T) {
		t.Parallel()
		fifo := filepath.Join(t.TempDir(), "c.ini")
		if err := unix.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		p := program.Start(t, nil, "run", "--config="+fifo)
		w, err := os.OpenFile(fifo, os.O_WRONLY, 0) // the sensor waits for a writer
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		p.Signal(syscall.SIGHUP)
		for running := true; running; { // on a busy machine two signals may count as one
			p.Cmd.Process.Signal(syscall.SIGTERM)
			select {
			case <-p.Done:
				running = false
			case <-time.After(nextSignal):
			}
		}
		if r := p.Wait(await.Limit); r.Code != program.ExitOK || !strings.Contains(r.Log, "stopped during the start") {
			t.Errorf("exit status %d, want %d:\n%s", r.Code, program.ExitOK, r.Log)
		}
	})
}

// TestStopDuringTheStartOfACapture: if nothing was captured, nothing is lost and the exit
// status is 0. Messages that were captured and cannot be filtered are abandoned.
func TestStopDuringTheStartOfACapture(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	away := l.Server.V4.Next().Next().Next().Next() // an unused address: the dialer waits for seconds
	args := []string{"--stdoutoutputtype=2", "--skipdomainsfile=http://" + away.String() + "/list", "--grace=300ms"}
	p := program.Attach(t, l.Server, args...)
	p.Signal(syscall.SIGHUP)
	r := p.Stop()
	r.Expect(t, program.ExitOK)
	r.ExpectLog(t, "stopped during the start")

	p = program.Attach(t, l.Server, args...)
	f := flow(t, l, 1000, 20)
	if _, err := f.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	r = p.Stop()
	r.Expect(t, program.ExitUndelivered)
	r.ExpectLog(t, "not delivered: 20 abandoned (delivery, stdout)")
	if strings.Contains(r.Log, "fix the list") {
		t.Errorf("the list is not to blame:\n%s", r.Log)
	}
}

// TestSignalsOfOtherCommands: a signal ends a command that does not capture as it ends
// any program.
func TestSignalsOfOtherCommands(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		cmd := program.Command(nil, "--manpage") // more than a pipe holds: the command waits for a reader
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.FcntlInt(out.(*os.File).Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		cmd.Process.Signal(sig)
		cmd.Wait()
		if got := cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(); got != sig {
			t.Errorf("%v ended with %v, want by that signal", cmd.Args[1:], cmd.ProcessState)
		}
	}
}
