//go:build linux

package scenes

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// runTool runs a command, and returns its stdout.
func runTool(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	var log bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, log.String())
	}
	return out
}

// captureWith lets a capture program write n packets to a file; FILE in the arguments
// stands for its path.
func captureWith(t *testing.T, n int, tool string, args ...string) (path string, l *lab.Lab) {
	t.Helper()
	l = lab.New(t)
	f := flow(t, l, 2000, n)
	path = filepath.Join(t.TempDir(), "captured")
	args = append([]string{"-i", l.Server.Iface, "-c", fmt.Sprint(n)}, args...)
	args[slices.Index(args, "FILE")] = path
	dump := lab.StartDaemon(t, l.Server.Command(context.Background(), tool, args...))
	dump.Await("it captures", func() bool {
		st, err := os.Stat(path)
		return err == nil && st.Size() > 0 && packetSockets(t, l.Server) > 0
	})
	if _, err := f.Send(context.Background()); err != nil {
		t.Fatal(err)
	}
	dump.Wait()
	return path, l
}

// packetSockets is the number of running AF_PACKET sockets of a host.
func packetSockets(t *testing.T, h *lab.Host) (n int) {
	t.Helper()
	i := strings.TrimSpace(h.Run(t, "cat", "/sys/class/net/"+h.Iface+"/ifindex"))
	for line := range strings.Lines(h.Run(t, "cat", "/proc/net/packet")) {
		// sk RefCnt Type Proto Iface R Rmem User Inode; R is 1 once it is bound and runs
		if f := strings.Fields(line); len(f) > 5 && f[4] == i && f[5] == "1" && f[3] != "0000" {
			n++
		}
	}
	return n
}

// sortedRecords replays files, and returns the records, sorted.
func sortedRecords(t *testing.T, stdin []byte, args ...string) []string {
	t.Helper()
	cmd := program.Command(nil, append([]string{"replay", "--metricendpointtype="}, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil || !strings.Contains(log.String(), "\nunaccounted 0\n") {
		t.Fatalf("replay %q: %v\n%s", args, err, log.String())
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	return lines
}

// TestEncodings: the same packets give the same records from any program and file format,
// compressed or not, in one file or in many.
func TestEncodings(t *testing.T) {
	t.Parallel()
	lab.Need(t, "tcpdump", "editcap", "mergecap", "gzip", "zstd", "xz", "lz4")
	const n = 3000
	nanos, _ := captureWith(t, n, "tcpdump", "-U", "-Z", "root", "--time-stamp-precision=nano", "-w", "FILE", "udp")
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	want := sortedRecords(t, nil, nanos)
	if len(want) != n {
		t.Fatalf("%d records, want %d", len(want), n)
	}
	same := func(what string, want []string, stdin []byte, args ...string) {
		t.Helper()
		got := sortedRecords(t, stdin, args...)
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				t.Errorf("%s: record %d of %d is not the same as that of %d", what, i, len(got), len(want))
				return
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d records, want %d", what, len(got), len(want))
		}
	}

	runTool(t, "editcap", "-F", "pcapng", nanos, in("a.pcapng"))
	same("pcapng", want, nil, in("a.pcapng"))
	runTool(t, "editcap", "-F", "nsecpcap", in("a.pcapng"), in("again.pcap"))
	same("there and back", want, nil, in("again.pcap"))
	runTool(t, "editcap", "-F", "pcap", nanos, in("micros.pcap"))
	micros := sortedRecords(t, nil, in("micros.pcap"))
	runTool(t, "editcap", "-F", "modpcap", nanos, in("modified.pcap"))
	same("modified pcap", micros, nil, in("modified.pcap"))
	runTool(t, "tcpdump", "-r", nanos, "-w", in("tcpdump.pcap"))
	same("tcpdump's own copy", micros, nil, in("tcpdump.pcap"))

	// One file split into several, and those merged into one with several interfaces and sections.
	runTool(t, "editcap", "-F", "pcapng", "-c", "1000", nanos, in("part.pcapng"))
	parts, err := filepath.Glob(in("part_*.pcapng"))
	if err != nil || len(parts) != 3 {
		t.Fatalf("parts %q, want three (%v)", parts, err)
	}
	same("several files", want, nil, parts...)
	runTool(t, "mergecap", append([]string{"-F", "pcapng", "-I", "none", "-w", in("interfaces.pcapng")}, parts...)...)
	same("several interfaces", want, nil, in("interfaces.pcapng"))
	var sections []byte
	for _, p := range parts {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		sections = append(sections, b...)
	}
	same("several sections", want, sections, "-")

	// Compressed, also in two parts, as files with any name, and as standard input.
	half, err := os.ReadFile(nanos)
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range [][]byte{half[:len(half)/2], half[len(half)/2:]} {
		if err := os.WriteFile(in(fmt.Sprint("half", i)), part, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []string{"gzip", "zstd", "xz", "lz4"} {
		whole := runTool(t, c, "-c", nanos)
		same(c+" from a pipe", want, whole, "-")
		both := append(runTool(t, c, "-c", in("half0")), runTool(t, c, "-c", in("half1"))...)
		if err := os.WriteFile(in("both"), both, 0o600); err != nil {
			t.Fatal(err)
		}
		same(c+" in two parts", want, nil, in("both"), "--workers=1")
		same(c+" in two parts", want, nil, in("both"), "--workers=3")
	}
}

// TestInterfaceNamesOfFiles: a record has the interface name that the file has for the
// packet.
func TestInterfaceNamesOfFiles(t *testing.T) {
	t.Parallel()
	lab.Need(t, "dumpcap")
	path, l := captureWith(t, 30, "dumpcap", "-q", "-f", "udp", "-w", "FILE")
	want := `,"Interface":"` + l.Server.Iface + `"}`
	lines := sortedRecords(t, nil, path, "--jsonfields=interface")
	for _, line := range lines {
		if !strings.HasSuffix(line, want) {
			t.Fatalf("a record without %s: %s", want, line)
		}
	}
	if len(lines) != 30 {
		t.Errorf("%d records, want 30", len(lines))
	}
	if line := sortedRecords(t, nil, packets.TempFile(t, packets.Queries(1)), "--jsonfields=interface")[0]; strings.Contains(line, `"Interface"`) {
		t.Errorf("an interface though the file knows none: %s", line)
	}
}
