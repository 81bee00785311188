//go:build linux

package cli

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
	"dnsmonster-sensor/userspace/dnstap"
	"dnsmonster-sensor/userspace/framestream"
)

// TestDefect20ExitStatus: 0 all delivered, 1 bad use, 2 failure; 3 is shown by
// TestAboveCapacity.
func TestDefect20ExitStatus(t *testing.T) {
	t.Parallel()
	good := packets.TempFile(t, packets.Queries(10))
	f := func(code int, message string, args ...string) {
		t.Helper()
		cmd := program.Command(nil, args...)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(string(out), message) {
			t.Errorf("%q: exit status %d, want %d and %q:\n%s", args, got, code, message, out)
		}
	}
	f(0, "unaccounted 0", "replay", good)
	f(0, "record every DNS message", "--help")
	f(0, "EXAMPLES", "attach", "--help")
	f(0, "EXAMPLES", "replay", "--help")
	f(0, "EXAMPLES", "check", "--help")
	f(0, "kernel program ", "--version")
	f(0, `"Id":9,`, "replay", good, "--PORT", "53")
	f(0, `"Id":9,`, "replay", "--Port=53", good)
	f(0, "EXAMPLES", "help", "run")
	f(1, " attach eth0", "atach", "eth0")
	f(1, "unknown command \"version\": did you mean --version?", "version")
	f(1, "no option about \"zzzzzz\"; try: clickhouse, dnstap, file, psql, ", "help", "zzzzzz")
	f(1, "attach: no option about \"zzz\"; try: ", "attach", "--help", "zzz")
	f(1, "name a capture file", "replay")
	f(1, "name an interface", "attach")
	if os.Geteuid() == 0 {
		f(1, "interface nosuch0", "attach", "nosuch0")
	} else {
		f(1, "CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN; run as root: sudo", "attach", "nosuch0")
	}
	f(1, "interface nosuch0", "check", "nosuch0")
	f(1, "is named twice", "attach", "lo", "lo")
	f(1, "--port 70000", "replay", good, "--port", "70000")
	f(1, "cannot keep 3 of 2", "attach", "lo", "--sampleratio", "3:2")
	f(1, "would keep nothing", "attach", "lo", "--sampleratio", "0:1")
	f(1, "unknown mode", "attach", "lo", "--mode", "afxdp")
	f(1, "--ringmb 3", "attach", "lo", "--ringmb", "3")
	f(1, "no such file", "replay", filepath.Join(t.TempDir(), "no.pcap"))
	f(1, "unknown option --prot: did you mean --port?", "replay", good, "--prot", "53")
	f(1, "--metricprometheusendpoint", "replay", good, "--metricprometheusendpoint", "2112")
	f(2, "test.pcap: --dedup: it does not apply to dnstap:", "replay", "--dedup", packets.TempFile(t, framestream.AppendControl(nil, framestream.Start, dnstap.ContentType)))
	f(2, "not a pcap, pcapng or dnstap file", "replay", packets.TempFile(t, []byte(strings.Repeat("text ", 10))))
}
