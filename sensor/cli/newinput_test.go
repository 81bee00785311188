package cli

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/all"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/pipeline"
	"dnsmonster-sensor/sensor/signals"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/capturetest/testdata/tee"
	"dnsmonster-sensor/test/testlog"
	"dnsmonster-sensor/userspace/worker"
)

func teeCommand(list []outputs.Output) *cli.Command {
	o, address := newCaptureOptions(list), ""
	return &cli.Command{
		Name:  "tee",
		Usage: "record the DNS messages that dnsdist's TeeAction sends to a UDP port",
		Flags: append(slices.Concat(o.flags(), o.habitFlags()), &cli.StringFlag{
			Category: "capture", Name: "teeaddress", EnvVars: []string{"DNSMONSTER_TEEADDRESS"}, Destination: &address,
			Usage: "`HOST:PORT` to listen at",
		}),
		Action: func(c *cli.Context) error {
			s, err := o.session(c)
			if err != nil {
				return err
			}
			if _, _, err := net.SplitHostPort(address); err != nil {
				return usageError("--teeaddress %q: use HOST:PORT, such as 127.0.0.1:5300", address)
			}
			open := func(<-chan struct{}) (capture.Source, error) {
				source, err := tee.Listen(address, s.log)
				if err != nil {
					return nil, usageError("--teeaddress: %w", err)
				}
				return source, nil
			}
			// No program in the kernel samples.
			return record(c, o, s, input{
				Input: pipeline.Input{Live: true, Open: open}, sampler: worker.NewSampler(o.ratio(), false),
				doing: func(capture.Source, bool) string { return "receiving at " + address }, end: "Ctrl-C ends",
			})
		},
	}
}

// query asks for m000.example.org.
const query = "\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04m000\x07example\x03org\x00\x00\x01\x00\x01"

// TestNewInput: the command in docs/adding-an-input.md records, samples, and shows which
// numbers are unknown.
func TestNewInput(t *testing.T) {
	t.Parallel()
	var stderr testlog.Log
	sig, dir := signals.New(), t.TempDir()
	app := appWith(all.New, &stderr, &stderr)
	app.Commands = append(app.Commands, teeCommand(all.New()))
	app.Metadata[signalsKey] = sig
	sender, address := freeUDP(t)
	ended := make(chan error, 1)
	go func() {
		ended <- perform(app, []string{
			"x", "tee", "-v", "--teeaddress=" + address, "--sampleratio=1:2", "--fileoutputtype=1", "--fileoutputpath=" + dir, "--fileoutputformat=json-flat",
		}, nil)
	}()
	file := filepath.Join(dir, "dnsmonster.log")
	lines := func() int {
		text, _ := os.ReadFile(file)
		return bytes.Count(text, []byte("\n"))
	}
	await.True(t, "there are records", func() bool {
		_, _ = io.WriteString(sender, query) // refused until the port is open
		return lines() >= 3
	})
	sig.Request(syscall.SIGTERM)
	if err := <-ended; err != nil {
		t.Errorf("the end is %v", err)
	}
	text, _ := os.ReadFile(file)
	if !strings.Contains(string(text), "m000.example.org.") {
		t.Errorf("records:\n%s", text)
	}
	ledgers := strings.Join(strings.Fields(stderr.String()), " ")
	for _, want := range []string{"kernel tee in unknown, socket_full unknown, delivered ", ", sampled_out ", " whole_message ", " unaccounted 0"} {
		if !strings.Contains(ledgers, want) {
			t.Errorf("the ledgers lack %q:\n%s", want, stderr.String())
		}
	}
}

// TestNewInputIsChecked before anything is opened.
func TestNewInputIsChecked(t *testing.T) {
	app := appWith(all.New, new(bytes.Buffer), new(bytes.Buffer))
	app.Commands = append(app.Commands, teeCommand(all.New()))
	err := perform(app, []string{"x", "tee", "--teeaddress=here"}, nil)
	if err == nil || !strings.Contains(err.Error(), `--teeaddress "here": use HOST:PORT, such as 127.0.0.1:5300`) {
		t.Errorf("error %v", err)
	}
}

// freeUDP is a free port, and a connection that sends to it.
func freeUDP(t *testing.T) (sender net.Conn, address string) {
	t.Helper()
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.LocalAddr().String()
	l.Close()
	if sender, err = net.Dial("udp", address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sender.Close() })
	return sender, address
}
