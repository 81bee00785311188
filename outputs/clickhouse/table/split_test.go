package table

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/userspace/event"
)

// planned is our own table with a partition key.
func partitioned(t *testing.T, key string, o Options) *Plan {
	d := tableOf(t, "Server", "String")
	d.PartitionKey, d.Zone = key, "Europe/Berlin"
	d.Columns = append(d.Columns, ColumnDef{"IndexTime", "DateTime", ""}, ColumnDef{"QR", "UInt8", ""}, ColumnDef{"Question", "String", ""})
	return planOf(t, d, o)
}

// TestPartitionKeys: for each expression that is known, the period around a time.
func TestPartitionKeys(t *testing.T) {
	const at = "2026-05-06T22:30:30Z" // 00:30 of a Thursday in Berlin
	for key, want := range map[string]string{
		"":                                                "",
		"tuple()":                                         "",
		"toYYYYMM(PacketTime)":                            "2026-04-30T22:00:00Z 2026-05-31T22:00:00Z",
		"toYYYYMM(`PacketTime`)":                          "2026-04-30T22:00:00Z 2026-05-31T22:00:00Z",
		"toYYYYMMDD(PacketTime)":                          "2026-05-06T22:00:00Z 2026-05-07T22:00:00Z",
		"toDate(PacketTime)":                              "2026-05-06T22:00:00Z 2026-05-07T22:00:00Z",
		"toYYYYMMDD(PacketTime, 'UTC')":                   "2026-05-06T00:00:00Z 2026-05-07T00:00:00Z",
		"toYYYYMM(toDate(PacketTime))":                    "2026-04-30T22:00:00Z 2026-05-31T22:00:00Z",
		"toMonday(PacketTime)":                            "2026-05-03T22:00:00Z 2026-05-10T22:00:00Z",
		"toStartOfWeek(PacketTime)":                       "2026-05-02T22:00:00Z 2026-05-09T22:00:00Z",
		"toStartOfWeek(PacketTime, 1)":                    "2026-05-03T22:00:00Z 2026-05-10T22:00:00Z",
		"toStartOfWeek(PacketTime, 1, 'UTC')":             "2026-05-04T00:00:00Z 2026-05-11T00:00:00Z",
		"toStartOfHour(PacketTime)":                       "2026-05-06T22:00:00Z 2026-05-06T23:00:00Z",
		"toStartOfFiveMinutes(PacketTime)":                "2026-05-06T22:30:00Z 2026-05-06T22:31:00Z",
		"toStartOfHour(PacketTime, 'Asia/Kolkata')":       "2026-05-06T22:30:00Z 2026-05-06T23:30:00Z",
		"toStartOfDay(PacketTime)":                        "2026-05-06T22:00:00Z 2026-05-07T22:00:00Z",
		"toStartOfQuarter(PacketTime)":                    "2026-03-31T22:00:00Z 2026-06-30T22:00:00Z",
		"toYear(PacketTime)":                              "2025-12-31T23:00:00Z 2026-12-31T23:00:00Z",
		"toStartOfInterval(PacketTime, toIntervalDay(7))": "2026-05-06T22:00:00Z 2026-05-07T22:00:00Z",
		"toStartOfInterval(PacketTime, toIntervalMonth(1), 'UTC')": "2026-05-01T00:00:00Z 2026-06-01T00:00:00Z",
		"(toYYYYMM(PacketTime), Server)":                           "2026-04-30T22:00:00Z 2026-05-31T22:00:00Z",
		"(toYYYYMM(PacketTime), toMonday(PacketTime, 'UTC'))":      "2026-05-04T00:00:00Z 2026-05-11T00:00:00Z",
		"(toYYYYMM(PacketTime), toYYYYMM(IndexTime))":              "2026-04-30T22:00:00Z 2026-05-31T22:00:00Z",
		"(toYYYYMM(PacketTime), QR)":                               "unknown",
		"toYYYYMM(now())":                                          "unknown",
		"PacketTime":                                               "unknown",
		"toHour(PacketTime)":                                       "unknown",
		"intDiv(toUnixTimestamp(PacketTime), 3600)":                "unknown",
		"toUnixTimestamp(PacketTime) % 7":                          "unknown",
		"toYYYYMM(toStartOfHour(PacketTime))":                      "unknown",
		"toStartOfInterval(PacketTime, INTERVAL 7 DAY)":            "unknown",
		"toYYYYMM(Question)":                                       "unknown",
		"toYYYYMM(PacketTime, Question)":                           "unknown",
	} {
		k := partitioned(t, key, Options{}).key
		moment, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if k.unknown {
			got = "unknown"
		} else if len(k.steps) > 0 {
			s := k.period(moment.UnixNano())
			got = time.Unix(0, s.from).UTC().Format(time.RFC3339) + " " + time.Unix(0, s.to).UTC().Format(time.RFC3339)
			for _, ns := range []int64{s.from, s.to - 1} {
				if k.period(ns) != s {
					t.Errorf("%s: the period of %d is %v, want %v", key, ns, k.period(ns), s)
				}
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
	if !partitioned(t, "(toYYYYMM(PacketTime), Server)", Options{UseIdentity: true}).key.unknown {
		t.Error("the servers of dnstap messages are not known")
	}
	p := partitioned(t, "toYYYYMMDD(PacketTime)", Options{})
	p.columns[0].typ.args = append(p.columns[0].typ.args, typeText{text: "UTC"})
	if zone := p.timeZone(); zone != time.UTC {
		t.Errorf("a column in UTC has the zone %v", zone)
	}
}

// replay is a block of an old capture: n events a day for so many days, in any order.
func replay(days, n int) *event.Block {
	var list []*event.Event
	for i := range days * n {
		e := outputtest.Query(i)
		e.Time = now.UnixNano() + int64(i%days)*86400e9 + int64(i)
		list = append(list, e)
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(list), func(i, k int) { list[i], list[k] = list[k], list[i] })
	return blockOf(list...)
}

// dates is the number of days of a part, by the bytes of its column PacketTime.
func dates(p *Part) int {
	seen := make(map[uint64]bool)
	for data := bytes.Join(p.Columns[0].Data, nil); len(data) > 0; data = data[8:] {
		seen[(le.Uint64(data)+7200e9)/86400e9] = true
	}
	return len(seen)
}

// rowsOfParts is the names of the questions of all parts, sorted, and checks that a part's
// events are those that its rows are of.
func rowsOfParts(t *testing.T, b *event.Block, parts []Part) (names []string) {
	t.Helper()
	var all []string
	var e event.Event
	for r := b.Reader(); r.Next(&e); {
		all = append(all, string(e.AppendQName(nil)))
	}
	suffixes := make(map[string]bool)
	for i := range parts {
		p := &parts[i]
		var got, want []string
		for data := bytes.Join(p.Columns[len(p.Columns)-1].Data, nil); len(data) > 0; data = data[1+data[0]:] {
			got = append(got, string(data[1:1+data[0]]))
		}
		for _, k := range p.Events {
			want = append(want, all[k])
		}
		if !slices.Equal(got, want) || p.Rows != len(got) || suffixes[p.Suffix] || p.Suffix == "" {
			t.Errorf("part %q: %d rows, %d names, %d events", p.Suffix, p.Rows, len(got), len(want))
		}
		suffixes[p.Suffix] = true
		names = append(names, got...)
	}
	slices.Sort(names)
	slices.Sort(all)
	if !slices.Equal(names, all) {
		t.Errorf("%d rows in %d parts, want %d", len(names), len(parts), len(all))
	}
	return names
}

// outline is what must be the same whenever a block is encoded.
func outline(parts []Part) (s string) {
	for i := range parts {
		s += fmt.Sprintln(parts[i].Suffix, parts[i].Events, parts[i].Rows)
	}
	return s
}

// TestSplit: a block of many days becomes parts of 50 days, always the same ones. A block
// of few is one part.
func TestSplit(t *testing.T) {
	plan := partitioned(t, "toYYYYMMDD(PacketTime)", Options{Server: "s"})
	e := NewEncoder(plan)
	for _, c := range []struct{ days, n, parts int }{{1, 10, 1}, {50, 3, 1}, {51, 3, 2}, {101, 2, 3}, {400, 2, 8}, {3, 2, 1}} {
		b := replay(c.days, c.n)
		parts := e.Encode(b, now)
		if len(parts) != c.parts {
			t.Errorf("%d days: %d parts, want %d", c.days, len(parts), c.parts)
		}
		for i := range parts {
			if n := dates(&parts[i]); n > partitionsOfPart {
				t.Errorf("%d days: a part has %d", c.days, n)
			}
		}
		if c.parts == 1 {
			if p := parts[0]; p.Suffix != "" || p.Events != nil || p.Rows != c.days*c.n {
				t.Errorf("%d days: the part %q has %d rows of %v", c.days, p.Suffix, p.Rows, p.Events)
			}
			continue
		}
		rowsOfParts(t, b, parts)
		if again := NewEncoder(plan).Encode(b, now.Add(time.Hour)); outline(again) != outline(parts) {
			t.Errorf("%d days: another time the parts are different", c.days)
		}
	}
	for range 3 * keepPeriod {
		e.Encode(outputtest.Queries(0, 1), now)
	}
	if len(e.sets) != 1 {
		t.Errorf("%d sets of columns are kept, want 1", len(e.sets))
	}
}

// TestHalve: a writer that halves what the server refuses gets the same parts each time,
// down to single events.
func TestHalve(t *testing.T) {
	plan := partitioned(t, "toUnixTimestamp(PacketTime) % 7", Options{Server: "s"})
	b := replay(90, 1)
	halved := func(e *Encoder) (done []Part, sets int) {
		open := slices.Clone(e.Encode(b, now))
		for len(open) > 0 {
			p := open[0]
			open = open[1:]
			if p.Events != nil && dates(&p) <= 1 {
				// A writer inserts it now: afterwards its columns may be lost.
				p.Columns = slices.Clone(p.Columns)
				for i := range p.Columns {
					p.Columns[i].Data = [][]byte{bytes.Join(p.Columns[i].Data, nil)}
				}
				done = append(done, p)
				continue
			}
			h, ok := e.Halve(b, now, &p)
			if !ok {
				t.Fatalf("the part %q of %d events cannot be halved", p.Suffix, len(p.Events))
			}
			open = append(h[:], open...)
		}
		return done, len(e.sets)
	}
	first, sets := halved(NewEncoder(plan))
	if len(first) != 90 || sets > 90 {
		t.Fatalf("%d parts, %d sets of columns", len(first), sets)
	}
	rowsOfParts(t, b, first)
	if second, _ := halved(NewEncoder(plan)); outline(first) != outline(second) {
		t.Error("another time the halves are different")
	}
	if _, ok := NewEncoder(plan).Halve(b, now, &first[0]); ok {
		t.Error("a single event is halved")
	}
}

// TestOnly: what a writer tries piece by piece are the halves of Halve, under their tokens.
func TestOnly(t *testing.T) {
	b := replay(9, 5)
	plan := partitioned(t, "toUnixTimestamp(PacketTime) % 7", Options{Server: "s"})
	e, halving := NewEncoder(plan), NewEncoder(plan)
	whole := e.Encode(b, now)[0]
	open := [][]int32{e.Order(b, &whole)}
	if len(open[0]) != b.Len() {
		t.Fatalf("%d events, want %d", len(open[0]), b.Len())
	}
	parts := slices.Clone(halving.Encode(b, now))
	for len(open) > 0 {
		events, p := open[0], parts[0]
		open, parts = open[1:], parts[1:]
		h, ok := halving.Halve(b, now, &p)
		if ok != (len(events) > 1) {
			t.Fatalf("%d events: %v", len(events), ok)
		}
		if !ok {
			continue
		}
		half := len(events) / 2
		for i, some := range [][]int32{events[:half], events[half:]} {
			only := e.Only(b, now, &whole, some)
			if only.Suffix != h[i].Suffix || SuffixOf(some) != h[i].Suffix || !slices.Equal(only.Events, h[i].Events) || only.Rows != h[i].Rows {
				t.Fatalf("%+v\nis not the half\n%+v", only, h[i])
			}
			for k, c := range only.Columns {
				if !bytes.Equal(bytes.Join(c.Data, nil), bytes.Join(h[i].Columns[k].Data, nil)) {
					t.Fatalf("column %s is not that of the half", c.Name)
				}
			}
			open, parts = append(open, some), append(parts, h[i])
		}
	}
	if len(e.sets) != 1 {
		t.Errorf("%d sets of columns, want 1", len(e.sets))
	}
}

// TestHalvesOfOneTime: parts with different events have different tokens, even if all their
// times and numbers of events are the same. Otherwise a server would drop one of them.
func TestHalvesOfOneTime(t *testing.T) {
	var list []*event.Event
	for i := range 64 {
		e := outputtest.Query(i)
		e.Time = now.UnixNano()
		list = append(list, e)
	}
	b := blockOf(list...)
	for _, key := range []string{"", "toYYYYMM(PacketTime)", "toUnixTimestamp(PacketTime) % 7"} {
		e := NewEncoder(partitioned(t, key, Options{}))
		suffixes := map[string]bool{"": true}
		open := slices.Clone(e.Encode(b, now))
		for len(open) > 0 {
			h, ok := e.Halve(b, now, &open[0])
			if open = open[1:]; !ok {
				continue
			}
			for _, p := range h {
				if suffixes[p.Suffix] {
					t.Fatalf("%q: the token %q is of two parts", key, p.Suffix)
				}
				suffixes[p.Suffix] = true
			}
			open = append(h[:], open...)
		}
		if len(suffixes) != 2*len(list)-1 {
			t.Errorf("%q: %d parts, want %d", key, len(suffixes), 2*len(list)-1)
		}
	}
}

// TestWithoutRows: no part is empty, whatever a filter has left out.
func TestWithoutRows(t *testing.T) {
	none, one := outputtest.Query(1), outputtest.Query(2)
	none.Selected = []byte{0}
	e := NewEncoder(partitioned(t, "", Options{}))
	if parts := e.Encode(blockOf(none, none), now); len(parts) != 0 {
		t.Errorf("%d parts of nothing", len(parts))
	}
	if parts := e.Encode(blockOf(), now); len(parts) != 0 {
		t.Errorf("%d parts of an empty block", len(parts))
	}
	b := blockOf(none, one, none, one, none)
	parts := e.Encode(b, now)
	if len(parts) != 1 || parts[0].Rows != 2 {
		t.Fatalf("%+v", parts)
	}
	h, ok := e.Halve(b, now, &parts[0])
	if !ok || !slices.Equal(h[0].Events, []int32{1}) || !slices.Equal(h[1].Events, []int32{3}) || h[0].Rows != 1 || h[1].Rows != 1 {
		t.Errorf("%v, %+v", ok, h)
	}
}
