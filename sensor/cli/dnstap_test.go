//go:build linux

package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/all"
	"dnsmonster-sensor/sensor/signals"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
	"dnsmonster-sensor/test/testlog"
	"dnsmonster-sensor/userspace/dnstap"
	"dnsmonster-sensor/userspace/framestream"
)

// answer is the response to query.
var answer = "\x00\x07\x81\x80" + query[4:]

var (
	client4, server4 = []byte{192, 0, 2, 77}, []byte{192, 0, 2, 1}
	client6, server6 = net.ParseIP("2001:db8::abcd"), net.ParseIP("2001:db8::1")
)

// framed is a frame of a server that reports it in full.
func framed(kind dnstap.Type, change func(*dnstap.Frame)) []byte {
	f := dnstap.Frame{
		Type: kind, Family: 1, Protocol: 3, Identity: []byte("ns.example.org"),
		QueryAddress: client4, ResponseAddress: server4, QueryPort: 40000, ResponsePort: 853,
		QueryTime: 1_700_000_000_000_000_000, ResponseTime: 1_700_000_000_250_000_000, Query: []byte(query),
	}
	if kind.IsResponse() {
		f.Response = []byte(answer)
	}
	if change != nil {
		change(&f)
	}
	out, _, _ := f.Append(nil)
	return out
}

// sendFrames sends frames as a server does, and returns when the sensor has said FINISH.
func sendFrames(t *testing.T, network, address string, frames ...[]byte) {
	t.Helper()
	var conn net.Conn
	await.True(t, "the sensor listens", func() bool {
		var err error
		conn, err = net.Dial(network, address)
		return err == nil
	})
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	expect := func(c framestream.Control) {
		t.Helper()
		var b []byte
		for {
			f, _, err := framestream.Next(b, framestream.MaxFrame)
			if err != framestream.ErrMore {
				if f.Control != c {
					t.Fatalf("the sensor answers %v (%v), want %v", f.Control, err, c)
				}
				return
			}
			one := make([]byte, 1)
			if _, err := io.ReadFull(conn, one); err != nil {
				t.Fatalf("waiting for %v: %v", c, err)
			}
			b = append(b, one...)
		}
	}
	conn.Write(framestream.AppendControl(nil, framestream.Ready, dnstap.ContentType))
	expect(framestream.Accept)
	out := framestream.AppendControl(nil, framestream.Start, dnstap.ContentType)
	for _, f := range frames {
		out = append(framestream.AppendHead(out, len(f)), f...)
	}
	if _, err := conn.Write(framestream.AppendControl(out, framestream.Stop, "")); err != nil {
		t.Fatal(err)
	}
	expect(framestream.Finish)
}

// recordsOf are the records of frames that are sent to the command dnstap with these options,
// and what it prints.
func recordsOf(t *testing.T, frames [][]byte, options ...string) (records []map[string]any, log string) {
	t.Helper()
	var stderr testlog.Log
	sig, dir := signals.New(), t.TempDir()
	app := appWith(all.New, &stderr, &stderr)
	app.Metadata[signalsKey] = sig
	ended := make(chan error, 1)
	socket := filepath.Join(dir, "s")
	args := append([]string{"x", "dnstap", "unix://" + socket, "-v", "--fileoutputtype=1", "--fileoutputpath=" + dir, "--fileoutputformat=json"}, options...)
	go func() { ended <- perform(app, args, nil) }()
	sendFrames(t, "unix", socket, frames...)
	sig.Request(syscall.SIGTERM)
	if err := <-ended; err != nil {
		t.Errorf("%q: the end is %v\n%s", options, err, stderr.String())
	}
	if _, err := os.Stat(socket); err == nil {
		t.Errorf("%q: the socket stays", options)
	}
	text, _ := os.ReadFile(filepath.Join(dir, "dnsmonster.log"))
	for line := range bytes.Lines(text) {
		var r map[string]any
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		records = append(records, r)
	}
	log = strings.Join(strings.Fields(stderr.String()), " ")
	if !strings.Contains(log, " unaccounted 0") {
		t.Errorf("%q: ledgers\n%s", options, stderr.String())
	}
	return records, log
}

// what is a record in short: Q or R, the addresses, protocol and length.
func what(r map[string]any) string {
	word := "Q"
	if r["DNS"].(map[string]any)["Response"].(bool) {
		word = "R"
	}
	field := func(name string) string {
		switch v := r[name].(type) {
		case string:
			return v
		case float64:
			return strconv.Itoa(int(v))
		}
		return "-"
	}
	return strings.Join([]string{word, field("SrcIP"), field("SrcPort"), field("DstIP"), field("DstPort"), field("Protocol")}, " ")
}

// TestDnstapRecords: each option does with frames what it says, by the records' content. The
// first three are defects of dnsmonster: 6, a response that carries its query is a query there,
// 5, masks do not apply, 7, a frame without addresses crashes.
func TestDnstapRecords(t *testing.T) {
	t.Parallel()
	list := filepath.Join(t.TempDir(), "skip.csv")
	if err := os.WriteFile(list, []byte("example.org,suffix\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	q, r := framed(dnstap.ClientQuery, nil), framed(dnstap.ClientResponse, nil)
	bare := framed(dnstap.ClientQuery, func(f *dnstap.Frame) {
		f.Family, f.Protocol, f.QueryAddress, f.ResponseAddress, f.QueryPort, f.ResponsePort = 0, 0, nil, nil, 0, 0
	})
	six := framed(dnstap.ResolverResponse, func(f *dnstap.Frame) { f.Family, f.QueryAddress, f.ResponseAddress = 2, client6, server6 })
	const query4, response4 = "Q 192.0.2.77 40000 192.0.2.1 853 dot", "R 192.0.2.1 853 192.0.2.77 40000 dot"
	const response6 = "R 2001:db8::1 853 2001:db8::abcd 40000 dot"
	f := func(name string, frames [][]byte, want []string, says string, options ...string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records, log := recordsOf(t, frames, append(options, "--workers=1")...)
			var got []string
			for _, r := range records {
				got = append(got, what(r))
			}
			if !slices.Equal(got, want) || !strings.Contains(log, says) {
				t.Errorf("records %q, want %q; %q in\n%s", got, want, says, log)
			}
		})
	}
	f("defect 6", [][]byte{q, r}, []string{query4, response4}, "kernel dnstap in 2, delivered 2; unaccounted 0")
	f("defect 5", [][]byte{r, six}, []string{"R 192.0.0.0 853 192.0.0.0 40000 dot", "R 2001:: 853 2001:: 40000 dot"}, "", "--masksize4=16", "--masksize6=16")
	f("defect 7", [][]byte{bare, q}, []string{"Q  -  - ", query4}, "2 records in ")
	f("types", [][]byte{q, r, six}, []string{response6}, "left out: 2 frames of types that are not selected", "--dnstaptypes=resolver,auth")
	f("both", [][]byte{r}, []string{response4, query4}, "2 records in ", "--dnstapboth")
	f("sampling", [][]byte{q, q, q, q}, []string{query4}, "3 frames sampled out", "--sampleratio=1:4")
	f("list", [][]byte{q, r}, nil, "2 skipped by the filter", "--fileoutputtype=2", "--skipdomainsfile="+list)
	f("broken", [][]byte{q, []byte("?????")}, []string{query4}, "1 frame broken")
	f("no message", [][]byte{[]byte("\x78\x01"), framed(dnstap.ClientResponse, func(f *dnstap.Frame) { f.Response = nil })}, nil,
		"1 frame without a dnstap message, 1 frame without the message that the type names")
	f("short", [][]byte{framed(dnstap.ClientQuery, func(f *dnstap.Frame) { f.Query = f.Query[:5] })}, nil, "1 message unreadable")
	f("malformed", [][]byte{framed(dnstap.ClientQuery, func(f *dnstap.Frame) { f.Query = f.Query[:14] }), q}, []string{query4}, "1 message malformed dropped", "--malformed=drop")
}

// TestDnstapSensor: what a person sees: a start line that names what listens, advice about a
// socket to which nobody can connect, records, and a summary of frames.
func TestDnstapSensor(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	p := program.New(t, nil)
	p.Cmd = program.CommandAsTyped(nil, "dnstap", "unix://"+socket, "tcp://127.0.0.1:0", "--dnstaptypes=client", "-c", "2")
	p.Start()
	p.WaitFor("listening for dnstap at unix://" + socket + " and tcp://127.0.0.1:")
	p.WaitFor("hint: with mode 0755 only the user of the sensor, and root, can connect to the unix socket; for a server with a user of its own try --dnstapgroup=GROUP --dnstappermission=0770")
	sendFrames(t, "unix", socket, framed(dnstap.ClientQuery, nil), framed(dnstap.ClientResponse, nil))
	if r := p.Wait(time.Minute); r.Code != exitOK {
		t.Errorf("exit status %d\n%s", r.Code, r.Log)
	}
	log := p.Log()
	for _, want := range []string{", types client, to stdout (json); Ctrl-C ends\n", "2 records in ", ", from 2 frames of 2 seen; nothing lost\n  stdout: 2 written\n"} {
		if !strings.Contains(log, want) {
			t.Errorf("lacks %q:\n%s", want, log)
		}
	}
}

// TestDnstapDials: with --dial the sensor connects to a server that listens, here one that
// begins to listen after the sensor has started.
func TestDnstapDials(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	p := program.New(t, nil, "dnstap", "--dial", "unix://"+socket, "-c", "1", "-v")
	p.Start()
	p.WaitFor("receiving dnstap from unix://" + socket)
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	frame := framed(dnstap.ClientQuery, nil)
	conn.Write(framestream.AppendControl(nil, framestream.Ready, dnstap.ContentType))
	accept := make([]byte, 8)
	io.ReadFull(conn, accept)
	out := framestream.AppendControl(nil, framestream.Start, dnstap.ContentType)
	conn.Write(append(framestream.AppendHead(out, len(frame)), frame...))
	p.Wait(time.Minute).Expect(t, exitOK)
	if n := program.Count(t, p.RecordsFile).Total(); n != 1 {
		t.Errorf("%d records, want 1", n)
	}
}

// TestDnstapHints: who gets no record is told whether a server is connected, and who records
// lookups twice is told once how to avoid that.
func TestDnstapHints(t *testing.T) {
	t.Parallel()
	start := func(options ...string) (socket string, log *testlog.Log) {
		log = new(testlog.Log)
		sig := signals.New()
		app := newApp(log, log)
		app.Metadata[signalsKey] = sig
		socket = filepath.Join(t.TempDir(), "s")
		o, d := newCaptureOptions(all.New()), &socketOptions{}
		o.hintAfter = 50 * time.Millisecond
		app.Commands = append(slices.DeleteFunc(app.Commands, func(c *cli.Command) bool { return c.Name == "dnstap" }), d.command(o))
		ended := make(chan error, 1)
		go func() {
			ended <- perform(app, append([]string{"x", "dnstap", "unix://" + socket, "--nulloutputtype=1"}, options...), nil)
		}()
		t.Cleanup(func() {
			sig.Request(syscall.SIGTERM)
			<-ended
		})
		return socket, log
	}
	socket, log := start()
	await.True(t, "a hint that nobody is connected", func() bool {
		return log.Lines("hint: no frame at unix://"+socket+" in 50ms: no server is connected; check --dnstapgroup and --dnstappermission") == 1
	}, log)
	sendFrames(t, "unix", socket, framed(dnstap.ClientQuery, nil), framed(dnstap.ResolverQuery, nil))
	const twice = "hint: messages of clients and of the resolver itself arrive: a lookup that is not in its cache appears twice; try --dnstaptypes=client"
	await.True(t, "a hint about lookups that appear twice", func() bool { return log.Lines(twice) == 1 }, log)

	socket, log = start("--dnstaptypes=all")
	conn, err := net.Dial("unix", socket)
	for ; err != nil; conn, err = net.Dial("unix", socket) {
		time.Sleep(time.Millisecond)
	}
	defer conn.Close()
	conn.Write(framestream.AppendControl(nil, framestream.Start, dnstap.ContentType))
	sendFrames(t, "unix", socket, framed(dnstap.ClientQuery, nil), framed(dnstap.ResolverQuery, nil))
	time.Sleep(200 * time.Millisecond) // several times as long
	if log.Lines(twice) > 0 {
		t.Errorf("a hint to those who have chosen the types:\n%s", log.String())
	}
}

// TestDnstapFile: a file of a resolver ends with the same hint, and its summary counts frames.
func TestDnstapFile(t *testing.T) {
	out := framestream.AppendControl(nil, framestream.Start, dnstap.ContentType)
	for _, f := range [][]byte{framed(dnstap.ClientQuery, nil), framed(dnstap.ResolverQuery, nil), framed(dnstap.ResolverResponse, nil)} {
		out = append(framestream.AppendHead(out, len(f)), f...)
	}
	file := packets.TempFile(t, framestream.AppendControl(out, framestream.Stop, ""))
	f := func(want string, options ...string) {
		t.Helper()
		log := strings.Join(strings.Fields(stderrOf(t, nil, append([]string{"replay", file}, options...)...)), " ")
		if !strings.Contains(log, want) || strings.Contains(log, "hint:") != strings.Contains(want, "hint:") {
			t.Errorf("%q: want %q:\n%s", options, want, log)
		}
	}
	f("from 3 frames; nothing lost stdout: 3 written hint: messages of clients and of the resolver itself arrive:")
	f("from 3 frames; nothing lost stdout: 1 written left out: 2 frames of types that are not selected", "--dnstaptypes=client")
	f("from 3 frames; nothing lost stdout: 4 written", "--dnstapboth", "--dnstaptypes=all")
	f("bytes), to stdout (json)", "--dnstaptypes=all") // without a port
	f("bytes), types client, to stdout (json)", "--dnstaptypes=client")
}
