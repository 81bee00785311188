//go:build linux

package cli

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
	"dnsmonster-sensor/test/pty"
)

// stderrOf runs a command as a person types it, and returns what stands on stderr.
func stderrOf(t *testing.T, env []string, args ...string) string {
	t.Helper()
	cmd := program.CommandAsTyped(nil, args...)
	cmd.Env = append(cmd.Env, env...)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Run(); err != nil {
		t.Errorf("%q: %v\n%s", args, err, log.String())
	}
	return log.String()
}

// TestQuietReplay: a start line, a summary, and no metrics unless some layer asks for them.
// run is as it was.
func TestQuietReplay(t *testing.T) {
	t.Parallel()
	file := packets.TempFile(t, packets.Queries(3))
	ini := packets.TempFile(t, []byte("[metric]\nmetricstderrformat = kv\n"))
	lines := strings.Split(stderrOf(t, nil, "replay", file), "\n")
	if len(lines) != 4 || lines[0] != "dnsmonster-sensor dev reading "+file+" (252 bytes), port 53, to stdout (json)" ||
		!strings.HasPrefix(lines[1], "3 records in ") || !strings.HasSuffix(lines[1], ", from 3 packets; nothing lost") || lines[2] != "  stdout: 3 written" {
		t.Errorf("stderr of replay:\n%s", strings.Join(lines, "\n"))
	}
	f := func(want int, env []string, args ...string) {
		t.Helper()
		if log := stderrOf(t, env, args...); strings.Count(log, " metrics: ") != want {
			t.Errorf("%q %q: %d lines of metrics wanted:\n%s", env, args, want, log)
		}
	}
	f(0, nil, "replay", file, "--metricprometheusendpoint=http://127.0.0.1:0/metrics")
	f(0, nil, "replay", file, "--metricstatsdagent=127.0.0.1:9", "--metricflushinterval=1m")
	f(0, nil, "replay", file, "--stats=1m", "--capturestatsdelay=1m")
	f(1, nil, "replay", file, "--metricendpointtype=stderr")
	f(1, []string{"DNSMONSTER_METRICFLUSHINTERVAL=1m"}, "replay", file)
	f(1, nil, "replay", file, "--config="+ini)
	f(1, nil, "replay", file, "--metriclegacynames")
	f(1, nil, "run", "--pcapfile="+file, "--stdoutoutputtype=1")
	if log := stderrOf(t, nil, "run", "--pcapfile="+file, "--stdoutoutputtype=1"); !strings.Contains(log, "\nunaccounted 0\n") || strings.Contains(log, "3 records in") || strings.Contains(log, " reading ") {
		t.Errorf("stderr of run:\n%s", log)
	}
	if log := stderrOf(t, nil, "replay", file, "--sampleratio=1:1000"); !strings.Contains(log, ", port 53, 1 of 1000 packets, to stdout (json)") {
		t.Errorf("the start line does not tell sampling:\n%s", log)
	}
	if log := stderrOf(t, nil, "replay", file, "--logformat=json"); !strings.HasPrefix(log, `{"time":"`) || !strings.Contains(log, `"msg":"started","version":"dev","doing":"reading `) {
		t.Errorf("stderr of replay in JSON:\n%s", log)
	}
	if log := stderrOf(t, nil, "replay", file, "--loglevel=2"); strings.Contains(log, " reading ") {
		t.Errorf("a start line in a log of warnings:\n%s", log)
	}
	if log := stderrOf(t, nil, "replay", file, "--port=5353,5353"); !strings.Contains(log, "\n  hint: no DNS message: 3 packets, none from or to port 5353; try --port=PORT\n    (another port)\n") {
		t.Errorf("no hint for a file without DNS:\n%s", log)
	}
}

// attachAsTyped attaches as a person does, and waits until that is done.
func attachAsTyped(t *testing.T, host *lab.Host, iface string) *program.Process {
	t.Helper()
	p := program.New(t, host)
	p.Cmd = program.CommandAsTyped(host, "attach", iface)
	p.Start()
	p.WaitForCapture()
	return p
}

// TestHintsOfInterfaces: after ten seconds a person is told why there are no records, on
// an interface that is silent, and on one with traffic that is no DNS, among it DNS in a
// tunnel.
func TestHintsOfInterfaces(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	silent, busy := attachAsTyped(t, l.Server, "lo"), attachAsTyped(t, l.Server, l.Server.Iface)
	tunnelled := append([]byte("\x08\x00\x00\x00\x00\x00\x07\x00"), packets.Queries(1)[24+16:]...) // VXLAN, and a frame after the headers of its file
	if err := l.Client.Do(func() error {
		for _, port := range []string{"443", "4789"} {
			c, err := net.Dial("udp", net.JoinHostPort(l.Server.V4.String(), port))
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := c.Write(tunnelled); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	silent.WaitFor(`"hint: no packet on lo in 10s; try attach any (all interfaces), dnsmonster-sensor check"`)
	busy.WaitFor(` from or to port 53; try --port=PORT (another port), --decap=all (tunnels), --promiscuous (mirror port), ` +
		`attach any (all interfaces), dnsmonster-sensor check"`)
	busy.WaitFor(`"hint: no DNS message on ` + l.Server.Iface + ` in 10s: `)
	silent.Stop()
	busy.Stop()
}

// TestQuietAttach: the same for an interface. The summary has the packets that passed.
func TestQuietAttach(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	p := attachAsTyped(t, l.Server, l.Server.Iface)
	p.Stop()
	log := p.Log()
	_, start, _ := strings.Cut("\n"+log, "\ndnsmonster-sensor ") // a busy machine may wait for its kernel before
	start, rest, _ := strings.Cut("dnsmonster-sensor "+start, "\n")
	rest = regexp.MustCompile(`(?m)^time=.* msg="wait(ing|ed) .*\n`).ReplaceAllString(rest, "")        // and to detach
	if line, after, _ := strings.Cut(rest, "\n"); strings.Contains(line, "stopped during the start") { // likewise
		rest = after
	}
	if start != "dnsmonster-sensor dev capturing on "+l.Server.Iface+" (tcx ingress+egress), port 53, to stdout (json); Ctrl-C ends" &&
		start != "dnsmonster-sensor dev capturing on "+l.Server.Iface+" (clsact ingress+egress), port 53, to stdout (json); Ctrl-C ends" {
		t.Errorf("the start line is %q", start)
	}
	if strings.Contains(log, " metrics: ") || strings.Contains(log, "ledgers after") || !strings.HasPrefix(rest, "0 records in ") || !strings.HasSuffix(rest, " seen; nothing lost\n  stdout: nothing written\n") {
		t.Errorf("stderr of attach:\n%s", log)
	}
}

// TestWaitsAreNamed: a server that accepts and never answers is named after a second, on
// every command that waits for it.
func TestWaitsAreNamed(t *testing.T) {
	t.Parallel()
	hush := make(chan struct{})
	t.Cleanup(func() { close(hush) })
	address := lab.Serve(t, func(net.Conn) { <-hush })
	file := packets.TempFile(t, packets.Queries(1))
	psql := "--psqlendpoint=postgres://user@" + address + "/dns?sslmode=disable"
	pipe := filepath.Join(t.TempDir(), "pipe")
	stdin, write, err := os.Pipe()
	if err == nil {
		err = unix.Mkfifo(pipe, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); write.Close() })
	f := func(want string, args ...string) {
		t.Run(strings.Join(args[:2], " "), func(t *testing.T) {
			t.Parallel() // each of them only waits
			p := program.New(t, nil, args...)
			p.Cmd.Stdin = stdin
			p.Start()
			p.WaitFor(want)
			p.Signal(9)
			p.Wait(time.Minute)
		})
	}
	f(`level=INFO msg="waiting for an answer from output psql dns_log at `+address+`"`, "replay", file, psql, "--psqloutputtype=1")
	f(`level=INFO msg="waiting for the list http://`+address+`/list"`, "run", "--pcapfile="+file, "--stdoutoutputtype=2", "--skipdomainsfile=http://"+address+"/list")
	f("waiting for an answer from psql dns_log at "+address, "postgres", "check", psql)
	f("waiting for an answer from psql dns_log at "+address, "postgres", "init", psql)
	f(`level=INFO msg="waiting for a program that writes to the pipe `+pipe+`"`, "replay", pipe)
	f(`level=INFO msg="waiting for data from the standard input"`, "replay", "-")
}

// TestTerminalLines: records, the log, lines of --stats and the summary share a terminal.
// Each has lines of its own, and the log reads like sentences.
func TestTerminalLines(t *testing.T) {
	t.Parallel()
	term := pty.New(t, 200)
	cmd := program.CommandAsTyped(nil, "replay", packets.TempFile(t, packets.Queries(2000)), "--speed=0.005", "--stats=100ms", "--skiptlsverification")
	cmd.Stdout, cmd.Stderr = term.File, term.File
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	term.File.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	var kinds []*regexp.Regexp
	for _, kind := range []string{
		`^\d\d:\d\d:\d\d\.\d+ .* udp .*\.$`,
		`^\d\d:\d\d:\d\d  [\d,]+ records/s, [\d,]+ packets/s read, 0 lost, [\d,]+ waiting$`,
		`^warning: skiptlsverification: certificates are not checked, on any TLS connection$`,
		`^dnsmonster-sensor dev reading .*, to stdout \(text\)$`,
		`^2,000 records in .*; nothing lost$`,
		`^  stdout: 2,000 written$`,
	} {
		kinds = append(kinds, regexp.MustCompile(kind))
	}
	times := make([]int, len(kinds))
	colours := regexp.MustCompile("\x1b\\[[0-9;]*m")
	for line := range strings.Lines(colours.ReplaceAllString(term.All(), "")) {
		line = strings.TrimRight(line, "\n")
		i := slices.IndexFunc(kinds, func(kind *regexp.Regexp) bool { return kind.MatchString(line) })
		if i < 0 {
			t.Fatalf("a line of no kind: %q", line)
		}
		times[i]++
	}
	if times[0] != 2000 || times[1] < 2 || !slices.Equal(times[2:], []int{1, 1, 1, 1}) {
		t.Errorf("lines of each kind: %d", times)
	}
}
