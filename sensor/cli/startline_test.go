package cli

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/capture/live"
	"dnsmonster-sensor/sensor/capture/watch"
	"dnsmonster-sensor/test/packets"
)

// TestStartLine: the line names what is captured and how, in reasonable length.
func TestStartLine(t *testing.T) {
	const both, one = "tc ingress (tcx), tc egress (tcx)", "tc ingress (tcx)"
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf("eth%d: %s", i, both))
	}
	f := func(want string, verbose bool, names []string, attached ...string) {
		t.Helper()
		if got := capturingOn(names, attached, verbose); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f("capturing on eth0 (tcx ingress+egress)", false, []string{"eth0"}, "eth0: "+both)
	f("capturing on eth0, eth1 (tcx ingress+egress), lo (tcx ingress)", false, []string{"eth0", "lo", "eth1"}, "eth0: "+both, "lo: "+one, "eth1: "+both)
	f("capturing on eth0 (xdp (native), clsact egress)", false, []string{"eth0"}, "eth0: xdp (native), tc egress (clsact)")
	f("capturing on tap0 (in a way of its own)", false, []string{"tap0"}, "tap0: in a way of its own")
	f("capturing on any interface, now 40 interfaces: eth0, eth1, eth2, ... (tcx ingress+egress)", false, []string{"any"}, many...)
	f("capturing on any interface that comes up: none is up yet", false, []string{"any"})
	if got := capturingOn([]string{"any"}, many, true); !strings.Contains(got, ", eth39 (tcx ingress+egress)") || strings.Contains(got, "...") {
		t.Errorf("with -v: %q", got)
	}
}

// TestReadingFiles: the line names the files and their size, or their number if there are
// many.
func TestReadingFiles(t *testing.T) {
	a, b := packets.TempFile(t, make([]byte, 1000)), packets.TempFile(t, make([]byte, 1500))
	pipe, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	defer write.Close()
	f := func(want string, paths ...string) {
		t.Helper()
		if got := readingFiles(paths, false); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f("reading "+a+" (1.0 kB)", a)
	f("reading "+a+", "+b+" (2.5 kB)", a, b)
	f("reading 4 files: "+a+", "+b+", ... (5.0 kB)", a, b, a, b)
	f(fmt.Sprintf("reading /dev/fd/%d", pipe.Fd()), fmt.Sprintf("/dev/fd/%d", pipe.Fd()))
	for n, want := range map[int64]string{0: "0 bytes", 1: "1 byte", 999: "999 bytes", 1e6: "1.0 MB", 12_345_678_901: "12.3 GB"} {
		if got := shownSize(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// TestHintsNameFewInterfaces: a hint about hundreds of interfaces is readable.
func TestHintsNameFewInterfaces(t *testing.T) {
	names := strings.Fields("eth0 eth1 eth2 eth3 eth4")
	for n, want := range map[int]string{1: "eth0", 4: "eth0, eth1, eth2, eth3", 5: "5 interfaces"} {
		if got := liveHints(live.Options{Watch: watch.Options{Interfaces: names[:n]}}).Where; got != want {
			t.Errorf("%d interfaces: %q, want %q", n, got, want)
		}
	}
}

// TestHintsTryWhatIsNotSet: a hint names only what the options do not ask for already.
func TestHintsTryWhatIsNotSet(t *testing.T) {
	f := func(o live.Options, want string) {
		t.Helper()
		if got := strings.Join(liveHints(o).Try, ", "); got != want {
			t.Errorf("%v: try %q, want %q", o.Watch.Interfaces, got, want)
		}
	}
	decap := capture.Selection{Decap: []uint8{1}}
	f(live.Options{Watch: watch.Options{Interfaces: []string{"eth0"}}}, "--decap=all (tunnels), --promiscuous (mirror port), attach any (all interfaces), dnsmonster-sensor check")
	f(live.Options{Watch: watch.Options{Interfaces: []string{"eth0"}, Promiscuous: true}, Select: decap}, "attach any (all interfaces), dnsmonster-sensor check")
	f(live.Options{Watch: watch.Options{Interfaces: []string{"any"}}}, "--decap=all (tunnels), dnsmonster-sensor check")
	f(live.Options{Watch: watch.Options{Interfaces: []string{"any"}}, Select: decap}, "dnsmonster-sensor check")
}
