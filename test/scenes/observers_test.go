//go:build linux

package scenes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/test/program"
)

// way is a way to capture: a mode, on one of the wire's ends.
type way struct {
	name   string
	mode   string
	says   string // at the start
	client bool   // at the client's end: there, what comes in is what the server sends
	own    bool   // by a sensor that is built with libpcap
}

// Ways to capture, which all work at the same time: an interface has one XDP program, so the
// second one is at the wire's other end.
var (
	byTCX     = way{name: "tcx", mode: "tcx", says: "tcx"}
	byClsact  = way{name: "clsact", mode: "clsact", says: "clsact"}
	byXDP     = way{name: "native XDP", mode: "xdp", says: "xdp (native)"}
	byGeneric = way{name: "generic XDP", mode: "xdp", says: "xdp (generic)", client: true}
	byPacket  = way{name: "AF_PACKET", mode: "afpacket", says: "af_packet"}
	byPcap    = way{name: "libpcap", mode: "pcap", says: "libpcap", own: true}
)

// everyWay lists all ways. In make test it lists only a few: the kernel takes seconds to check
// the programs of the others.
func everyWay() []way {
	return tier.Length([]way{byTCX, byPacket}, []way{byTCX, byClsact, byXDP, byGeneric, byPacket, byPcap})
}

// observer is a sensor that watches a scene beside others.
type observer struct {
	way
	*program.Process
	swapped bool // it says out for in, since it is at the other end
}

// recordFields are all fields that a record can have of where a packet was seen.
const recordFields = "--jsonfields=interface,direction,vlan,tunnel,samplerate"

// observe starts a sensor for each way on the wire, and waits until all capture.
func observe(t *testing.T, l *lab.Lab, ways []way, options ...string) (list []*observer) {
	t.Helper()
	if slices.ContainsFunc(ways, func(w way) bool { return w.client && w.mode == "xdp" }) {
		// A veth driver runs no XDP program if the other end has more queues to send from. The server's is not affected.
		lab.Need(t, "ethtool")
		l.Server.Run(t, "ethtool", "-L", l.Server.Iface, "tx", "2")
	}
	for _, w := range ways {
		host := l.Server
		if w.client {
			host = l.Client
		}
		o := observeOn(t, host, host.Iface, w, options...)
		o.swapped = w.client
		list = append(list, o)
	}
	waitForAll(list)
	return list
}

// observeOn starts a sensor on any interface, or on several.
func observeOn(t *testing.T, host *lab.Host, iface string, w way, options ...string) *observer {
	t.Helper()
	args := append([]string{"attach", iface, "--mode=" + w.mode, recordFields}, options...)
	p := program.New(t, host, args...)
	if w.own {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		p.Cmd.Args[slices.Index(p.Cmd.Args, self)] = sensorWithLibpcap(t)
	}
	p.Start()
	return &observer{way: w, Process: p}
}

// sensorWithLibpcap builds the sensor with libpcap, once for all tests.
func sensorWithLibpcap(t *testing.T) string {
	t.Helper()
	lab.Need(t, "gcc")
	if _, err := os.Stat("/usr/include/pcap.h"); err != nil && os.Getenv("CI") != "true" {
		t.Skipf("%v (packaging/dev/install-tools.sh test installs it)", err)
	}
	path, err := buildWithLibpcap()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildWithLibpcap = sync.OnceValues(func() (string, error) {
	path, err := filepath.Abs("../../build/tools/sensor-with-libpcap")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-buildvcs=false", "-tags=libpcap,urfave_cli_no_docs", "-o", path, "../..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the sensor with libpcap: %w\n%s", err, out)
	}
	return path, nil
})

// waitForAll waits until all capture, each in its way.
func waitForAll(list []*observer) {
	for _, o := range list {
		o.T.Helper()
		o.WaitForCapture()
		if !strings.Contains(o.Log(), o.says) && !strings.Contains(o.Log(), "interface is down") {
			o.T.Errorf("%s: the start does not say %q:\n%s", o.name, o.says, o.Log())
		}
	}
}

// stopAll ends all observers, and expects that each has recorded all it captured. It returns
// their records.
func stopAll(t *testing.T, list []*observer) (records [][]record) {
	t.Helper()
	for _, o := range list {
		o.Signal(syscall.SIGTERM)
	}
	for _, o := range list {
		o.Wait(await.Limit).Expect(t, program.ExitOK)
		b, err := os.ReadFile(o.RecordsFile)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, o.records(t, b))
	}
	return records
}

// record is a line of records: its time, and the rest.
type record struct {
	rest string
	time time.Time
}

// records sorts what an observer has written, as the server's end sees it.
func (o *observer) records(t *testing.T, b []byte) []record {
	t.Helper()
	if o.swapped {
		b = otherEnd.ReplaceAllFunc(b, func(m []byte) []byte {
			if bytes.Contains(m, []byte(`"in"`)) {
				return []byte(`"Interface":"srv0","Direction":"out"`)
			}
			return []byte(`"Interface":"srv0","Direction":"in"`)
		})
	}
	return parseRecords(t, b)
}

var otherEnd = regexp.MustCompile(`"Interface":"cli0","Direction":"(in|out)"`)

// parseRecords sorts lines of records by all but their time, and then by that.
func parseRecords(t *testing.T, b []byte) (list []record) {
	t.Helper()
	for line := range bytes.Lines(b) {
		head, rest, ok := bytes.Cut(line, []byte(`","DNS":`))
		text, ok2 := bytes.CutPrefix(head, []byte(`{"Timestamp":"`))
		at, err := time.Parse(time.RFC3339Nano, string(text))
		if !ok || !ok2 || err != nil || !json.Valid(line) {
			t.Fatalf("not a record: %s", line)
		}
		list = append(list, record{string(bytes.TrimSpace(rest)), at})
	}
	sortRecords(list)
	return list
}

func sortRecords(list []record) {
	slices.SortFunc(list, func(a, b record) int {
		if n := strings.Compare(a.rest, b.rest); n != 0 {
			return n
		}
		return a.time.Compare(b.time)
	})
}

// changed returns records with changed text.
func changed(list []record, change func(string) string) []record {
	list = slices.Clone(list)
	for i := range list {
		list[i].rest = change(list[i].rest)
	}
	sortRecords(list)
	return list
}

// sameMoment is how far apart the times of one packet may be: each observer has its own
// time stamp, and this machine may be busy between them.
const sameMoment = 500 * time.Millisecond

// expectSame expects two observers to have the same records at the same times.
func expectSame(t *testing.T, nameA string, a []record, nameB string, b []record) {
	t.Helper()
	var only []string
	say := func(name string, r record) {
		if only = append(only, name); len(only) <= 6 {
			t.Errorf("only %s has, of %s: %.600s", name, r.time.Format("05.000000"), r.rest)
		}
	}
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case j == len(b) || i < len(a) && a[i].rest < b[j].rest:
			say(nameA, a[i])
			i++
		case i == len(a) || b[j].rest < a[i].rest:
			say(nameB, b[j])
			j++
		default:
			if d := a[i].time.Sub(b[j].time).Abs(); d > sameMoment {
				t.Errorf("%s and %s have times %s apart for %.300s", nameA, nameB, d, a[i].rest)
			}
			i, j = i+1, j+1
		}
	}
	if len(only) > 0 {
		t.Errorf("%s has %d records, %s has %d; %d are not of both", nameA, len(a), nameB, len(b), len(only))
	}
}

// expectAllSame compares all observers with the first one, whose records it returns.
func expectAllSame(t *testing.T, list []*observer, records [][]record) []record {
	t.Helper()
	for i := range list[1:] {
		expectSame(t, list[0].name, records[0], list[i+1].name, records[i+1])
	}
	if t.Failed() {
		for _, o := range list {
			t.Logf("%s:\n%s", o.name, o.Log())
		}
	}
	return records[0]
}

// inFile is what replay of a file can know of a record: not where its packet passed.
func inFile(rest string) string { return seenWhere.ReplaceAllString(rest, "") }

var seenWhere = regexp.MustCompile(`,"Interface":"[^"]*"|,"Direction":"[^"]*"`)

// replayed returns the records of a capture file.
func replayed(t *testing.T, file string, options ...string) []record {
	t.Helper()
	cmd := program.Command(nil, append([]string{"replay", file, recordFields}, options...)...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("replay: %v\n%s", err, log.String())
	}
	program.Result{Code: cmd.ProcessState.ExitCode(), Log: log.String()}.Expect(t, program.ExitOK)
	return parseRecords(t, out.Bytes())
}

// texts are records without their times.
func texts(list []record) (lines []string) {
	for _, r := range list {
		lines = append(lines, r.rest)
	}
	return lines
}

// names are those of ways.
func names(ways []way) string {
	var list []string
	for _, w := range ways {
		list = append(list, w.name)
	}
	return fmt.Sprintf("%d ways: %s", len(list), strings.Join(list, ", "))
}
