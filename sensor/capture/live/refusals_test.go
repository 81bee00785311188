package live

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestRefusals: modes with one reason share it, and what follows from a missing right is
// said once.
func TestRefusals(t *testing.T) {
	rights := fmt.Errorf("missing CAP_BPF: %w", os.ErrPermission)
	f := func(short, long string, all ...any) {
		t.Helper()
		var r refusals
		for i := 0; i < len(all); i += 2 {
			r.add(all[i].(Mode), all[i+1].(error))
		}
		if got := r.String(); got != short {
			t.Errorf("%q, want %q", got, short)
		}
		if got := r.err().Error(); got != long {
			t.Errorf("%q, want %q", got, long)
		}
	}
	const none = "this build cannot capture from interfaces here: on systems other than Linux it must be built with -tags libpcap"
	f("", none)
	f("not by tcx or clsact (no eth9)", "no eth9", ModeTCX, errors.New("no eth9"), ModeClsact, errors.New("no eth9"))
	f("not by tcx or clsact (missing CAP_BPF)", "missing CAP_BPF: permission denied", ModeTCX, rights, ModeClsact, rights)
	f("not by tcx (no TCX), not by clsact (missing CAP_BPF)", "no way to capture works here: tcx: no TCX; clsact: missing CAP_BPF: permission denied",
		ModeTCX, errors.New("no TCX"), ModeClsact, rights)
}

func TestParseMode(t *testing.T) {
	for _, m := range Modes() {
		if got, err := ParseMode(string(m)); got != m || err != nil {
			t.Errorf("%s: %s, %v", m, got, err)
		}
	}
	if _, err := ParseMode("afxdp"); err == nil || !strings.Contains(err.Error(), `"afxdp": use auto, tcx, clsact, xdp, afpacket or pcap`) {
		t.Errorf("%v", err)
	}
}
