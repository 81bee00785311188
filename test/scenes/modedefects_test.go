//go:build linux

package scenes

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/program"
)

// TestDefect15StatisticsAreCumulative: statistics are read all the time, and what was lost
// between two readings is in all that follow, and in the ledgers at the end.
func TestDefect15StatisticsAreCumulative(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	f := flow(t, l, 0, 40_000) // more than a ring holds
	list := observe(t, l, everyWay(), "--ringmb=1", "--afpacketbuffersizemb=1", "--queuemb=256", "--stats=100ms")
	send := func() (packets uint64) {
		t.Helper()
		sent, err := f.Send(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return sent.Packets
	}
	for _, o := range list {
		o.Signal(syscall.SIGSTOP)
	}
	sent := send()
	for _, o := range list {
		o.Signal(syscall.SIGCONT)
	}
	for _, o := range list {
		lines := 0
		o.Until("the loss is told, five times", func() bool {
			stats := program.ParseStats(o.Log())
			lines = len(stats)
			at := slices.IndexFunc(stats, func(s program.Stats) bool { return s.Lost > 0 })
			return at >= 0 && lines >= at+5
		})
	}
	f.Rate, f.Count = 1000, 100
	sent += send()
	for _, o := range list {
		r := o.Stop()
		r.Expect(t, program.ExitUndelivered)
		lost, delivered := r.Lost(), r.Sum("kernel", "delivered")
		if seen := r.Sum("kernel", "in") - r.Sum("kernel", "not_dns"); seen != sent || lost == 0 || lost+delivered != sent {
			t.Errorf("%s: %d packets seen, %d lost and %d delivered, %d sent:\n%s", o.name, seen, lost, delivered, sent, r.Log)
		}
		if got := program.Count(t, o.RecordsFile).Total(); got != delivered {
			t.Errorf("%s: %d records of %d packets", o.name, got, delivered)
		}
		last := 0
		for _, s := range program.ParseStats(r.Log) {
			if s.Lost < last {
				t.Errorf("%s: %d lost, after %d:\n%s", o.name, s.Lost, last, r.Log)
			}
			last = s.Lost
		}
	}
}

// TestDefect16DownIsNotTheEnd: an interface that is down, also at the start, is captured
// when it is up again.
func TestDefect16DownIsNotTheEnd(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Server.Down(t)
	list := observe(t, l, everyWay())
	var sent []string
	for n := range 3 {
		l.Server.Up(t)
		// libpcap alone does not capture at once: its capture ends when the interface goes down, and is opened again.
		prefix := fmt.Sprintf("up%dx", n)
		await.True(t, "a record of each sensor", func() bool {
			sent = append(sent, fmt.Sprintf("%s%d", prefix, len(sent)))
			sendFrom(t, l.Server, l.Server.Iface, sent[len(sent)-1])
			time.Sleep(50 * time.Millisecond) // not a flood
			return !slices.ContainsFunc(list, func(o *observer) bool { return recordsOf(o, prefix) == 0 })
		})
		l.Server.Down(t)
	}
	for i, records := range stopAll(t, list) {
		text := strings.Join(texts(records), "\n")
		for _, name := range sent {
			if n := strings.Count(text, `"`+name+`.example.org."`); n != 1 && (list[i].mode != "pcap" || n > 1) {
				t.Errorf("%s: %s is recorded %d times:\n%s", list[i].name, name, n, list[i].Log())
			}
		}
	}
}

// recordsOf counts the records written of names with a prefix.
func recordsOf(o *observer, prefix string) int {
	b, err := os.ReadFile(o.RecordsFile)
	if err != nil {
		o.T.Fatal(err)
	}
	return bytes.Count(b, []byte(`"Name":"`+prefix))
}

// TestDefect17NothingIsCut: packets of any length are whole, also those of many segments.
// With a snap length, all that is cut is told in the record, and counted.
func TestDefect17NothingIsCut(t *testing.T) {
	t.Parallel()
	lab.Need(t, "kdig", "ethtool")
	l := lab.New(t)
	for _, h := range []*lab.Host{l.Server, l.Client} {
		h.Run(t, "ethtool", "-K", h.Iface, "gro", "on", "tso", "on", "gso", "on")
	}
	lab.StartKnot(t, l, lab.Zone{Names: 10})
	asks := func(options ...string) (list []*observer, records [][]record) {
		list = observe(t, l, everyWay(), append(options, "--metricstderrformat=kv")...)
		s := &tunnelScene{t: t, lab: l, tunnels: map[string]int{}}
		s.ask("", l.Server.V4, "h1.example.org A +notcp", "mid.example.org TXT +notcp +bufsize=4096")
		if len(options) == 0 {
			s.ask("", l.Server.V6, "big.example.org TXT +notcp +bufsize=4096", "huge.example.org TXT +tcp")
		}
		return list, stopAll(t, list)
	}
	list, records := asks()
	for i, o := range list {
		if text := strings.Join(texts(records[i]), "\n"); len(records[i]) != 8 || strings.Contains(text, "CaptureCut") || strings.Contains(text, "Malformed") {
			t.Errorf("%s: %d records, want 8 whole ones:\n%.5000s\n%s", o.name, len(records[i]), text, o.Log())
		}
	}
	expectAllSame(t, list, records)

	list, records = asks("--snaplen=100")
	for i, o := range list {
		if text := strings.Join(texts(records[i]), "\n"); len(records[i]) != 4 || strings.Count(text, `"CaptureCut":`) == 0 {
			t.Errorf("%s: %d records, want 4, and some cut:\n%s", o.name, len(records[i]), text)
		}
		if !strings.Contains(o.Log(), `{ledger="packet",meter="cut"}=1`) {
			t.Errorf("%s: what was cut is not counted:\n%s", o.name, o.Log())
		}
	}
	expectAllSame(t, list, records)
}
