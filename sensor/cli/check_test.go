package cli

import (
	"strings"
	"testing"

	"dnsmonster-sensor/sensor/capture/live"
)

// TestReportOfCheck: the first line says whether a capture is possible and how, or which
// command helps.
func TestReportOfCheck(t *testing.T) {
	have := func(n int) (list []live.Feature) {
		for i, name := range []string{"rights", "ring buffers", "TCX"} {
			list = append(list, live.Feature{Name: name, Have: i < n, Unknown: i > 0 && n == 0, Reason: "none"})
		}
		return list
	}
	down := []live.InterfaceReport{{Name: "eth1", Type: "ifb", MTU: 1500, Advice: []string{"it is down", "other"}, Hidden: []string{"a program"}}}
	f := func(r live.Report, names []string, first string, wants ...string) {
		t.Helper()
		var out strings.Builder
		printReport(&out, &r, names, "./x check")
		if line, _, _ := strings.Cut(out.String(), "\n"); line != first {
			t.Errorf("the first line is %q, want %q", line, first)
		}
		for _, want := range wants {
			if not, ok := strings.CutPrefix(want, "!"); ok == strings.Contains(out.String(), strings.TrimPrefix(want, "!")) {
				t.Errorf("%q (not: %v):\n%s", not, ok, out.String())
			}
		}
	}
	f(live.Report{Mode: "tcx", Why: "TCX sees all", Features: have(3), Interfaces: down}, nil, "Live capture works here, in mode tcx.",
		"\nTCX sees all.\n", "  yes  TCX\n", "eth1: ifb, down, MTU 1500\n  hidden: a program\n  advice: other\n", "!it is down", "!advice: Linux")
	f(live.Report{Mode: "clsact", Why: "no TCX", Advice: []string{"Linux 6.6 attaches"}, Features: have(2), Interfaces: down}, []string{"eth1"},
		"Live capture works here, in mode clsact.", "\nno TCX.\nadvice: Linux 6.6 attaches\n", "  no   TCX: none\n", "  advice: it is down\n")
	f(live.Report{Why: "missing CAP_BPF", Missing: []string{"CAP_BPF"}, Advice: []string{"run as root"}, Features: have(0)}, nil,
		"Live capture does not work for this user. Try: sudo ./x check", "\nThe process lacks CAP_BPF.\nadvice: run as root\n", "  no   rights: none\n", "  ?    TCX\n")
	f(live.Report{Why: "no ring buffers", Advice: []string{"replay"}, Features: have(1)}, nil,
		"Live capture does not work here.", "advice: replay\n", "  no   ring buffers: none\n")
}
