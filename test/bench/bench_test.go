//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsmonster-sensor/test/bench/generator"
)

// writeCapture writes a pcap file with a query for each name.
func writeCapture(t *testing.T, names ...string) string {
	t.Helper()
	le, be := binary.LittleEndian, binary.BigEndian
	b := le.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, make([]byte, 16)...)
	b = le.AppendUint32(b, 1)
	for i, name := range names {
		m := new(dns.Msg)
		m.SetQuestion(name, dns.TypeA)
		msg, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		frame := append(make([]byte, 12), 8, 0, 0x45, 0)
		frame = be.AppendUint16(frame, uint16(28+len(msg)))
		frame = append(frame, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 53)
		frame = be.AppendUint16(frame, 40000)
		frame = be.AppendUint16(frame, 53)
		frame = be.AppendUint16(frame, uint16(8+len(msg)))
		frame = append(append(frame, 0, 0), msg...)
		b = le.AppendUint32(b, uint32(i))
		b = le.AppendUint32(b, 500)
		b = le.AppendUint32(b, uint32(len(frame)))
		b = append(le.AppendUint32(b, uint32(len(frame))), frame...)
	}
	path := filepath.Join(t.TempDir(), "queries.pcap")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// records returns the records that the reference makes of a file.
func records(t *testing.T, path string) (list []record) {
	t.Helper()
	var out bytes.Buffer
	if err := referenceFile(path, &out); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		var r struct {
			record
			DNS any // dns.Msg cannot be decoded: its records are interfaces
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("record %s: %v", line, err)
		}
		list = append(list, r.record)
	}
	return list
}

func TestReferenceAndRepeat(t *testing.T) {
	once := writeCapture(t, "a.example.org.", "b.example.org.", "c.example.org.")
	if r := records(t, once); len(r) != 3 || r[0].SrcIP.String() != "192.0.2.1" || r[0].DstPort != 53 {
		t.Fatalf("records %+v", r)
	}
	to := filepath.Join(t.TempDir(), "more.pcap")
	if err := repeat(once, to, 4); err != nil {
		t.Fatal(err)
	}
	all := records(t, to)
	if len(all) != 12 {
		t.Fatalf("%d records, want 12", len(all))
	}
	for i := 1; i < len(all); i++ {
		if !all[i].Timestamp.After(all[i-1].Timestamp) {
			t.Errorf("record %d is not later than the one before", i)
		}
	}
}

func TestMessages(t *testing.T) {
	n, err := messages("ledgers after 1s:\n  packet                 in 7, not_dns 2; unaccounted 0\n  message                in 5, event 5; unaccounted 0\n")
	if n != 5 || err != nil {
		t.Errorf("messages = %d, %v", n, err)
	}
	if _, err := messages("nothing"); err == nil {
		t.Error("a log without ledgers gives a number")
	}
}

func TestInsert(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	f := func(before, want string) {
		t.Helper()
		if err := os.WriteFile(page, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		err := insert(page, "x", "new\n")
		after, _ := os.ReadFile(page)
		if want == "" {
			if err == nil || string(after) != before {
				t.Errorf("%q: changed, or no error", before)
			}
			return
		}
		if err != nil || string(after) != want {
			t.Errorf("%q becomes %q, %v; want %q", before, after, err, want)
		}
	}
	f("a\n<!-- figures: x -->\nold\n<!-- end of figures: x -->\nb\n", "a\n<!-- figures: x -->\n\nnew\n\n<!-- end of figures: x -->\nb\n")
	row, prose := "| "+strings.Repeat("x ", 60)+"|\n", strings.Repeat("word ", 19)
	for _, tail := range []string{"", " "} { // 99 and 100 columns of prose, then a word that does not fit
		if got := wrap(row + prose + "1234" + tail + "\n"); got != row+prose+"1234"+tail+"\n" {
			t.Errorf("a line of at most 100 columns is wrapped: %q", got)
		}
	}
	if got := wrap(row + prose + "12345 7\n"); got != row+prose+"12345\n7\n" {
		t.Errorf("a long line becomes %q", got)
	}
	f("a\n", "")
	f("<!-- figures: x -->\n", "")
}

// TestPageHasMarkers: the page has the markers between which make bench inserts its tables.
func TestPageHasMarkers(t *testing.T) {
	page, err := os.ReadFile("../../docs/benchmarking.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"make bench", "make bench-live"} {
		copied := filepath.Join(t.TempDir(), "page.md")
		if err := os.WriteFile(copied, page, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := insert(copied, what, "x"); err != nil {
			t.Error(err)
		}
	}
}

func TestRatio(t *testing.T) {
	f := func(ours, plain float64, oursAtLimit, plainAtLimit bool, want string) {
		t.Helper()
		of := func(rate float64, atLimit bool) *way {
			return &way{name: "tcx", best: trial{Result: generator.Result{Sent: int(rate), Took: time.Second}}, limit: limit{generator: atLimit}}
		}
		if got := ratio(of(ours, oursAtLimit), of(plain, plainAtLimit)); !strings.Contains(got, want) {
			t.Errorf("%v and %v: %q, want %q", ours, plain, got, want)
		}
	}
	f(400000, 100000, false, false, "tcx to reference: 4.0.")
	f(500000, 100000, true, false, "at least 5.0")
	f(500000, 500000, true, true, "unknown")
}

func TestReadLosses(t *testing.T) {
	f := func(log string, seen, lost int, where string) {
		t.Helper()
		s, l, w, err := readLosses(log)
		if s != seen || l != lost || w != where || err != nil {
			t.Errorf("%q: %d, %d, %q, %v; want %d, %d, %q", log, s, l, w, err, seen, lost, where)
		}
	}
	f("ledgers after 3s:\n  kernel tc ingress      in 300, delivered 300; unaccounted 0\n  kernel tc egress       in 0; unaccounted 0\n  packet                 in 300, udp_message 300; unaccounted 0\n", 300, 0, "")
	f("  kernel tc ingress      in 300, ring_full 7, delivered 293; unaccounted 0\n  delivery stdout        in 290, queue_full 5, delivered 285; unaccounted 0\n", 300, 12, "ring_full, queue_full")
	f("capturing\npackets 300\nsocket_full 20\nrecords 280\n", 300, 20, "socket_full")
	f("  kernel af_packet       in 300, not_dns unknown, ring_full 4, not_read 2, delivered 294; unaccounted 0\n", 300, 6, "ring_full, not_read")
	f("packets 300\nsocket_full 0\n", 300, 0, "")
	if _, _, _, err := readLosses("nothing"); err == nil {
		t.Error("a log without ledgers gives a number")
	}
}

// TestNextRate: the search finds the limit, wherever that is and wherever it starts.
func TestNextRate(t *testing.T) {
	for _, edge := range []float64{3e5, 7e5, 1.9e6} {
		for _, first := range []float64{2e5, 8e5, 2e6} {
			low, high, rounds := 0.0, 2.5e6, 0
			for rate := first; low*precision < high; rate = nextRate(low, high) {
				if rate > edge {
					high = rate
				} else {
					low = rate
				}
				if rounds++; rounds > 30 {
					t.Fatalf("edge %v from %v: between %v and %v after %d rounds", edge, first, low, high, rounds)
				}
			}
			if low > edge || high <= edge {
				t.Errorf("edge %v from %v: found between %v and %v", edge, first, low, high)
			}
		}
	}
}

func TestStoreOf(t *testing.T) {
	s, err := storeOf(writeCapture(t, "a.example.org.", "b.example.org."))
	if err != nil || s.Frames() != 2 {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestShares: they add up to the time of all processors.
func TestShares(t *testing.T) {
	r := trial{Result: generator.Result{Sent: 1000, Took: time.Millisecond, Idle: 300 * time.Microsecond}, during: cpuTime{all: 700e-6, user: 500e-6}}
	got := r.shares(floor{making: 100, stack: 200}, 2)
	want := [...]float64{1000, 100, 200, 400, 300, 500, 200, 1300}
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-6 {
			t.Errorf("%s: %v ns, want %v", shareNames[i], got[i], want[i])
		}
	}
}
