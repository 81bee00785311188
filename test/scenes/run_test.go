//go:build linux

package scenes

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// TestRunReadsAFile as dnsmonster does: the path from the command line, the environment
// or a configuration file.
func TestRunReadsAFile(t *testing.T) {
	file := packets.TempFile(t, packets.Queries(100))
	ini := filepath.Join(t.TempDir(), "dnsmonster.ini")
	if err := os.WriteFile(ini, []byte("[capture]\nPcapFile = "+file+"\n[stdout_output]\nstdoutOutputType = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(environ []string, args ...string) {
		t.Helper()
		for _, e := range environ {
			name, value, _ := strings.Cut(e, "=")
			t.Setenv(name, value)
			defer os.Unsetenv(name)
		}
		p := program.Run(t, args...)
		if got := program.Count(t, p.RecordsFile).Total(); got != 100 {
			t.Errorf("%q with %q: %d records, want 100", args, environ, got)
		}
	}
	f(nil, "--pcapFile", file, "--stdoutOutputType=1")
	f(nil, "run", "--stdoutOutputType=1", "--PCAPFILE="+file)
	f(nil, "--config="+ini)
	f([]string{"DNSMONSTER_CONFIG=" + ini})
	f([]string{"DNSMONSTER_PCAPFILE=" + file, "DNSMONSTER_STDOUTOUTPUTTYPE=1"})
}

// TestPort: only the configured ports are DNS, and no origin of the option splits a list.
func TestPort(t *testing.T) {
	file := packets.TempFile(t, packets.Queries(50))
	if got := program.Count(t, program.Run(t, "replay", file, "--port", "5353", "--port=54").RecordsFile).Total(); got != 0 {
		t.Errorf("%d records of port 53, which is not asked for", got)
	}
	if got := program.Count(t, program.Run(t, "replay", file, "--port", "5353", "--port=53").RecordsFile).Total(); got != 50 {
		t.Errorf("%d records, want 50", got)
	}
}

// TestSampling of files: exactly a of every b for any number of workers; with one worker
// the first a in the order of the file.
func TestSampling(t *testing.T) {
	file := packets.TempFile(t, packets.Queries(1000))
	f := func(ratio, workers string, want uint64) {
		t.Helper()
		p := program.Start(t, nil, "replay", file, "--sampleratio", ratio, "--workers", workers)
		r := p.Wait(time.Minute)
		r.Expect(t, program.ExitOK)
		if got := program.Count(t, p.RecordsFile).Total(); got != want || r.Sum("packet", "sampled_out") != 1000-want {
			t.Errorf("%s with %s workers: %d records, want %d; the ledgers say %d sampled out", ratio, workers, got, want, r.Sum("packet", "sampled_out"))
		}
	}
	f("1:1", "2", 1000)
	f("1:2", "1", 500)
	f("1:2", "3", 500)
	f("1:3", "2", 334)
	f("3:10", "4", 300)
	f("999:1000", "2", 999)
	p := program.Run(t, "replay", file, "--sampleratio=2:5", "--workers=1", "--stdoutoutputworkercount=1")
	for i, line := range p.Records() {
		if id := i/2*5 + i%2; !strings.Contains(line, fmt.Sprintf(`"Id":%d,`, id)) {
			t.Fatalf("record %d is not that of packet %d: %s", i, id, line)
		}
	}
}

// TestNoEtherFrame reads packets that start with an IP header though the file says
// Ethernet.
func TestNoEtherFrame(t *testing.T) {
	content := packets.Queries(20)
	binary.LittleEndian.PutUint32(content[20:], 1)
	file := packets.TempFile(t, content)
	if got := program.Count(t, program.Run(t, "replay", file).RecordsFile).Total(); got != 0 {
		t.Errorf("%d records of packets that are no Ethernet frames", got)
	}
	if got := program.Count(t, program.Run(t, "replay", file, "--noEtherFrame").RecordsFile).Total(); got != 20 {
		t.Errorf("%d records, want 20", got)
	}
	// Other link types of the file are believed.
	if got := program.Count(t, program.Run(t, "replay", packets.TempFile(t, packets.Queries(20)), "--noetherframe").RecordsFile).Total(); got != 20 {
		t.Errorf("raw IP: %d records, want 20", got)
	}
}

// TestMasks: the lower bits of every address are masked.
func TestMasks(t *testing.T) {
	p := program.Run(t, "replay", packets.TempFile(t, packets.Queries(300)), "--masksize4", "24")
	for _, line := range p.Records() {
		if !strings.Contains(line, `"SrcIP":"192.0.2.0"`) || !strings.Contains(line, `"DstIP":"192.0.2.0"`) {
			t.Fatalf("an address is not masked: %s", line)
		}
	}
}

// TestServerName: it is in formats that have a column for it.
func TestServerName(t *testing.T) {
	p := program.Run(t, "replay", packets.TempFile(t, packets.Queries(1)), "--serverName", "ns1.example.org", "--stdoutoutputformat=csv_no_header")
	if got := p.Records(); len(got) != 1 || strings.Split(got[0], ",")[7] != "ns1.example.org" {
		t.Errorf("the row is %q", got)
	}
}

// TestDedup: a packet seen twice within the window counts once.
func TestDedup(t *testing.T) {
	one := packets.Queries(10)
	file := packets.TempFile(t, append(append([]byte{}, one...), one[24:]...))
	if got := program.Count(t, program.Run(t, "replay", file).RecordsFile).Total(); got != 20 {
		t.Errorf("%d records, want 20", got)
	}
	p := program.Start(t, nil, "replay", file, "--dedup")
	r := p.Wait(time.Minute)
	r.Expect(t, program.ExitOK)
	if got := program.Count(t, p.RecordsFile).Total(); got != 10 || r.Sum("packet", "duplicate") != 10 {
		t.Errorf("%d records, want 10; the ledgers say %d duplicates", got, r.Sum("packet", "duplicate"))
	}
}

// TestMalformed: malformed messages are dropped only on request.
func TestMalformed(t *testing.T) {
	content := packets.Queries(1)
	content[len(content)-5] = 0x3f // a label that does not end, in place of the name's end
	file := packets.TempFile(t, content)
	f := func(want uint64, args ...string) {
		t.Helper()
		if got := program.Count(t, program.Run(t, append([]string{"replay", file}, args...)...).RecordsFile).Total(); got != want {
			t.Errorf("%q: %d records, want %d", args, got, want)
		}
	}
	f(1)
	f(0, "--malformed=drop")
}

// TestProfiles: go tool pprof can read the files.
func TestProfiles(t *testing.T) {
	dir := t.TempDir()
	cpu, mem := filepath.Join(dir, "cpu"), filepath.Join(dir, "mem")
	program.Run(t, "replay", packets.TempFile(t, packets.Queries(1000)), "--cpuprofile", cpu, "--memprofile", mem)
	for _, path := range []string{cpu, mem} {
		if b, err := os.ReadFile(path); err != nil || !bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
			t.Errorf("%s is no profile (%v)", path, err)
		}
	}
}

// TestLog checks format and level of the log.
func TestLog(t *testing.T) {
	file := packets.TempFile(t, packets.Queries(1))
	f := func(want, not string, args ...string) {
		t.Helper()
		p := program.Run(t, append([]string{"replay", file, "--skiptlsverification"}, args...)...)
		if log := p.Log(); !strings.Contains(log, want) || not != "" && strings.Contains(log, not) {
			t.Errorf("%q: want %q and not %q:\n%s", args, want, not, log)
		}
	}
	f(`level=WARN msg="skiptlsverification: certificates are not checked`, "")
	f(`"level":"WARN","msg":"skiptlsverification: `, "level=", "--logFormat=json")
	f("", "skiptlsverification", "--loglevel=1")
}

// isPromiscuous reads the kernel's flags of the interface.
func isPromiscuous(t *testing.T, host *lab.Host) bool {
	t.Helper()
	out, err := host.Command(context.Background(), "ip", "-d", "link", "show", "dev", host.Iface).Output()
	if err != nil {
		t.Fatal(err)
	}
	return !strings.Contains(string(out), "promiscuity 0 ")
}

// TestRunOnAnInterface: promiscuous mode is on, as with dnsmonster, unless an option turns
// it off, and does not outlive the sensor, not even after a kill.
func TestRunOnAnInterface(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	traffic := flow(t, l, 2000, 500)
	f := func(want bool, args ...string) {
		t.Helper()
		p := program.Start(t, l.Server, append(args, "--stdoutoutputtype=1")...)
		p.WaitForCapture()
		if got := isPromiscuous(t, l.Server); got != want {
			t.Errorf("%q: promiscuous mode %v, want %v", args, got, want)
		}
		sent, err := traffic.Send(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		p.Stop().Expect(t, program.ExitOK)
		if got := program.Count(t, p.RecordsFile).Queries4; got != sent.Packets || got == 0 {
			t.Errorf("%q: %d records, %d sent", args, got, sent.Packets)
		}
		if isPromiscuous(t, l.Server) {
			t.Errorf("%q: still promiscuous after the end", args)
		}
	}
	f(true, "--devName", l.Server.Iface)
	f(false, "--devName", l.Server.Iface, "--noPromiscuous")
	f(false, "--devName", "any")
	f(false, "attach", l.Server.Iface)
	f(true, "attach", l.Server.Iface, "--promiscuous")

	p := program.Start(t, l.Server, "--devname="+l.Server.Iface, "--stdoutoutputtype=1")
	p.WaitForCapture()
	p.Cmd.Process.Kill()
	<-p.Done
	if isPromiscuous(t, l.Server) {
		t.Error("still promiscuous after SIGKILL")
	}
}

// makeUnsupported makes a tun device of a link type that is neither Ethernet nor IP.
func makeUnsupported(t *testing.T, host *lab.Host, name string) {
	t.Helper()
	err := host.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		t.Cleanup(func() { unix.Close(fd) })
		r, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, r); err != nil {
			return err
		}
		return unix.IoctlSetInt(fd, unix.TUNSETLINK, unix.ARPHRD_IEEE80211)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAnyInterface: an interface that cannot be captured is named and left out; the others
// are captured.
func TestAnyInterface(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	makeUnsupported(t, l.Server, "odd0")
	l.Server.Run(t, "ip", "link", "set", "odd0", "up")
	p := program.Start(t, l.Server, "--devName=any", "--stdoutoutputtype=1")
	p.WaitForCapture()
	p.Stop().Expect(t, program.ExitOK)
	log := p.Log()
	if !strings.Contains(log, `msg="an interface cannot be captured" error="interface odd0: attach to interface `) || !strings.Contains(log, l.Server.Iface+": tc ingress") || strings.Contains(log, "odd0: tc") {
		t.Errorf("the log says:\n%s", log)
	}
}

// TestReload: SIGHUP applies the options that can change, names those that cannot, and
// changes nothing if the file is wrong.
func TestReload(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	ini := filepath.Join(t.TempDir(), "c.ini")
	set := func(text string) {
		t.Helper()
		if err := os.WriteFile(ini, []byte("stdoutoutputtype = 1\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l.Server.Sink(t, 53)
	var p *program.Process
	sent := 0
	send := func(n int) {
		t.Helper()
		f := lab.Flow{From: l.Client, To: netip.AddrPortFrom(l.Server.V4, 53), Messages: lab.Messages(lab.Zone{Names: 10}.Queries(10, 1)), Count: n, Rate: 1000}
		if _, err := f.Send(context.Background()); err != nil {
			t.Fatal(err)
		}
		sent += n
		p.Until("all is recorded", func() bool {
			b, err := os.ReadFile(p.RecordsFile)
			return err == nil && bytes.Count(b, []byte("\n")) == sent
		})
	}
	set("masksize4 = 32\nport = 53")
	p = program.Start(t, l.Server, "--config", ini, "--devname", l.Server.Iface)
	p.WaitForCapture()
	hangup := func(want string) {
		t.Helper()
		if err := p.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		p.WaitFor(want)
	}
	send(30)
	set("masksize4 = 8\nport = 5353\nservername = other")
	hangup(`msg=reloaded changed="masksize4=8"`)
	if !strings.Contains(p.Log(), `msg="reload: these options take effect only at the next start" options="port, servername"`) {
		t.Errorf("what cannot change is not named:\n%s", p.Log())
	}
	send(40)
	set("masksize4 = 99")
	hangup(`msg="reload: nothing is changed" error="--masksize4 99: use 0 to 32 (from ` + ini + ` line 2)"`)
	set("masksize4 = 16\nsampleratio = 3:2") // needs a restart, and would be an error there
	hangup(`msg="reload: nothing is changed" error="--sampleratio: \"3:2\": cannot keep 3 of 2 (from ` + ini + ` line 3)"`)
	set("masksize4 = 8")
	hangup("msg=reloaded changed=nothing")
	set("masksze4 = 16")
	hangup("unknown key masksze4")
	set("masksize4 = 8\nloglevel = 4")
	hangup(`changed="loglevel=4"`)
	send(50)
	p.Stop().Expect(t, program.ExitOK)
	whole, masked := 0, 0
	for _, line := range p.Records() {
		if strings.Contains(line, `"SrcIP":"`+l.Client.V4.String()+`"`) {
			whole++
		} else {
			masked++
		}
	}
	if whole != 30 || masked != 90 {
		t.Errorf("%d records with whole addresses, %d with masked ones; want 30 and 90", whole, masked)
	}
}
