//go:build linux

package scenes

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// TestInputFails: an input that cannot be read shows in the log and in the metrics while
// the next one is read.
func TestInputFails(t *testing.T) {
	bad := packets.Queries(2)
	p := program.New(t, nil, "replay", packets.TempFile(t, bad[:len(bad)-1]), "-", "--metricflushinterval=100ms")
	in, err := p.Cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.Start()
	p.WaitFor(`level=ERROR msg="an input cannot be read to its end"`)
	p.WaitFor(`"dnsmonster_sensor_failures_total{what=\"input\"}":{"count":1}`)
	in.Write(packets.Queries(5))
	in.Close()
	p.Wait(time.Minute).Expect(t, program.ExitFailure)
	if got := program.Count(t, p.RecordsFile).Total(); got != 6 {
		t.Errorf("%d records, want 6", got)
	}
}

// TestFullDevice: an output that can never accept anything ends a replay, with the reason
// and the position in the file. With another output the replay continues.
func TestFullDevice(t *testing.T) {
	path := repeatCapture(t, packets.TempFile(t, packets.Queries(1000)), 100)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	f := func(wantLog []string, args ...string) program.Result {
		t.Helper()
		cmd := program.Command(nil, append([]string{"replay", path, "--stdoutoutputtype=1"}, args...)...)
		var log bytes.Buffer
		cmd.Stdout, cmd.Stderr = full, &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		late := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
		defer late.Stop()
		cmd.Wait()
		r := program.Result{Code: cmd.ProcessState.ExitCode(), Log: log.String(), Ledgers: program.ParseLedgers(log.String())}
		r.Expect(t, program.ExitFailure)
		r.ExpectLog(t, append(wantLog,
			`level=ERROR msg="output has failed for good: its undelivered records and all further ones are abandoned" output=stdout records=`,
			"\ndnsmonster-sensor: output stdout: write stdout: no space left on device\n", " abandoned (delivery, stdout)")...)
		if strings.Contains(r.Log, "other writers") {
			t.Errorf("that is not the reason:\n%s", r.Log)
		}
		return r
	}
	f([]string{"\ndnsmonster-sensor: interrupted: " + path + " was read up to offset "})
	dir := t.TempDir()
	r := f([]string{`"dnsmonster_sensor_failures_total{part=\"stdout\",what=\"output\"}":{"count":1}`}, "--metricendpointtype=stderr", "--fileoutputtype=1", "--fileoutputpath="+dir)
	if r.Ledgers["delivery file"]["delivered"] != 100_000 || strings.Contains(r.Log, "interrupted") {
		t.Errorf("the file did not get all:\n%s", r.Log)
	}
}

// TestOneReaderLeaves: a closed stdout is an error if there is another output.
func TestOneReaderLeaves(t *testing.T) {
	cmd, out := startStalled(t, repeatCapture(t, packets.TempFile(t, packets.Queries(1000)), 100), "--stdoutoutputtype=1", "--fileoutputtype=1", "--fileoutputpath="+t.TempDir())
	out.Close()
	cmd.Wait()
	r := program.Result{Code: cmd.ProcessState.ExitCode(), Log: fmt.Sprint(cmd.Stderr)}
	r.Expect(t, program.ExitUndelivered)
	r.ExpectLog(t, `level=ERROR msg="an output ends: its reader has left`, " abandoned (delivery, stdout)")
}
