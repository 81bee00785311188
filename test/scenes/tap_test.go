//go:build linux

package scenes

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/program"
)

// mirrorPort makes the interface mirror0 of the server, which has no address. What the
// client sends from out0 arrives there.
func mirrorPort(t *testing.T, l *lab.Lab) (ip func(args string)) {
	t.Helper()
	if out, err := program.Command(l.Server, "check").Output(); err == nil && strings.Contains(string(out), "  no   XDP ") {
		t.Skip("this kernel cannot run the XDP programs")
	}
	ip = ipCommand(t, l.Server)
	ip("link add mirror0 type veth peer name out0 netns " + l.Client.NS)
	ip("link set mirror0 up")
	ipCommand(t, l.Client)("link set out0 up")
	return ip
}

// TestTap: every DNS packet that arrives is recorded, as incoming, and the stack gets
// none: another sensor behind the tap sees nothing. When the tap ends, or is killed, the
// other sees all again.
func TestTap(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	mirrorPort(t, l)
	behind := program.Start(t, l.Server, "attach", "mirror0", "--mode=tcx", "--jsonfields=interface,direction")
	behind.WaitForCapture()
	sendFrom(t, l.Client, "out0", "before")
	behind.WaitForRecords(1)

	tap := program.Start(t, l.Server, "attach", "mirror0", "--tap", "--jsonfields=interface,direction")
	tap.WaitForCapture()
	if !strings.Contains(tap.Log(), "capturing on mirror0 (xdp drop, native)") {
		t.Errorf("the start does not say what is attached:\n%s", tap.Log())
	}
	for _, name := range []string{"one", "two", "three"} {
		sendFrom(t, l.Client, "out0", name)
	}
	sendFrom(t, l.Server, "mirror0", "leaving") // the tap does not record it, the other does
	tap.WaitForRecords(3)
	tap.Stop().Expect(t, program.ExitOK)
	for _, r := range tap.Records() {
		if !strings.Contains(r, `"Direction":"in"`) {
			t.Errorf("record %s, want direction in", r)
		}
	}
	got := recordedInterfaces(tap)
	if len(got) != 3 || got["one"] != "mirror0" || got["two"] != "mirror0" || got["three"] != "mirror0" {
		t.Errorf("the tap records %v", got)
	}
	if !strings.Contains(tap.Log(), "kernel xdp") || strings.Contains(tap.Log(), "kernel tc") {
		t.Errorf("the ledgers are not those of xdp alone:\n%s", tap.Log())
	}
	sendFrom(t, l.Client, "out0", "after")
	behind.WaitForRecords(3) // before, leaving, after

	killed := program.Start(t, l.Server, "attach", "mirror0", "--tap")
	killed.WaitForCapture()
	killed.Signal(syscall.SIGKILL)
	<-killed.Done
	sendFrom(t, l.Client, "out0", "killed")
	expectRecordedOn(behind, "before", "mirror0", "leaving", "mirror0", "after", "mirror0", "killed", "mirror0")
}

// TestTapSamples in the kernel: of 40 packets, half are recorded and all are counted.
func TestTapSamples(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	mirrorPort(t, l)
	p := program.Start(t, l.Server, "attach", "mirror0", "--tap", "--sampleratio=1:2", "--jsonfields=samplerate")
	p.WaitForCapture()
	for range 40 {
		sendFrom(t, l.Client, "out0", "same")
	}
	p.Stop().Expect(t, program.ExitOK)
	records := p.Records()
	if n := len(records); n < 16 || n > 20 { // each processor counts by itself, and keeps the second of two
		t.Errorf("%d records of 40 packets at 1:2", n)
	}
	for _, r := range records {
		if !strings.Contains(r, `"SampleRate":2`) {
			t.Errorf("record %s, want a sample rate of 2", r)
		}
	}
	if want := fmt.Sprintf("sampled_out %d, delivered %d; unaccounted 0", 40-len(records), len(records)); !strings.Contains(p.Log(), want) {
		t.Errorf("the ledger does not have %s:\n%s", want, p.Log())
	}
}

// TestTapKeepsTheHostReachable: an interface with an address is refused with exit status
// 1 and left alone, also if the name is a pattern, or if the address is on a device
// above; --force taps it. An address that is added while a tap runs is told, once. An
// interface that is made again with an address is not tapped again.
func TestTapKeepsTheHostReachable(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	ip := mirrorPort(t, l)
	refused := func(want string, args ...string) {
		t.Helper()
		cmd := program.Command(l.Server, slices.Concat([]string{"attach", "--tap"}, args)...)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != program.ExitUsage || !strings.Contains(string(out), want) || !strings.Contains(string(out), "--force") {
			t.Errorf("%q: exit status %d, want %d and %q:\n%s", args, code, program.ExitUsage, want, out)
		}
	}
	refused("every frame that arrives at "+l.Server.Iface, l.Server.Iface)
	refused("cut off the address", l.Server.Iface[:len(l.Server.Iface)-1]+"*")
	refused("all that this host sends to itself", "lo")
	ip("link add br0 type bridge")
	ip("link set mirror0 master br0")
	refused("the bridge br0", "mirror0")
	ip("link del br0")

	p := program.Start(t, l.Server, "attach", "mirror0", "--tap", "--jsonfields=interface")
	p.WaitForCapture()
	sendFrom(t, l.Client, "out0", "quiet")
	p.WaitForRecords(1)
	if p.CountLines("cuts off") > 0 {
		t.Errorf("a warning without an address:\n%s", p.Log())
	}
	ip("address add 192.0.2.77/32 dev mirror0")
	waitForLogLines(p, 1, "--tap cuts off", "192.0.2.77/32")
	ip("address add 192.0.2.78/32 dev mirror0")

	ip("link del mirror0")
	waitForLogLines(p, 1, `msg="interface is gone`, "interface=mirror0")
	ip("link add again0 type veth peer name out0 netns " + l.Client.NS)
	ip("address add 192.0.2.79/32 dev again0")
	ip("link set again0 name mirror0")
	ip("link set mirror0 up")
	ipCommand(t, l.Client)("link set out0 up")
	waitForLogLines(p, 1, "cannot be captured", "192.0.2.79/32", "--force")
	sendFrom(t, l.Client, "out0", "addressed")
	ip("address flush dev mirror0")
	waitForLogLines(p, 1, "interface is captured", "interface=mirror0")
	sendFrom(t, l.Client, "out0", "again")
	p.WaitForRecords(2)
	if n := p.CountLines("--tap cuts off what was added"); n != 1 {
		t.Errorf("%d warnings of an address that was added, want 1:\n%s", n, p.Log())
	}
	expectRecordedOn(p, "quiet", "mirror0", "again", "mirror0")

	ip("address add 192.0.2.80/32 dev mirror0")
	forced := program.Start(t, l.Server, "attach", "mirror0", "--tap", "--force", "--jsonfields=interface")
	forced.WaitForCapture()
	sendFrom(t, l.Client, "out0", "forced")
	forced.WaitForRecords(1)
	expectRecordedOn(forced, "forced", "mirror0")
}
