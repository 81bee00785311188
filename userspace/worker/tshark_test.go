package worker

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dnsmonster-sensor/userspace/event"
)

// captureFolder has captures with lists of the messages that tshark finds in them.
const captureFolder = "../../../shared/captures"

// differences are the differences from tshark, and the reasons. Lines with '-' are
// messages that only tshark finds, lines with '+' are only ours.
var differences = map[string][]string{
	// Six bytes of UDP payload: no DNS header, so no record; counted as unreadable.
	"compactor--test-scripts_malformed.pcap": {
		"-udp 192.168.1.2 44848 192.168.1.252 53 30841 0 15 10 * -1",
	},
	"nDPI--tests_cfgs_default_pcap_fuzz-2006-06-26-2594.pcap": {
		// A flipped bit makes this query a first fragment. We report its beginning, with
		// CaptureCut 4; tshark waits for the rest.
		"+udp 192.168.1.2 2823 192.168.1.1 53 33336 0 0 0 * -1",
		// The IPv4 header says 37 bytes, which leaves 9 for DNS: no DNS header, counted as
		// unreadable. tshark shows the length in the UDP header.
		"-udp 192.168.1.2 2754 192.168.1.1 53 32207 0 0 0 * -1",
		"-udp 192.168.1.2 2761 192.168.1.1 53 11254 0 0 0 * -1",
	},
	// The second segment of this answer is not in the file. We report the 1,438
	// bytes of the first, with CaptureCut 735; tshark waits for the second.
	"compactor--test-scripts_matching.pcap": {
		"+tcp 3249:edc5:124b:e8c5:1248:e8c5:1248:e847 53 3249:edc5:fa5f:f855:1248:e8c5:1248:e9c5 36728 0 1 0 0  255",
	},
}

// listing is the messages of a capture by key: time, length and record counts.
type listing map[string][]string

// plainName has no characters that tools escape differently.
var plainName = regexp.MustCompile(`^[a-z0-9_.-]*$`)

func canonical(name string) string {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if plainName.MatchString(name) {
		return name
	}
	return "?"
}

func ourLine(e *event.Event) (key, details string) {
	name, kind := "*", -1
	if e.DNS.HasQuestion {
		name, kind = canonical(string(e.AppendQName(nil))), int(e.DNS.QType)
	}
	response := 0
	if e.DNS.Response() {
		response = 1
	}
	key = fmt.Sprintln(e.Proto, e.Src.Addr().Unmap(), e.Src.Port(), e.Dst.Addr().Unmap(), e.Dst.Port(), e.DNS.ID, response,
		e.DNS.Opcode(), e.DNS.Header.Rcode(), name, kind)
	an, ns, ar := int(e.DNS.ANCount), int(e.DNS.NSCount), int(e.DNS.ARCount)
	if e.DNS.Malformed.Yes() {
		an, ns, ar = -1, -1, -1
	}
	micros := e.Time / 1000
	return key[:len(key)-1], fmt.Sprintf("%d.%06d %d %d %d %d", micros/1e6, micros%1e6, e.Length(), an, ns, ar)
}

func theirs(path string) (listing, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	l := listing{}
	for line := range strings.Lines(string(text)) {
		c := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		seconds, fraction, _ := strings.Cut(c[11], ".")
		c[11] = seconds + "." + (fraction + "000000")[:6]
		key := strings.Join(c[:11], " ")
		l[key] = append(l[key], strings.Join(c[11:], " "))
	}
	return l, nil
}

// compare returns the messages that one side lacks, and those that differ in detail.
func compare(theirs, ours listing) (lines []string) {
	for key, t := range theirs {
		o := ours[key]
		if len(t) != len(o) {
			continue
		}
		slices.Sort(t)
		slices.Sort(o)
		for i := range t {
			if !sameDetails(t[i], o[i]) {
				lines = append(lines, fmt.Sprintf("~%s: tshark %s, ours %s", key, t[i], o[i]))
			}
		}
	}
	missing, extra := surplus(theirs, ours), surplus(ours, theirs)
	removePairs(missing, extra)
	removePairs(extra, missing)
	for key, n := range missing {
		lines = append(lines, slices.Repeat([]string{"-" + key}, n)...)
	}
	for key, n := range extra {
		lines = append(lines, slices.Repeat([]string{"+" + key}, n)...)
	}
	slices.Sort(lines)
	return lines
}

// sameDetails compares column by column; -1 is unknown.
func sameDetails(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	for i := range x {
		if x[i] != y[i] && x[i] != "-1" && y[i] != "-1" {
			return false
		}
	}
	return true
}

// surplus counts how many more messages a has than b.
func surplus(a, b listing) map[string]int {
	n := map[string]int{}
	for key := range a {
		if d := len(a[key]) - len(b[key]); d > 0 {
			n[key] = d
		}
	}
	return n
}

// removePairs removes messages of a whose question cannot be compared, each together
// with one of b that agrees in everything else.
func removePairs(a, b map[string]int) {
	header := func(key string) string { return strings.Join(strings.Split(key, " ")[:9], " ") }
	for x := range a {
		if name := strings.Split(x, " ")[9]; name != "*" && name != "?" {
			continue
		}
		for y := range b {
			if n := min(a[x], b[y]); header(x) == header(y) && n > 0 {
				a[x], b[y] = a[x]-n, b[y]-n
			}
		}
	}
}

// TestAgreement: in all captures we find the messages that tshark finds, except for the
// differences above.
func TestAgreement(t *testing.T) {
	lists, _ := filepath.Glob(filepath.Join(captureFolder, "*.tsv"))
	if len(lists) == 0 {
		t.Skipf("no captures in %s: they are third-party data and not part of the repository", captureFolder)
	}
	for _, list := range lists {
		path := strings.TrimSuffix(list, ".tsv")
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) { agrees(t, path, differences[name], func(*event.Event) {}) })
	}
}

// agrees compares the messages that we find in a capture with its list, and calls look
// with each event.
func agrees(t *testing.T, path string, expected []string, look func(*event.Event)) {
	t.Helper()
	want, err := theirs(path + ".tsv")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	packets, err := readCapture(data)
	if err != nil {
		t.Fatal(err)
	}
	b := newRig(t, Config{})
	ours := listing{}
	emit := func(e *event.Event) {
		key, details := ourLine(e)
		ours[key] = append(ours[key], details)
		look(e)
	}
	for i := range packets {
		b.given++
		b.worker.Packet(&packets[i], emit)
	}
	b.balanced(false)
	b.worker.Flush(emit)
	b.balanced(true)
	if got := compare(want, ours); !slices.Equal(got, expected) {
		t.Errorf("differences from tshark:\n%s\nexpected:\n%s", strings.Join(got, "\n"), strings.Join(expected, "\n"))
	}
}
