//go:build linux

package program

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"dnsmonster-sensor/bpf"
	"dnsmonster-sensor/userspace/account"
)

// Result is the outcome of a run.
type Result struct {
	Code    int
	Log     string
	Ledgers map[string]map[string]uint64 // ledger, outcome or "in"
}

var ledgerLine = regexp.MustCompile(`^  (\S.*?)\s+in (\d+)(.*); unaccounted (-?\d+|unknown)$`)

// ParseLedgers reads the ledgers in a summary.
func ParseLedgers(log string) map[string]map[string]uint64 {
	ledgers := map[string]map[string]uint64{}
	for line := range strings.Lines(log) {
		m := ledgerLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			continue
		}
		ledger := map[string]uint64{}
		ledger["in"], _ = strconv.ParseUint(m[2], 10, 64)
		for part := range strings.SplitSeq(strings.TrimPrefix(m[3], ", "), ", ") {
			if name, n, ok := strings.Cut(part, " "); ok {
				if value, err := strconv.ParseUint(n, 10, 64); err == nil { // it can be unknown
					ledger[name] = value
				}
			}
		}
		ledgers[m[1]] = ledger
	}
	return ledgers
}

// Sum adds up one entry over all ledgers whose name starts with prefix.
func (r Result) Sum(prefix, entry string) (n uint64) {
	for name, ledger := range r.Ledgers {
		if strings.HasPrefix(name, prefix) {
			n += ledger[entry]
		}
	}
	return n
}

// Expect checks the exit status, and that the ledgers balance.
func (r Result) Expect(t *testing.T, code int) {
	t.Helper()
	if r.Code != code || !strings.Contains(r.Log, "\nunaccounted 0\n") {
		t.Errorf("exit status %d, want %d, and unaccounted 0:\n%s", r.Code, code, r.Log)
	}
}

// Lost is the sum of all outcomes that mean a loss.
func (r Result) Lost() (n uint64) {
	for _, name := range LossNames() {
		n += r.Sum("kernel", name) + r.Sum("packet", name) + r.Sum("delivery", name)
	}
	return n
}

// LossNames are the names of outcomes that mean a loss.
func LossNames() (names []string) {
	for _, c := range bpf.DefinedCounters() {
		if c.Kind == bpf.KindLost {
			names = append(names, c.Name)
		}
	}
	names = append(names, "lane_full", "not_read") // of libpcap and of AF_PACKET
	none := func() uint64 { return 0 }
	for _, l := range []account.Ledger{account.PacketLedger(account.NewPacketCounters(), none), account.DeliveryLedger("", account.NewDeliveryCounters(), none)} {
		for _, o := range l.Outcomes {
			if o.Lost {
				names = append(names, o.Name)
			}
		}
	}
	return names
}

// ExpectCounted is Expect for a run that may lose something, on a machine that may
// be busy: every loss must be counted. It returns their sum.
func (r Result) ExpectCounted(t *testing.T) uint64 {
	t.Helper()
	code := ExitOK
	if r.Lost() > 0 {
		code = ExitUndelivered
	}
	r.Expect(t, code)
	return r.Lost()
}

// ExpectLog fails where a text is missing in the log.
func (r Result) ExpectLog(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.Log, text) {
			t.Errorf("stderr lacks %q:\n%s", text, r.Log)
		}
	}
}
