//go:build linux

package scenes

import (
	"os"
	"slices"
	"strings"
	"testing"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/program"
)

// withRights makes a sensor that has these capabilities and no others, as root in a
// container has.
func withRights(t *testing.T, host *lab.Host, capabilities string, args ...string) *program.Process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := program.New(t, host, args...)
	p.Cmd.Args = slices.Insert(p.Cmd.Args, slices.Index(p.Cmd.Args, self), "setpriv", "--bounding-set=-all"+capabilities, "--inh-caps=-all")
	return p
}

// TestRightsOfAContainer: with what the manual's docker line grants, and with less, the
// sensor captures by AF_PACKET and says why. Without any it names the right that it lacks,
// and how to get it.
func TestRightsOfAContainer(t *testing.T) {
	t.Parallel()
	lab.Need(t, "setpriv")
	l := lab.New(t)
	f := func(capabilities, iface, missing string) {
		t.Helper()
		p := withRights(t, l.Server, capabilities, "--devName", iface, "--stdoutOutputType=1", "--jsonfields=interface")
		p.Start()
		p.WaitForCapture()
		sendFrom(t, l.Server, iface, "contained")
		expectRecordedOn(p, "contained", iface)
		if n := strings.Count(strings.Join(p.Records(), "\n"), "contained"); n != 1 {
			t.Errorf("%s: %d records of one query", capabilities, n)
		}
		for _, text := range []string{"mode=afpacket", missing} {
			if !strings.Contains(p.Log(), text) {
				t.Errorf("%s: the log does not say %q:\n%s", capabilities, text, p.Log())
			}
		}
	}
	f(",+net_raw,+net_admin", "lo", "(missing CAP_BPF, CAP_PERFMON)")
	f(",+net_raw", "lo", "(missing CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN)")
	f(",+net_raw", l.Server.Iface, "(missing CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN)") // run makes it promiscuous

	none := func(capabilities string, want []string, args ...string) {
		t.Helper()
		p := withRights(t, l.Server, capabilities, args...)
		p.Start()
		r := p.Wait(await.Limit)
		if r.Code != program.ExitUsage {
			t.Errorf("%q with %q: exit status %d, want %d", args, capabilities, r.Code, program.ExitUsage)
		}
		r.ExpectLog(t, want...)
	}
	none(",+chown", []string{"CAP_NET_RAW", "--cap-add NET_RAW"}, "--devName", "lo", "--stdoutOutputType=1")
	none(",+chown", []string{"CAP_BPF", "sudo "}, "attach", "lo")
	none(",+chown", []string{"CAP_NET_RAW", "sudo "}, "attach", "lo", "--mode=afpacket")
	none(",+net_raw,+net_admin", []string{"CAP_BPF", "CAP_PERFMON", "sudo "}, "attach", "lo", "--mode=tcx")
}
